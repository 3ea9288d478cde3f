"""The steps of the enrich stage, a file each."""
