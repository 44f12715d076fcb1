"""Tensor's methods, declared for type checkers. Attached by gpugrad/ops/methods.py."""

from .core import Core
from .elementwise import Elementwise
from .in_place import InPlace
from .picking import Picking
from .products import Products
from .reductions import Reductions
from .shapes import Shapes

class TensorMethods(Elementwise, Reductions, Shapes, Picking, Products, InPlace, Core): ...
