"""Looks: how all of it stands, in a number of queries that does not grow with it."""
