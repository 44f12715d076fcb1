"""LBFGS beside PyTorch's: the same calls, iterations and path; states; mistakes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from parameters import parameter, values

import gpugrad as gg
from gpugrad import optim
from gpugrad.errors import ArgumentError, DataError


def rosenbrock(x: Any, y: Any) -> Any:
    """A curved valley, and a bowl in a second parameter; the minimum is 0."""
    valley = (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()
    return valley + ((y - 3) ** 2).sum()


def minimised(library: Any, dtype: str, steps: int, options: dict[str, Any]) -> Any:
    """(losses, parameters, optimizer, how often the closure was called)."""
    if library is torch:
        kind = getattr(torch, dtype)
        x, y = (torch.nn.Parameter(torch.tensor(v).to(kind)) for v in STARTS)
    else:
        x, y = (parameter(v, dtype) for v in STARTS)
    optimizer = library.optim.LBFGS([x, y], **options)
    calls = 0

    def closure() -> Any:
        nonlocal calls
        calls += 1
        optimizer.zero_grad()
        loss = rosenbrock(x, y)
        loss.backward()
        return loss

    losses = [optimizer.step(closure).item() for _ in range(steps)]
    return losses, (x, y), optimizer, calls


STARTS = [np.array([-1.2, 1.0, 0.5]), np.array([[0.5, 1.0]])]
LBFGS_CASES: list[tuple[int, dict[str, Any]]] = [
    (3, {"lr": 0.1, "max_iter": 4}),
    (3, {"lr": 0.2, "history_size": 2, "max_iter": 5}),
    (3, {"line_search_fn": "strong_wolfe"}),
    (8, {"line_search_fn": "strong_wolfe", "history_size": 3, "max_iter": 3}),
    (2, {"line_search_fn": "strong_wolfe", "max_eval": 6}),
    (2, {"line_search_fn": "strong_wolfe", "lr": 50.0, "max_iter": 6}),
    (2, {"tolerance_grad": 50.0, "lr": 0.1}),
    (2, {"tolerance_change": 0.5, "lr": 0.01}),
]


@pytest.mark.parametrize(("steps", "options"), LBFGS_CASES)
def test_lbfgs_in_float64(steps: int, options: dict[str, Any]) -> None:
    """As many calls and iterations as PyTorch's, along the same path. Roundings grow with the
    iterations of so ill-conditioned a function (about 2500): 1e-16 * 2500 * 60 of them."""
    ours_, theirs_ = (minimised(each, "float64", steps, options) for each in (gg, torch))
    assert ours_[3] == theirs_[3]
    state, other = (next(iter(o[2].state.values())) for o in (ours_, theirs_))
    for name in ("func_evals", "n_iter"):
        assert state[name] == other[name]
    np.testing.assert_allclose(ours_[0], theirs_[0], rtol=1e-9, atol=1e-11)
    for p, q in zip(ours_[1], theirs_[1], strict=True):
        np.testing.assert_allclose(values(p), q.detach().numpy(), rtol=1e-9, atol=1e-11)
    assert set(state) == set(other) - {"al"}


HILLS = [21, 76, 165, 168, 203, 205]
"""Of many random ones: where a search comes too near to an end of its bracket, once or again."""


def hill(number: int) -> tuple[float, float, float, np.ndarray]:
    rng = np.random.default_rng(0)
    for _ in range(number + 1):
        found = (rng.uniform(1, 12), rng.uniform(0.5, 6), float(rng.choice([1, 10, 50, 200])))
        start = rng.uniform(-2, 2, 3)
    return (*found, start)


@pytest.mark.parametrize("number", HILLS)
def test_searches_among_hills(number: int) -> None:
    """As many calls as PyTorch's, and the same place up to a few hundred roundings."""
    k, height, lr, start = hill(number)
    results = []
    for library in (gg, torch):
        x = library.nn.Parameter(library.tensor(start.copy()))
        options = {"lr": lr, "max_iter": 6, "line_search_fn": "strong_wolfe"}
        optimizer = library.optim.LBFGS([x], **options)
        calls = 0

        def closure(x: Any = x, optimizer: Any = optimizer) -> Any:
            nonlocal calls
            calls += 1
            optimizer.zero_grad()
            loss = ((k * x).sin() * height + x**2 + (x**2 + 1e-3) ** 0.5 * 3).sum()
            loss.backward()
            return loss

        optimizer.step(closure)
        results.append((calls, x.detach().numpy()))
    (count, mine), (expected, theirs) = results
    assert count == expected
    np.testing.assert_allclose(mine, theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_lbfgs_reaches_the_minimum(dtype: str) -> None:
    """In float32 to sqrt(eps) of the flat valley; bfloat16 rounds the parameters themselves."""
    losses, (x, y), optimizer, _ = minimised(gg, dtype, 4, {"line_search_fn": "strong_wolfe"})
    if dtype == "float32":
        np.testing.assert_allclose(values(x), 1.0, atol=5e-3)
        np.testing.assert_allclose(values(y), 3.0, atol=1e-3)
    assert losses[-1] < 0.1 * losses[0]
    assert optimizer.state[x]["d"].dtype == gg.float32


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
def test_lbfgs_goes_on_from_pytorchs_state(search: str | None) -> None:
    options = {"lr": 0.1, "max_iter": 4, "line_search_fn": search}
    _, (a, b), other, _ = minimised(torch, "float64", 2, options)
    x, y = (parameter(q.detach().numpy().copy()) for q in (a, b))
    mine = optim.LBFGS([x, y])
    mine.load_state_dict(other.state_dict())
    for optimizer, first, second in ((mine, x, y), (other, a, b)):

        def closure(optimizer: Any = optimizer, x: Any = first, y: Any = second) -> Any:
            optimizer.zero_grad()
            loss = rosenbrock(x, y)
            loss.backward()
            return loss

        optimizer.step(closure)
    np.testing.assert_allclose(values(x), a.detach().numpy(), rtol=1e-10)
    np.testing.assert_allclose(values(y), b.detach().numpy(), rtol=1e-10)


def test_lbfgs_resumes_bit_equal(tmp_path: Any) -> None:
    options = {"line_search_fn": "strong_wolfe", "max_iter": 3}
    _, (x, y), whole, _ = minimised(gg, "float64", 2, options)
    gg.save({"x": x.detach(), "y": y.detach(), "optim": whole.state_dict()}, tmp_path / "f")
    saved = gg.load(tmp_path / "f")
    p, q = (gg.nn.Parameter(saved[name]) for name in "xy")
    second = optim.LBFGS([p, q])
    second.load_state_dict(saved["optim"])
    for optimizer, a, b in ((whole, x, y), (second, p, q)):

        def closure(optimizer: Any = optimizer, a: Any = a, b: Any = b) -> Any:
            optimizer.zero_grad()
            loss = rosenbrock(a, b)
            loss.backward()
            return loss

        optimizer.step(closure)
    np.testing.assert_array_equal(values(x), values(p))
    np.testing.assert_array_equal(values(y), values(q))


def test_lbfgs_of_a_flat_loss_and_of_zeros() -> None:
    p = parameter([1.0, 2.0])
    optimizer = optim.LBFGS([p])
    p.grad = None
    assert optimizer.step(lambda: 5.0) == 5.0  # no gradient at all: nothing moves
    np.testing.assert_array_equal(values(p), [1.0, 2.0])
    assert optimizer.state[p]["func_evals"] == 1


def test_mistakes() -> None:
    p, matrix = parameter([1.0]), parameter(np.ones((2, 2)))
    for make, kind, text in [
        (lambda: optim.LBFGS([p], lr=-1.0), ArgumentError, r"LBFGS\(lr=-1.0\)"),
        (lambda: optim.LBFGS([p], line_search_fn="x"), ArgumentError, "None or 'strong_wolfe'"),
        (lambda: optim.LBFGS([{"params": [p]}, {"params": [matrix]}]), ArgumentError, "one vect"),
        (lambda: optim.LBFGS([p]).step(), TypeError, r"LBFGS.step\(closure\): give a function"),
        (lambda: optim.LBFGS([p]).load_state_dict({}), DataError, "'state' and 'param_groups'"),
        (
            lambda: optim.LBFGS([p]).load_state_dict(optim.Adam([p]).state_dict()),
            DataError,
            "lacks max_iter",
        ),
    ]:
        with pytest.raises(kind, match=text):
            make()


def test_a_state_of_another_size_is_told() -> None:
    _, _, optimizer, _ = minimised(gg, "float64", 1, {"max_iter": 2, "lr": 0.01})
    with pytest.raises(DataError, match="d has 5 elements, the parameters together 2"):
        optim.LBFGS([parameter([1.0]), parameter([1.0])]).load_state_dict(optimizer.state_dict())
