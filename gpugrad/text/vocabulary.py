"""Vocabulary: tokens to numbers and back, for programs that split texts themselves."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from gpugrad.errors import ArgumentError, DTypeError, IndexOutOfRangeError

_SIGNS = re.compile(r"([.,!?()])|(')|[\";:]|<br\s*/?>|\s+")


class Vocabulary:
    """The tokens of counted texts, the most frequent first (of equals in alphabetical order).

        vocabulary = Vocabulary(Counter(words), min_freq=2, max_size=10_000)
        vocabulary(["a", "good", "film"])  ->  [5, 61, 12];  vocabulary["film"]  ->  12

    Args:
        tokens: token -> count, or an iterable of tokens, or of lists of tokens.
        min_freq: rarer tokens are left out.
        max_size: at most so many tokens, those of `specials` included.
        specials: the first tokens. The one at `unknown` (default: "<unk>" or "[UNK]" where it is
            among them) stands for what is not in the vocabulary.

    Attributes: `itos`, the tokens by number; `stoi`, the numbers by token.
    Raises ArgumentError for options outside their range, and for what is not in a vocabulary
    without an unknown token; IndexOutOfRangeError for a number outside it.
    """

    def __init__(
        self,
        tokens: Mapping[str, int] | Iterable[Any] = (),
        *,
        min_freq: int = 1,
        max_size: int | None = None,
        specials: Sequence[str] = ("<pad>", "<unk>"),
        unknown: str | None = None,
    ) -> None:
        specials = list(specials)
        if min_freq < 1 or (max_size is not None and max_size < len(specials)):
            raise ArgumentError(
                f"Vocabulary: min_freq = {min_freq}, max_size = {max_size}; min_freq must be 1 or "
                f"more, and max_size at least the {len(specials)} special tokens."
            )
        counts = _counted(tokens)
        rest = [t for t, n in counts.items() if n >= min_freq and t not in set(specials)]
        rest.sort(key=lambda token: (-counts[token], token))
        self.itos = (specials + rest)[:max_size]
        self.stoi = {token: i for i, token in enumerate(self.itos)}
        if len(self.stoi) != len(self.itos):
            raise ArgumentError(f"Vocabulary: specials {specials} has a token twice.")
        if unknown is None:
            unknown = next((token for token in ("<unk>", "[UNK]") if token in specials), None)
        self.default_index = None if unknown is None else self[unknown]

    default_index: int | None = None

    def __len__(self) -> int:
        return len(self.itos)

    def __contains__(self, token: object) -> bool:
        return token in self.stoi

    def __getitem__(self, token: str) -> int:
        found = self.stoi.get(token, self.default_index)
        if found is None:
            raise ArgumentError(
                f"Vocabulary: {token!r} is not among its {len(self)} tokens, and it has no unknown "
                'token. Make it with specials=("<pad>", "<unk>"), or set_default_index(...).'
            )
        return found

    def __call__(self, tokens: Iterable[str]) -> list[int]:
        """The numbers of tokens."""
        return [self[token] for token in tokens]

    def token(self, index: int) -> str:
        """The token of a number."""
        if not 0 <= index < len(self):
            raise IndexOutOfRangeError(
                f"Vocabulary: index {index} lies outside its {len(self)} tokens."
            )
        return self.itos[index]

    def decode(self, indices: Iterable[int]) -> list[str]:
        """The tokens of numbers (a list, array or tensor)."""
        found = indices.tolist() if hasattr(indices, "tolist") else indices
        return [self.token(int(i)) for i in found]

    # ---- names of torchtext ------------------------------------------------------------------

    def set_default_index(self, index: int | None) -> None:
        """The number of what is not in the vocabulary; None makes that an error."""
        self.default_index = index

    def lookup_indices(self, tokens: Iterable[str]) -> list[int]:
        """A call."""
        return self(tokens)

    def lookup_token(self, index: int) -> str:
        """As `token`."""
        return self.token(index)

    def lookup_tokens(self, indices: Iterable[int]) -> list[str]:
        """As `decode`."""
        return self.decode(indices)

    def get_stoi(self) -> dict[str, int]:
        """A copy of `stoi`."""
        return dict(self.stoi)

    def get_itos(self) -> list[str]:
        """A copy of `itos`."""
        return list(self.itos)


def build_vocab_from_iterator(
    iterator: Iterable[Iterable[str]],
    min_freq: int = 1,
    specials: Sequence[str] = (),
    max_tokens: int | None = None,
) -> Vocabulary:
    """A Vocabulary of lists of tokens; torchtext's name and arguments, and its default: no
    unknown token until `set_default_index` names one."""
    counts = Counter(token for tokens in iterator for token in tokens)
    made = Vocabulary(counts, min_freq=min_freq, max_size=max_tokens, specials=specials)
    made.set_default_index(None)
    return made


def get_tokenizer(name: str = "basic_english") -> Callable[[str], list[str]]:
    """A function from a text to its tokens: "basic_english" (lower case; . , ! ? ( ) ' apart;
    other signs are spaces), or "split" (at spaces)."""
    if name == "basic_english":
        return basic_english
    if name == "split":
        return str.split
    raise ArgumentError(f"get_tokenizer: {name!r}; known are 'basic_english' and 'split'.")


def basic_english(text: str) -> list[str]:
    """The words and signs of a text, in lower case."""
    parts = _SIGNS.sub(lambda found: f" {found[1] or found[2] or ''} ", text.lower())
    return parts.split()


def _counted(tokens: Mapping[str, int] | Iterable[Any]) -> Mapping[str, int]:
    if isinstance(tokens, Mapping):
        return tokens
    counts: Counter[str] = Counter()
    for each in tokens:
        if isinstance(each, str):
            counts[each] += 1
        elif isinstance(each, Iterable):
            counts.update(each)
        else:
            raise DTypeError(f"Vocabulary: {each!r} is no token; give strings, or lists of them.")
    return counts
