"""The devices that are held against the specification."""

from __future__ import annotations

import pytest

from gpugrad import backends

# The simulator is part of every test installation: without it these tests fail, they do not skip.
DEVICES = ["cpu", "sim"] + (["cuda"] if backends.available("cuda") else [])


@pytest.fixture(params=DEVICES)
def backend(request: pytest.FixtureRequest) -> backends.Backend:
    return backends.get(request.param)
