"""A local page that stays open beside any run: days, steps, artifacts, rows and runs. It reads, and writes nothing."""
