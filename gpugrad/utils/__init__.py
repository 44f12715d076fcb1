"""In place of torch.utils: `from gpugrad.utils.data import DataLoader`."""

from gpugrad.utils import data

__all__ = ["data"]
