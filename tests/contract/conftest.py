"""The devices that are held against the specification."""

from __future__ import annotations

import pytest
from contract_tools import DEVICES

from gpugrad import backends


@pytest.fixture(params=DEVICES)
def backend(request: pytest.FixtureRequest) -> backends.Backend:
    return backends.get(request.param)
