"""Entry points that join the stage to the cache."""
