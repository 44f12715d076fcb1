"""Preprocessing that some classical pipelines want: stop words out, words to their lemmas.

Needs NLTK and its data; nothing here is used unless asked for.
"""

from __future__ import annotations

import re
from typing import Any

from gpugrad.errors import DataError
from gpugrad.text.packages import nltk_library

_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")


class WordFilter:
    """text -> text, without stop words and with words as their lemmas, in lower case.

    Args:
        stop_words: leave out NLTK's stop words of this language ("english"; None: keep all).
        keep: words that stay although they are on the list, as all that end in n't do: negations
            turn a sentiment round.
        lemmatize: words by their WordNet lemma: as a verb, then as a noun (English only).

    Raises PackageError without NLTK, DataError (which says how to get it) without its data.
    """

    def __init__(
        self,
        stop_words: str | None = "english",
        lemmatize: bool = False,
        keep: tuple[str, ...] = ("no", "not", "nor", "never"),
    ) -> None:
        self._left_out: set[str] = set()
        if stop_words is not None:
            found = _resource("stopwords", lambda nltk: nltk.corpus.stopwords.words(stop_words))
            self._left_out = {word for word in found if not word.endswith("n't")} - set(keep)
        self._lemma: Any = None
        if lemmatize:
            self._lemma = nltk_library().stem.WordNetLemmatizer().lemmatize
            _resource("wordnet", lambda nltk: self._lemma("films"))
        self._known: dict[str, str] = {}

    def __call__(self, text: str) -> str:
        return _WORD.sub(lambda found: self._word(found[0].lower()), text)

    def _word(self, word: str) -> str:
        known = self._known.get(word)
        if known is None:
            known = "" if word in self._left_out else word
            if known and self._lemma is not None:
                known = self._lemma(self._lemma(word, "v"), "n")
            self._known[word] = known
        return known


def _resource(name: str, use: Any) -> Any:
    try:
        return use(nltk_library())
    except LookupError as error:
        raise DataError(
            f"NLTK's data {name!r} is not on this machine.\n"
            f"  Fetch it where there is a network: python -m nltk.downloader {name}; NLTK_DATA "
            "names the folder it lies in."
        ) from error
    except OSError as error:  # NLTK's way to say that a language is not among its files
        raise DataError(f"NLTK's data {name!r} has no such list: {error}.") from error
