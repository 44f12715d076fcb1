"""L-BFGS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import dtype as dtypes
from .. import ops
from ..autograd import enable_grad, no_grad
from ..errors import ArgumentError, DataError
from ..tensor import Tensor
from . import checkpoint
from .optimizer import Group, Optimizer
from .wolfe import Line, Point, strong_wolfe

LISTS = ("old_dirs", "old_stps", "ro")
TENSORS = ("d", "prev_flat_grad")


class LBFGS(Optimizer):
    """Quasi-Newton steps from the last history_size changes of gradient (Liu & Nocedal 1989).

    step(closure) calls the closure, which clears the gradients, computes the loss, calls backward
    and returns the loss, up to max_eval times (max_iter * 5 / 4 unless given) in up to max_iter
    iterations. It ends where the largest element of the gradient is at most tolerance_grad, or
    that of the step, or the change of loss, at most tolerance_change. lr is the length of a
    step; with line_search_fn="strong_wolfe" only of the first try.

    All parameters are one vector, of one device, in one group. Half types have a float32 one. The
    host looks at losses and slopes, so a step waits for the device and cannot be captured.

    State, of the first parameter: func_evals, n_iter, d (direction), t (step), old_dirs (changes
    of gradient), old_stps (changes of parameters), ro (1 / their products), H_diag,
    prev_flat_grad, prev_loss.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1.0,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)
        self._params: list[Tensor] = self.param_groups[0]["params"]
        self._state: dict[str, Any] = {}

    def add_param_group(self, param_group: Group) -> None:
        """Adds the one group there is."""
        if self.param_groups:
            raise ArgumentError(
                "LBFGS: all parameters are one vector, so there is one group without options of "
                "its own; pass a list of parameters"
            )
        super().add_param_group(param_group)

    def _check_group(self, group: Group) -> None:
        self._at_least_zero(group, "lr")
        if group["line_search_fn"] not in (None, "strong_wolfe"):
            raise ArgumentError(
                f"LBFGS(line_search_fn={group['line_search_fn']!r}): None or 'strong_wolfe'"
            )

    # ---- stepping ----------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Up to max_iter iterations; returns the loss that the closure gave first."""
        if closure is None:
            raise TypeError(
                "LBFGS.step(closure): give a function that clears the gradients, computes the "
                "loss, calls backward and returns the loss; one step calls it several times"
            )
        with no_grad():
            loss = self._evaluate(closure)
            state = self._state
            state["func_evals"] = state.get("func_evals", 0) + 1
            gradient = self._gradient()
            if _largest(gradient) > self.param_groups[0]["tolerance_grad"]:
                self._iterate(closure, float(loss), gradient)
        return loss

    def _iterate(self, closure: Callable[[], Any], loss: float, gradient: Tensor) -> None:
        group, state = self.param_groups[0], self._state
        change, evaluations = group["tolerance_change"], 1
        for i in range(1, group["max_iter"] + 1):
            state["n_iter"] = state.get("n_iter", 0) + 1
            d = state["d"] = self._direction(gradient)
            state["prev_flat_grad"], state["prev_loss"] = gradient, loss
            t = float(group["lr"])
            if state["n_iter"] == 1:
                t *= min(1.0, 1.0 / gradient.abs().sum().item())
            state["t"] = t
            slope = gradient.dot(d).item()
            if slope > -change:
                return
            here, used = Point(0.0, loss, gradient, slope), 0
            last = i == group["max_iter"]
            left = group["max_eval"] - evaluations
            here, used = self._move(closure, here, d, t, left, last)
            loss, gradient, state["t"] = here.loss, here.gradient, here.t
            evaluations += used
            state["func_evals"] += used
            if (
                last
                or evaluations >= group["max_eval"]
                or _largest(gradient) <= group["tolerance_grad"]
                or _largest(d * here.t) <= change
                or abs(loss - state["prev_loss"]) < change
            ):
                return

    def _move(
        self, closure: Callable[[], Any], start: Point, d: Tensor, t: float, left: int, last: bool
    ) -> tuple[Point, int]:
        """Goes along d; where that leads, and how often the closure was called."""
        if self.param_groups[0]["line_search_fn"] is None:
            self._add(d, t)
            if last:  # nobody will read the loss and gradient there
                return start._replace(t=t), 0
            return Point(t, float(self._evaluate(closure)), self._gradient(), start.slope), 1
        before = [p.clone() for p in self._params]

        def evaluate(t: float) -> tuple[float, Tensor]:
            self._add(d, t)
            loss, gradient = float(self._evaluate(closure)), self._gradient()
            for p, old in zip(self._params, before, strict=True):
                p.copy_(old)
            return loss, gradient

        line = Line(start, d, _largest(d), evaluate)
        found = strong_wolfe(line, t, self.param_groups[0]["tolerance_change"], left)
        self._add(d, found.t)
        return found, line.evaluations

    def _direction(self, gradient: Tensor) -> Tensor:
        """-H gradient, by the two loops over the history; steepest descent at first."""
        state, group = self._state, self.param_groups[0]
        if state["n_iter"] == 1:
            state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1.0)
            return -gradient
        y, s = gradient - state["prev_flat_grad"], state["d"] * state["t"]
        dirs, steps, ro = (state[name] for name in LISTS)
        ys = y.dot(s)
        if ys.item() > 1e-10:
            if len(dirs) == group["history_size"]:
                for each in (dirs, steps, ro):
                    each.pop(0)
            dirs.append(y)
            steps.append(s)
            ro.append(1.0 / ys)
            state["H_diag"] = ys / y.dot(y)
        q, shares = -gradient, []
        for each_y, each_s, each_ro in zip(dirs[::-1], steps[::-1], ro[::-1], strict=True):
            share = each_s.dot(q) * each_ro
            q = q - share * each_y
            shares.append(share)
        r: Tensor = q * state["H_diag"]
        for each_y, each_s, each_ro in zip(dirs, steps, ro, strict=True):
            r = r + (shares.pop() - each_y.dot(r) * each_ro) * each_s
        return r

    def _evaluate(self, closure: Callable[[], Any]) -> Any:
        with enable_grad():
            return closure()

    def _gradient(self) -> Tensor:
        """All gradients as one vector; zero where there is none."""
        dtype = max((dtypes.accumulation(p.dtype) for p in self._params), key=lambda d: d.itemsize)
        parts = [p.new_zeros(p.shape) if p.grad is None else p.grad for p in self._params]
        return ops.cat([part.detach().reshape(-1).to(dtype) for part in parts])

    def _add(self, d: Tensor, t: float) -> None:
        """Every parameter += t times its part of d."""
        start = 0
        for p in self._params:
            part = d[start : start + p.numel()].reshape(tuple(p.shape))
            p.copy_(p.detach().to(d.dtype) + t * part)
            start += p.numel()

    # ---- state -------------------------------------------------------------------------------

    @property
    def state(self) -> dict[Tensor, dict[str, Any]]:
        """The first parameter -> what LBFGS remembers."""
        return {self._params[0]: self._state} if self._state else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on where another LBFGS stood. Raises DataError, changing nothing, if it misfits."""
        where = "LBFGS.load_state_dict"
        if not isinstance(state_dict, dict) or not {"state", "param_groups"} <= state_dict.keys():
            raise DataError(f"{where}: expected a dict with the keys 'state' and 'param_groups'")
        checkpoint.check_groups(where, self, state_dict["param_groups"])
        options = checkpoint.options_of(self, state_dict["param_groups"][0])
        self._check_group(options)
        saved = state_dict["state"]
        entry = dict(saved.get(0, saved.get("0", {})))
        entry.pop("al", None)  # scratch memory of PyTorch's
        size = sum(p.numel() for p in self._params)
        for name in TENSORS:
            length = _length(entry.get(name))
            if length not in (None, size):
                raise DataError(
                    f"{where}: {name} has {length} elements, the parameters together {size}"
                )
        self.param_groups[0].update(options)
        self._state = {name: self._loaded(name, value) for name, value in entry.items()}

    def _loaded(self, name: str, value: Any) -> Any:
        if name in LISTS:
            return [self._tensor(each) for each in value or []]
        if name in TENSORS:
            return None if value is None else self._tensor(value)
        if name == "H_diag":
            return self._tensor(value)
        return int(value) if name in ("func_evals", "n_iter") else float(value)

    def _tensor(self, value: Any) -> Tensor:
        gradient = self._gradient()
        host = checkpoint.on_host(value).astype(gradient.dtype)
        return Tensor(gradient.backend.from_numpy(host), gradient.backend)


def _largest(x: Tensor) -> float:
    """|x|, its largest element; 0 for none."""
    value: float = x.abs().max().item() if x.numel() else 0.0
    return value


def _length(value: Any) -> int | None:
    return None if value is None else checkpoint.on_host(value).size
