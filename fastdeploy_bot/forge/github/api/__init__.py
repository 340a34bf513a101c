"""What the bot calls of GitHub's REST interface, one function an endpoint; each raises CallFailed."""
