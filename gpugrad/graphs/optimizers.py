"""Optimizers of a captured step: their options, learning rates and counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from ..optim.buckets import Bucket
from ..optim.optimizer import Optimizer
from ..tensor import Tensor

Refuse = Callable[[str, str], None]

_NOT_REPEATED = ("params", "param_names", "initial_lr")


class Stepped:
    """One optimizer that steps in a graph.

    Learning rates and counts of steps lie on the device, where the graph reads them. All other
    options are repeated as they were, and so is the rate in an optimizer with a `step` of its own.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self.kind = type(optimizer).__name__
        self.count = 0
        self.own = True  # until it is seen `stepping`
        self.options: list[dict[str, Any]] = []
        self._rates: list[Any] = []
        self._known: set[Tensor] = set()

    def entering(self) -> None:
        """Its step was called."""
        self._known = set(self.optimizer._own_state)

    def stepping(self, refuse: Refuse, outside: Callable[[], AbstractContextManager[None]]) -> None:
        """State and learning rates are made outside of the graph, which would make them anew."""
        rates = [group["lr"] for group in self.optimizer.param_groups]
        if self.own:
            self._rates, self.own = rates, False
        elif self._rates != rates:
            refuse(
                f"the learning rate of {self.kind} changes between two of its steps",
                "Capture each step of the optimizer by itself.",
            )
        with outside():
            self.optimizer.prepare()

    def stepped(self, refuse: Refuse) -> None:
        """Its step is done. One with a step of its own must have had its state, on the device."""
        self.count += 1
        if self.own:
            self._check_own(refuse)
        if self.count == 1:
            self.options = [self._repeated(group) for group in self.optimizer.param_groups]

    def _check_own(self, refuse: Refuse) -> None:
        state = self.optimizer._own_state
        new = [param for param in state if param not in self._known]
        for param in new:
            del state[param]
        if new:
            refuse(f"{self.kind} made its state while it was captured", "Raise warm_up.")
        for entry in state.values():
            for name, value in entry.items():
                if isinstance(value, (int, float)):
                    refuse(
                        f"{self.kind} keeps {name!r} as a Python number, which would not move on",
                        "Keep it in a tensor.",
                    )

    def _repeated(self, group: dict[str, Any]) -> dict[str, Any]:
        kept = {name: value for name, value in group.items() if name not in _NOT_REPEATED}
        if "lr" in kept and (not self.own or isinstance(kept["lr"], Tensor)):
            del kept["lr"]
        return kept

    def changed(self) -> str:
        """Which option is another one now; "" where none is."""
        groups = self.optimizer.param_groups
        if len(groups) != len(self.options):
            return f"{self.kind} has {len(groups)} parameter groups"
        for i, (options, group) in enumerate(zip(self.options, groups, strict=True)):
            for name, value in options.items():
                if group[name] is not value and group[name] != value:
                    return f"{self.kind}.param_groups[{i}]['{name}'] is {group[name]}"
        return ""

    def _buckets(self) -> Iterator[tuple[dict[str, Any], Bucket]]:
        for group, plan in zip(self.optimizer.param_groups, self.optimizer._plans, strict=True):
            for bucket in plan.buckets:
                yield group, bucket

    def prepare(self) -> None:
        """Before a replay: the device has the learning rates of now, and master weights of
        parameters that were changed since the last step."""
        for group, bucket in self._buckets():
            bucket.renew_masters()
            if not isinstance(group["lr"], Tensor) and bucket.lr != group["lr"]:
                bucket.set_lr(group["lr"])

    def replayed(self, operation: str) -> None:
        """After a replay: its steps count, and its parameters have changed."""
        self.optimizer.step_count += self.count
        for group in self.optimizer.param_groups:
            for param in group["params"]:
                param._counter.changed(operation)
        for _, bucket in self._buckets():
            bucket.note_masters()
