"""RNN, LSTM and GRU: recurrent layers over whole sequences."""

from __future__ import annotations

import math
import warnings
from typing import Any

from ..autograd.function import describe
from ..creation import empty
from ..errors import ArgumentError, ShapeError
from ..ops.operands import check_tensor
from ..ops.recurrent import GATES, Direction
from ..ops.sequences import run, run_packed
from ..tensor import Tensor
from . import init
from .module import Module
from .parameter import Parameter
from .utils.rnn import PackedSequence

CELLS = {"RNN_TANH": "rnn_tanh", "RNN_RELU": "rnn_relu", "LSTM": "lstm", "GRU": "gru"}
_ROLES = {
    "weight_ih_l": "w_ih",
    "weight_hh_l": "w_hh",
    "bias_ih_l": "b_ih",
    "bias_hh_l": "b_hh",
    "weight_hr_l": "w_hr",
}


class RNNBase(Module):
    """What RNN, LSTM and GRU share: parameters, states, the forms of input.

    Input x: [T, B, input_size]; [B, T, input_size] with batch_first; [T, input_size] without a
    batch; or a PackedSequence. Output y alike, [..., D R]: D = 2 if bidirectional, else 1; R =
    proj_size or hidden_size. lengths int64 [B], beyond PyTorch: where the sequences of a padded
    batch end; y is 0 beyond, states are those of the ends. States [num_layers D, B, R or H]
    (without B for no batch), also with batch_first; zeros unless given.
    Layer l > 0 reads the y of layer l - 1, after dropout.
    Parameters of layer k, with "_reverse" behind for the second direction: weight_ih_lk [G H, I],
    weight_hh_lk [G H, R], bias_ih_lk, bias_hh_lk [G H], and weight_hr_lk [R, H] for projections.
    Initial values: uniform in +-1/sqrt(hidden_size).
    Raises ShapeError, DTypeError, DeviceError, ArgumentError.
    """

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.mode = mode
        self.input_size, self.hidden_size = input_size, hidden_size
        self.num_layers, self.bias, self.batch_first = num_layers, bias, batch_first
        self.dropout, self.bidirectional, self.proj_size = dropout, bidirectional, proj_size
        self._check()
        self._names: list[list[dict[str, str]]] = []
        for layer in range(num_layers):
            own = []
            for suffix in ("", "_reverse")[: 1 + bidirectional]:
                shapes = self._shapes(layer)
                names = {role: f"{role}{layer}{suffix}" for role in shapes}
                for role, name in names.items():
                    parameter = Parameter(empty(shapes[role], device=device, dtype=dtype))
                    setattr(self, name, parameter)
                own.append({_ROLES[role]: name for role, name in names.items()})
            self._names.append(own)
        self.reset_parameters()

    def _check(self) -> None:
        name = type(self).__name__
        for label in ("input_size", "hidden_size", "num_layers"):
            value = getattr(self, label)
            if not isinstance(value, int) or value < 1:
                raise ArgumentError(f"{name}: {label} must be a positive integer, got {value!r}.")
        p = self.dropout
        if isinstance(p, bool) or not isinstance(p, (int, float)) or not 0 <= p <= 1:
            raise ArgumentError(f"{name}: dropout must be a number in [0, 1], got {p!r}.")
        if p > 0 and self.num_layers == 1:
            warnings.warn(
                f"{name}(dropout={p}, num_layers=1): dropout comes after each layer but the last, "
                "so here it has no effect",
                stacklevel=4,
            )
        if not 0 <= self.proj_size < self.hidden_size:
            raise ArgumentError(
                f"{name}: proj_size must be smaller than hidden_size={self.hidden_size}, and 0 for "
                f"no projection; got {self.proj_size}."
            )

    def _shapes(self, layer: int) -> dict[str, tuple[int, ...]]:
        """The parameters of one direction of a layer."""
        gates = GATES[CELLS[self.mode]] * self.hidden_size
        width = self.proj_size or self.hidden_size
        inputs = self.input_size if layer == 0 else width * (1 + self.bidirectional)
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih_l": (gates, inputs),
            "weight_hh_l": (gates, width),
        }
        if self.bias:
            shapes |= {"bias_ih_l": (gates,), "bias_hh_l": (gates,)}
        if self.proj_size:
            shapes["weight_hr_l"] = (width, self.hidden_size)
        return shapes

    def reset_parameters(self) -> None:
        """Draws new initial values."""
        bound = 1 / math.sqrt(self.hidden_size)
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def flatten_parameters(self) -> None:
        """Does nothing: parameters may lie anywhere. For programs that call it."""

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters of each layer and direction."""
        return [[getattr(self, n) for n in own.values()] for ls in self._names for own in ls]

    def _layers(self) -> list[list[Direction]]:
        own = self.__dict__
        return [
            [Direction(None, None, **{k: own[n] for k, n in names.items()}) for names in layer]
            for layer in self._names
        ]

    def _run(
        self, input: Any, h0: Tensor | None, c0: Tensor | None, lengths: Tensor | None
    ) -> tuple[Any, Tensor, Any]:
        """(y, hn, cn) in the form of the input."""
        name, cell = type(self).__name__, CELLS[self.mode]
        if lengths is not None and getattr(input, "ndim", 0) != 3:
            raise ArgumentError(f"{name}: lengths go with a padded batch, an input of 3 axes.")
        if isinstance(input, PackedSequence):
            return self._run_packed(name, cell, input, h0, c0)
        x, layers = check_tensor(name, input), self._layers()
        options = (layers, self.dropout, self.training, self.batch_first)
        if x.ndim == 3:
            return run(name, cell, x, h0, c0, *options, lengths)
        if x.ndim != 2:
            raise ShapeError(
                f"{name}: input must have 3 axes, or 2 without a batch; got {describe(x)}."
            )
        for label, state in (("h_0", h0), ("c_0", c0)):
            if state is not None and state.ndim != 2:
                raise ShapeError(
                    f"{name}: for an input without batch, {tuple(x.shape)}, {label} must have 2 "
                    f"axes; got {tuple(state.shape)}."
                )
        h0, c0 = (None if s is None else s.unsqueeze(1) for s in (h0, c0))
        batch = 0 if self.batch_first else 1
        y, hn, cn = run(name, cell, x.unsqueeze(batch), h0, c0, *options)
        return y.squeeze(batch), hn.squeeze(1), None if cn is None else cn.squeeze(1)

    def _run_packed(
        self, name: str, cell: str, input: PackedSequence, h0: Tensor | None, c0: Tensor | None
    ) -> tuple[PackedSequence, Tensor, Any]:
        """States are in the order of the batch; the rows in falling order of length."""
        data, batch_sizes, order, back = input
        h0, c0 = (
            s if s is None or order is None or s.ndim != 3 else s.index_select(1, order)
            for s in (h0, c0)
        )
        options = (self._layers(), self.dropout, self.training)
        y, hn, cn = run_packed(name, cell, data, batch_sizes, h0, c0, *options)
        if back is not None:
            hn, cn = hn.index_select(1, back), None if cn is None else cn.index_select(1, back)
        return PackedSequence(y, batch_sizes, order, back), hn, cn

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        defaults = {
            "proj_size": 0,
            "num_layers": 1,
            "bias": True,
            "batch_first": False,
            "dropout": 0,
            "bidirectional": False,
        }
        for name, default in defaults.items():
            if getattr(self, name) != default:
                text += f", {name}={getattr(self, name)}"
        return text


class RNN(RNNBase):
    """h_t = tanh(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh), or relu; ``output, h_n = rnn(x, h_0)``.

    Shapes, parameters, initial values, errors: `RNNBase`. Elman 1990.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ArgumentError(f"RNN: nonlinearity must be tanh or relu, not {nonlinearity!r}.")
        sizes = (input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional)
        self.nonlinearity = nonlinearity
        super().__init__(f"RNN_{nonlinearity.upper()}", *sizes, device=device, dtype=dtype)

    def forward(
        self, input: Any, hx: Tensor | None = None, *, lengths: Tensor | None = None
    ) -> tuple[Any, Tensor]:
        y, hn, _ = self._run(input, hx, None, lengths)
        return y, hn


