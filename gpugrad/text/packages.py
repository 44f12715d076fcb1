"""Packages that only this room needs, imported when something asks for them."""

from __future__ import annotations

import importlib
import os
from typing import Any

from gpugrad.errors import PackageError


def tokenizers_library() -> Any:
    """Hugging Face's `tokenizers`. Raises PackageError when it is not installed."""
    # Several processes tokenizing at once is what the library warns about; ours never fork it.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
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
