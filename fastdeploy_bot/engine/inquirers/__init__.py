"""Inquirers: who knows how to ask GitHub one kind of question, and what follows from its answer."""
