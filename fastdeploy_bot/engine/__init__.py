"""The engine: all that waits. It makes the rows true, with core, forge and runner."""
