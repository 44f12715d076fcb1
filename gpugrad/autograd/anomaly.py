"""Finding what went wrong in training: the first operation that makes a NaN, and its place."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from .. import dtype as dtypes
from ..backends import engine
from ..errors import NonFiniteError
from ..tensor import Tensor
from . import places
from .modes import MODE, wrapped_in

if TYPE_CHECKING:
    from .function import Function

_PACKAGE = str(Path(__file__).parent.parent)
_KINDS = {"isnan": "NaN", "isinf": "infinite"}


_LOCK = threading.Lock()
_watching = 0  # threads


def _watch(inspector: Any) -> None:
    """This thread's operations are inspected so, or not. While no thread's are, operations are
    spared the call."""
    global _watching
    before, MODE.inspect = MODE.inspect, inspector
    with _LOCK:
        _watching += (inspector is not None) - (before is not None)
        engine.connect(inspect=_inspected if _watching else None)


class _Watch:
    """`tests` on every result, for a `with` block or for each call of a decorated function."""

    def __init__(self, tests: tuple[str, ...]) -> None:
        self._inspector: _Inspector | None = _Inspector(tests)
        self._outer: list[Any] = []

    def __enter__(self) -> None:
        self._outer.append(MODE.inspect)
        _watch(self._inspector)

    def __exit__(self, *error: object) -> None:
        _watch(self._outer.pop())

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return wrapped_in(self._again, function)

    def _again(self) -> _Watch:
        again = _Watch(())
        again._inspector = self._inspector
        return again


def detect_nan(infinite: bool | Callable[..., Any] = False) -> Any:
    """Raise NonFiniteError at the first operation whose result holds a NaN its inputs did not.

    ``with detect_nan():`` or ``@detect_nan()`` (or ``@detect_nan``). Forward and backward are
    watched. The text names the operation, the pass, shapes, dtypes, how many NaN, which inputs were
    infinite, the line that called the operation, and the module it belongs to, as
    ``encoder.layers.2.linear1 (Linear) of Net``. `infinite` watches infinities, too.
    Each operation waits for the device, so this is for finding a fault, not for training.
    """
    if callable(infinite):
        return _Watch(("isnan",))(infinite)
    return _Watch(("isnan", "isinf") if infinite else ("isnan",))


def detect_anomaly(check_nan: bool = True) -> Any:
    """PyTorch's name for `detect_nan`; with check_nan=False only the lines of the calls are noted,
    which errors in backward then tell."""
    return _Watch(("isnan",) if check_nan else ())


class set_detect_anomaly(_Watch):
    """``set_detect_anomaly(mode)`` switches at once; as a `with` block it also switches back."""

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        super().__init__(("isnan",) if check_nan else ())
        if not mode:
            self._inspector = None
        super().__enter__()

    def __enter__(self) -> None:
        _watch(self._inspector)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        self.__exit__()  # a decorator: only the calls are meant
        return super().__call__(function)


def is_anomaly_enabled() -> bool:
    """True while operations are watched or their lines noted."""
    return MODE.inspect is not None


def is_anomaly_check_nan_enabled() -> bool:
    """True while results are watched for NaN."""
    return isinstance(MODE.inspect, _Inspector) and bool(MODE.inspect.tests)


class _Inspector:
    """Called with every operation: notes where it was called, looks at its results."""

    def __init__(self, tests: tuple[str, ...]) -> None:
        self.tests = tests

    def __call__(
        self, where: str, node: Function, inputs: Sequence[Any], results: Sequence[Any]
    ) -> None:
        before, after = node.kernels, node.backend.kernels  # differ where a tensor changes device
        if where == "forward":
            node.site = _call_site()
        else:
            before, after = after, before
        for i, y in enumerate(results):
            for test in self.tests:
                found = _count(after, test, y)
                if found and not any(_count(before, t, x) for t in self.tests for x in inputs):
                    facts = [_fact(before, x) for x in inputs]
                    which = f"gradient {i}" if where == "backward" else "the result"
                    raise NonFiniteError(
                        f"{type(node).__name__} {where}: {found} of {y.size} elements of {which} "
                        f"{_shape(y)} are {_KINDS[test]}, while no input is.\n"
                        f"  inputs: {', '.join(facts)}{_saved_facts(where, node)}\n"
                        f"  called at {node.site or 'an unknown line (forward not watched)'}"
                    )


places.unseen.add(_Inspector.__call__.__code__)


def _inspected(node: Function, data: Any, inputs: Sequence[Any], needed: bool) -> None:
    """Forward under detect_nan: remember the place, then look at the result."""
    if MODE.inspect is not None:
        arrays = [x.array if isinstance(x, Tensor) else x for x in inputs]
        MODE.inspect("forward", node, arrays, data if type(data) is tuple else (data,))


def _count(kernels: Any, test: str, x: Any) -> int:
    if not hasattr(x, "shape") or not dtypes.is_floating(x.dtype):
        return 0
    found = kernels.reduce("sum", kernels.unary(test, x), tuple(range(x.ndim)), False)
    return int(found.item())


def _shape(x: Any) -> str:
    return f"{tuple(x.shape)} {x.dtype.name}"


def _fact(kernels: Any, x: Any) -> str:
    """Shape and dtype, and how many values are not finite."""
    if not hasattr(x, "shape"):
        return repr(x)
    counts = [(_count(kernels, test, x), kind) for test, kind in _KINDS.items()]
    bad = [f"{n} {kind}" for n, kind in counts if n]
    return _shape(x) + (f" ({' and '.join(bad)})" if bad else "")


def _saved_facts(where: str, node: Function) -> str:
    if where == "forward" or not node._saved:
        return ""
    values = [entry[1] for entry in node._saved]
    facts = [_fact(node.kernels, x) for x in values if hasattr(x, "dtype") and hasattr(x, "size")]
    return f"; saved in forward: {', '.join(facts)}" if facts else ""


def _call_site() -> str:
    """file:line of the first frame outside this package, and the module that was running."""
    frame: FrameType | None = sys._getframe(1)
    line = ""
    modules: list[Any] = []  # from the innermost outwards
    while frame is not None:
        code = frame.f_code
        if not line and not code.co_filename.startswith(_PACKAGE):
            line = f"{code.co_filename}:{frame.f_lineno}"
        if places.is_module_forward(frame):
            modules.append(frame.f_locals["self"])
        frame = frame.f_back
    return line + (f", in {_module_path(modules)}" if modules else "")


def _module_path(modules: list[Any]) -> str:
    """The innermost module by its path in the outermost that holds it."""
    inner = modules[0]
    kind = type(inner).__name__
    for outer in reversed(modules[1:]):
        for path, each in outer.named_modules():
            if each is inner and path:
                return f"{path} ({kind}) of {type(outer).__name__}"
    return kind
