"""What each column of a partition holds, counted once and kept by content, and what `expect` says of it."""
