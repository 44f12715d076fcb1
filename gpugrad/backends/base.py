"""What every backend offers: arrays in and out, and the kernels of csrc/ops.h."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from ..device import Device
from ..dtype import DType
from ..errors import IndexOutOfRangeError
from .memory import MemoryStats
from .peaks import UNKNOWN, Peaks

Array: TypeAlias = Any
"""numpy.ndarray on cpu and sim, cupy.ndarray on cuda."""

Arrays: TypeAlias = Sequence[Any]
Operand: TypeAlias = Any
"""An array or a Python number."""

Shape: TypeAlias = tuple[int, ...]

ConvWindow: TypeAlias = tuple[Shape, Shape, Shape, int]
"""(stride, padding, dilation, groups) of csrc/ops.h: one number for each spatial axis."""

PoolWindow: TypeAlias = tuple[Shape, Shape, Shape, Shape]
"""(kernel, stride, padding, dilation); four empty tuples for adaptive pooling."""


class AttentionOptions(NamedTuple):
    """Which keys a query sees, and how: csrc/ops/attention.h says what each is."""

    bias: Array | None = None
    q_offsets: Array | None = None
    k_offsets: Array | None = None
    k_lengths: Array | None = None
    left: int = -1
    right: int = -1
    align_end: bool = False
    scale: float = 1.0
    dropout: float = 0.0
    state: Array | None = None
    call: int = 0


PREDICATES = frozenset(("isnan", "isinf", "isfinite", "signbit", "logical_not"))
"""Unary functors that return bool; the others return their input's dtype."""

COMPARISONS = frozenset(
    ("eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or", "logical_xor")
)
"""Binary functors that return bool."""

FLAG_OPERATIONS = ("none", "gather", "scatter", "cross_entropy", "embedding")
"""FlagCode of csrc/ops.h, in order."""


