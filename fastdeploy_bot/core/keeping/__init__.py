"""Keeping: what goes in time, and what is put away safely."""
