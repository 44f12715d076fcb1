"""In place of torch.utils.data; everything here lives in gpugrad.data.

from torch.utils.data import DataLoader, Dataset    ->    from gpugrad.utils.data import ...

So do its modules: `from gpugrad.utils.data.dataloader import DataLoader`.
"""

import sys

from gpugrad.data import dataset, loader, sampler
from gpugrad.data.collate import default_collate, default_convert
from gpugrad.data.dataset import ConcatDataset, Dataset, Subset, TensorDataset, random_split
from gpugrad.data.iterable import IterableDataset
from gpugrad.data.loader import DataLoader
from gpugrad.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from gpugrad.data.workers import get_worker_info

__all__ = [
    "BatchSampler",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "IterableDataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "WeightedRandomSampler",
    "default_collate",
    "default_convert",
    "get_worker_info",
    "random_split",
]

dataloader = loader
for _name, _module in {"dataloader": loader, "dataset": dataset, "sampler": sampler}.items():
    sys.modules.setdefault(f"{__name__}.{_name}", _module)