class Kernels(Protocol):
    """The raw operations of csrc/ops.h, which states what each computes.

    The same on every device; ``backends.reference`` is the specification. Each allocates and
    returns its result unless it says "in place". Axes are normalised, dtypes promoted and shapes
    checked by the caller.
    """

    # fmt: off
    def unary(self, name: str, x: Array, p0: float = 0.0, p1: float = 0.0) -> Array: ...
    def binary(self, name: str, a: Operand, b: Operand, out: Array | None = None) -> Array:
        """Into `out`, which may be a or b, or a new array."""
    def where(self, c: Array, a: Operand, b: Operand) -> Array: ...
    def cast(self, x: Array, dtype: DType) -> Array:
        """Always a new array."""
    def contiguous(self, x: Array) -> Array:
        """Always a new array, row-major."""
    def copy(self, x: Array, y: Array) -> None:
        """y[...] = x, cast and broadcast; in place."""
    def fill(self, y: Array, value: float) -> None:
        """In place."""
    def reduce(self, name: str, x: Array, axes: Shape, keepdims: bool) -> Array: ...
    def sum_of(self, name: str, x: Array, centre: Array | None, axes: Shape, keepdims: bool
               ) -> Array:
        """Sum of name(x - centre), square or exp of floats, in the accumulation dtype; centre has
        x's dtype, and length 1 along `axes`."""
    def scan(self, name: str, x: Array) -> Array:
        """Along the last axis."""
    def sort(self, x: Array, descending: bool) -> tuple[Array, Array]:
        """(sorted, index) along the last axis."""
    def search_sorted(self, rows: Array, x: Array, right: bool) -> Array: ...
    def gemm(self, a: Array, b: Array, bias: Array | None = None, act: str = "none",
             alpha: float = 1.0, beta: float = 0.0, out: Array | None = None,
             scale: Array | None = None, residual: Array | None = None,
             dtype: DType | None = None, row_scale: Array | None = None) -> Array:
        """Into `out`, or a new array of `dtype` (that of a and b unless given). With nothing beside
        them, a or b of two matrices may be a vector, or both: y [n], [m] or []."""
    def gather(self, x: Array, indices: Sequence[Array], axis: int = 0) -> Array:
        """Over the axes of x from `axis` on; the result has those of the indices there."""
    def scatter(self, name: str, x: Array, indices: Sequence[Array], values: Operand) -> None:
        """In place on x."""
    def nonzero(self, mask: Array) -> Array:
        """int64 [count, ndim]."""
    def softmax(self, x: Array, axis: int, log: bool) -> Array: ...
    def softmax_grad(self, dy: Array, y: Array, axis: int, log: bool) -> Array: ...
    def cross_entropy(self, x: Array, target: Array, weight: Array | None, ignore_index: int,
                      label_smoothing: float) -> tuple[Array, Array, Array]:
        """(loss, lse, target_weight)."""
    def cross_entropy_grad(self, dloss: Array, x: Array, target: Array, weight: Array | None,
                           lse: Array, ignore_index: int, label_smoothing: float) -> Array: ...
    def conv_fprop(self, x: Array, w: Array, window: ConvWindow, shape: Shape,
                   bias: Array | None = None, act: str = "none",
                   residual: Array | None = None) -> Array:
        """Of `shape`; channels-last where x or w is (layout.py)."""
    def conv_dgrad(self, dy: Array, w: Array, window: ConvWindow, shape: Shape,
                   bias: Array | None = None) -> Array: ...
    def conv_wgrad(self, x: Array, dy: Array, window: ConvWindow, shape: Shape) -> Array: ...
    def max_pool(self, x: Array, window: PoolWindow, shape: Shape) -> tuple[Array, Array]:
        """(y, index)."""
    def max_pool_grad(self, dy: Array, index: Array, window: PoolWindow, shape: Shape) -> Array: ...
    def avg_pool(self, x: Array, window: PoolWindow, shape: Shape, count_include_pad: bool,
                 divisor: int) -> Array: ...
    def avg_pool_grad(self, dy: Array, window: PoolWindow, shape: Shape, count_include_pad: bool,
                      divisor: int) -> Array: ...
    def layer_norm(self, x: Array, residual: Array | None, weight: Array | None,
                   bias: Array | None, eps: float, centred: bool
                   ) -> tuple[Array, Array | None, Array | None, Array]:
        """(y, sum, mean, rstd); sum = x + residual where there is one; mean is None unless centred.
        """
    def layer_norm_grad(self, dy: Array, x: Array, weight: Array | None, mean: Array | None,
                        rstd: Array, dsum: Array | None, bias: bool
                        ) -> tuple[Array, Array | None, Array | None]:
        """(dx, dweight or None, dbias where `bias`), the last two in the dtype of weight."""
    def group_norm(self, x: Array, weight: Array | None, bias: Array | None, groups: int,
                   eps: float) -> tuple[Array, Array, Array]:
        """(y, mean, rstd)."""
    def group_norm_grad(self, dy: Array, x: Array, weight: Array | None, mean: Array, rstd: Array,
                        bias: bool) -> tuple[Array, Array | None, Array | None]: ...
    def batch_norm_stats(self, x: Array, running_mean: Array | None, running_var: Array | None,
                         momentum: float, eps: float) -> tuple[Array, Array]:
        """(mean, rstd); the running statistics in place."""
    def batch_norm_apply(self, x: Array, mean: Array, rstd: Array, weight: Array | None,
                         bias: Array | None, residual: Array | None, act: str) -> Array: ...
    def batch_norm_grad(self, dy: Array, x: Array, y: Array | None, mean: Array, rstd: Array,
                        weight: Array | None, act: str, fixed: bool, bias: bool, residual: bool
                        ) -> tuple[Array, Array | None, Array | None, Array | None]:
        """(dx, dweight, dbias, dresidual), each of the last three where there is one."""
    def resample(self, x: Array, offsets: Array, index: Array, weight: Array, axis: int,
                 dtype: DType) -> Array:
        """Of `dtype`: x's or its accumulation dtype."""
    def crop(self, x: Array, top: Array, left: Array, flip: Array, size: tuple[int, int],
             border: str) -> Array: ...
    def unfold(self, x: Array, window: PoolWindow, out: Shape) -> Array: ...
    def fold(self, y: Array, window: PoolWindow, out: Shape, shape: Shape) -> Array: ...
    def embedding(self, weight: Array, index: Array) -> Array: ...
    def embedding_grad(self, dy: Array, index: Array, rows: int, row: Array | None,
                       scale: Array | None, padding: int, by_count: bool) -> Array:
        """[rows, D]."""
    def embedding_renorm(self, weight: Array, index: Array, max_norm: float, ord: float) -> None:
        """In place."""
    def embedding_bag(self, weight: Array, index: Array, offsets: Array, scale: Array | None,
                      mode: str, padding: int) -> tuple[Array, Array, Array, Array | None]:
        """(y, bag, count, winner); winner is None unless mode is max."""
    def recurrent(self, cell: str, gates: Array, w: Array, bias: Array | None,
                  projection: Array | None, h0: Array, c0: Array | None, lengths: Array | None,
                  reverse: bool, training: bool, out: Array | None = None
                  ) -> tuple[Array, Array, Array | None, Array | None]:
        """(y, hn, cn, saved); y in `out` if given, saved where `training`; lies as gates do."""
    def recurrent_grad(self, cell: str, dy: Array | None, dhn: Array | None, dcn: Array | None,
                       w: Array, projection: Array | None, h0: Array, c0: Array | None,
                       lengths: Array | None, reverse: bool, y: Array, saved: Array | None
                       ) -> tuple[Array, Array | None, Array | None, Array, Array | None]:
        """(dgates, dinner of a gru, doutput of a projection, dh0, dc0)."""
    def attention(self, q: Array, k: Array, v: Array, options: AttentionOptions
                  ) -> tuple[Array, Array]:
        """(o, lse); o lies as q does."""
    def attention_grad(self, d_o: Array, q: Array, k: Array, v: Array, o: Array, lse: Array,
                       options: AttentionOptions, bias: bool
                       ) -> tuple[Array, Array, Array, Array | None]:
        """(dq, dk, dv, dbias [B, H, M, N] where `bias`)."""
    def rotary(self, x: Array, cos: Array, sin: Array, interleaved: bool, inverse: bool
               ) -> Array: ...
    def sample(self, logits: Array, temperature: float, top_k: int, top_p: float, state: Array,
               call: int) -> Array:
        """int64 [B]."""
    def uniform(self, state: Array, call: int, low: float, high: float, shape: Shape,
                dtype: DType) -> Array: ...
    def normal(self, state: Array, call: int, mean: float, std: float, shape: Shape,
               dtype: DType) -> Array: ...
    def bernoulli(self, state: Array, call: int, p: Operand, shape: Shape,
                  dtype: DType) -> Array: ...
    def dropout(self, state: Array, call: int, p: float, x: Array) -> Array: ...
    def permutation(self, state: Array, call: int, n: int) -> Array: ...
    def sgd_step(self, params: Arrays, grads: Arrays, momenta: Arrays, hyper: Array,
                 ticket: Array, momentum: float, dampening: float, weight_decay: float,
                 nesterov: bool, maximize: bool) -> None:
        """In place, as the next two."""
    def adam_step(self, params: Arrays, grads: Arrays, m: Arrays, v: Arrays, vmax: Arrays,
                  hyper: Array, ticket: Array, beta1: float, beta2: float, eps: float,
                  weight_decay: float, decoupled: bool, maximize: bool) -> None: ...
    def rmsprop_step(self, params: Arrays, grads: Arrays, v: Arrays, avg: Arrays, buf: Arrays,
                     hyper: Array, ticket: Array, alpha: float, eps: float, weight_decay: float,
                     momentum: float, maximize: bool) -> None: ...
    def adagrad_step(self, params: Arrays, grads: Arrays, sum: Arrays, hyper: Array,
                     ticket: Array, lr_decay: float, eps: float, weight_decay: float,
                     maximize: bool) -> None: ...
    def adadelta_step(self, params: Arrays, grads: Arrays, v: Arrays, u: Arrays, hyper: Array,
                      ticket: Array, rho: float, eps: float, weight_decay: float,
                      maximize: bool) -> None: ...
    def adamax_step(self, params: Arrays, grads: Arrays, m: Arrays, u: Arrays, hyper: Array,
                    ticket: Array, beta1: float, beta2: float, eps: float, weight_decay: float,
                    maximize: bool) -> None: ...
    def nadam_step(self, params: Arrays, grads: Arrays, m: Arrays, v: Arrays, hyper: Array,
                   ticket: Array, beta1: float, beta2: float, eps: float, weight_decay: float,
                   momentum_decay: float, decoupled: bool, maximize: bool) -> None: ...
    def radam_step(self, params: Arrays, grads: Arrays, m: Arrays, v: Arrays, hyper: Array,
                   ticket: Array, beta1: float, beta2: float, eps: float, weight_decay: float,
                   decoupled: bool, maximize: bool) -> None: ...
    def lion_step(self, params: Arrays, grads: Arrays, m: Arrays, hyper: Array, ticket: Array,
                  beta1: float, beta2: float, weight_decay: float, maximize: bool) -> None: ...
    def global_norm(self, xs: Arrays, ord: float) -> Array:
        """Of shape ()."""
    def scale(self, xs: Arrays, factor: Array) -> None:
        """In place, as the next."""
    def unscale(self, xs: Arrays, scale: Array, found: Array) -> None: ...
    def update_scale(self, scale: Array, good: Array, found: Array, growth: float, backoff: float,
                     interval: int) -> None:
        """scale and good are written."""
    # fmt: on


