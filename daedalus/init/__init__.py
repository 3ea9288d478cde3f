"""Proposes a configuration by looking into somebody's files."""
