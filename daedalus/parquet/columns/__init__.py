"""Columns that are no lists, by hand: of artifacts, and of values of one length."""
