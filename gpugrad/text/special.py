"""Special tokens of a tokenizer, and its vocabulary."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gpugrad.errors import ArgumentError
from gpugrad.text.packages import tokenizers_library

KINDS = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")


class SpecialTokens:
    """The properties NAME_token and NAME_token_id of each kind, and look-ups in the vocabulary.

    Mixed into Tokenizer. A token that is not set is None.
    """

    backend_tokenizer: Any
    bos_token: str | None = None
    eos_token: str | None = None
    unk_token: str | None = None
    sep_token: str | None = None
    pad_token: str | None = None
    cls_token: str | None = None
    mask_token: str | None = None

    def _set_special(self, tokens: Mapping[str, Any]) -> None:
        known = {f"{kind}_token" for kind in KINDS}
        for name, token in tokens.items():
            if name not in known:
                raise ArgumentError(
                    f"tokenizer: there is no option {name!r}; special tokens are "
                    f"{', '.join(sorted(known))}."
                )
            # Files have a token as its text, or as an object with its options.
            text = token.get("content") if isinstance(token, Mapping) else token
            setattr(self, name, None if text is None else str(text))

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if value is not None and name.endswith("_token") and name[:-6] in KINDS:
            added = tokenizers_library().AddedToken(value, special=True, normalized=False)
            self.backend_tokenizer.add_special_tokens([added])

    @property
    def special_tokens_map(self) -> dict[str, str]:
        """Name -> text of those that are set."""
        found = {f"{kind}_token": getattr(self, f"{kind}_token") for kind in KINDS}
        return {name: token for name, token in found.items() if token is not None}

    @property
    def all_special_tokens(self) -> list[str]:
        """Their texts, each once."""
        return list(dict.fromkeys(self.special_tokens_map.values()))

    @property
    def all_special_ids(self) -> list[int]:
        """Their ids."""
        return [self.backend_tokenizer.token_to_id(token) for token in self.all_special_tokens]

    @property
    def bos_token_id(self) -> int | None:
        """Id of the token before a text."""
        return self._id("bos")

    @property
    def eos_token_id(self) -> int | None:
        """Id of the token after a text."""
        return self._id("eos")

    @property
    def unk_token_id(self) -> int | None:
        """Id of what is not in the vocabulary."""
        return self._id("unk")

    @property
    def sep_token_id(self) -> int | None:
        """Id of the token between and after texts."""
        return self._id("sep")

    @property
    def pad_token_id(self) -> int | None:
        """Id that fills rows up to one length."""
        return self._id("pad")

    @property
    def cls_token_id(self) -> int | None:
        """Id of BERT's first token, whose hidden state stands for the whole."""
        return self._id("cls")

    @property
    def mask_token_id(self) -> int | None:
        """Id of what a masked-language model has to fill in."""
        return self._id("mask")

    def _id(self, kind: str) -> int | None:
        token = getattr(self, f"{kind}_token")
        return None if token is None else self.backend_tokenizer.token_to_id(token)

    def _required(self, kind: str) -> int:
        found = self._id(kind)
        if found is None:
            raise ArgumentError(
                f"tokenizer: it has no {kind} token.\n  Set one: tokenizer.{kind}_token = "
                f'tokenizer.eos_token, or "[{kind.upper()}]".'
            )
        return found

    # ---- the vocabulary ----------------------------------------------------------------------

    @property
    def vocab_size(self) -> int:
        """Tokens of the vocabulary, without those added later."""
        return int(self.backend_tokenizer.get_vocab_size(with_added_tokens=False))

    def __len__(self) -> int:
        return int(self.backend_tokenizer.get_vocab_size(with_added_tokens=True))

    @property
    def vocab(self) -> dict[str, int]:
        """Token -> id."""
        return self.get_vocab()

    def get_vocab(self) -> dict[str, int]:
        """Token -> id, in the order of ids."""
        found = self.backend_tokenizer.get_vocab(with_added_tokens=True)
        return dict(sorted(found.items(), key=lambda each: each[1]))

    def add_tokens(self, tokens: str | Iterable[str]) -> int:
        """Add words that are never split; gives how many were new."""
        return int(
            self.backend_tokenizer.add_tokens([tokens] if isinstance(tokens, str) else list(tokens))
        )

    def add_special_tokens(self, tokens: Mapping[str, Any]) -> int:
        """Set special tokens, as {"pad_token": "[PAD]"}; gives how many were new."""
        before = len(self)
        self._set_special(tokens)
        return len(self) - before

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """How many special tokens a call adds to a text, or to a pair."""
        return int(self.backend_tokenizer.num_special_tokens_to_add(pair))
