"""In place of torchvision.transforms; everything here lives in gpugrad.data.transforms."""

# ruff: noqa: F401, F403 (everything imported here is exported)
from gpugrad.data.transforms import *
from gpugrad.data.transforms import __all__
