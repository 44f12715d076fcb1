"""In place of torch.utils: `from gpugrad.utils.data import DataLoader`."""

from gpugrad.utils import checkpoint, data

__all__ = ["checkpoint", "data"]
