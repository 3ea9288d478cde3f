"""Partitions and the qid map, in a folder or on an object store."""
