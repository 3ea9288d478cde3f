"""The enrich stage: adds columns of vectors from the embedding pool to those of the skeleton."""
