"""Device "sim": the CUDA kernels, compiled by g++ and run on the CPU. For tests and debugging."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..device import Device
from ..errors import DeviceError
from .base import raise_flag
from .host import HostBackend
from .native import NativeBackend, NativeKernels, load, run


class SimBackend(HostBackend, NativeBackend):
    """NumPy arrays and the module ``_sim``. Slow, exact about CUDA's semantics, needs no GPU."""

    def __init__(self, device: Device) -> None:
        super().__init__(device)
        self.module = load("_sim")
        if self.module is None:
            raise DeviceError(
                "device sim: the simulator is not built into this installation.\n"
                "  Build it, in the source tree: GPUGRAD_SIM=ON pip install ."
            )
        self.flag = np.zeros(4, np.int64)
        self.kernels = NativeKernels(self)

    def launch(self, operation: Callable[..., None], *args: Any) -> None:
        run(operation, 0, args)

    def after_flagged(self) -> None:
        """Operations run at once here, so a bad index is reported where it happened."""
        raise_flag(self.flag)
