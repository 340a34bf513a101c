"""What a script wrote: kept byte by byte, read as lines, with its secrets hidden."""
