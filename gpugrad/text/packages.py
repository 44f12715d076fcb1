"""Packages that only this room needs, imported when something asks for them."""

from __future__ import annotations

import importlib
import os
from typing import Any

from gpugrad.errors import PackageError

_PARALLEL = "TOKENIZERS_PARALLELISM"
_unset = False  # whether the variable is unset, but for the moment of a fork


def _before_fork() -> None:
    """Say what the library would warn that nobody said."""
    global _unset
    _unset = _PARALLEL not in os.environ
    os.environ.setdefault(_PARALLEL, "false")


def _in_parent() -> None:
    if _unset:
        os.environ.pop(_PARALLEL, None)


def _in_child() -> None:
    """Its threads are not there in a forked process, which would wait for them for ever."""
    os.environ[_PARALLEL] = "false"


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)


def tokenizers_library() -> Any:
    """Hugging Face's `tokenizers`. Raises PackageError when it is not installed."""
    return _imported("tokenizers", "tokenizing", "pip install 'gpugrad[text]'")


def nltk_library() -> Any:
    """NLTK. Raises PackageError when it is not installed."""
    return _imported("nltk", "removing stop words and lemmatizing", "pip install nltk")


def _imported(name: str, purpose: str, command: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise PackageError(
            f"{purpose} needs the package {name!r}, which cannot be imported ({error}).\n"
            f"  Install it: {command}"
        ) from error
