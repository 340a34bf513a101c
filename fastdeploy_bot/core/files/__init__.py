"""What a person writes on this host: service files and secrets."""
