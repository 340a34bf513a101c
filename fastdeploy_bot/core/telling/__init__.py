"""Telling: what changed, as it looks from outside, for the feed and for GitHub."""
