"""Recurrent networks of several layers, and single steps, with PyTorch's arguments.

params: of each layer, and in it of each direction: w_ih, w_hh, then b_ih, b_hh where there are
biases, then w_hr where there is a projection.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..amp.autocast_mode import AUTOCAST
from ..autograd.function import describe, mixed_devices
from ..errors import ArgumentError, DeviceError, DTypeError, ShapeError
from ..tensor import Tensor
from .joining import stack
from .operands import check_tensor, demand_floating
from .packing import Pack, Pad, steps
from .recurrent import GATES, Direction, Recurrent
from .sampling import dropout as drop

Layer = list[Direction]


def layers_of(
    name: str, params: Sequence[Tensor], has_biases: bool, num_layers: int, bidirectional: bool
) -> list[Layer]:
    """The weights of each direction of each layer, without states. ArgumentError for a number of
    parameters that does not fit."""
    count = num_layers * (2 if bidirectional else 1)
    basic = 4 if has_biases else 2
    each, rest = divmod(len(params), max(count, 1))
    if count < 1 or rest or each not in (basic, basic + (name == "lstm")):
        raise ArgumentError(
            f"{name}: {len(params)} params do not fit num_layers={num_layers}, "
            f"bidirectional={bidirectional}, has_biases={has_biases}: {basic} for each layer and "
            "direction, and one more of an lstm with projections."
        )
    found = []
    for i in range(0, len(params), each):
        own = list(params[i : i + each])
        biases = own[2:4] if has_biases else [None, None]
        found.append(Direction(*[None, None, *own[:2], *biases, *own[basic:]]))
    per = 2 if bidirectional else 1
    return [found[i : i + per] for i in range(0, count, per)]


def run(
    name: str,
    cell: str,
    input: Tensor,
    h0: Tensor | None,
    c0: Tensor | None,
    layers: list[Layer],
    dropout: float,
    training: bool,
    batch_first: bool,
    lengths: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """(y, hn, cn) of a network: input [T, B, I] (or [B, T, I]), h0, c0 [layers directions, B, R or
    H] or None for zeros. Dropout after each layer but the last."""
    if AUTOCAST.on:
        input, h0, c0 = AUTOCAST.cast(cell, input, h0, c0)
        layers = [[Direction(*AUTOCAST.cast(cell, *part)) for part in parts] for parts in layers]
    check(name, cell, input, h0, c0, layers, batch_first)
    h, c = (None if s is None else s.unbind(0) for s in (h0, c0))
    hs: list[Tensor] = []
    cs: list[Tensor] = []
    y, i = input, 0
    for number, layer in enumerate(layers):
        flat: list[Any] = []
        for part in layer:
            states = (None if h is None else h[i], None if c is None else c[i])
            flat += [*states, *part[2:]]
            i += 1
        y, *last = Recurrent.apply(y, lengths, *flat, cell=cell, batch_first=batch_first)
        hs += last[:: 2 if cell == "lstm" else 1]
        cs += last[1::2] if cell == "lstm" else []
        if dropout and training and number + 1 < len(layers):
            y = drop(y, dropout)
    return y, _stacked(hs), _stacked(cs) if cs else None


def _stacked(states: list[Tensor]) -> Tensor:
    return states[0].unsqueeze(0) if len(states) == 1 else stack(states)


def run_packed(
    name: str,
    cell: str,
    data: Tensor,
    batch_sizes: Tensor,
    h0: Tensor | None,
    c0: Tensor | None,
    layers: list[Layer],
    dropout: float,
    training: bool,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """`run` on packed rows [N, I], samples in falling order of length; y is packed likewise."""
    if check_tensor(name, data).ndim != 2:
        raise ShapeError(
            f"{name}: the data of a packed sequence must be [rows, {layers[0][0].w_ih.shape[1]}]; "
            f"got {describe(data)}."
        )
    where = steps(batch_sizes.numpy(), data.backend)
    if where.step.numel() != data.shape[0]:
        raise ShapeError(
            f"{name}: batch_sizes sum up to {where.step.numel()} rows; the packed data is "
            f"{describe(data)}."
        )
    padded = Pad.apply(data, where.step, where.sample, shape=where.shape, value=0)
    y, hn, cn = run(name, cell, padded, h0, c0, layers, dropout, training, False, where.lengths)
    return Pack.apply(y, where.step, where.sample), hn, cn


# ---- what is refused ---------------------------------------------------------------------------


def check(
    name: str,
    cell: str,
    input: Tensor,
    h0: Tensor | None,
    c0: Tensor | None,
    layers: list[Layer],
    batch_first: bool,
) -> None:
    """Raise ShapeError, DTypeError or DeviceError where input, states and weights do not fit."""
    x = check_tensor(name, input)
    first = layers[0][0]
    order = "[batch, steps, input_size]" if batch_first else "[steps, batch, input_size]"
    if x.ndim != 3:
        raise ShapeError(f"{name}: input must be {order}; got {describe(x)}.")
    size = first.w_ih.shape[1]
    if x.shape[2] != size:
        raise ShapeError(
            f"{name}: input {tuple(x.shape)}, which is {order}, must have input_size={size} as its "
            f"last axis.{_turned(x, size)}"
        )
    if x.dtype != first.w_ih.dtype:
        raise DTypeError(
            f"{name}: input {describe(x)} must have the dtype of the weights, "
            f"{first.w_ih.dtype.name}.\n  Convert it with .to(), or the layer."
        )
    demand_floating(name, x)
    if x.backend is not first.w_ih.backend:
        raise DeviceError(mixed_devices(name, (x, first.w_ih)))
    batch, length = (x.shape[0], x.shape[1]) if batch_first else (x.shape[1], x.shape[0])
    if length == 0:
        raise ShapeError(f"{name}: input {tuple(x.shape)}, {order}, has no steps.")
    count = len(layers) * len(layers[0])
    hidden = first.w_hh.shape[0] // GATES[cell]
    _check_state(name, "h_0", h0, (count, batch, first.w_hh.shape[1]), x, order)
    _check_state(name, "c_0", c0, (count, batch, hidden), x, order)


def _turned(x: Tensor, size: int) -> str:
    """A hint where another axis has the expected length."""
    return " Were its axes permuted?" if size in x.shape[:2] else ""


def _check_state(
    name: str, label: str, state: Any, shape: tuple[int, ...], x: Tensor, order: str
) -> None:
    if state is None:
        return
    if check_tensor(f"{name}: {label}", state).shape != shape:
        swapped = (
            "\n  The batch comes second in a state, also with batch_first; it is "
            f"{shape[1]} for input {tuple(x.shape)}, which is {order}."
        )
        raise ShapeError(
            f"{name}: {label} must be [num_layers * directions, batch, size] = {shape}; got "
            f"{tuple(state.shape)}.{swapped}"
        )
    if state.dtype != x.dtype:
        raise DTypeError(
            f"{name}: {label} must have the dtype of input; got {describe(state)}, input "
            f"{describe(x)}."
        )
    if state.backend is not x.backend:
        raise DeviceError(mixed_devices(name, (x, state)))


# ---- PyTorch's functions -----------------------------------------------------------------------


def _network(name: str, cell: str, states: int, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Both forms: (input, hx, params, has_biases, num_layers, dropout, train, bidirectional,
    batch_first), and packed (data, batch_sizes, hx, params, ... bidirectional)."""
    if len(arguments) != 9:
        raise ArgumentError(f"{name}: 9 arguments are needed, got {len(arguments)}.")
    packed = isinstance(arguments[8], bool) and not isinstance(arguments[3], bool)
    if packed:
        data, batch_sizes, hx, params, biases, count, p, train, both = arguments
    else:
        data, hx, params, biases, count, p, train, both, batch_first = arguments
    h0, c0 = hx if states == 2 else (hx, None)
    layers = layers_of(cell, params, biases, count, both)
    if packed:
        found = run_packed(name, cell, data, batch_sizes, h0, c0, layers, p, train)
    else:
        found = run(name, cell, data, h0, c0, layers, p, train, batch_first)
    return found[: states + 1]


