"""nn.utils: clipping of gradients, and parameters as one vector."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
from parameters import parameter, set_grad, values

import gpugrad as gg
from gpugrad import nn
from gpugrad.errors import ArgumentError, NonFiniteError, ShapeError


def with_grads(*grads: Any, dtype: str = "float64") -> list[nn.Parameter]:
    params = [parameter(np.zeros(np.shape(g)), dtype) for g in grads]
    for p, g in zip(params, grads, strict=True):
        set_grad(p, g)
    return params


@pytest.mark.parametrize("order", [1.0, 2.0, 3.5, math.inf])
def test_clip_grad_norm(order: float) -> None:
    grads = [np.array([3.0, -4.0]), np.array([[1.0], [12.0]])]
    flat = np.abs(np.concatenate([g.ravel() for g in grads]))
    norm = flat.max() if order == math.inf else (flat**order).sum() ** (1 / order)
    for limit in (2.0, 1000.0):
        params = [*with_grads(*grads), parameter([1.0])]  # the last has no gradient
        result = nn.utils.clip_grad_norm_(params, limit, order)
        assert result.shape == () and result.item() == pytest.approx(norm, rel=1e-12)
        factor = min(1.0, limit / (norm + 1e-6))
        for p, g in zip(params, grads, strict=False):
            np.testing.assert_allclose(values(p.grad), g * factor, rtol=1e-12)


def test_clip_grad_norm_over_dtypes() -> None:
    params = with_grads([3.0], dtype="float32") + with_grads([4.0], dtype="bfloat16")
    assert nn.utils.clip_grad_norm_(params, 1.0).item() == pytest.approx(5.0)
    assert params[0].grad.item() == pytest.approx(0.6, rel=1e-5)
    assert params[1].grad.item() == pytest.approx(0.8, rel=4e-3)
    assert params[1].grad.dtype == gg.bfloat16


def test_clip_grad_norm_of_nothing_and_of_nan() -> None:
    assert nn.utils.clip_grad_norm_([parameter([1.0])], 1.0).item() == 0.0
    params = with_grads([math.nan, 1.0])
    assert math.isnan(nn.utils.clip_grad_norm_(params, 1.0).item())
    with pytest.raises(NonFiniteError, match=r"norm of order 2.0 of 1 gradients is nan"):
        nn.utils.clip_grad_norm_(with_grads([math.nan]), 1.0, error_if_nonfinite=True)
    with pytest.raises(ArgumentError, match="above 0, or infinity"):
        nn.utils.clip_grad_norm_(with_grads([1.0]), 1.0, norm_type=0)
    for clip, name in [("clip_grad_norm_", "max_norm"), ("clip_grad_value_", "clip_value")]:
        for limit in (-1, math.nan, "a", None):
            text = re.escape(f"{clip}({name}={limit!r}): must be a number of at least 0")
            with pytest.raises(ArgumentError, match=text):
                getattr(nn.utils, clip)(with_grads([1.0]), limit)


def test_clip_grad_norm_of_strided_gradients() -> None:
    (p,) = with_grads(np.ones((2, 3)))
    p.grad = gg.tensor(np.arange(6.0).reshape(3, 2)).double().T
    nn.utils.clip_grad_norm_(p, 1.0)
    expected = np.arange(6.0).reshape(3, 2).T / math.sqrt(55)
    np.testing.assert_allclose(values(p.grad), expected, rtol=1e-6)


def test_clip_grad_value() -> None:
    params = with_grads([3.0, -4.0, 0.5], [9.0])
    nn.utils.clip_grad_value_(params, 1)
    assert params[0].grad.tolist() == [1.0, -1.0, 0.5] and params[1].grad.tolist() == [1.0]


def test_parameters_as_one_vector() -> None:
    params = [parameter([[1.0, 2.0], [3.0, 4.0]]), parameter([5.0])]
    vector = nn.utils.parameters_to_vector(params)
    assert vector.tolist() == [1, 2, 3, 4, 5]
    vector.sum().backward()
    assert params[0].grad.tolist() == [[1, 1], [1, 1]]
    nn.utils.vector_to_parameters(vector.detach() * 2, params)
    assert params[0].tolist() == [[2, 4], [6, 8]] and params[1].tolist() == [10]
    with pytest.raises(ShapeError, match=r"vec has shape \(3,\), the parameters have 5"):
        nn.utils.vector_to_parameters(gg.zeros(3), params)
