"""Optimizers beside PyTorch's: the same parameters and gradients, every option, twenty steps."""

from __future__ import annotations

import inspect
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from parameters import parameter, set_grad, values

import gpugrad as gg
from gpugrad import optim
from gpugrad.errors import ArgumentError, ShapeError
from gpugrad.optim.muon import COEFFICIENTS, orthogonalized

STEPS = 20
SHAPES = [(3, 4), (5,), (), (2, 1, 3)]
MATRICES = [(3, 4), (5, 2), (4, 4)]

CASES: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("SGD", {"momentum": 0.9, "dampening": 0.3, "maximize": True}),
    ("Adam", {"amsgrad": True, "weight_decay": 0.1}),
    ("Adam", {"decoupled_weight_decay": True, "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.01, "maximize": True}),
    ("RMSprop", {"centered": True, "momentum": 0.5, "eps": 0.1}),
    ("Adagrad", {}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.2, "weight_decay": 0.1, "maximize": True}),
    ("Adagrad", {"initial_accumulator_value": 0.3, "eps": 1e-3}),
    ("Adadelta", {}),
    ("Adadelta", {"lr": 0.5, "rho": 0.7, "eps": 1e-3, "weight_decay": 0.1, "maximize": True}),
    ("Adamax", {}),
    ("Adamax", {"betas": (0.5, 0.8), "eps": 1e-3, "weight_decay": 0.1, "maximize": True}),
    ("NAdam", {}),
    ("NAdam", {"lr": 0.05, "betas": (0.8, 0.9), "momentum_decay": 0.3, "maximize": True}),
    ("NAdam", {"lr": 0.05, "eps": 1e-3, "weight_decay": 0.1}),
    ("NAdam", {"lr": 0.05, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {}),
    ("RAdam", {"lr": 0.05, "betas": (0.8, 0.9), "eps": 1e-3, "maximize": True}),
    ("RAdam", {"lr": 0.05, "weight_decay": 0.1}),
    ("RAdam", {"lr": 0.05, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("Adafactor", {}),
    ("Adafactor", {"lr": 0.3, "beta2_decay": -0.5, "weight_decay": 0.1, "maximize": True}),
    ("Adafactor", {"lr": 0.1, "eps": (1e-4, 0.5), "d": 2.0}),
    ("Rprop", {}),
    ("Rprop", {"lr": 0.1, "etas": (0.3, 1.5), "step_sizes": (0.01, 0.2), "maximize": True}),
    ("ASGD", {}),
    ("ASGD", {"lr": 0.1, "lambd": 0.1, "alpha": 0.5, "t0": 4, "weight_decay": 0.1}),
    ("ASGD", {"lr": 0.1, "t0": 0, "maximize": True}),
]
"""Of the first six more in tests/test_optim.py; Muon below, LBFGS in test_lbfgs.py."""

CUTS: dict[str, float] = {"RAdam": 2e4}
"""Ulps that a step may be off beside a few: RAdam's r_t is a difference of numbers near
2 / (1 - b2), and at t = 6 its (r_t - 4) near 2, so it loses 2000 / 2, and 1 - b2^t as much as
1 / 0.006."""


@pytest.fixture(params=["float64", "float32"])
def dtype(request: pytest.FixtureRequest) -> Iterator[str]:
    """PyTorch keeps NAdam's and ASGD's scalars in its default dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, request.param))
    yield request.param
    torch.set_default_dtype(before)


def start(shapes: list[tuple[int, ...]]) -> list[np.ndarray]:
    return [np.random.default_rng(i).standard_normal(s) for i, s in enumerate(shapes)]


def gradients(shapes: list[tuple[int, ...]], step: int, dtype: str) -> list[np.ndarray]:
    """The same numbers for both libraries: rounded to the dtype."""
    rngs = [np.random.default_rng((7, step, i)) for i in range(len(shapes))]
    numbers = [r.standard_normal(s) for r, s in zip(rngs, shapes, strict=True)]
    return [np.asarray(x, dtype).astype(np.float64) for x in numbers]


def theirs(shapes: list[tuple[int, ...]], dtype: str) -> list[torch.nn.Parameter]:
    kind = getattr(torch, dtype)
    return [torch.nn.Parameter(torch.tensor(x).to(kind)) for x in start(shapes)]


def ours(shapes: list[tuple[int, ...]], dtype: str, device: str = "cpu") -> list[gg.Tensor]:
    return [parameter(x, dtype, device) for x in start(shapes)]


def step_both(
    pairs: list[tuple[Any, Any]], optimizers: tuple[Any, Any], dtype: str, steps: range
) -> None:
    shapes = [tuple(q.shape) for _, q in pairs]
    for step in steps:
        for (p, q), g in zip(pairs, gradients(shapes, step, dtype), strict=True):
            set_grad(p, g)
            q.grad = torch.tensor(g).to(q.dtype)
        for optimizer in optimizers:
            optimizer.step()


def check(
    pairs: list[tuple[Any, Any]], dtype: str, lr: float, steps: int, cut: float = 0.0
) -> None:
    """Twenty steps of about ten roundings each, of the parameter (about 3) and of the step
    (about lr, which may be lost by `cut` ulps more)."""
    eps = np.finfo(dtype).eps
    for p, q in pairs:
        bound = steps * eps * (10 * 3 + (10 + cut) * lr)
        np.testing.assert_allclose(values(p), q.detach().double().numpy(), rtol=0, atol=bound)


@pytest.mark.parametrize("device", ["cpu", "sim"])
@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0]}-{c[1]}")
def test_twenty_steps(case: Any, dtype: str, device: str) -> None:
    name, options = case
    pairs = list(zip(ours(SHAPES, dtype, device), theirs(SHAPES, dtype), strict=True))
    mine = getattr(optim, name)([p for p, _ in pairs], **options)
    other = getattr(torch.optim, name)([q for _, q in pairs], **options)
    step_both(pairs, (mine, other), dtype, range(STEPS))
    check(pairs, dtype, mine.param_groups[0]["lr"], STEPS, CUTS.get(name, 0.0))
    bound = STEPS * 30 * np.finfo(dtype).eps  # of numbers up to about 10, as above
    for p, q in pairs:
        for key, value in other.state[q].items():
            own = mine.state[p][key]
            own = values(own) if isinstance(own, gg.Tensor) else own
            np.testing.assert_allclose(own, value.double().numpy(), rtol=bound, atol=bound)


@pytest.mark.parametrize(
    "name", ["SGD", "Adam", "RMSprop", "Adagrad", "Adadelta", "Adamax", "NAdam", "RAdam", "Rprop",
             "Adafactor", "ASGD"],
)  # fmt: skip
def test_state_dict_of_pytorch_trains_on(name: str, dtype: str) -> None:
    """Through torch.save and torch.load, into an optimizer with other options."""
    options = {"SGD": {"momentum": 0.9}, "ASGD": {"t0": 3}}.get(name, {})
    first = theirs(SHAPES, dtype)
    other = getattr(torch.optim, name)(first, **options)
    step_both(list(zip(ours(SHAPES, dtype), first, strict=True)), (other,), dtype, range(8))
    file = io.BytesIO()
    torch.save(other.state_dict(), file)
    file.seek(0)
    params = [parameter(q.detach().double().numpy(), dtype) for q in first]
    mine = getattr(optim, name)(params, lr=123.0)
    mine.load_state_dict(torch.load(file))
    assert mine.param_groups[0]["lr"] == other.param_groups[0]["lr"]
    pairs = list(zip(params, first, strict=True))
    step_both(pairs, (mine, other), dtype, range(8, 16))
    check(pairs, dtype, mine.param_groups[0]["lr"], 8, CUTS.get(name, 0.0))
    names = set(other.state_dict()["state"][0])
    assert set(mine.state_dict()["state"][0]) == names or name == "SGD"


def test_bfloat16_state_of_pytorch_becomes_float32() -> None:
    q = torch.nn.Parameter(torch.ones(3, dtype=torch.bfloat16))
    other = torch.optim.Adamax([q])
    q.grad = torch.full((3,), 0.5, dtype=torch.bfloat16)
    other.step()
    p = parameter(np.ones(3), "bfloat16")
    mine = optim.Adamax([p])
    mine.load_state_dict(other.state_dict())
    assert mine.state[p]["exp_inf"].dtype == gg.float32
    np.testing.assert_array_equal(values(mine.state[p]["exp_inf"]), [0.5] * 3)


def test_learning_rate_as_a_tensor() -> None:
    p, q = parameter([1.0, 2.0]), parameter([1.0, 2.0])
    lr = gg.tensor(0.5)
    one, two = optim.Adamax([p], lr=lr), optim.Adamax([q], lr=0.5)
    schedule = optim.lr_scheduler.ExponentialLR(one, 0.5)
    for rate in (0.5, 0.25):
        two.param_groups[0]["lr"] = rate
        for each, optimizer in ((p, one), (q, two)):
            set_grad(each, [0.3, -0.2])
            optimizer.step()
        assert schedule.get_last_lr() == [rate]
        schedule.step()
    np.testing.assert_array_equal(values(p), values(q))
    assert lr.item() == 0.125 and one.param_groups[0]["lr"] is lr


# ---- LAMB and Lion, which PyTorch has not ------------------------------------------------------


def lamb(p: np.ndarray, grads: list[np.ndarray], lr: float, decay: float) -> np.ndarray:
    """You et al. 2020, algorithm 2."""
    m, v = np.zeros_like(p), np.zeros_like(p)
    for t, g in enumerate(grads, 1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        r = m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-6) + decay * p
        norms = np.linalg.norm(p), np.linalg.norm(r)
        p = p - lr * (norms[0] / norms[1] if min(norms) > 0 else 1.0) * r
    return p


def lion(p: np.ndarray, grads: list[np.ndarray], lr: float, decay: float) -> np.ndarray:
    """Chen et al. 2023, algorithm 2."""
    m = np.zeros_like(p)
    for g in grads:
        p = p - lr * (np.sign(0.9 * m + 0.1 * g) + decay * p)
        m = 0.99 * m + 0.01 * g
    return p


@pytest.mark.parametrize("device", ["cpu", "sim"])
@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize(("cls", "formula"), [(optim.LAMB, lamb), (optim.Lion, lion)])
def test_steps_of_the_paper(cls: Any, formula: Any, decay: float, dtype: str, device: str) -> None:
    """A tensor of zeros (LAMB's ratio is 1 there) and one of another size, both from one group."""
    shapes = [(3, 4), (5,), (7,)]
    starts = [np.asarray(x * (i != 1), dtype) for i, x in enumerate(start(shapes))]
    params = [parameter(x, dtype, device) for x in starts]
    optimizer = cls(params, lr=0.02, weight_decay=decay)
    every = [gradients(shapes, step, dtype) for step in range(STEPS)]
    for grads in every:
        for p, g in zip(params, grads, strict=True):
            set_grad(p, g)
        optimizer.step()
    eps = np.finfo(dtype).eps
    for i, (p, first) in enumerate(zip(params, starts, strict=True)):
        expected = formula(first.astype(np.float64), [grads[i] for grads in every], 0.02, decay)
        np.testing.assert_allclose(values(p), expected, rtol=0, atol=STEPS * eps * 30)


def test_lamb_of_no_gradient_stays() -> None:
    p = parameter([1.0, 2.0])
    optimizer = optim.LAMB([p])
    set_grad(p, 0.0)
    optimizer.step()
    np.testing.assert_array_equal(values(p), [1.0, 2.0])


# ---- Muon --------------------------------------------------------------------------------------


def newton_schulz(x: np.ndarray, steps: int = 5) -> np.ndarray:
    a, b, c = COEFFICIENTS
    y = x.T if x.shape[0] > x.shape[1] else x
    y = y / max(np.linalg.norm(y), 1e-7)
    for _ in range(steps):
        gram = y @ y.T
        y = a * y + (b * gram + c * gram @ gram) @ y
    return y.T if x.shape[0] > x.shape[1] else y


@pytest.mark.parametrize("shape", [(3, 4), (40, 20), (20, 40), (1, 5), (32, 32)])
def test_orthogonalized(shape: tuple[int, int]) -> None:
    """Our error against float64 is at most twice PyTorch's, which computes in bfloat16, too, and
    an ulp; the singular values end between 0.6 and 1.3, those of V and U alone."""
    from torch.optim._muon import _zeropower_via_newtonschulz as their_form

    x = np.random.default_rng(3).standard_normal(shape)
    exact = newton_schulz(x)
    mine = values(orthogonalized(gg.tensor(x), COEFFICIENTS, 5, 1e-7))
    other = their_form(torch.tensor(x), COEFFICIENTS, 5, 1e-7).double().numpy()
    ulp = 2.0**-8 * np.linalg.norm(exact)
    assert np.linalg.norm(mine - exact) <= 2 * np.linalg.norm(other - exact) + ulp
    singular = np.linalg.svd(exact)[1]
    assert singular.min() > 0.6 and singular.max() < 1.3


@pytest.mark.parametrize("device", ["cpu", "sim"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"nesterov": False, "momentum": 0.5, "weight_decay": 0.0},
        {"adjust_lr_fn": "match_rms_adamw", "ns_steps": 3, "ns_coefficients": (2.0, -1.5, 0.5)},
        {"adjust_lr_fn": "original", "eps": 1e-3},
    ],
)
def test_muon(options: dict[str, Any], device: str) -> None:
    """Six steps. Each matrix moves by lr ratio O with |O| about sqrt(rank), of which bfloat16
    leaves both libraries an error of some 2^-8 a product, grown up to a^steps = 500 times where a
    singular value is small; here none is below a tenth of the largest."""
    pairs = list(zip(ours(MATRICES, "float32", device), theirs(MATRICES, "float32"), strict=True))
    mine = optim.Muon([p for p, _ in pairs], lr=0.01, **options)
    other = torch.optim.Muon([q for _, q in pairs], lr=0.01, **options)
    before = [values(p) for p, _ in pairs]
    step_both(pairs, (mine, other), "float32", range(6))
    for (p, q), first in zip(pairs, before, strict=True):
        moved = np.linalg.norm(q.detach().double().numpy() - first)
        assert np.linalg.norm(values(p) - q.detach().double().numpy()) < 0.05 * moved
    (buffer, theirs_) = (next(iter(o.state.values()))["momentum_buffer"] for o in (mine, other))
    np.testing.assert_allclose(values(buffer), theirs_.numpy(), rtol=1e-6, atol=1e-6)


def test_state_dict_of_pytorchs_muon_trains_on() -> None:
    q = torch.nn.Parameter(torch.tensor(start([(3, 4)])[0], dtype=torch.float32))
    other = torch.optim.Muon([q], lr=0.01)
    step_both([(parameter(np.ones((3, 4)), "float32"), q)], (other,), "float32", range(3))
    p = parameter(q.detach().double().numpy(), "float32")
    mine = optim.Muon([p])
    mine.load_state_dict(other.state_dict())
    before = values(p)
    step_both([(p, q)], (mine, other), "float32", range(3, 6))
    difference = np.linalg.norm(values(p) - q.detach().double().numpy())
    assert difference < 0.05 * np.linalg.norm(values(p) - before)


# ---- mistakes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("Adagrad", {"lr_decay": -1.0}, r"Adagrad\(lr_decay=-1.0\): must be a number of at least"),
        ("Adagrad", {"initial_accumulator_value": -1}, "initial_accumulator_value=-1"),
        ("Adadelta", {"rho": 1.1}, r"Adadelta\(rho=1.1\): must be at most 1"),
        ("Adadelta", {"eps": -1}, r"Adadelta\(eps=-1\)"),
        ("Adamax", {"betas": (1.0, 0.9)}, r"Adamax\(betas=\(1.0, 0.9\)\): two numbers"),
        ("NAdam", {"momentum_decay": -0.1}, r"NAdam\(momentum_decay=-0.1\)"),
        ("RAdam", {"betas": (0.9, -0.1)}, r"RAdam\(betas="),
        ("RAdam", {"weight_decay": -0.1}, r"RAdam\(weight_decay=-0.1\)"),
        ("Adafactor", {"d": 0.5}, r"Adafactor\(d=0.5\): must be at least 1"),
        ("Adafactor", {"beta2_decay": 0.1}, r"Adafactor\(beta2_decay=0.1\): must be at most 0"),
        ("Adafactor", {"eps": (None, -1.0)}, r"Adafactor\(eps=\(None, -1.0\)\): two numbers"),
        ("Rprop", {"etas": (0.5, 0.9)}, r"Rprop\(etas=\(0.5, 0.9\)\): the first must be"),
        ("ASGD", {"weight_decay": -1}, r"ASGD\(weight_decay=-1\)"),
        ("Muon", {"momentum": -1}, r"Muon\(momentum=-1\)"),
        ("Muon", {"adjust_lr_fn": "x"}, r"Muon\(adjust_lr_fn='x'\): 'original' or 'match_rms"),
    ],
)
def test_options_that_pytorch_refuses_too(name: str, options: Any, text: str) -> None:
    with pytest.raises(ArgumentError, match=text):
        getattr(optim, name)([parameter(np.ones((2, 2)))], **options)
    with pytest.raises(ValueError):
        getattr(torch.optim, name)([torch.nn.Parameter(torch.ones(2, 2))], **options)


def test_mistakes() -> None:
    p, matrix = parameter([1.0]), parameter(np.ones((2, 2)))
    for make, kind, text in [
        (lambda: optim.Lion([p], betas=(0.9, 1.0)), ArgumentError, r"Lion\(betas="),
        (lambda: optim.LAMB([p], eps=-1.0), ArgumentError, r"LAMB\(eps=-1.0\)"),
        (lambda: optim.Muon([matrix, p]), ShapeError, r"params\[1\] has shape \(1,\); only mat"),
        (lambda: optim.Muon([matrix], ns_steps=100), ArgumentError, "ns_steps=100"),
        (lambda: optim.Muon([matrix], ns_coefficients=(1, 2)), ArgumentError, "three numbers"),
        (lambda: optim.Adam([p], differentiable=True), ArgumentError, "outside the graph"),
        (lambda: optim.SGD([p], differentiable=True), ArgumentError, "SGD.differentiable=True"),
    ]:
        with pytest.raises(kind, match=text):
            make()


def test_choices_of_implementation_are_accepted() -> None:
    p = parameter([1.0])
    for name in ("SGD", "Adam", "AdamW", "Adagrad"):
        getattr(optim, name)([p], fused=True, foreach=False)
    for name in ("RMSprop", "Adadelta", "Adamax", "NAdam", "RAdam", "Rprop", "ASGD"):
        getattr(optim, name)([p], foreach=True, capturable=True)


LEFT_OUT = {"SparseAdam", "swap_in_optimizer_params_and_state"}
"""Of sparse gradients, which there are none of; of memory swapped by hand."""


def test_names_arguments_and_defaults_are_pytorchs() -> None:
    modules = [(optim, torch.optim, set(torch.optim.__all__) - LEFT_OUT)]
    for name in ("lr_scheduler", "swa_utils"):
        theirs_ = getattr(torch.optim, name)
        modules.append((getattr(optim, name), theirs_, set(theirs_.__all__)))
    for mine, other, names in modules:
        for name in names:
            one, two = getattr(mine, name), getattr(other, name)
            if callable(two):
                a, b = (inspect.signature(each).parameters.values() for each in (one, two))
                a = [p for p in a if p.name != "master_weights"]  # ours alone
                kinds = [[(p.name, p.kind, p.default) for p in each] for each in (a, b)]
                assert kinds[0] == kinds[1], name
