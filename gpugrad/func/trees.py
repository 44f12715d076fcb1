"""Nested tuples, lists and dictionaries of tensors, taken apart and put together again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Structure(NamedTuple):
    """What held the leaves: the type and keys of a container, or None for a leaf itself."""

    kind: Any
    keys: tuple[Any, ...]
    parts: tuple[Structure, ...]


_LEAF = Structure(None, (), ())


def flatten(tree: Any) -> tuple[list[Any], Structure]:
    """The leaves of a tree, in order, and its structure. All that is no container is a leaf."""
    if isinstance(tree, Mapping):
        keys, values = tuple(tree), list(tree.values())
    elif isinstance(tree, (tuple, list)):
        keys, values = tuple(range(len(tree))), list(tree)
    else:
        return [tree], _LEAF
    leaves: list[Any] = []
    parts = []
    for value in values:
        found, part = flatten(value)
        leaves += found
        parts.append(part)
    return leaves, Structure(type(tree), keys, tuple(parts))


def unflatten(structure: Structure, leaves: list[Any]) -> Any:
    """The tree of this structure with these leaves."""
    rest = iter(leaves)

    def build(node: Structure) -> Any:
        if node.kind is None:
            return next(rest)
        values = [build(part) for part in node.parts]
        if issubclass(node.kind, Mapping):
            return node.kind(zip(node.keys, values, strict=True))
        return node.kind(*values) if hasattr(node.kind, "_fields") else node.kind(values)

    return build(structure)


def tree_map(function: Callable[[Any], Any], tree: Any) -> Any:
    """The same tree with function(leaf) for each leaf."""
    leaves, structure = flatten(tree)
    return unflatten(structure, [function(x) for x in leaves])


def prefixes(tree: Any, structure: Structure) -> list[Any]:
    """A value for each leaf of a structure from a tree of the same shape or with whole branches
    given by one value. Raises ValueError where they do not fit."""
    if structure.kind is None or not isinstance(tree, (tuple, list, Mapping)):
        return [tree] * _count(structure)
    values = list(tree.values()) if isinstance(tree, Mapping) else list(tree)
    if len(values) != len(structure.parts):
        raise ValueError(f"{len(values)} values for {len(structure.parts)}")
    found: list[Any] = []
    for value, part in zip(values, structure.parts, strict=True):
        found += prefixes(value, part)
    return found


def _count(structure: Structure) -> int:
    if structure.kind is None:
        return 1
    return sum(_count(part) for part in structure.parts)
