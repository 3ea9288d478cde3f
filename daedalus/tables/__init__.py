"""Artifacts as Arrow tables, handed on in memory from the step that made them to those that read them."""
