"""attention and attention_grad of every device against the specification, every option."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from attention_tools import (
    STATE,
    Case,
    Inputs,
    hold,
    hold_neighbours,
    hold_unseen_keys,
    on_device,
)
from contract_tools import DEVICES, FLOATING, values
from schedules import SCHEDULES, label, scheduled

from gpugrad import backends
from gpugrad import dtype as dtypes
from gpugrad.backends import Backend, reference
from gpugrad.backends.base import AttentionOptions
from gpugrad.errors import ArgumentError

ARCHITECTURES = {"sim-75": 75, "sim": 80}  # the tensor cores differ


@pytest.fixture(params=[*(d for d in DEVICES if d != "sim"), *ARCHITECTURES])
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """Every device; the simulator as each architecture whose kernels differ."""
    architecture = ARCHITECTURES.get(request.param)
    if architecture is None:
        yield backends.get(request.param)
        return
    from gpugrad import _sim

    _sim.set_architecture(architecture)
    yield backends.get("sim")
    _sim.set_architecture(80)


dtype_of_inputs = pytest.mark.parametrize("dtype", FLOATING)
CAUSAL: dict[str, Any] = {"right": 0}
AT_END: dict[str, Any] = {"right": 0, "align_end": True}

# B, H, G, M, N, D: one element, less than a tile, more, heads that share keys, every head size's
# kernel, size 0.
SHAPES = [
    (1, 1, 1, 1, 1, 1),
    (2, 3, 3, 17, 33, 8),
    (1, 2, 1, 70, 71, 64),
    (2, 4, 2, 130, 65, 32),
    (1, 1, 1, 5, 300, 40),
    (1, 2, 2, 129, 64, 128),
    (1, 1, 1, 66, 90, 256),
    (1, 3, 1, 20, 20, 5),
    (1, 6, 2, 64, 64, 96),
    (2, 5, 1, 1, 7, 200),
    (0, 2, 1, 3, 4, 8),
    (2, 0, 0, 3, 4, 8),
    (2, 0, 1, 3, 4, 8),
    (2, 2, 1, 0, 5, 16),
    (2, 2, 1, 33, 0, 16),
]


@dtype_of_inputs
@pytest.mark.parametrize("shape", SHAPES)
def test_attention(backend: Backend, dtype: str, shape: tuple[int, ...]) -> None:
    hold(backend, dtype, Case(shape))  # type: ignore[arg-type]


@dtype_of_inputs
@pytest.mark.parametrize("layout", ["heads", "packed", "reversed", "strided", "offset"])
def test_attention_layouts(backend: Backend, dtype: str, layout: str) -> None:
    hold(backend, dtype, Case((2, 3, 3, 40, 40, 64), layout))
    hold(backend, dtype, Case((2, 4, 2, 35, 67, 24), layout, window=AT_END))


WINDOWS: list[dict[str, Any]] = [
    CAUSAL,
    AT_END,
    {"left": 5},
    {"left": 40, "right": 0},
    {"left": 0, "right": 0},
    {"left": 3, "right": 50, "align_end": True},
    {"left": 2**40, "right": 2**40},
    {"right": 7},
]


@dtype_of_inputs
@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_attention_windows(backend: Backend, dtype: str, window: dict[str, Any]) -> None:
    for m, n in ((100, 100), (40, 150), (150, 40)):
        hold(backend, dtype, Case((1, 2, 1, m, n, 16), window=window))


@dtype_of_inputs
@pytest.mark.parametrize("window", [{}, CAUSAL, AT_END, {"left": 9, "right": 2}], ids=str)
def test_attention_packed_sequences(backend: Backend, dtype: str, window: dict[str, Any]) -> None:
    packed = [
        ([0, 40, 40, 41, 100], [0, 40, 40, 41, 100]),
        ([0, 0, 30, 30, 90, 90], [0, 20, 20, 75, 130, 130]),  # no queries, no keys, neither
        ([0, 70], [0, 33]),
        ([0, *range(1, 34)], [0, *range(2, 68, 2)]),
        ([0], [0]),
    ]
    for queries, keys in packed:
        shape = (1, 4, 2, queries[-1], keys[-1], 32)
        case = Case(shape, q_offsets=queries, k_offsets=keys, window=window)
        hold(backend, dtype, case)


@dtype_of_inputs
@pytest.mark.parametrize("size", [32, 100, 160])
def test_attention_of_packed_neighbours(backend: Backend, dtype: str, size: int) -> None:
    packed = [
        ([0, 7, 40, 41, 41, 100, 230], [0, 20, 33, 74, 80, 110, 200]),
        ([0, 1, 2, 3, 4], [0, 1, 5, 9, 23]),  # few queries
    ]
    for queries, keys in packed:
        shape = (1, 4, 2, queries[-1], keys[-1], size)
        case = Case(shape, q_offsets=queries, k_offsets=keys)
        hold_neighbours(backend, dtype, case)
    bias = (dtype, (1, 4, queries[-1], keys[-1]))
    case = Case(shape, bias=bias, q_offsets=queries, k_offsets=keys, dropout=0.3, window=CAUSAL)
    hold_neighbours(backend, dtype, case)


@dtype_of_inputs
@pytest.mark.parametrize("window", [{}, CAUSAL, AT_END, {"left": 9, "right": 2}], ids=str)
def test_attention_key_lengths(backend: Backend, dtype: str, window: dict[str, Any]) -> None:
    """Lengths beyond the keys count as all of them, negative ones as none."""
    case = Case((6, 2, 1, 50, 70, 16), k_lengths=[70, 0, 33, 1, 90, -3], window=window)
    hold(backend, dtype, case)


BIASES = [(2, 4, 45, 70), (1, 1, 1, 70), (2, 1, 1, 70), (4, 1, 70), (45, 70), (70,), (45, 1), ()]


@dtype_of_inputs
@pytest.mark.parametrize("kind", ["own", "sums", "bool"])
def test_attention_bias(backend: Backend, dtype: str, kind: str) -> None:
    sums = "float64" if dtype == "float64" else "float32"
    of = {"own": dtype, "sums": sums, "bool": "bool"}[kind]
    for shape in BIASES:
        hold(backend, dtype, Case((2, 4, 2, 45, 70, 24), bias=(of, shape)))
    causal = Case((2, 4, 1, 45, 70, 24), bias=(of, BIASES[0]), window=CAUSAL)
    hold(backend, dtype, causal)


@dtype_of_inputs
@pytest.mark.parametrize("p", [0.1, 0.5, 1.0])
def test_attention_dropout(backend: Backend, dtype: str, p: float) -> None:
    for m, n in ((33, 64), (40, 71), (5, 3)):
        hold(backend, dtype, Case((2, 4, 2, m, n, 16), dropout=p))
    hold(backend, dtype, Case((1, 2, 2, 90, 130, 80), dropout=p, window=AT_END))


@dtype_of_inputs
@pytest.mark.parametrize("scale", [1.0, 0.0, -0.3])
def test_attention_scale(backend: Backend, dtype: str, scale: float) -> None:
    hold(backend, dtype, Case((1, 2, 1, 30, 40, 16), scale=scale))


@dtype_of_inputs
@pytest.mark.parametrize("queries", [1, 3])
def test_attention_of_few_queries(backend: Backend, dtype: str, queries: int) -> None:
    """Keys split between blocks; heads that share keys; a window; a cache longer than its use."""
    for size in (8, 64, 128, 256):
        hold(backend, dtype, Case((1, 2, 2, queries, 560, size), window=AT_END))
        hold(backend, dtype, Case((2, 6, 2, queries, 70, size), "heads"))
    lengths = Case((3, 4, 2, queries, 600, 64), k_lengths=[600, 0, 257], window=AT_END)
    hold(backend, dtype, lengths)
    sliding = {"left": 300, "right": 0, "align_end": True}
    hold(backend, dtype, Case((1, 4, 1, queries, 600, 96), bias=("bool", (600,)), window=sliding))
    own = (dtype, (1, 4, queries, 520))
    hold(backend, dtype, Case((1, 4, 2, queries, 520, 40), bias=own, k_lengths=[519]))


@dtype_of_inputs
def test_attention_everything_at_once(backend: Backend, dtype: str) -> None:
    window = {"left": 30, "right": 3, "align_end": True}
    bias = ("float64" if dtype == "float64" else "float32", (1, 4, 75, 90))
    several = {"bias": bias, "window": window, "dropout": 0.2, "layout": "packed"}
    lengths = Case((2, 4, 4, 75, 90, 48), k_lengths=[61, 90], **{**several, "layout": "heads"})
    hold(backend, dtype, lengths)
    offsets = {"q_offsets": [0, 20, 20, 75], "k_offsets": [0, 41, 47, 90]}
    hold(backend, dtype, Case((1, 4, 2, 75, 90, 48), **offsets, **{**several, "layout": "heads"}))


@dtype_of_inputs
def test_attention_draws_the_mask_of_dropout(backend: Backend, dtype: str) -> None:
    """With equal scores and the identity for v, o is 0 exactly where the specification drops."""
    for m, n in ((40, 64), (20, 37)):
        q = np.zeros((2, 2, m, n), dtypes.as_dtype(dtype))
        v = np.broadcast_to(np.eye(n), (2, 2, n, n)).astype(q.dtype)
        exact = AttentionOptions(dropout=0.4, state=STATE, call=3)
        options = on_device(backend, exact)
        arrays = [backend.from_numpy(x) for x in (q, np.zeros_like(v), v)]
        o = backend.to_numpy(backend.kernels.attention(*arrays, options)[0])
        kept = reference.dropout(STATE, 3, 0.4, np.ones((2, 2, m, n), np.float32)) != 0
        np.testing.assert_array_equal(o.astype(np.float32) != 0, kept)


@dtype_of_inputs
def test_attention_of_queries_that_see_nothing(backend: Backend, dtype: str) -> None:
    """o = 0, lse = -infinity and zero gradients, without a NaN, by mask, bias and window alike."""
    mask = np.ones((1, 1, 40, 50), bool)
    mask[:, :, 7:30] = False
    sums = dtypes.accumulation(dtypes.as_dtype(dtype))
    infinite = np.where(mask, 0, -np.inf).astype(sums)
    for bias, right in ((mask, -1), (infinite, -1), (mask, 0)):
        inputs = Inputs(Case((1, 2, 2, 40, 50, 32)), backend, dtype)
        scores = np.broadcast_to(bias, (1, 2, 40, 50))
        exact = AttentionOptions(bias=scores, right=right)
        options = exact._replace(bias=np.broadcast_to(backend.from_numpy(bias), (1, 2, 40, 50)))
        o, lse = backend.kernels.attention(*inputs.device[:3], options)
        wanted = bias is infinite
        given = (inputs.device[3], *inputs.device[:3], o, lse, options, wanted)
        grads = backend.kernels.attention_grad(*given)
        assert (backend.to_numpy(o)[:, :, 7:30] == 0).all()
        assert np.isneginf(backend.to_numpy(lse)[:, :, 7:30]).all()
        assert (backend.to_numpy(grads[0])[:, :, 7:30] == 0).all()
        for x in (o, *grads[: 4 if wanted else 3]):
            assert np.isfinite(backend.to_numpy(x).astype(np.float64)).all()


@dtype_of_inputs
def test_attention_does_not_look_at_padding(backend: Backend, dtype: str) -> None:
    """NaN in keys and values beyond k_lengths reaches no result; their own gradients are 0."""
    inputs = Inputs(Case((2, 2, 1, 20, 40, 32), k_lengths=[13, 0]), backend, dtype)
    hold_unseen_keys(inputs, 13)


@dtype_of_inputs
def test_nan_stays_in_its_packed_sequence(backend: Backend, dtype: str) -> None:
    """Of queries, keys, values and dO alike, and in the specification too."""
    case = Case((1, 2, 1, 40, 60, 32), q_offsets=[0, 15, 40], k_offsets=[0, 37, 60])
    inputs = Inputs(case, backend, dtype)
    for which in range(4):
        arrays = [x.copy() for x in inputs.arrays]
        arrays[which][:, :, :10] = np.nan
        on_host, on_device = arrays, [backend.from_numpy(x) for x in arrays]
        for kernels, given, options in (
            (reference, on_host, inputs.exact),
            (backend.kernels, on_device, inputs.options),
        ):
            o, lse = kernels.attention(*given[:3], options)
            dq, dk, dv, _ = kernels.attention_grad(given[3], *given[:3], o, lse, options, False)
            for x, first in ((o, 15), (dq, 15), (dk, 37), (dv, 37)):
                x = x if kernels is reference else backend.to_numpy(x)
                assert np.isfinite(x[:, :, first:].astype(np.float64)).all()


def test_attention_of_the_most_negative_bias_is_a_mean(backend: Backend) -> None:
    """Rows masked by float32's least number (as many models do) weigh all keys alike."""
    v = values((1, 1, 40, 8), "float32", 1)
    q = np.zeros((1, 1, 3, 8), np.float32)
    least = np.full((1, 1, 3, 40), np.finfo(np.float32).min)
    arrays = [backend.from_numpy(x) for x in (q, v, v)]
    options = AttentionOptions(bias=backend.from_numpy(least))
    o = backend.to_numpy(backend.kernels.attention(*arrays, options)[0])
    np.testing.assert_allclose(o[0, 0], np.broadcast_to(v[0, 0].mean(0), (3, 8)), atol=1e-6)


