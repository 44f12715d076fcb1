"""Raw operations; csrc/ops.h documents each. Written by csrc/packaging/stubs.py."""

from gpugrad._cuda import *

def set_schedule(order: str, async_mode: str, seed: int, workers: int) -> None: ...
