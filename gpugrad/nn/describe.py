"""The text of a module: its tree, with the number of parameters of each layer and of all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .parameter import is_lazy
from .state import is_module

if TYPE_CHECKING:
    from .module import Module


def tree(module: Module) -> str:
    """One line for each layer; the parameter count behind it; the total in the last line."""
    return "\n".join(_lines(module))


def _lines(module: Module) -> list[str]:
    name = type(module).__name__
    extra = module.extra_repr()
    children = [(key, child) for key, child in vars(module).items() if is_module(child)]
    note = count_note(module)
    if not children:
        return [f"{name}({extra}){note}"]
    lines = [f"{name}({extra}"]
    for key, child in children:
        first, *rest = _lines(child)
        lines.append(f"  ({key}): {first}")
        lines.extend("  " + line for line in rest)
    lines.append(f"){note}")
    return lines


def count_note(module: Module) -> str:
    """ "  # 101,770 parameters", with the frozen ones named; empty if there are none."""
    total = frozen = 0
    for parameter in module.parameters():
        if is_lazy(parameter):
            return "  # parameters not known yet"
        total += parameter.numel()
        frozen += 0 if parameter.requires_grad else parameter.numel()
    if total == 0:
        return ""
    if frozen == total:
        return f"  # {total:,} parameters, frozen"
    return f"  # {total:,} parameters" + (f", {frozen:,} of them frozen" if frozen else "")
