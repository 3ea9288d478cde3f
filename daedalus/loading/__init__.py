"""Reading the output back: as datasets and frames, and for training."""
