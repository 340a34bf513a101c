"""The schema's history: numbered, applied once and in order, never edited after a release."""
