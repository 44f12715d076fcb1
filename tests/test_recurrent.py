"""Recurrent layers, cells and packed sequences: behaviour, memory, and what they refuse."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad import nn
from gpugrad.errors import ArgumentError, DeviceError, DTypeError, GpugradError, ShapeError
from gpugrad.nn.utils.rnn import (
    PackedSequence,
    pack_padded_sequence,
    pack_sequence,
    pad_packed_sequence,
    pad_sequence,
    unpad_sequence,
)


def ramp(*shape: int, dtype: Any = gg.float64) -> gg.Tensor:
    """Different numbers between -1 and 1."""
    values = np.sin(np.arange(np.prod(shape)) * 1.3).reshape(shape)
    return gg.tensor(values, dtype=dtype)


# ---- layers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_parameters_and_initial_values(name: str) -> None:
    gg.manual_seed(0)
    layer = getattr(nn, name)(3, 16, 2, bidirectional=True)
    names = [n for n, _ in layer.named_parameters()]
    assert names[:8] == [
        f"{kind}_l0{suffix}"
        for suffix in ("", "_reverse")
        for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    ]
    values = np.concatenate([p.detach().numpy().ravel() for p in layer.parameters()])
    assert np.abs(values).max() < 0.25 and np.abs(values).max() > 0.24  # uniform in +-1/sqrt(16)
    assert abs(values.mean()) < 4 * 0.25 / np.sqrt(3 * values.size)
    assert layer.weight_ih_l1.shape[1] == 32
    layer.flatten_parameters()
    assert [len(ps) for ps in layer.all_weights] == [4] * 4


def test_projection() -> None:
    layer = nn.LSTM(3, 8, 2, proj_size=2, bidirectional=True)
    y, (h, c) = layer(gg.ones(5, 4, 3))
    assert (y.shape, h.shape, c.shape) == ((5, 4, 4), (4, 4, 2), (4, 4, 8))
    assert layer.weight_hr_l1_reverse.shape == (2, 8) and layer.weight_ih_l1.shape == (32, 4)


def test_dropout_is_between_layers_and_in_training_only() -> None:
    gg.manual_seed(0)
    layer, x = nn.GRU(3, 64, 2, dropout=0.5), ramp(4, 2, 3, dtype=gg.float32)
    (a, _), (b, _) = layer(x), layer(x)
    assert not gg.equal(a, b)
    layer.eval()
    (c, _), (d, _) = layer(x), layer(x)
    assert gg.equal(c, d)
    with pytest.warns(UserWarning, match=r"GRU\(dropout=0.5, num_layers=1\): dropout comes after"):
        single = nn.GRU(3, 4, dropout=0.5)
    assert gg.equal(single(x)[0], single(x)[0])


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
def test_outputs_lie_as_inputs_do(batch_first: bool, bidirectional: bool) -> None:
    """Batch-first memory stays batch-first, so what reads the output next copies nothing."""
    layer = nn.LSTM(3, 4, batch_first=batch_first, bidirectional=bidirectional)
    y, _ = layer(gg.ones(2, 5, 3))
    assert y.is_contiguous()
    turned, _ = layer(gg.ones(2, 5, 3).transpose(0, 1))
    assert turned.transpose(0, 1).is_contiguous()


def test_inference_keeps_nothing() -> None:
    layer = nn.LSTM(3, 4)
    with gg.no_grad():
        y, (h, c) = layer(gg.ones(5, 2, 3))
    assert not (y.requires_grad or h.requires_grad or c.requires_grad)


def test_gradient_of_one_result_alone() -> None:
    """Of y, of h_n, of c_n: each on its own adds up to that of all."""
    layer, x = nn.LSTM(2, 3, dtype=gg.float64), ramp(4, 2, 2)

    def gradient(pick: Callable[..., gg.Tensor]) -> np.ndarray:
        leaf = x.clone().requires_grad_()
        y, (h, c) = layer(leaf)
        (dx,) = gg.autograd.grad(pick(y, h, c), leaf)
        assert dx is not None
        return dx.numpy()

    parts = [
        gradient(lambda y, h, c: y.square().sum()),
        gradient(lambda y, h, c: h.exp().sum()),
        gradient(lambda y, h, c: c.sin().sum()),
    ]
    whole = gradient(lambda y, h, c: y.square().sum() + h.exp().sum() + c.sin().sum())
    np.testing.assert_allclose(sum(parts), whole, rtol=1e-12)


def test_changes_in_place_are_noticed() -> None:
    """The output is saved for backward, also where both directions share one array."""
    layer = nn.GRU(2, 3, bidirectional=True)
    y, _ = layer(gg.ones(4, 2, 2))
    total = y.sum()
    with gg.no_grad():
        y.mul_(2.0)
    with pytest.raises(gg.errors.GraphError, match=r"Recurrent.backward: a tensor saved .* mul_"):
        total.backward()


def test_state_passed_on_is_one_long_sequence() -> None:
    """Ten steps at once, or four and six with the states of the four."""
    layer, x = nn.LSTM(3, 5, 2, dtype=gg.float64), ramp(10, 2, 3)
    whole, (h, c) = layer(x)
    first, states = layer(x[:4])
    second, (h2, c2) = layer(x[4:], states)
    np.testing.assert_allclose(
        gg.cat([first, second]).detach().numpy(), whole.detach().numpy(), rtol=1e-14, atol=1e-15
    )
    np.testing.assert_allclose(c2.detach().numpy(), c.detach().numpy(), rtol=1e-14, atol=1e-15)
    assert h2.shape == h.shape


def test_cells_are_steps_of_the_layer() -> None:
    layer = nn.LSTM(3, 4, dtype=gg.float64)
    cell = nn.LSTMCell(3, 4, dtype=gg.float64)
    cell.load_state_dict({k.removesuffix("_l0"): v for k, v in layer.state_dict().items()})
    x = ramp(5, 2, 3)
    y, _ = layer(x)
    states = None
    for t in range(5):
        states = cell(x[t], states)
        np.testing.assert_allclose(states[0].detach().numpy(), y[t].detach().numpy(), rtol=1e-13)


# ---- packed sequences --------------------------------------------------------------------------


def test_packing() -> None:
    x = gg.tensor([[1, 2, 3], [4, 5, 0], [6, 0, 0]])
    packed = pack_padded_sequence(x, [3, 2, 1], batch_first=True)
    assert packed.data.tolist() == [1, 4, 6, 2, 5, 3]
    assert packed.batch_sizes.tolist() == [3, 2, 1] and packed.sorted_indices is None
    padded, lengths = pad_packed_sequence(packed, True, padding_value=-1, total_length=4)
    assert padded.tolist() == [[1, 2, 3, -1], [4, 5, -1, -1], [6, -1, -1, -1]]
    assert lengths.tolist() == [3, 2, 1]
    turned = pack_padded_sequence(x.T[:, [2, 0, 1]], gg.tensor([1, 3, 2]), enforce_sorted=False)
    assert turned.data.tolist() == packed.data.tolist()
    assert turned.sorted_indices is not None and turned.unsorted_indices is not None
    assert turned.sorted_indices.tolist() == [1, 2, 0]
    assert turned.unsorted_indices.tolist() == [2, 0, 1]
    assert pad_packed_sequence(turned)[1].tolist() == [1, 3, 2]


def test_packed_sequences_move() -> None:
    packed = pack_sequence([gg.ones(1, 2), gg.ones(3, 2)], enforce_sorted=False)
    moved = packed.to("sim").double()
    assert isinstance(moved, PackedSequence) and moved.data.dtype == gg.float64
    assert moved.sorted_indices is not None and moved.sorted_indices.device.type == "sim"
    assert moved.batch_sizes.device.type == "cpu"
    assert packed.to("cpu") is packed
    layer = nn.GRU(2, 3).to("sim")
    y, h = layer(packed.to("sim"))
    assert y.data.device.type == "sim" and h.shape == (1, 2, 3)


def test_what_is_beyond_a_length_does_not_matter() -> None:
    """Neither its values nor their number; padded input through a mask of lengths is the same."""
    layer = nn.GRU(2, 3, 2, bidirectional=True, batch_first=True, dtype=gg.float64)
    x = ramp(2, 5, 2)
    other = x.clone()
    other[1, 3:] = 1e6
    found = []
    for data in (x, other):
        packed = pack_padded_sequence(data, [5, 3], batch_first=True)
        y, h = layer(packed)
        found.append((pad_packed_sequence(y, batch_first=True)[0], h))
    assert gg.equal(found[0][0], found[1][0]) and gg.equal(found[0][1], found[1][1])
    alone, h = layer(x[1:, :3])
    np.testing.assert_allclose(
        found[0][0][1:, :3].detach().numpy(), alone.detach().numpy(), rtol=1e-13
    )
    np.testing.assert_allclose(found[0][1][:, 1:].detach().numpy(), h.detach().numpy(), rtol=1e-13)
    assert found[0][0][1, 3:].abs().sum().item() == 0


def test_gradients_pass_through_packing() -> None:
    xs = [ramp(n, 2).requires_grad_() for n in (3, 1)]
    rows = pack_sequence(xs).data
    (rows * gg.tensor(np.arange(4.0)[:, None])).sum().backward()
    assert xs[0].grad is not None and xs[1].grad is not None
    assert xs[0].grad.tolist() == [[0, 0], [2, 2], [3, 3]] and xs[1].grad.tolist() == [[1, 1]]
    x = ramp(2, 3, 1).requires_grad_()
    pack_padded_sequence(x, [3, 1], batch_first=True).data.sum().backward()
    assert x.grad is not None and x.grad.squeeze(2).tolist() == [[1, 1, 1], [1, 0, 0]]
    padded = pad_sequence(xs, batch_first=True, padding_side="left")
    assert padded[1, :2].abs().sum().item() == 0
    again = unpad_sequence(pad_sequence(xs), [3, 1])
    assert [a.shape for a in again] == [(3, 2), (1, 2)]


# ---- errors ------------------------------------------------------------------------------------

LSTM, X = nn.LSTM(4, 3, batch_first=True), gg.zeros(2, 5, 4)
H, C = gg.zeros(1, 2, 3), gg.zeros(1, 2, 3)

REFUSED: dict[str, tuple[Callable[[], Any], type[GpugradError], str]] = {
    "input size": (
        lambda: LSTM(gg.zeros(2, 5, 6)),
        ShapeError,
        "LSTM: input (2, 5, 6), which is [batch, steps, input_size], must have input_size=4 as its "
        "last axis.",
    ),
    "permuted": (
        lambda: LSTM(gg.zeros(2, 4, 5)),
        ShapeError,
        "Were its axes permuted?",
    ),
    "rank": (
        lambda: LSTM(gg.zeros(2, 5, 4, 1)),
        ShapeError,
        "LSTM: input must have 3 axes, or 2 without a batch; got (2, 5, 4, 1) float32 on cpu.",
    ),
    "state": (
        lambda: LSTM(X, (gg.zeros(1, 2, 5), C)),
        ShapeError,
        "LSTM: h_0 must be [num_layers * directions, batch, size] = (1, 2, 3); got (1, 2, 5).",
    ),
    "cell state": (
        lambda: LSTM(X, (H, gg.zeros(1, 2, 5))),
        ShapeError,
        "LSTM: c_0 must be [num_layers * directions, batch, size] = (1, 2, 3); got (1, 2, 5).",
    ),
    "batch first in a state": (
        lambda: LSTM(X, (gg.zeros(2, 1, 3), gg.zeros(2, 1, 3))),
        ShapeError,
        "The batch comes second in a state, also with batch_first; it is 2 for input (2, 5, 4), "
        "which is [batch, steps, input_size].",
    ),
    "batch second in the input": (
        lambda: nn.GRU(4, 3)(X, H),
        ShapeError,
        "it is 5 for input (2, 5, 4), which is [steps, batch, input_size].",
    ),
    "one state": (
        lambda: LSTM(X, H),
        ArgumentError,
        "LSTM: the states must be a pair of tensors, (h_0, c_0).",
    ),
    "state of a single sequence": (
        lambda: nn.GRU(4, 3)(gg.zeros(5, 4), H),
        ShapeError,
        "GRU: for an input without batch, (5, 4), h_0 must have 2 axes; got (1, 2, 3).",
    ),
    "dtype": (
        lambda: LSTM(X.double()),
        DTypeError,
        "LSTM: input (2, 5, 4) float64 on cpu must have the dtype of the weights, float32.",
    ),
    "dtype of a state": (
        lambda: LSTM(X, (H.double(), C)),
        DTypeError,
        "LSTM: h_0 must have the dtype of input",
    ),
    "device": (
        lambda: LSTM(X.to("sim")),
        DeviceError,
        "LSTM: all tensors must be on one device",
    ),
    "no steps": (
        lambda: LSTM(gg.zeros(2, 0, 4)),
        ShapeError,
        "LSTM: input (2, 0, 4), [batch, steps, input_size], has no steps.",
    ),
    "size": (
        lambda: nn.RNN(0, 3),
        ArgumentError,
        "RNN: input_size must be a positive integer, got 0.",
    ),
    "nonlinearity": (
        lambda: nn.RNN(4, 3, nonlinearity="gelu"),
        ArgumentError,
        "RNN: nonlinearity must be tanh or relu, not 'gelu'.",
    ),
    "projection": (
        lambda: nn.LSTM(4, 3, proj_size=3),
        ArgumentError,
        "LSTM: proj_size must be smaller than hidden_size=3, and 0 for no projection; got 3.",
    ),
    "dropout": (
        lambda: nn.GRU(4, 3, 2, dropout=2),
        ArgumentError,
        "GRU: dropout must be a number in [0, 1], got 2.",
    ),
    "cell input": (
        lambda: nn.GRUCell(4, 3)(gg.zeros(2, 3)),
        ShapeError,
        "GRUCell: input must be [batch, 4]; got (2, 3) float32 on cpu.",
    ),
    "state of a cell": (
        lambda: nn.LSTMCell(4, 3)(gg.zeros(2, 4), (gg.zeros(2, 3), gg.zeros(2, 4))),
        ShapeError,
        "LSTMCell: cx must be [batch, hidden_size] = (2, 3) for input (2, 4); got (2, 4).",
    ),
    "params": (
        lambda: gg.gru(X, H, [gg.zeros(9, 4)], True, 1, 0.0, False, False, True),
        ArgumentError,
        "gru: 1 params do not fit num_layers=1, bidirectional=False, has_biases=True",
    ),
    "lengths out of order": (
        lambda: pack_padded_sequence(X, [3, 5], batch_first=True),
        ArgumentError,
        "pack_padded_sequence: lengths must be in falling order, got [3, 5].\n  Sort the batch by "
        "them, or pass enforce_sorted=False.",
    ),
    "length of nothing": (
        lambda: pack_padded_sequence(X, [5, 0], batch_first=True),
        ArgumentError,
        "pack_padded_sequence: every length must be from 1 to the 5 steps of the input; got 0.",
    ),
    "too long": (
        lambda: pack_padded_sequence(X, [6, 5], batch_first=True),
        ArgumentError,
        "from 1 to the 5 steps of the input; got 6.",
    ),
    "number of lengths": (
        lambda: pack_padded_sequence(X, [5, 4]),
        ShapeError,
        "pack_padded_sequence: lengths must be one for each of 5 samples; got shape (2,).",
    ),
    "total length": (
        lambda: pad_packed_sequence(pack_padded_sequence(X, [5, 4], True), total_length=4),
        ArgumentError,
        "pad_packed_sequence: total_length=4 is less than the longest sequence, 5.",
    ),
    "features of sequences": (
        lambda: pad_sequence([gg.zeros(2, 3), gg.zeros(2, 4)]),
        ShapeError,
        "pad_sequence: all sequences must be [length, 3]; sequence 1 is (2, 4).",
    ),
    "packed sequences": (
        lambda: nn.GRU(3, 3)(pack_padded_sequence(X, [5, 4], True)),
        ShapeError,
        "must have input_size=3 as its last axis.",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    call, kind, text = REFUSED[name]
    with pytest.raises(kind, match=re.escape(text)):
        call()


def test_lengths_are_those_of_packed_sequences() -> None:
    x, lengths = gg.randn(3, 5, 4), gg.tensor([5, 2, 3])
    net = nn.GRU(4, 6, batch_first=True, bidirectional=True)
    rnn = nn.utils.rnn
    packed = rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    expected, last = net(packed)
    y, hn = net(x, lengths=lengths)
    assert gg.allclose(y, rnn.pad_packed_sequence(expected, batch_first=True)[0])
    assert gg.allclose(hn, last)
    with pytest.raises(ArgumentError, match="GRU: lengths go with a padded batch"):
        net(x[0], lengths=lengths)
