"""Artifacts as Arrow tables, passed on in memory from the step that made them to the steps that read them."""
