"""A local page beside whatever runs: days, steps, artifacts, rows and runs. It reads, and writes nothing."""
