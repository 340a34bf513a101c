"""What `make figures` measures: the bot alone, each module one thing, in milliseconds and mebibytes of this machine."""
