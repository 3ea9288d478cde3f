"""Partitions of a range as they were, under a name: no later run changes or loses a byte of them."""
