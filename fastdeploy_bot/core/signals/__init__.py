"""Signals: what a forge tells that is no push."""
