"""In place of torchvision.datasets; everything here lives in gpugrad.data."""

from gpugrad.data.cifar import CIFAR10, CIFAR100
from gpugrad.data.fashion import FashionMNIST
from gpugrad.data.folder import DatasetFolder, ImageFolder
from gpugrad.data.mnist import MNIST
from gpugrad.data.vision import VisionDataset

__all__ = [
    "CIFAR10",
    "CIFAR100",
    "MNIST",
    "DatasetFolder",
    "FashionMNIST",
    "ImageFolder",
    "VisionDataset",
]
