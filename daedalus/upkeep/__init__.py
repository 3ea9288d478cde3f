"""What `daeda cache` and `daeda config` do, and the warnings about a config that a run prints."""
