"""In place of torchvision: its names, from where they live in gpugrad.

import torchvision                           ->  import gpugrad.vision as torchvision
from torchvision import datasets, transforms ->  from gpugrad.vision import datasets, transforms
import torchvision.transforms as transforms  ->  import gpugrad.vision.transforms as transforms
import torchvision.models as models          ->  import gpugrad.vision.models as models
"""

from gpugrad.vision import datasets, models, transforms, utils

__all__ = ["datasets", "models", "transforms", "utils"]
