"""fastdeploy_bot: deploy what was pushed, and say truly what is live."""

__version__ = "0.1.0"
