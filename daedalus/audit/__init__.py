"""`daeda audit`: a sample of the output against the raw feed, by plain Python that knows no SQL and no cache."""
