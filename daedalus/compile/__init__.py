"""What a configuration means, as one canonical document, and what is said of a dataset beside its partitions."""
