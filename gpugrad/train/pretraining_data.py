"""The corpora of `gpugrad pretrain`: plain text, and labelled texts without their labels."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

from gpugrad.errors import DataError
from gpugrad.text import IMDB, SST2, Lines, WikiText2, documents
from gpugrad.text.tables import ENDINGS, read_table
from gpugrad.train.text import TextOptions

_EACH = 20  # every so many-th document of a corpus without held-out part is held out


class Corpus:
    """The documents of a text, each as its sentences; anew each time it is iterated over.

    part: 0 leaves out every twentieth document, 1 gives these alone, None gives all.
    apart: each line is a document of its own.
    """

    def __init__(
        self, lines: Iterable[str], part: int | None = None, *, apart: bool = False
    ) -> None:
        self.lines, self.part, self.apart = lines, part, apart

    def __iter__(self) -> Iterator[list[str]]:
        lines = map(_plain, self.lines)
        groups = ([line] for line in lines) if self.apart else [lines]
        found = itertools.chain.from_iterable(documents(group) for group in groups)
        for number, document in enumerate(found):
            if self.part is None or (number % _EACH == _EACH - 1) == self.part:
                yield document

    def sentences(self) -> Iterator[str]:
        """All of them, one after the other."""
        for document in self:
            yield from document


def load_corpora(options: TextOptions) -> tuple[Corpus, Corpus]:
    """To train on and to hold out: WikiText-2's parts, or documents of anything else.

    Of IMDB and SST-2 these are the texts to train on, without their labels, each a document, as the
    rows of a table are, which needs no labels. Raises DataError for missing files and too few
    documents.
    """
    data = options.data or ""
    if data == "wikitext2":
        return Corpus(WikiText2(options.root, "train")), Corpus(WikiText2(options.root, "valid"))
    texts = _texts(data, options)
    lines: Iterable[str] = Lines(data, encoding=options.encoding) if texts is None else texts
    whole, held = (Corpus(lines, part, apart=texts is not None) for part in (0, 1))
    if sum(1 for _ in itertools.islice(held, 2)) < 2:
        raise DataError(
            f"{data}: has fewer than {2 * _EACH} documents; next-sentence pairs need others to "
            "draw from.\n  An empty line, or a title as Wikipedia has it, ends a document; each "
            "text of a table is one."
        )
    return whole, held


def _texts(data: str, options: TextOptions) -> list[str] | None:
    """The texts to train on of a data set or table, without labels; None for a text file."""
    if data == "sst2":
        return SST2(options.root).texts
    if data == "imdb":
        return IMDB(options.root).texts
    if not Path(data).is_file():
        raise DataError(
            f"{data}: there is no such file.\n  --corpus names a text file, wikitext2, imdb, sst2, "
            f"or a file that ends in {', '.join(ENDINGS)}."
        )
    if Path(data).suffix.lower() in ENDINGS:
        return read_table(data, options.text_column, None, options.encoding, labelled=False).texts
    return None


def _plain(line: str) -> str:
    """WikiText's signs as they are in other texts."""
    for sign in ("-", ",", "."):
        line = line.replace(f" @{sign}@ ", sign)
    return line.replace("<unk>", "[UNK]")
