"""What `daeda cache`, `daeda config` and `daeda snapshot diff` do, and a run's warnings about its config."""
