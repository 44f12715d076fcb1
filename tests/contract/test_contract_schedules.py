"""The same bits in every order of threads, warps and blocks (simulator), and on every run (all)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from contract_tools import values
from schedules import SCHEDULES, label, scheduled

from gpugrad import dtype as dtypes
from gpugrad.backends import Backend


@pytest.fixture(params=SCHEDULES, ids=label)
def schedule(request: pytest.FixtureRequest, backend: Backend) -> Iterator[None]:
    with scheduled(backend.device.type, request.param):
        yield


def reductions(b: Backend) -> list[Any]:
    x = b.from_numpy(values((60, 5, 130), "float32"))
    names = ("sum", "prod", "max", "argmin", "any")
    all_axes = [(0,), (1,), (2,), (0, 1), (0, 1, 2)]
    return [b.kernels.reduce(name, x, axes, False) for name in names for axes in all_axes]


def elementwise(b: Backend) -> list[Any]:
    x, y = (b.from_numpy(values((45, 67), "float16", i)) for i in range(2))
    k = b.kernels
    picked = k.where(k.binary("lt", x, y), x, y)
    return [k.unary("gelu", x), k.binary("atan2", x.T, y.T), picked, k.cast(x.T, dtypes.bfloat16)]


def matmul(b: Backend) -> list[Any]:
    a, c = b.from_numpy(values((70, 300), "float32")), b.from_numpy(values((300, 33), "float32", 1))
    tall = b.from_numpy(values((4, 3000), "bfloat16"))
    bias = b.from_numpy(values((33,), "float32", 2))
    return [b.kernels.gemm(a, c, bias, "gelu"), b.kernels.gemm(tall, tall.T)]


def rows(b: Backend) -> list[Any]:
    x = b.from_numpy(values((9, 3000), "float32"))
    y, short = b.kernels.softmax(x, 1, False), b.kernels.softmax(x, 0, True)
    logits = b.from_numpy(values((40, 7, 3), "float16"))
    target = b.from_numpy(np.arange(120).reshape(40, 3) % 7)
    loss = b.kernels.cross_entropy(logits, target, None, 2, 0.1)
    dx = b.kernels.cross_entropy_grad(loss[0], logits, target, None, loss[1], 2, 0.1)
    return [y, short, b.kernels.softmax_grad(x, y, 1, False), *loss, dx]


def indexing(b: Backend) -> list[Any]:
    x = b.from_numpy(values((50, 20), "float32"))
    at = (b.from_numpy(np.random.default_rng(0).integers(-50, 50, 900)),)
    new = b.from_numpy(values((900, 20), "float32", 1))
    b.kernels.scatter("add", x, at, new)
    over = b.from_numpy(np.zeros((50, 20), np.float32))
    b.kernels.scatter("set", over, at, new)
    mask = b.from_numpy(values((3, 1700), "bool"))
    joined = [b.from_numpy(values((50, 20), "float16", 2)) for _ in range(3)]
    for name, y in zip(("mul", "max", "min"), joined, strict=True):
        b.kernels.scatter(name, y, at, b.kernels.cast(new, dtypes.float16))
    return [x, over, *joined, b.kernels.gather(new, (at[0][:7],)), b.kernels.nonzero(mask)]


def order(b: Backend) -> list[Any]:
    x, k = b.from_numpy(values((3, 2500), "float32")), b.kernels
    results = [k.scan(name, x) for name in ("sum", "prod", "max", "min", "logaddexp")]
    long = b.from_numpy(values((2, 17000), "bfloat16"))  # in parts
    results += [k.scan(name, long) for name in ("sum", "max", "logaddexp")]
    some = b.from_numpy(values((30, 70), "float16"))
    results += [*k.sort(some, False), *k.sort(x, True), *k.sort(some.T, True)]
    return [*results, k.search_sorted(k.sort(x, False)[0], x[:, :50], False)]


def draws(b: Backend) -> list[Any]:
    state, k = b.from_numpy(np.array([1, 2])), b.kernels
    x = b.from_numpy(values((3001,), "float32"))
    return [
        k.uniform(state, 0, 0.0, 1.0, (3001,), dtypes.float64),
        k.normal(state, 1, 0.0, 1.0, (3001,), dtypes.float32),
        k.bernoulli(state, 2, 0.3, (3001,), dtypes.bool_),
        k.dropout(state, 3, 0.5, x),
        k.permutation(state, 4, 3001),
    ]


def optimizers(b: Backend) -> list[Any]:
    shapes = [(3000,), (5, 5), (1,), (70, 40)]
    p, g, m, v = ([b.from_numpy(values(s, "float32", i)) for s in shapes] for i in range(4))
    v = [b.kernels.unary("abs", x) for x in v]
    hyper, ticket = b.from_numpy(np.array([0.1, 0.0])), b.from_numpy(np.zeros(1, np.int32))
    norm = b.kernels.global_norm(g, 2.0)
    b.kernels.scale(g, norm)
    b.kernels.adam_step(p, g, m, v, [], hyper, ticket, 0.9, 0.99, 1e-8, 0.1, True, False)
    b.kernels.sgd_step(p, g, m, hyper, ticket, 0.9, 0.0, 0.0, True, False)
    b.kernels.rmsprop_step(p, g, v, [], m, hyper, ticket, 0.9, 1e-3, 0.0, 0.5, False)
    clock = b.from_numpy(np.array([0.1, 0.0, 1.0]))
    b.kernels.nadam_step(p, g, m, v, clock, ticket, 0.9, 0.99, 1e-8, 0.1, 4e-3, False, False)
    b.kernels.lion_step(p, g, m, hyper, ticket, 0.9, 0.99, 0.1, False)
    return [*p, *g, *m, *v, hyper, clock, ticket, norm]


def convolutions(b: Backend) -> list[Any]:
    results, k = [], b.kernels
    for dtype, channels, groups in (("float32", 16, 1), ("float16", 16, 2), ("float32", 3, 3)):
        window = ((2, 1), (1, 0), (1, 2), groups)
        x = b.from_numpy(values((3, channels, 17, 15), dtype))
        w = b.from_numpy(values((24, channels // groups, 3, 3), dtype, 1))
        y = k.conv_fprop(x, w, window, (3, 24, 9, 11), None, "relu")
        results += [y, k.conv_dgrad(y, w, window, x.shape), k.conv_wgrad(x, y, window, w.shape)]
    return results


def images(b: Backend) -> list[Any]:
    x, k = b.from_numpy(values((3, 5, 12, 11), "float32")), b.kernels
    window = ((3, 2), (2, 1), (1, 1), (1, 2))
    y, index = k.max_pool(x, window, (3, 5, 6, 11))
    mean = k.avg_pool(x, window, (3, 5, 6, 11), False, 0)
    dx = k.max_pool_grad(mean, index, window, x.shape)
    offsets, at = (b.from_numpy(np.arange(n, dtype=np.int32)) for n in (12, 11))
    rows = k.resample(x, offsets, at, b.from_numpy(values((11,), "float32", 1)), 3, x.dtype)
    columns = k.unfold(x, window, (6, 11))
    return [y, index, mean, dx, rows, columns, k.fold(columns, window, (6, 11), x.shape)]


def norms(b: Backend) -> list[Any]:
    x, dy = (b.from_numpy(values((6, 10, 9, 31), "float32", i)) for i in range(2))
    w, k = b.from_numpy(values((10,), "float32", 2)), b.kernels
    results = [*k.batch_norm_stats(x, None, None, 0.0, 1e-5), *k.group_norm(x, w, w, 5, 1e-5)]
    mean, rstd, y = results[:3]
    results += k.batch_norm_grad(dy, x, y, mean, rstd, w, "relu", False, True, True)
    results += k.group_norm_grad(dy, x, w, results[3], results[4], True)
    rows, drows = x.reshape(540, 31), dy.reshape(540, 31)
    long = b.from_numpy(values((31,), "float32", 3))
    results += k.layer_norm(rows, drows, long, long, 1e-5, True)
    return [*results, *k.layer_norm_grad(drows, rows, long, *results[-2:], drows, True)]


def tables(b: Backend) -> list[Any]:
    k, rng = b.kernels, np.random.default_rng(0)
    index = np.where(rng.random(900) < 0.5, 3, rng.integers(0, 300, 900))
    weight, at = b.from_numpy(values((300, 40), "float32")), b.from_numpy(index)
    dy, scale = b.from_numpy(values((900, 40), "float32", 1)), b.from_numpy(rng.random(900, "f4"))
    offsets = b.from_numpy(np.arange(0, 901, 75))
    results = [k.embedding(weight, at), k.embedding_grad(dy, at, 300, None, scale, 7, True)]
    results += k.embedding_bag(weight, at, offsets, scale, "sum", 5)[:3]
    results += k.embedding_bag(weight, at, offsets, None, "max", 5)
    bounded = b.from_numpy(values((300, 40), "float32"))
    k.embedding_renorm(bounded, at, 5.0, 2.0)
    angle = values((9, 10), "float32", 2)
    turn = b.from_numpy(np.cos(angle)), b.from_numpy(np.sin(angle))
    results.append(k.rotary(dy.reshape(100, 9, 40), *turn, True, False))
    logits, state = b.from_numpy(values((4, 3000), "float16", 3)), b.from_numpy(np.array([1, 2]))
    results += [k.sample(logits, 0.8, top_k, 0.9, state, 1) for top_k in (0, 50)]
    return [*results, bounded]


FAMILIES = [reductions, elementwise, matmul, rows, indexing, order, draws, optimizers]
FAMILIES += [convolutions, images, norms, tables]
first: dict[tuple[str, str], list[np.ndarray]] = {}


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.__name__)
def test_same_bits(
    backend: Backend, schedule: None, family: Callable[[Backend], list[Any]]
) -> None:
    got = [backend.to_numpy(y) for y in family(backend)]
    expected = first.setdefault((str(backend.device), family.__name__), got)
    for number, (a, b) in enumerate(zip(got, expected, strict=True)):
        assert a.tobytes() == b.tobytes(), f"result {number} of {family.__name__} changed"