OPERATIONS = tuple(name for name in vars(Kernels) if not name.startswith("_"))
"""The names of all raw operations."""


class Backend(ABC):
    """One device: its arrays and its kernels."""

    device: Device
    kernels: Kernels
    synchronous: bool
    """Whether values are there when an operation returns, so that looking at them waits for none.

    Checks of values (is every probability in [0, 1]?) are made only where this is True."""

    in_host_memory: bool = False
    """Whether arrays are NumPy's, in the host's memory."""

    channels_last: bool = False
    """Whether convolutions are fastest on channels-last images."""

    captures: bool = False
    """Whether `graph_memory` gives something: steps can be recorded and repeated by the device."""

    def __init__(self, device: Device) -> None:
        self.device = device

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.device}>"

    @abstractmethod
    def empty(self, shape: Sequence[int], dtype: DType) -> Array:
        """A new array, row-major, values undefined."""

    @abstractmethod
    def from_numpy(self, array: np.ndarray[Any, Any]) -> Array:
        """A new array on this device with the values of `array`; always a copy, row-major."""

    @abstractmethod
    def to_numpy(self, array: Array) -> np.ndarray[Any, Any]:
        """A new NumPy array with the values. Synchronises; raises what `synchronize` raises."""

    @abstractmethod
    def owns(self, array: object) -> bool:
        """True for arrays of this device."""

    @abstractmethod
    def address(self, array: Array) -> int:
        """Where the first element is."""

    @abstractmethod
    def bounds(self, array: Array) -> tuple[int, int]:
        """(the first address, the one behind the last) of the memory that `array` looks into."""

    @abstractmethod
    def strided(self, array: Array, shift: int, shape: Shape, strides: Shape) -> Array:
        """A view that starts `shift` bytes behind the first element of `array`, strides in bytes.

        The caller has checked that it stays within the bounds."""

    @abstractmethod
    def synchronize(self) -> None:
        """Wait for the device; raises IndexOutOfRangeError where a kernel met a bad index."""

    @abstractmethod
    def memory_stats(self) -> MemoryStats:
        """What is allocated and kept, and the peaks."""

    @abstractmethod
    def reset_peak_memory_stats(self) -> None:
        """Peaks count from now on."""

    @abstractmethod
    def empty_cache(self) -> None:
        """Give back the memory that is kept for new arrays."""

    @abstractmethod
    def memory_summary(self) -> str:
        """Memory in use, in words."""

    def graph_memory(self) -> Any:
        """What the graphs of one captured step share (cuda_graph.GraphMemory); only where the
        backend `captures`."""
        raise NotImplementedError(f"device {self.device} runs steps eagerly")

    # ---- for the profiler: moments in the device's work, which do not wait for it ---------------

    def mark(self) -> Any:
        """This moment; None where none can be taken."""
        return time.perf_counter()

    def seconds(self, first: Any, last: Any) -> float:
        """Between two marks, once the device has come by both."""
        return float(last - first)

    def range_push(self, name: str) -> None:  # noqa: B027 - most devices have no such tools
        """Begin a range that NVIDIA's tools show; nothing elsewhere."""

    def range_pop(self) -> None:  # noqa: B027
        """End the innermost range."""

    def peaks(self) -> Peaks:
        """The most the device can do, where it is known."""
        return UNKNOWN


