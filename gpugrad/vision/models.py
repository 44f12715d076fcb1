"""In place of torchvision.models; everything here lives in gpugrad.models."""

# ruff: noqa: F401, F403 (everything imported here is exported)
from gpugrad.models import *
from gpugrad.models import __all__
