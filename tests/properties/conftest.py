"""The devices on which the properties are held."""

from __future__ import annotations

import pytest


@pytest.fixture(params=["cpu", "kernels"])
def device(request: pytest.FixtureRequest, kernel_device: str) -> str:
    """The CPU, and the device that runs the CUDA kernels."""
    return "cpu" if request.param == "cpu" else kernel_device
