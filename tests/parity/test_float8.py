"""8-bit floats and their products against PyTorch: casts bit by bit, scaled_mm, _int_mm."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import gpugrad as gg
import gpugrad.nn.functional as F

FLOAT8 = ("float8_e4m3fn", "float8_e5m2")
SOURCES = ("float16", "bfloat16", "float32", "float64", "int64", "int32", "int8", "uint8", "bool")


def codes(x: gg.Tensor) -> np.ndarray:
    """The bytes, with one for every NaN."""
    return np.where(np.isnan(x.float().numpy()), 0x7F, x.numpy().view(np.uint8))


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("dtype", FLOAT8)
def test_casts(dtype: str, source: str) -> None:
    """Both paths of PyTorch, vectors and the rest, and both of ours, small and large."""
    rng = np.random.default_rng(0)
    spread = rng.standard_normal(300_000) * np.exp2(rng.integers(-22, 22, 300_000))
    special = [0, -0.0, np.inf, -np.inf, np.nan, 448, 464, 465, 480, 57344, 61439, 61440, 2.0**-10]
    given = torch.from_numpy(np.concatenate([special, spread]))
    if not getattr(torch, source).is_floating_point:
        given = given.nan_to_num(0, 90, -90).clamp(-120 if source != "uint8" else 0, 120)
    for theirs in (given[:40], given):
        theirs = theirs.to(getattr(torch, source))
        want = theirs.to(getattr(torch, dtype))
        exact = theirs.double().numpy() if theirs.is_floating_point() else theirs.numpy()
        ours = gg.tensor(exact).to(getattr(gg, source)).to(getattr(gg, dtype))
        expected = np.where(want.float().isnan(), 0x7F, want.view(torch.uint8).numpy())
        np.testing.assert_array_equal(codes(ours), expected)
        for back in ("float16", "bfloat16", "float32", "float64", "bool"):
            values = ours.to(getattr(gg, back)).to(gg.float64).numpy()
            np.testing.assert_array_equal(values, want.to(getattr(torch, back)).double().numpy())


def recipes(name: str) -> tuple[Any, Any]:
    return getattr(F.ScalingType, name), getattr(torch.nn.functional.ScalingType, name)


@pytest.mark.parametrize("recipe", ["TensorWise", "RowWise"])
@pytest.mark.parametrize("output", ["bfloat16", "float16", "float32", None, "float8_e5m2"])
@pytest.mark.parametrize("left", FLOAT8)
@pytest.mark.parametrize("right", FLOAT8)
def test_scaled_mm(left: str, right: str, output: str | None, recipe: str) -> None:
    rng, (ours, theirs) = np.random.default_rng(1), recipes(recipe)
    m, n, k = 35, 48, 160
    a = torch.from_numpy(rng.standard_normal((m, k))).to(getattr(torch, left))
    b = torch.from_numpy(rng.standard_normal((n, k))).to(getattr(torch, right)).t()
    rows = recipe == "RowWise"
    scale_a = torch.from_numpy(rng.random((m, 1) if rows else ())).float() + 0.5
    scale_b = torch.from_numpy(rng.random((1, n) if rows else ())).float() + 0.5
    kind = None if output is None else getattr(torch, output)
    want = torch.nn.functional.scaled_mm(a, b, scale_a, theirs, scale_b, theirs, output_dtype=kind)
    given = [gg.tensor(x.float().numpy()) for x in (a, b)]
    got = F.scaled_mm(
        given[0].to(getattr(gg, left)),
        given[1].T.contiguous().to(getattr(gg, right)).T,
        gg.tensor(scale_a.numpy()),
        ours,
        gg.tensor(scale_b.numpy()),
        ours,
        output_dtype=output,
    )
    assert got.shape == tuple(want.shape) and got.dtype.name == str(want.dtype).split(".")[1]
    exact = (a.double() @ b.double()) * scale_a * scale_b
    terms = ((a.double().abs() @ b.double().abs()) * scale_a * scale_b).numpy()
    # Each is rounded once, by half a step: eps of a number, and eps of the smallest normal one for
    # those below it. Its float32 sum of k terms is a random walk of sqrt(k) roundings.
    held = gg.finfo(got.dtype)
    rounding = held.eps / 2 * np.maximum(np.abs(exact.numpy()), held.tiny)
    bound = 2 * (rounding + 2.0**-24 * np.sqrt(k) * terms)
    assert (np.abs(got.to(gg.float64).numpy() - want.double().numpy()) <= bound).all()


@pytest.mark.parametrize("output", ["bfloat16", "float32"])
def test_scaled_mm_bias(output: str) -> None:
    rng, (ours, theirs) = np.random.default_rng(2), recipes("TensorWise")
    a, b = (torch.from_numpy(rng.integers(-8, 9, s)).float() for s in ((16, 32), (16, 32)))
    bias, one = torch.from_numpy(rng.integers(-9, 9, 16)).float(), torch.tensor(0.5)
    e4m3 = torch.float8_e4m3fn
    want = torch.nn.functional.scaled_mm(
        a.to(e4m3), b.to(e4m3).t(), one, theirs, one, theirs,
        bias=bias.to(getattr(torch, output)), output_dtype=getattr(torch, output),
    )  # fmt: skip
    got = F.scaled_mm(
        gg.tensor(a.numpy()).to(gg.float8_e4m3fn), gg.tensor(b.numpy()).to(gg.float8_e4m3fn).T,
        gg.tensor(0.5), ours, gg.tensor([0.5]), [ours],
        bias=gg.tensor(bias.numpy()), output_dtype=output, use_fast_accum=True,
    )  # fmt: skip
    np.testing.assert_array_equal(got.float().numpy(), want.float().numpy())  # small: exact


def test_int_mm() -> None:
    rng = np.random.default_rng(3)
    for m, k, n in ((17, 32, 16), (33, 8, 24), (20, 0, 8), (3, 5, 3)):
        a, b = (rng.integers(-128, 128, s).astype(np.int8) for s in ((m, k), (k, n)))
        want = torch._int_mm(torch.from_numpy(a), torch.from_numpy(b))
        got = gg._int_mm(gg.tensor(a), gg.tensor(b))
        assert got.dtype == gg.int32
        np.testing.assert_array_equal(got.numpy(), want.numpy())
