"""What `daeda cache` and `daeda config check` do."""
