"""The devices that are held against the specification."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from contract_tools import DEVICES

from gpugrad import backends
from gpugrad.backends.cuda import CudaBackend


def has_hopper() -> bool:
    """Is there a Hopper GPU?"""
    backend = backends.get("cuda") if "cuda" in DEVICES else None
    return isinstance(backend, CudaBackend) and backend._gpu.compute_capability == "90"


@pytest.fixture(params=DEVICES)
def backend(request: pytest.FixtureRequest) -> backends.Backend:
    return backends.get(request.param)


@pytest.fixture
def hopper() -> Iterator[backends.Backend]:
    """The simulator as an H100."""
    from gpugrad import _sim

    _sim.set_architecture(90)
    try:
        yield backends.get("sim")
    finally:
        _sim.set_architecture(int(os.environ.get("GPUGRAD_SIM_ARCHITECTURE") or 80))


@pytest.fixture(params=["sim", *(["cuda"] if has_hopper() else [])])
def any_hopper(request: pytest.FixtureRequest) -> backends.Backend:
    """The simulator as an H100, and a GPU that is one."""
    if request.param == "cuda":
        return backends.get("cuda")
    simulated: backends.Backend = request.getfixturevalue("hopper")
    return simulated
