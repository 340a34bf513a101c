"""The web: parse, authorise, call one function of core, answer. It writes rows and starts nothing."""
