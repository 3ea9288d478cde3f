"""Proposes a configuration from a look at somebody's files."""