SCHEDULED: list[Callable[[], Case]] = [
    lambda: Case((1, 2, 1, 70, 100, 64), window=CAUSAL, dropout=0.3, bias=("own", (70, 100))),
    lambda: Case((1, 4, 2, 60, 90, 128), q_offsets=[0, 25, 60], k_offsets=[0, 60, 90]),
    lambda: Case((2, 2, 2, 5, 150, 32), "heads", k_lengths=[150, 77]),
    lambda: Case((1, 4, 2, 1, 1100, 64), "heads", k_lengths=[1050]),
]


@dtype_of_inputs
@pytest.mark.parametrize("make", SCHEDULED)
def test_attention_is_the_same_in_every_schedule(
    backend: Backend, dtype: str, make: Callable[[], Case]
) -> None:
    """Bit for bit, whatever the order of threads, warps and blocks."""
    case = make()
    if case.bias is not None:
        case.bias = (dtype, case.bias[1])
    inputs, first = Inputs(case, backend, dtype), None
    q, k, v, dy = inputs.device
    for schedule in SCHEDULES:
        with scheduled(backend.device.type, schedule):
            o, lse = backend.kernels.attention(q, k, v, inputs.options)
            bias = case.bias is not None
            grads = backend.kernels.attention_grad(dy, q, k, v, o, lse, inputs.options, bias)
        found = [backend.to_numpy(x).tobytes() for x in (o, lse, *grads) if x is not None]
        assert first is None or found == first, label(schedule)
        first = found


