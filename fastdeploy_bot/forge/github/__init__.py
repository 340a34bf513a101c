"""GitHub: signatures and payloads, bytes to words and back."""
