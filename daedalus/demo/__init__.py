"""Generates sample data, beside the default configuration, and runs the commands that show what the tool does."""
