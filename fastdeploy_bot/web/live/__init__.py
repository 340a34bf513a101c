"""Live: the feed over websockets, read once for all who listen, written to each as fast as it reads."""
