"""Data sets, loaders, and the files they come from."""

from gpugrad.data import augment, transforms
from gpugrad.data.augment import Augmented
from gpugrad.data.cifar import CIFAR10, CIFAR100
from gpugrad.data.collate import default_collate, default_convert
from gpugrad.data.dataset import (
    ConcatDataset,
    Dataset,
    Subset,
    TensorDataset,
    random_split,
)
from gpugrad.data.fashion import FashionMNIST
from gpugrad.data.folder import DatasetFolder, ImageFolder
from gpugrad.data.idx import read_idx
from gpugrad.data.iterable import IterableDataset, ShuffleBuffer
from gpugrad.data.loader import DataLoader
from gpugrad.data.mnist import MNIST, load_mnist
from gpugrad.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

__all__ = [
    "CIFAR10",
    "CIFAR100",
    "MNIST",
    "Augmented",
    "BatchSampler",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "DatasetFolder",
    "FashionMNIST",
    "ImageFolder",
    "IterableDataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "ShuffleBuffer",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "WeightedRandomSampler",
    "augment",
    "default_collate",
    "default_convert",
    "get_worker_info",
    "load_mnist",
    "random_split",
    "read_idx",
    "transforms",
]


def __getattr__(name: str) -> object:
    if name == "get_worker_info":  # from a module that is slow to import
        from gpugrad.data.workers import get_worker_info

        return get_worker_info
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
