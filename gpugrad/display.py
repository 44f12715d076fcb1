"""How tensors print: as PyTorch's do, with our names of dtypes and of operations."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from . import backends
from . import dtype as dtypes
from .errors import ArgumentError

if TYPE_CHECKING:
    from .tensor import Tensor

_SILENT = (dtypes.int64, dtypes.bool_)
_PREFIX = "tensor("


@dataclass(frozen=True)
class PrintOptions:
    """What `set_printoptions` sets; these are the defaults."""

    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


PROFILES = {
    "default": PrintOptions(),
    "short": PrintOptions(precision=2, edgeitems=2),
    "full": PrintOptions(threshold=math.inf),
}
_options = PROFILES["default"]


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """How tensors print from now on; what is not given stays as it is.

    precision: digits after the point (4). threshold: with more elements than these (1000) only
    `edgeitems` (3) at both ends of each axis are shown. linewidth: characters in a line (80).
    profile: "default", "short" or "full", applied first. sci_mode: True or False forces scientific
    notation or its absence; by default, and after each call without it, it is used where numbers
    would lose digits: the largest 1000 times the smallest, above 1e8, or the smallest below 1e-4.
    """
    global _options
    if profile is not None and profile not in PROFILES:
        raise ArgumentError(f"set_printoptions: profile must be one of {tuple(PROFILES)}.")
    base = _options if profile is None else PROFILES[profile]
    given: dict[str, Any] = {
        "precision": precision,
        "threshold": threshold,
        "edgeitems": edgeitems,
        "linewidth": linewidth,
    }
    given = {name: value for name, value in given.items() if value is not None}
    for name, value in given.items():
        if not isinstance(value, (int, float)) or value < 0:
            raise ArgumentError(f"set_printoptions: {name} must not be negative, got {value!r}.")
    _options = replace(base, sci_mode=sci_mode, **given)


def get_printoptions() -> PrintOptions:
    """The options in force."""
    return _options


class _Style:
    """How the elements of one tensor are written: all in one way, to one width."""

    def __init__(self, shown: np.ndarray[Any, Any]) -> None:
        self.floating = shown.dtype.kind == "f"
        self.whole, self.scientific, self.width = True, False, 1
        if not self.floating:
            self.width = max((len(str(v)) for v in shown.ravel().tolist()), default=1)
            return
        wide = shown.astype(np.float64).ravel()
        usual = wide[np.isfinite(wide) & (wide != 0)]
        if not usual.size:
            return
        sizes = np.abs(usual)
        low, high = float(sizes.min()), float(sizes.max())
        self.whole = bool(np.all(usual == np.ceil(usual)))
        self.scientific = high / low > 1000 or high > 1e8 or low < 1e-4
        if _options.sci_mode is not None:
            self.scientific = _options.sci_mode
        self.width = max(len(self.text(v)) for v in usual.tolist())

    def text(self, value: Any) -> str:
        """One element, not padded."""
        if not self.floating:
            return str(value)
        if self.scientific:
            return f"{value:.{_options.precision}e}"
        if self.whole:
            return f"{value:.0f}" + ("." if math.isfinite(value) else "")
        return f"{value:.{_options.precision}f}"

    def padded(self, value: Any) -> str:
        """One element, as wide as all."""
        return self.text(value).rjust(self.width)


def _shown(tensor: Tensor) -> tuple[np.ndarray[Any, Any], bool]:
    """(the values to show, whether those between the edges are left out)."""
    edge = _options.edgeitems
    array, summarised = tensor.array, tensor.numel() > _options.threshold

    def parts(x: Any, axis: int) -> np.ndarray[Any, Any]:
        if axis == x.ndim:
            return tensor.backend.to_numpy(x)
        if not summarised or x.shape[axis] <= 2 * edge:
            return parts(x, axis + 1)
        at = (slice(None),) * axis
        both = [x[(*at, slice(None, edge))], x[(*at, slice(x.shape[axis] - edge, None))]]
        return np.concatenate([parts(each, axis + 1) for each in both], axis)

    values = parts(array, 0)
    if values.dtype in (dtypes.bfloat16, dtypes.float16, *dtypes.FLOAT8):
        values = values.astype(np.float32)
    return values, summarised


def _body(
    values: np.ndarray[Any, Any], shape: tuple[int, ...], indent: int, style: _Style, cut: bool
) -> str:
    """Nested brackets; `shape` is the tensor's, of which `values` may hold the edges only."""
    if not shape:
        return style.padded(values.item())
    edge = _options.edgeitems
    cut_here = cut and shape[0] > 2 * edge
    if len(shape) == 1:
        per_line = max(1, (_options.linewidth - indent) // (style.width + 2))
        items = [style.padded(v) for v in values.tolist()]
        if cut_here:
            items[edge:edge] = [" ..." if edge else "..."]
        lines = [", ".join(items[i : i + per_line]) for i in range(0, len(items), per_line)]
        return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"
    blocks = [_body(part, shape[1:], indent + 1, style, cut) for part in values]
    if cut_here:
        blocks[edge:edge] = ["..."]
    return "[" + ("," + "\n" * (len(shape) - 1) + " " * (indent + 1)).join(blocks) + "]"


def _facts(tensor: Tensor) -> list[str]:
    """What stands after the values, as far as it is not the usual."""
    facts, empty = [], tensor.numel() == 0
    if tensor.backend is not backends.get("cpu"):
        facts.append(f"device='{tensor.device}'")
    if (empty and tensor.ndim != 1) or not (empty or _options.edgeitems):
        facts.append(f"size={tensor.shape}")
    silent = () if empty else _SILENT
    if tensor.dtype not in silent and tensor.dtype != dtypes.get_default_dtype():
        facts.append(f"dtype={tensor.dtype.name}")
    if tensor.grad_fn is not None:
        facts.append(f"grad_fn={tensor.grad_fn!r}")
    elif tensor.requires_grad:
        facts.append("requires_grad=True")
    return facts


def text(tensor: Tensor) -> str:
    """``tensor([1., 2.], device='sim', dtype=float16, grad_fn=<Exp>)``; the usual is left out."""
    if tensor.numel() == 0:
        body = "[]"
    else:
        values, cut = _shown(tensor)
        body = _body(values, tensor.shape, len(_PREFIX), _Style(values), cut)
    written = _PREFIX + body
    column = len(written) - written.rfind("\n") + 1
    for fact in _facts(tensor):
        if column + len(fact) + 2 > _options.linewidth:
            written += ",\n" + " " * len(_PREFIX) + fact
            column = len(_PREFIX) + len(fact)
        else:
            written += ", " + fact
            column += len(fact) + 2
    return written + ")"
