"""RNN, LSTM, GRU, their cells and packed sequences beside PyTorch: every option."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch

import gpugrad as gg

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")  # PyTorch's
STEPS, BATCH, SIZE, HIDDEN, PROJECTED = 5, 3, 3, 4, 2
LENGTHS = {"packed": [5, 4, 2], "unsorted": [2, 5, 4]}
# Float64, the same formulas: sums of at most 15 rows of 7 products over 5 steps and two layers,
# results of size 30 at most. A wrong term is of order 0.1.
TOLERANCE = 1e-12


def twins(name: str, *sizes: int, **options: Any) -> tuple[gg.nn.Module, torch.nn.Module]:
    """The same layer in both libraries, in float64, with equal parameters."""
    gg.manual_seed(0)
    ours = getattr(gg.nn, name)(*sizes, dtype=gg.float64, **options)
    theirs = getattr(torch.nn, name)(*sizes, dtype=torch.float64, **options)
    state = {k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()}
    assert list(state) == list(theirs.state_dict())
    theirs.load_state_dict(state)
    return ours, theirs


def flat(results: Any) -> list[Any]:
    """All tensors of nested results; of packed sequences the data."""
    if hasattr(results, "batch_sizes"):
        return [results.data]
    return [y for r in results for y in flat(r)] if isinstance(results, tuple) else [results]


def compare(found: list[np.ndarray], exact: list[np.ndarray]) -> None:
    for i, (a, b) in enumerate(zip(found, exact, strict=True)):
        assert a.shape == b.shape
        scale = max(1.0, float(np.abs(b).max(initial=0)))
        np.testing.assert_allclose(a, b, rtol=0, atol=TOLERANCE * scale, err_msg=f"result {i}")


def leaf(library: Any, array: np.ndarray) -> Any:
    return library.tensor(array).requires_grad_()


def differentiated(library: Any, results: Any, leaves: list[Any]) -> list[np.ndarray]:
    """Results and gradients of the leaves, each result having a dy of its own."""
    ys = flat(results)
    sum((y * (i + 1)).sin().sum() for i, y in enumerate(ys) if y.requires_grad).backward()
    return [y.detach().numpy() for y in ys] + [x.grad.numpy() for x in leaves]


NETWORKS = [("RNN", {}), ("RNN", {"nonlinearity": "relu"}), ("GRU", {}), ("LSTM", {}),
            ("LSTM", {"proj_size": PROJECTED})]  # fmt: skip
OPTIONS = [
    dict(zip(("num_layers", "bias", "batch_first", "bidirectional"), values, strict=True))
    for values in itertools.product((1, 2), (True, False), (False, True), (False, True))
]


@pytest.mark.parametrize("form", ["batch", "single", "packed", "unsorted"])
@pytest.mark.parametrize("name, special", NETWORKS, ids=str)
def test_networks(name: str, special: dict[str, Any], form: str) -> None:
    """Output, states, gradients; with and without initial states."""
    for options, given in itertools.product(OPTIONS, (False, True)):
        ours, theirs = twins(name, SIZE, HIDDEN, **options, **special)
        assert repr(ours).split("  #")[0] == repr(theirs)
        compare(*(network(lib, net, form, given) for lib, net in ((gg, ours), (torch, theirs))))


def network(library: Any, net: Any, form: str, given: bool) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    batch = () if form == "single" else (BATCH,)
    x = rng.standard_normal((*batch, STEPS, SIZE) if net.batch_first else (STEPS, *batch, SIZE))
    count = net.num_layers * (1 + net.bidirectional)
    h = leaf(library, rng.standard_normal((count, *batch, net.proj_size or HIDDEN)))
    c = leaf(library, rng.standard_normal((count, *batch, HIDDEN)))
    states = [h, c] if net.mode == "LSTM" else [h]
    x, rnn = leaf(library, x), library.nn.utils.rnn
    data = x
    if form in LENGTHS:
        lengths = library.tensor(LENGTHS[form]) if form == "unsorted" else LENGTHS[form]
        data = rnn.pack_padded_sequence(x, lengths, net.batch_first, form == "packed")
    hx = None if not given else (h, c) if net.mode == "LSTM" else h
    results = net(data, hx)
    if form in LENGTHS:
        padded, lengths = rnn.pad_packed_sequence(results[0], net.batch_first, 1.5, STEPS + 1)
        assert lengths.tolist() == LENGTHS[form]
        results = (*results, padded)
    leaves = [x, *net.parameters(), *(states if given else [])]
    return differentiated(library, results, leaves)


CELLS = [("RNNCell", {}), ("RNNCell", {"nonlinearity": "relu"}), ("LSTMCell", {}),
         ("GRUCell", {}), ("GRUCell", {"bias": False})]  # fmt: skip


@pytest.mark.parametrize("name, options", CELLS, ids=str)
def test_cells(name: str, options: dict[str, Any]) -> None:
    for batch, given in itertools.product(((), (BATCH,)), (False, True)):
        ours, theirs = twins(name, SIZE, HIDDEN, **options)
        assert repr(ours).split("  #")[0] == repr(theirs)
        compare(*(cell(lib, net, batch, given) for lib, net in ((gg, ours), (torch, theirs))))


def cell(library: Any, net: Any, batch: tuple[int, ...], given: bool) -> list[np.ndarray]:
    rng = np.random.default_rng(2)
    x = leaf(library, rng.standard_normal((*batch, SIZE)))
    h, c = (leaf(library, rng.standard_normal((*batch, HIDDEN))) for _ in range(2))
    lstm = type(net).__name__ == "LSTMCell"
    hx = None if not given else (h, c) if lstm else h
    leaves = [x, *net.parameters(), *([h, c] if given and lstm else [h] if given else [])]
    return differentiated(library, net(x, hx), leaves)


@pytest.mark.parametrize("batch_first", [False, True])
def test_sequences(batch_first: bool) -> None:
    """pad, pack, unpack, unpad: values, the order of samples, and gradients."""
    rng = np.random.default_rng(3)
    arrays = [rng.standard_normal((n, 2)) for n in (3, 1, 4)]

    def results(library: Any) -> list[np.ndarray]:
        rnn = library.nn.utils.rnn
        xs = [leaf(library, a) for a in arrays]
        left = rnn.pad_sequence(xs, batch_first, -1.0, "left")
        packed = rnn.pack_sequence(xs, enforce_sorted=False)
        rows = rnn.unpack_sequence(packed)
        padded = rnn.pad_sequence(xs, batch_first)
        again = rnn.unpad_sequence(padded.clone(), library.tensor([3, 1, 4]), batch_first)
        order = [i.numpy() for i in packed[1:]]
        found = (left, padded, packed.data, *rows, *again)
        return [*order, *differentiated(library, found, xs)]

    compare(results(gg), results(torch))


def test_half_precision_states() -> None:
    """bfloat16: at most twice PyTorch's own error, and one rounding, as of the single operation."""
    ours, theirs = twins("LSTM", 8, 8, batch_first=True)
    x = np.random.default_rng(4).standard_normal((2, 6, 8))
    rounded = torch.tensor(x).to(torch.bfloat16)
    with torch.no_grad():
        for p in theirs.parameters():
            p.copy_(p.to(torch.bfloat16))
        exact = theirs(rounded.double())[0].numpy()
        low = theirs.to(torch.bfloat16)(rounded)[0].double().numpy()
    found = ours.to(gg.bfloat16)(gg.tensor(x).to(gg.bfloat16))[0].detach().to(gg.float64).numpy()
    assert np.abs(found - exact).max() <= 2 * np.abs(low - exact).max() + 2**-8
