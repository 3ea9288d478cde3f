"""What there is to read, by name, digest and schema: feed, views, pool."""
