"""Buckets: the parameters of one group that one kernel launch steps together.

They share device, dtype and clock: the number of steps taken, and what else a step moves on. The
learning rate and the clock live on the device (`hyper`), so a step reads nothing back and can be
captured in a CUDA graph. Parameters
part ways, without a host read, when one of them gets no gradient in a step: its count stays behind.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from .. import dtype as dtypes
from ..backends import Array, Backend
from ..dtype import DType
from ..errors import DeviceError, DTypeError, GpugradError, ShapeError
from ..tensor import Tensor

MASTER = "master_param"
"""The state of float16 and bfloat16 parameters that takes their steps, float32."""


class Bucket:
    """Parameters with their state arrays, and {learning rate, *clock} on their device."""

    __slots__ = (
        "arrays",
        "backend",
        "dtype",
        "hyper",
        "lr",
        "params",
        "states",
        "stepped",
        "strided",
        "ticket",
    )

    def __init__(
        self, params: Sequence[Tensor], states: dict[str, list[Array]], ticks: int = 1
    ) -> None:
        """ticks: how many numbers the clock has."""
        self.params = list(params)
        self.states = states
        self.backend: Backend = params[0].backend
        self.dtype: DType = params[0].dtype
        self.lr = math.nan  # what hyper[0] holds; NaN, which equals no rate: nothing yet
        self.hyper = self.backend.empty((1 + ticks,), dtypes.float64)
        self.ticket = filled(self.backend, (1,), dtypes.int32, 0)
        # the array and version at which the master weights match a parameter; None: not known
        self.stepped: list[tuple[Array | None, int]] = [(None, 0)] * len(self.params)
        self.read_parameters()

    def read_parameters(self) -> None:
        """Notes the arrays the parameters hold now. Raises ShapeError unless the state fits."""
        self.arrays = [p.array for p in self.params]
        for states in self.states.values():
            for state, array in zip(states, self.arrays, strict=True):
                if state.shape != array.shape:
                    raise ShapeError(
                        f"optimizer: a parameter changed shape from {tuple(state.shape)} to "
                        f"{tuple(array.shape)}; make a new optimizer for it"
                    )
        self.strided = [i for i, a in enumerate(self.arrays) if not a.flags.c_contiguous]

    def ready(self) -> bool:
        """Whether all parameters have gradients, and still hold the noted arrays."""
        for param, array in zip(self.params, self.arrays, strict=True):
            if param.grad is None or param.array is not array:
                return False
        return True

    def set_clock(self, values: Sequence[float]) -> None:
        """Writes the clock: the number of steps done first."""
        for i, value in enumerate(values, 1):
            self.backend.kernels.fill(self.hyper[i : i + 1], float(value))

    def clock(self) -> list[float]:
        """Reads the clock; waits for the device."""
        values: list[float] = self.backend.to_numpy(self.hyper)[1:].tolist()
        return values

    def number(self, i: int) -> Tensor:
        """Number i of hyper as a tensor of shape (), on the device: 0 is the learning rate."""
        return Tensor(self.hyper[i : i + 1].reshape(()), self.backend)

    def set_lr(self, lr: float | Tensor) -> None:
        """Uploads the learning rate; called only when it has changed, or is a tensor."""
        if isinstance(lr, Tensor) and lr.backend is self.backend:
            self.backend.kernels.copy(lr.array.reshape(1), self.hyper[:1])
        else:
            self.backend.kernels.fill(self.hyper[:1], float(lr))
        self.lr = math.nan if isinstance(lr, Tensor) else lr

    def add_state(self, starts: Mapping[str, float]) -> None:
        """Makes missing state arrays, of the accumulation dtype, full of these; forgets others.

        Master weights are the parameters, whatever their start.
        """
        dtype, had_masters = dtypes.accumulation(self.dtype), MASTER in self.states
        self.states = {
            name: self.states.get(name)
            or [filled(self.backend, p.shape, dtype, start) for p in self.params]
            for name, start in starts.items()
        }
        if MASTER in starts and not had_masters:
            for array, master in zip(self.arrays, self.masters, strict=True):
                self.backend.kernels.copy(array, master)
            self.note_masters()

    @property
    def masters(self) -> list[Array]:
        """The master weights; none where the parameters take the steps themselves."""
        return self.states.get(MASTER, [])

    def renew_masters(self) -> None:
        """Takes over what was written to parameters since the last step.

        An element whose master rounds to it keeps the master's low bits: most have only been moved
        or loaded.
        """
        kernels = self.backend.kernels
        for p, master, (array, version) in zip(
            self.params, self.masters, self.stepped, strict=False
        ):
            if p.array is not array or p._version != version:
                changed = kernels.binary("ne", kernels.cast(master, p.dtype), p.array)
                written = kernels.cast(p.array, dtypes.float32)
                kernels.copy(kernels.where(changed, written, master), master)

    def note_masters(self) -> None:
        """The master weights match the parameters as they are now."""
        if self.masters:
            self.stepped = [(p.array, p._version) for p in self.params]

    def part(self, keep: Sequence[int]) -> Bucket:
        """A bucket of some of the parameters, with their state and the same count of steps."""
        states = {name: [arrays[i] for i in keep] for name, arrays in self.states.items()}
        new = Bucket([self.params[i] for i in keep], states, len(self.hyper) - 1)
        if new.backend is self.backend:
            self.backend.kernels.copy(self.hyper, new.hyper)
            new.lr = self.lr
        else:
            new.set_clock(self.clock())
        new._fit_states(self.backend)
        new.stepped = [self.stepped[i] for i in keep]
        return new

    def _fit_states(self, source: Backend) -> None:
        """Brings the state arrays to the device and accumulation dtype of the parameters."""
        dtype = dtypes.accumulation(self.dtype)
        for arrays in self.states.values():
            for i, array in enumerate(arrays):
                if self.backend is not source:
                    array = self.backend.from_numpy(source.to_numpy(array))
                if array.dtype != dtype:
                    array = self.backend.kernels.cast(array, dtype)
                arrays[i] = array

    def gradients(self) -> list[Array]:
        """The gradients as a kernel wants them: contiguous.

        Raises ShapeError, DTypeError or DeviceError unless each agrees with its parameter.
        """
        grads, dtype, backend = [], self.dtype, self.backend
        for param, array in zip(self.params, self.arrays, strict=True):
            grad = param.grad
            assert grad is not None  # see `split`
            data = grad.array
            if data.shape != array.shape or grad.backend is not backend or data.dtype != dtype:
                raise _unfit(param, grad)
            if not data.flags.c_contiguous:
                data = backend.kernels.contiguous(data)
            grads.append(data)
        return grads


def _unfit(param: Tensor, grad: Tensor) -> GpugradError:
    text = (
        f"optimizer: a gradient of shape {tuple(grad.shape)}, {grad.dtype.name} on {grad.device} "
        f"was put on a parameter of shape {tuple(param.shape)}, {param.dtype.name} on "
        f"{param.device}; they must agree."
    )
    if grad.shape != param.shape:
        return ShapeError(text)
    kind = DeviceError if grad.device != param.device else DTypeError
    return kind(f"{text}\n  param.grad = grad.to(param.device, param.dtype) converts it.")


def split(bucket: Bucket) -> list[Bucket]:
    """Parts of a bucket such that in each all parameters, or none, have a gradient, and all agree
    in device and dtype (a model may have been moved since)."""
    parts: dict[Any, list[int]] = {}
    for i, param in enumerate(bucket.params):
        key = (param.grad is not None, param.backend.device, param.dtype)
        parts.setdefault(key, []).append(i)
    if len(parts) == 1 and (bucket.backend, bucket.dtype) == (
        bucket.params[0].backend,
        bucket.params[0].dtype,
    ):
        bucket.read_parameters()
        return [bucket]
    return [bucket.part(keep) for keep in parts.values()]


def filled(backend: Backend, shape: Sequence[int], dtype: DType, value: float) -> Array:
    """A new array full of one value."""
    array = backend.empty(tuple(shape), dtype)
    backend.kernels.fill(array, value)
    return array
