"""Deploying: services, and what is asked for, begins, runs and ends of them."""