def options_with(**kw: Any) -> AttentionOptions:
    arrays = {n: np.asarray(x) if isinstance(x, list) else x for n, x in kw.items()}
    for name in ("q_offsets", "k_offsets", "k_lengths"):
        if isinstance(kw.get(name), list):
            arrays[name] = np.array(kw[name], np.int32)
    return AttentionOptions(**arrays)


def zeros(*shape: int, dtype: Any = np.float32) -> np.ndarray:
    return np.zeros(shape, dtype)


Q, K = zeros(2, 4, 3, 8), zeros(2, 2, 5, 8)
ONE = (zeros(1, 4, 3, 8), zeros(1, 2, 5, 8), zeros(1, 2, 5, 8))
OFFSETS = {"q_offsets": [0, 3], "k_offsets": [0, 5]}
STATELESS = r"attention: dropout 0\.5.* needs the state of a generator, got none"
WRONG: list[tuple[tuple[np.ndarray, ...], AttentionOptions, str]] = [
    ((zeros(2, 4, 3, 8, dtype=np.int32), K, K), options_with(), r"q must be float16.*got int32"),
    ((Q, K.astype(np.float64), K), options_with(), r"q and k must have one dtype.*float64"),
    ((Q, K, K.astype(np.float64)), options_with(), r"q and v must have one dtype"),
    ((Q[0], K, K), options_with(), r"q must be \[B, H, M, D\].*got q float32 \(4, 3, 8\)"),
    ((Q, K, K[:, :, :4]), options_with(), r"k and v must have one shape"),
    ((Q, K[..., :7], K[..., :7]), options_with(), r"agree in batch .* and head size"),
    ((Q, zeros(2, 3, 5, 8), zeros(2, 3, 5, 8)), options_with(), r"the 3 heads of k .* the 4 heads"),
    ((zeros(1, 1, 2, 257),) * 3, options_with(), r"head size must be from 1 to 256, got 257"),
    ((zeros(1, 1, 2, 0),) * 3, options_with(), r"head size must be from 1 to 256, got 0"),
    (
        (Q, K, K),
        options_with(bias=zeros(2, 4, 3, 5, dtype=np.int32)),
        r"bias must be bool, float32",
    ),
    (
        (Q, K, K),
        options_with(bias=zeros(3, 4)),
        r"bias float32 \(3, 4\) does not broadcast .*scores",
    ),
    (ONE, options_with(q_offsets=[0, 3]), r"must be given both or neither"),
    (
        ONE,
        options_with(**OFFSETS, k_lengths=[5]),
        r"k_lengths must be none where offsets are given",
    ),
    (ONE, options_with(q_offsets=np.array([0, 3]), k_offsets=[0, 5]), r"q_offsets must be int32"),
    (ONE, options_with(q_offsets=[0, 3], k_offsets=[0, 2, 5]), r"must both be \[S \+ 1\]"),
    ((Q, K, K), options_with(**OFFSETS), r"packed sequences lie along one sample: B must be 1"),
    (ONE, options_with(q_offsets=[0], k_offsets=[0]), r"offsets of no sequence need M and N of 0"),
    ((Q, K, K), options_with(k_lengths=[1, 2, 3]), r"k_lengths must have shape \(2,\)"),
    ((Q, K, K), options_with(k_lengths=np.array([1, 2])), r"k_lengths must be int32"),
    ((Q, K, K), options_with(left=-2), r"-1 \(no bound\) or more, got left -2"),
    ((Q, K, K), options_with(dropout=1.5, state=STATE), r"dropout must be in \[0, 1\], got 1\.5"),
    ((Q, K, K), options_with(dropout=0.5), STATELESS.removeprefix("attention: ")),
]


