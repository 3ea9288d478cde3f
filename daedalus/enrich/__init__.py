"""The enrich stage: columns of vectors beside the skeleton."""