def lstm(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    """(y, hn, cn) of ``lstm(input, (h0, c0), params, has_biases, num_layers, dropout, train,
    bidirectional, batch_first)``, or, packed, of ``lstm(data, batch_sizes, (h0, c0), params,
    has_biases, num_layers, dropout, train, bidirectional)``. nn.LSTM says what is computed."""
    y, hn, cn = _network("lstm", "lstm", 2, arguments)
    return y, hn, cn


def gru(*arguments: Any) -> tuple[Tensor, Tensor]:
    """(y, hn): as `lstm`, with h0 in place of (h0, c0)."""
    y, hn = _network("gru", "gru", 1, arguments)
    return y, hn


def rnn_tanh(*arguments: Any) -> tuple[Tensor, Tensor]:
    """(y, hn): as `gru`."""
    y, hn = _network("rnn_tanh", "rnn_tanh", 1, arguments)
    return y, hn


def rnn_relu(*arguments: Any) -> tuple[Tensor, Tensor]:
    """(y, hn): as `gru`."""
    y, hn = _network("rnn_relu", "rnn_relu", 1, arguments)
    return y, hn


def cell_step(name: str, cell: str, input: Tensor, part: Direction) -> list[Tensor]:
    """[h] or [h, c] after one step: input [B, I], states [B, H] or None for zeros."""
    if AUTOCAST.on:
        input, part = AUTOCAST.cast(cell, input)[0], Direction(*AUTOCAST.cast(cell, *part))
    x = check_tensor(name, input)
    size, hidden = part.w_ih.shape[1], part.w_hh.shape[1]
    if x.ndim != 2 or x.shape[1] != size:
        raise ShapeError(f"{name}: input must be [batch, {size}]; got {describe(x)}.")
    for label, state in (("hx", part.h0), ("cx", part.c0)):
        if state is not None and state.shape != (x.shape[0], hidden):
            raise ShapeError(
                f"{name}: {label} must be [batch, hidden_size] = {(x.shape[0], hidden)} for input "
                f"{tuple(x.shape)}; got {tuple(state.shape)}."
            )
    for t in part:
        if t is not None and t.dtype != x.dtype:
            raise DTypeError(
                f"{name}: input, states and weights must have one dtype; got input {describe(x)} "
                f"and {describe(t)}."
            )
    _, *states = Recurrent.apply(x.unsqueeze(0), None, *part, cell=cell, batch_first=False)
    return states


def lstm_cell(
    input: Tensor,
    hx: Sequence[Tensor],
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """(h, c) after one step of an LSTM from hx = (h, c): input [B, I], states [B, H]."""
    own = Direction(hx[0], hx[1], w_ih, w_hh, b_ih, b_hh)
    h, c = cell_step("lstm_cell", "lstm", input, own)
    return h, c


def gru_cell(
    input: Tensor,
    hx: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> Tensor:
    """h after one step of a GRU from hx: input [B, I], states [B, H]."""
    return cell_step("gru_cell", "gru", input, Direction(hx, None, w_ih, w_hh, b_ih, b_hh))[0]


def rnn_tanh_cell(
    input: Tensor,
    hx: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> Tensor:
    """tanh(w_ih x + b_ih + w_hh h + b_hh): input [B, I], hx [B, H]."""
    own = Direction(hx, None, w_ih, w_hh, b_ih, b_hh)
    return cell_step("rnn_tanh_cell", "rnn_tanh", input, own)[0]


def rnn_relu_cell(
    input: Tensor,
    hx: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> Tensor:
    """max(w_ih x + b_ih + w_hh h + b_hh, 0): input [B, I], hx [B, H]."""
    own = Direction(hx, None, w_ih, w_hh, b_ih, b_hh)
    return cell_step("rnn_relu_cell", "rnn_relu", input, own)[0]