@pytest.mark.parametrize("backend", ["cpu", "sim"], indirect=True)
@pytest.mark.parametrize(("arrays", "options", "text"), WRONG)
def test_attention_refuses(
    backend: Backend, arrays: tuple[np.ndarray, ...], options: AttentionOptions, text: str
) -> None:
    q, k, v = (backend.from_numpy(x) for x in arrays)
    options = on_device(backend, options)
    with pytest.raises(ArgumentError, match=f"attention: .*{text}"):
        backend.kernels.attention(q, k, v, options)
    lse = backend.from_numpy(zeros(*q.shape[:3]))
    with pytest.raises(ArgumentError, match=f"attention_grad: .*{text}"):
        backend.kernels.attention_grad(q, q, k, v, q, lse, options, False)


@pytest.mark.parametrize("backend", ["cpu", "sim"], indirect=True)
def test_attention_grad_refuses_what_belongs_elsewhere(backend: Backend) -> None:
    q, k = backend.from_numpy(Q), backend.from_numpy(K)
    lse, wrong = backend.from_numpy(zeros(2, 4, 3)), backend.from_numpy(zeros(2, 4, 2, 8))
    grad = backend.kernels.attention_grad
    with pytest.raises(ArgumentError, match=r"attention_grad: q and d_o must have one shape"):
        grad(wrong, q, k, k, q, lse, AttentionOptions(), False)
    with pytest.raises(ArgumentError, match=r"attention_grad: q and o must have one shape"):
        grad(q, q, k, k, wrong, lse, AttentionOptions(), False)
    with pytest.raises(ArgumentError, match=r"attention_grad: lse must have shape \(2, 4, 3\)"):
        grad(q, q, k, k, q, lse[:, :2], AttentionOptions(), False)


@pytest.mark.parametrize("backend", ["cpu", "sim"], indirect=True)
def test_attention_refuses_axes_beyond_2_to_30(backend: Backend) -> None:
    q, k = (backend.from_numpy(zeros(1, 1, 1, 8)) for _ in range(2))
    long = np.broadcast_to(k, (1, 1, 2**30 + 1, 8))
    with pytest.raises(ArgumentError, match=r"attention: an axis must be at most 2\^30, got q"):
        backend.kernels.attention(q, long, long, AttentionOptions())
