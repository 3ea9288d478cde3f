"""Artifacts, which nobody but us reads: columns that are no lists, written by hand."""
