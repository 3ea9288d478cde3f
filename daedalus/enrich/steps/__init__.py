"""One file a step: what it reads, the config it depends on, its statement or function."""
