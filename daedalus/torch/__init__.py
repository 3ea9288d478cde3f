"""The output as PyTorch tensors, by the batch. It needs the extra `torch`; inside it, `import torch` is PyTorch."""

from daedalus.base.installed import check_extra

check_extra("torch", "torch", where="daedalus.torch", what="PyTorch")

from daedalus.torch.dataset import TrainingDataset  # noqa: E402
from daedalus.torch.loader import TrainingLoader  # noqa: E402

__all__ = ["TrainingDataset", "TrainingLoader"]
