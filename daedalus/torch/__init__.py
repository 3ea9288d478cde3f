"""Published rows as PyTorch tensors. This room needs the extra `torch`; no other imports it."""

from daedalus.base.installed import check_extra

check_extra("torch", "torch", where="daedalus.torch", what="PyTorch")

from daedalus.torch.dataset import TrainingDataset  # noqa: E402

__all__ = ["TrainingDataset"]