LABEL = 1 << 62
"""What nll_loss subtracts from labels that are no classes before it gathers with them: an index
this far out is such a label, so that the index flag of a device can say so without a wait."""


def index_error(operation: str, index: int, limit: int, axis: int) -> IndexOutOfRangeError:
    """The error for index `index` on an axis of `limit` elements."""
    if operation == "gather" and index < -LABEL // 2:
        operation, index = "nll_loss", index + LABEL
    if operation in ("cross_entropy", "nll_loss"):
        return IndexOutOfRangeError(
            f"{operation}: target {index} is not one of the {limit} classes.\n"
            f"  Class indices are 0 to {limit - 1}; mark targets to skip with ignore_index."
        )
    if operation == "embedding":
        return IndexOutOfRangeError(
            f"embedding: index {index} is not one of the {limit} rows of the table.\n"
            f"  Indices are 0 to {limit - 1}; does the vocabulary fit num_embeddings?"
        )
    text = f"{operation}: index {index} is out of range for axis {axis} of length {limit}."
    legal = f"Legal are {-limit} to {limit - 1}." if limit else "The axis is empty."
    return IndexOutOfRangeError(f"{text}\n  {legal}")


def raise_flag(flag: np.ndarray[Any, Any]) -> None:
    """Raise what an index flag {code, index, limit, axis} says and clear it, unless it is 0."""
    code, index, limit, axis = (int(v) for v in flag)
    if code:
        flag[:] = 0
        raise index_error(FLAG_OPERATIONS[code], index, limit, axis)
