"""What a configuration means, as one canonical document; and `_dataset.json`, which describes the partitions."""
