"""Small files in the layouts of published texts, and sentences whose class can be learnt."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np

GOOD = ("wonderful", "brilliant", "moving", "superb", "delightful")
BAD = ("dreadful", "boring", "clumsy", "awful", "tedious")
_THINGS = ("film", "story", "cast", "ending", "script", "music", "scene", "plot")


def sentences(count: int, seed: int = 0) -> tuple[list[str], list[int]]:
    """(texts, labels): what is said of things decides; half of them are positive."""
    rng = np.random.default_rng(seed)
    texts, labels = [], []
    for i in range(count):
        words = (BAD, GOOD)[i % 2]
        things = rng.choice(_THINGS, int(rng.integers(1, 4)))
        parts = [f"the {thing} is {rng.choice(words)}" for thing in things]
        texts.append(f"{' and '.join(parts)} .")
        labels.append(i % 2)
    return texts, labels


def write_table(path: Path, count: int = 200, seed: int = 0) -> Path:
    """A .csv, .tsv or .jsonl file of sentences with columns text and label (neg, pos)."""
    texts, labels = sentences(count, seed)
    names = [("neg", "pos")[label] for label in labels]
    if path.suffix == ".jsonl":
        rows = [
            f'{{"text": "{text}", "label": "{name}"}}'
            for text, name in zip(texts, names, strict=True)
        ]
    else:
        mark = "\t" if path.suffix == ".tsv" else ","
        rows = [f"text{mark}label"]
        rows += [f"{text}{mark}{name}" for text, name in zip(texts, names, strict=True)]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def write_imdb(folder: Path, count: int = 40, archive: bool = False) -> Path:
    """aclImdb with `count` reviews in each part, as a folder or packed; gives where it is."""
    root = folder / "aclImdb"
    for seed, part in enumerate(("train", "test")):
        texts, labels = sentences(count, seed)
        for i, (text, label) in enumerate(zip(texts, labels, strict=True)):
            path = root / part / ("neg", "pos")[label] / f"{i}_{(1, 10)[label]}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}<br /><br />Seen {i} times.", encoding="utf-8")
    if not archive:
        return root
    packed = folder / "aclImdb_v1.tar.gz"
    with tarfile.open(packed, "w:gz") as file:
        for path in sorted(root.rglob("*.txt"), reverse=True):  # archives have any order
            file.add(path, f"aclImdb/{path.relative_to(root)}")
    return packed


def write_sst2(folder: Path, train: int = 200, dev: int = 40, labelled: bool = False) -> Path:
    """SST-2 as GLUE lays it out; its test set has labels only where asked."""
    root = folder / "SST-2"
    root.mkdir(parents=True)
    for seed, (part, count) in enumerate((("train", train), ("dev", dev), ("test", dev))):
        texts, labels = sentences(count, seed)
        if part == "test" and not labelled:
            rows = ["index\tsentence", *(f"{i}\t{text}" for i, text in enumerate(texts))]
        else:
            pairs = zip(texts, labels, strict=True)
            rows = ["sentence\tlabel", *(f"{text}\t{label}" for text, label in pairs)]
        (root / f"{part}.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return root


def corpus(documents: int = 60, seed: int = 0) -> str:
    """Plain text, an empty line after each document; each is about one thing."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(documents):
        thing, words = _THINGS[i // 2 % len(_THINGS)], (BAD, GOOD)[i % 2]
        lines = [
            f"The {thing} of number {i} is {rng.choice(words)} and {rng.choice(words)}."
            for _ in range(int(rng.integers(4, 9)))
        ]
        found.append("\n".join(lines))
    return "\n\n".join(found) + "\n"
