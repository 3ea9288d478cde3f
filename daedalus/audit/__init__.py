"""`daeda audit`: compares a sample of the output with the raw feed, in plain Python without SQL or cache."""
