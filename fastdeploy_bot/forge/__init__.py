"""Forges: where code is pushed to. Each is a folder of its own."""
