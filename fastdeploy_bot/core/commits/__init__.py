"""Commits: what the pushes, and a forge that was asked, tell of them."""
