"""RNNCell, LSTMCell and GRUCell: one step, for loops of one's own."""

from __future__ import annotations

import math
from typing import Any

from ..autograd.function import describe
from ..creation import empty
from ..errors import ArgumentError, ShapeError
from ..ops.operands import check_tensor
from ..ops.recurrent import GATES, Direction
from ..ops.sequences import cell_step
from ..tensor import Tensor
from . import init
from .module import Module
from .parameter import Parameter


class RNNCellBase(Module):
    """What the cells share. Input [B, input_size] or [input_size]; states [B, hidden_size] or
    [hidden_size], zeros unless given.

    Parameters weight_ih [G H, I], weight_hh [G H, H], bias_ih, bias_hh [G H] (None without bias),
    uniform in +-1/sqrt(hidden_size). Raises ShapeError, DTypeError, DeviceError.
    """

    bias_ih: Parameter | None
    bias_hh: Parameter | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        num_chunks: int,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        for label, size in (("input_size", input_size), ("hidden_size", hidden_size)):
            if not isinstance(size, int) or size < 1:
                name = type(self).__name__
                raise ArgumentError(f"{name}: {label} must be a positive integer, got {size!r}.")
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        gates = num_chunks * hidden_size
        self.weight_ih = Parameter(empty((gates, input_size), device=device, dtype=dtype))
        self.weight_hh = Parameter(empty((gates, hidden_size), device=device, dtype=dtype))
        biases = [Parameter(empty((gates,), device=device, dtype=dtype)) for _ in range(2 * bias)]
        self.bias_ih, self.bias_hh = biases or (None, None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws new initial values."""
        bound = 1 / math.sqrt(self.hidden_size)
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def _step(self, cell: str, input: Tensor, *states: Tensor | None) -> list[Tensor]:
        """The states after one step, in the form of the input."""
        name = type(self).__name__
        x = check_tensor(name, input)
        if x.ndim not in (1, 2):
            raise ShapeError(
                f"{name}: input must be [batch, {self.input_size}], or [{self.input_size}] without "
                f"a batch; got {describe(x)}."
            )
        single = x.ndim == 1
        h, c = [None if s is None else s.unsqueeze(0) if single else s for s in (*states, None)][:2]
        own = Direction(h, c, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        found = cell_step(name, cell, x.unsqueeze(0) if single else x, own)
        return [s.squeeze(0) for s in found] if single else found

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        text += "" if self.bias else ", bias=False"
        nonlinearity = getattr(self, "nonlinearity", "tanh")
        return text if nonlinearity == "tanh" else f"{text}, nonlinearity={nonlinearity}"


class RNNCell(RNNCellBase):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu; ``h = cell(x, h)``. Elman 1990."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ArgumentError(
                f"RNNCell: nonlinearity must be tanh or relu, not {nonlinearity!r}."
            )
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        return self._step(f"rnn_{self.nonlinearity}", input, hx)[0]


class LSTMCell(RNNCellBase):
    """One step of `LSTM`; ``h, c = cell(x, (h, c))``."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, GATES["lstm"], device, dtype)

    def forward(
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        if hx is not None and (not isinstance(hx, (tuple, list)) or len(hx) != 2):
            raise ArgumentError("LSTMCell: the states must be a pair of tensors, (h, c).")
        h, c = self._step("lstm", input, *((None, None) if hx is None else hx))
        return h, c


class GRUCell(RNNCellBase):
    """One step of `GRU`; ``h = cell(x, h)``."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, GATES["gru"], device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        return self._step("gru", input, hx)[0]
