"""Plain texts to model: tiny Shakespeare (in the package), WikiText-2, and files of one's own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar

from gpugrad.data.vision import data_root
from gpugrad.errors import ArgumentError, DataError
from gpugrad.text.lines import Lines, PathLike, read_text

SHAKESPEARE = Path(__file__).parent / "files" / "tinyshakespeare.txt"
_HEADING = re.compile(r"(=(?: =)*) [^=].*[^=] (=(?: =)*)\Z")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[.!?][\"')\]])\s+")
_MIN_LETTERS = 2  # in a sentence


def tiny_shakespeare(part: str = "all") -> str:
    """A million letters of Shakespeare's plays; public domain, chosen by A. Karpathy (2015).

    part: "all", "train" (the first 90 %), or "valid" (the rest).
    """
    text = read_text(SHAKESPEARE)
    cut = len(text) * 9 // 10
    parts = {"all": text, "train": text[:cut], "valid": text[cut:]}
    if part not in parts:
        raise ArgumentError(f"tiny_shakespeare: part = {part!r}; known are {', '.join(parts)}.")
    return parts[part]


class WikiText2:
    """The lines of good and featured Wikipedia articles, 2 million words (Merity et al. 2016).

    Args:
        root: a folder with wiki.train.tokens, or with such a folder wikitext-2; None takes
            GPUGRAD_DATA.
        part: "train", "valid" or "test".

    Iterating gives lines; `path` is the file. Raises DataError when it is missing.
    """

    FOLDERS: ClassVar[tuple[str, ...]] = ("wikitext-2", "wikitext-2-v1", "wikitext-2-raw")

    def __init__(self, root: PathLike | None = None, part: str = "train") -> None:
        if part not in ("train", "valid", "test"):
            raise ArgumentError(f"WikiText2: part = {part!r}; known are train, valid, test.")
        place = data_root(root)
        folders = [] if place is None else [place, *(place / name for name in self.FOLDERS)]
        names = [f"wiki.{part}.tokens", f"wiki.{part}.raw"]
        found = [folder / name for folder in folders for name in names]
        path = next((each for each in found if each.is_file()), None)
        if path is None:
            looked = f" in {place}" if place else ""
            raise DataError(
                f"WikiText-2: no wiki.{part}.tokens{looked}.\n  Put the files of WikiText-2 "
                "there, or set GPUGRAD_DATA to the folder with wikitext-2."
            )
        self.path, self.part = path, part

    def __iter__(self) -> Iterator[str]:
        return iter(Lines(self.path))


def documents(lines: Iterable[str]) -> Iterator[list[str]]:
    """The documents of a corpus, each as its sentences.

    Where lines are headings as Wikipedia dumps have them (" = Title = "), a title begins a document
    and other headings are left out; otherwise an empty line ends one. A line with several sentences
    is split after . ! ? and a space.
    """
    sentences: list[str] = []
    headed = False
    for line in lines:
        line = line.strip()
        heading = _HEADING.match(line)
        if heading:
            headed = True
        ends = heading[1] == "=" if heading else not line and not headed
        if ends and sentences:
            yield sentences
            sentences = []
        if line and not heading:
            found = (each.strip() for each in _SENTENCE_END.split(line))
            sentences += [s for s in found if sum(c.isalpha() for c in s) >= _MIN_LETTERS]
    if sentences:
        yield sentences
