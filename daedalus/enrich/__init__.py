"""The enrich stage: columns of vectors beside the skeleton's, from the embedding pool."""
