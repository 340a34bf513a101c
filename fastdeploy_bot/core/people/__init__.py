"""People and tokens: who they are, how they show it, what they may, and what they did."""
