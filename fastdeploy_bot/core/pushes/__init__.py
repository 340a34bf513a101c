"""Pushes: taken once, decided for each service, looked for where they were missed."""
