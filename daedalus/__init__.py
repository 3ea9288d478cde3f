"""Daedalus builds a ranking model's training skeleton, incrementally, from content-hashed artifacts."""

__version__ = "0.1.0"
