"""The devices that are held against the specification."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from contract_tools import DEVICES

from gpugrad import backends


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
