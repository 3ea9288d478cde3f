"""The skeleton stage: what each step computes. It knows nothing of stores or traces."""