class LSTM(RNNBase):
    """i, f, o = sigmoid, g = tanh of W_ih x_t + b_ih + W_hh h_(t-1) + b_hh (in the order i f g o);
    c_t = f c_(t-1) + i g,  h_t = o tanh(c_t); with proj_size: h_t = W_hr (o tanh(c_t)).

    ``output, (h_n, c_n) = lstm(x, (h_0, c_0))``. Shapes, parameters, initial values, errors:
    `RNNBase`. Hochreiter & Schmidhuber 1997; projections: Sak et al. 2014.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        sizes = (input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional)
        super().__init__("LSTM", *sizes, proj_size, device, dtype)

    def forward(
        self,
        input: Any,
        hx: tuple[Tensor, Tensor] | None = None,
        *,
        lengths: Tensor | None = None,
    ) -> tuple[Any, tuple[Tensor, Tensor]]:
        if hx is not None and (not isinstance(hx, (tuple, list)) or len(hx) != 2):
            raise ArgumentError("LSTM: the states must be a pair of tensors, (h_0, c_0).")
        h0, c0 = (None, None) if hx is None else hx
        y, hn, cn = self._run(input, h0, c0, lengths)
        return y, (hn, cn)


class GRU(RNNBase):
    """r, z = sigmoid(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh) (the first two thirds of the rows);
    n = tanh(W_in x_t + b_in + r (W_hn h_(t-1) + b_hn)) (the last);  h_t = (1 - z) n + z h_(t-1).

    ``output, h_n = gru(x, h_0)``. Shapes, parameters, initial values, errors: `RNNBase`.
    Cho et al. 2014.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        sizes = (input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional)
        super().__init__("GRU", *sizes, device=device, dtype=dtype)

    def forward(
        self, input: Any, hx: Tensor | None = None, *, lengths: Tensor | None = None
    ) -> tuple[Any, Tensor]:
        y, hn, _ = self._run(input, hx, None, lengths)
        return y, hn
