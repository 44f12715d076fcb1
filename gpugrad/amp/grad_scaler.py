"""GradScaler: keeps the small gradients of float16 above its underflow."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Any

import numpy as np

from .. import dtype as dtypes
from ..backends import Array, Backend
from ..device import Device
from ..errors import ArgumentError, DTypeError, GraphError
from ..tensor import Tensor


class OptState(Enum):
    """How far an optimizer is since the last update()."""

    READY = 0
    UNSCALED = 1
    STEPPED = 2


class _Progress:
    """Of one optimizer: its stage, and on each device the flag {0, whether an infinity was found}
    that its step takes as a ticket."""

    __slots__ = ("flags", "optimizer", "stage")

    def __init__(self, optimizer: Any) -> None:
        self.optimizer = optimizer  # held, so that its id stays its own
        self.stage = OptState.READY
        self.flags: dict[Backend, Array] = {}


class GradScaler:
    """Multiplies the loss, and so the gradients, by a scale that is as large as float16 allows.

    ::

        scaler = gg.GradScaler()
        with gg.autocast("cuda"):
            loss = loss_function(model(x), y)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()

    step() divides the gradients by the scale and takes the optimizer's step unless one of them is
    infinite or NaN; update() then multiplies the scale by backoff_factor, and after growth_interval
    steps without such a gradient by growth_factor. bfloat16 has float32's range and needs no scale.

    Scale, counts and the flag that skips a step stay on the device and are moved by kernels, so
    nothing waits for the host, and a captured step goes on adapting. Only optimizers with a step
    of their own (Adafactor, your own classes) make step() read the flag. A skipped step is not
    counted in the optimizer's state.

    device: of the training; the scale lies with the first loss, wherever that is. Gradients are
    unscaled in place, so those of float16 parameters, which would underflow again, are refused.
    """

    def __init__(
        self,
        device: str | Device = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        Device(device)  # raises DeviceError for what is none
        self._enabled = bool(enabled)
        self._init_scale = float(init_scale)
        self._init_good = 0
        self._scale: Tensor | None = None  # made on the device of the first loss
        self._good: Array = None
        self._progress: dict[int, _Progress] = {}
        self.set_growth_factor(growth_factor)
        self.set_backoff_factor(backoff_factor)
        self.set_growth_interval(growth_interval)

    # ---- a step ------------------------------------------------------------------------------

    def scale(self, outputs: Any) -> Any:
        """A tensor times the scale; of a list or tuple each."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            return outputs * self._scale_on(outputs.backend)
        if isinstance(outputs, Iterable):
            found = [self.scale(each) for each in outputs]
            return type(outputs)(found) if isinstance(outputs, (list, tuple)) else iter(found)
        raise DTypeError(f"GradScaler.scale: a {type(outputs).__name__} is no tensor, nor several.")

    def unscale_(self, optimizer: Any) -> None:
        """Divides the gradients by the scale, in place: to clip them before step()."""
        if not self._enabled:
            return
        progress = self._progress_of(optimizer)
        if progress.stage is not OptState.READY:
            done = "unscale_" if progress.stage is OptState.UNSCALED else "step"
            raise GraphError(
                f"GradScaler.unscale_: {done}() has been called for this optimizer since the last "
                "update().\n  Call unscale_ once for each step, before it."
            )
        self._unscale(progress)
        progress.stage = OptState.UNSCALED

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """optimizer.step(*args, **kwargs), on unscaled gradients, unless one is infinite or NaN."""
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if args or kwargs.get("closure") is not None:
            raise ArgumentError(
                "GradScaler.step: a closure would compute gradients that are not unscaled.\n"
                "  Call backward() yourself, then step(optimizer)."
            )
        progress = self._progress_of(optimizer)
        if progress.stage is OptState.STEPPED:
            raise GraphError(
                "GradScaler.step: step() has been called for this optimizer since the last "
                "update().\n  Call update() after each step."
            )
        if progress.stage is OptState.READY:
            self._unscale(progress)
        if getattr(optimizer, "_step_supports_amp_scaling", False):
            progress.stage = OptState.STEPPED
            optimizer.found_inf = progress.flags
            try:
                return optimizer.step(**kwargs)
            finally:
                optimizer.found_inf = None
        skipped = any(backend.to_numpy(flag)[1] for backend, flag in progress.flags.items())
        progress.stage = OptState.STEPPED  # not before the read, which a recording refuses
        return None if skipped else optimizer.step(**kwargs)

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Moves the scale on, or sets it to new_scale; once a step, after all optimizers."""
        if not self._enabled:
            return
        scale, backend = self._known("update")
        if new_scale is not None:
            self._set(scale, new_scale)
        else:
            found = [
                self._moved(flag[1:], source, backend)
                for progress in self._progress.values()
                if progress.stage is not OptState.READY
                for source, flag in progress.flags.items()
            ]
            if not found:
                raise GraphError(
                    "GradScaler.update: no gradients were unscaled since the last update().\n"
                    "  Call step(optimizer) first, or pass the new scale."
                )
            total = found[0]
            for each in found[1:]:
                total = backend.kernels.binary("maximum", total, each)
            numbers = (self._growth_factor, self._backoff_factor, self._growth_interval)
            backend.kernels.update_scale(scale.array.reshape(1), self._good, total, *numbers)
        for progress in self._progress.values():
            progress.stage = OptState.READY

    def _unscale(self, progress: _Progress) -> None:
        """Unscales the gradients and raises the flags of their devices."""
        together: dict[tuple[Backend, Any], list[Tensor]] = {}
        for group in progress.optimizer.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    together.setdefault((p.grad.backend, p.grad.dtype), []).append(p.grad)
        if not together:
            raise GraphError(
                "GradScaler: the optimizer has no gradients to unscale.\n  Call "
                "scaler.scale(loss).backward() first."
            )
        for backend in dict.fromkeys(backend for backend, _ in together):
            if backend not in progress.flags:
                progress.flags[backend] = backend.empty((2,), dtypes.int32)
        for backend, flag in progress.flags.items():  # also where no gradients are this time
            backend.kernels.fill(flag, 0)
        for (backend, dtype), grads in together.items():
            if dtype == dtypes.float16:
                raise DTypeError(
                    "GradScaler: these gradients are float16, where dividing by the scale would "
                    "underflow again.\n  Keep the parameters float32 and run the forward pass "
                    "under gg.autocast, or use bfloat16, which needs no scale."
                )
            self._unscale_arrays(backend, grads, progress.flags[backend][1:])

    def _unscale_arrays(self, backend: Backend, grads: list[Tensor], flag: Array) -> None:
        kernels = backend.kernels
        given = [grad.array for grad in grads]
        work = [x if x.flags.c_contiguous else kernels.contiguous(x) for x in given]
        kernels.unscale(work, self._scale_on(backend).array.reshape(1), flag)
        for x, y, grad in zip(given, work, grads, strict=True):
            if y is not x:
                kernels.copy(y, x)
            grad._counter.changed("GradScaler.unscale_")

    # ---- the numbers on the device -----------------------------------------------------------

    def _progress_of(self, optimizer: Any) -> _Progress:
        return self._progress.setdefault(id(optimizer), _Progress(optimizer))

    def _known(self, method: str) -> tuple[Tensor, Backend]:
        if self._scale is None:
            raise GraphError(
                f"GradScaler.{method}: there is no scale yet.\n  Call scale(loss) first: the "
                "scale lies on the device of the loss."
            )
        return self._scale, self._scale.backend

    def _scale_on(self, backend: Backend) -> Tensor:
        """The scale on a device: float32 of shape (). Elsewhere than with the first loss a copy."""
        if self._scale is None:
            values = np.array(self._init_scale, np.float32), np.array([self._init_good], np.int32)
            self._scale = Tensor(backend.from_numpy(values[0]), backend)
            self._good = backend.from_numpy(values[1])
        home = self._scale.backend
        return Tensor(self._moved(self._scale.array, home, backend), backend)

    def _moved(self, array: Array, source: Backend, target: Backend) -> Array:
        return array if source is target else target.from_numpy(source.to_numpy(array))

    def _set(self, scale: Tensor, value: float | Tensor) -> None:
        kernels = scale.backend.kernels
        if not isinstance(value, Tensor):
            kernels.fill(scale.array, float(value))
            return
        if value.numel() != 1 or value.requires_grad or not dtypes.is_floating(value.dtype):
            raise ArgumentError(
                "GradScaler.update(new_scale): a number, or a floating tensor of one element that "
                f"requires no gradient; got {tuple(value.shape)} {value.dtype.name}."
            )
        data = self._moved(value.array, value.backend, scale.backend)
        kernels.copy(data.reshape(()), scale.array)

    def _get_scale_async(self) -> Tensor | None:
        """The scale as it lies on the device."""
        return self._scale

    # ---- settings and state ------------------------------------------------------------------

    def is_enabled(self) -> bool:
        """Whether the scaler does anything."""
        return self._enabled

    def get_scale(self) -> float:
        """The scale, 1 of a disabled scaler; waits for the device."""
        if not self._enabled:
            return 1.0
        return self._init_scale if self._scale is None else float(self._scale.item())

    def _get_growth_tracker(self) -> int:
        if self._scale is None:
            return self._init_good
        return int(self._scale.backend.to_numpy(self._good)[0])

    def get_growth_factor(self) -> float:
        """By what the scale grows."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Above 1."""
        if not new_factor > 1.0:
            raise ArgumentError(f"GradScaler: growth_factor must be above 1, got {new_factor}.")
        self._growth_factor = float(new_factor)

    def get_backoff_factor(self) -> float:
        """By what the scale shrinks where an infinity was found."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Below 1."""
        if not 0.0 < new_factor < 1.0:
            raise ArgumentError(
                f"GradScaler: backoff_factor must lie between 0 and 1, got {new_factor}."
            )
        self._backoff_factor = float(new_factor)

    def get_growth_interval(self) -> int:
        """After how many good steps in a row the scale grows."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """At least 1."""
        if not (isinstance(new_interval, int) and new_interval > 0):
            raise ArgumentError(
                f"GradScaler: growth_interval must be an int above 0, got {new_interval!r}."
            )
        self._growth_interval = new_interval

    def state_dict(self) -> dict[str, Any]:
        """PyTorch's: scale, growth_factor, backoff_factor, growth_interval, _growth_tracker; empty
        for a disabled scaler. Waits for the device."""
        if not self._enabled:
            return {}
        return {
            "scale": self.get_scale(),
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._get_growth_tracker(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on where another scaler stood. Raises ArgumentError for an empty state."""
        if not self._enabled:
            return
        if not state_dict:
            raise ArgumentError(
                "GradScaler.load_state_dict: the state is empty; it is that of a disabled scaler."
            )
        self.set_growth_factor(state_dict["growth_factor"])
        self.set_backoff_factor(state_dict["backoff_factor"])
        self.set_growth_interval(state_dict["growth_interval"])
        self._init_scale = float(state_dict["scale"])
        self._init_good = int(state_dict["_growth_tracker"])
        if self._scale is not None:
            self._set(self._scale, self._init_scale)
            self._scale.backend.kernels.fill(self._good, self._init_good)
