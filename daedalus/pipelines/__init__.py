"""A run, from settings to its report."""
