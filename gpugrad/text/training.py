"""New tokenizers: a vocabulary from texts."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from gpugrad.errors import ArgumentError, DataError, DTypeError
from gpugrad.text.packages import tokenizers_library

if TYPE_CHECKING:
    from gpugrad.text.tokenizer import Tokenizer

BERT_SPECIAL = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
END_OF_TEXT = "<|endoftext|>"
_PLAIN_SPECIAL = {"pad": "[PAD]", "unk": "[UNK]"}
KINDS = ("wordpiece", "bpe", "words", "characters")


def train_tokenizer(
    kind: str,
    texts: Iterable[str],
    *,
    vocab_size: int | None = None,
    min_frequency: int = 2,
    lowercase: bool = True,
    model_max_length: int | None = None,
    unknown: bool = True,
) -> Tokenizer:
    """A tokenizer whose vocabulary comes from texts; equal texts give equal vocabularies.

    Args:
        kind: "wordpiece", BERT's (Wu et al. 2016), between [CLS] and [SEP];
            "bpe", GPT-2's byte-level pair encoding (Sennrich et al. 2016), which knows any text;
            "words", words and signs, the most frequent ones; "characters", each character.
        texts: strings, or anything that gives strings when iterated over (read_lines, Lines);
            read once (wordpiece: twice, so an iterator is kept in memory), never held as a whole.
        vocab_size: at most so many tokens, special ones included (default: 8000 of wordpiece and
            bpe, 25000 of words, all characters).
        min_frequency: words and pairs that are rarer are no tokens. Characters count from 1.
        lowercase: (wordpiece, words) fold to lower case, without accents.
        unknown: (characters) have [PAD] and [UNK]; without, an unknown character is an error.

    Raises ArgumentError for a kind that is not known, DataError for texts without a token.
    """
    if kind not in KINDS:
        raise ArgumentError(f"there is no tokenizer {kind!r}; known are {', '.join(KINDS)}.")
    if isinstance(texts, str):
        raise DTypeError("train_tokenizer: texts is one string.\n  Give a list of strings.")
    if vocab_size is not None and vocab_size < len(BERT_SPECIAL) + 1:
        raise ArgumentError(f"train_tokenizer: vocab_size = {vocab_size} leaves no room for words.")
    if kind == "characters":
        tokenizer = _characters(texts, unknown, vocab_size)
    elif kind == "words":
        tokenizer = _words(texts, vocab_size or 25_000, min_frequency, lowercase)
    elif kind == "bpe":
        tokenizer = _bpe(texts, vocab_size or 8000, min_frequency)
    else:
        tokenizer = _wordpiece(texts, vocab_size or 8000, min_frequency, lowercase)
    if model_max_length is not None:
        tokenizer.model_max_length = model_max_length
    return tokenizer


# ---- how each kind works, without a vocabulary -----------------------------------------------


def bert_pipeline(vocab: dict[str, int], lowercase: bool = True) -> Any:
    """The library's tokenizer that works as BERT's, with a vocabulary that has BERT's specials."""
    lib = tokenizers_library()
    made = lib.Tokenizer(lib.models.WordPiece(vocab, unk_token="[UNK]"))
    made.normalizer = lib.normalizers.BertNormalizer(lowercase=lowercase)
    made.pre_tokenizer = lib.pre_tokenizers.BertPreTokenizer()
    made.decoder = lib.decoders.WordPiece(prefix="##")
    cls, sep = "[CLS]", "[SEP]"
    made.post_processor = lib.processors.TemplateProcessing(
        single=f"{cls}:0 $A:0 {sep}:0",
        pair=f"{cls}:0 $A:0 {sep}:0 $B:1 {sep}:1",
        special_tokens=[(cls, vocab[cls]), (sep, vocab[sep])],
    )
    return made


def gpt2_pipeline(vocab: Any, merges: Any) -> Any:
    """The library's tokenizer that works as GPT-2's."""
    lib = tokenizers_library()
    made = lib.Tokenizer(lib.models.BPE(vocab=vocab, merges=merges))
    made.pre_tokenizer = lib.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = lib.decoders.ByteLevel()
    made.post_processor = lib.processors.ByteLevel(trim_offsets=False)
    return made


def _word_pipeline(vocab: dict[str, int], lowercase: bool) -> Any:
    lib = tokenizers_library()
    made = lib.Tokenizer(lib.models.WordLevel(vocab, unk_token="[UNK]"))
    made.normalizer = lib.normalizers.BertNormalizer(lowercase=lowercase)
    made.pre_tokenizer = lib.pre_tokenizers.BertPreTokenizer()
    return made


def _character_pipeline(vocab: dict[str, int]) -> Any:
    lib = tokenizers_library()
    unk = {"unk_token": "[UNK]"} if "[UNK]" in vocab else {}
    made = lib.Tokenizer(lib.models.WordLevel(vocab, **unk))
    made.pre_tokenizer = lib.pre_tokenizers.Split(lib.Regex(r"[\s\S]"), "isolated")
    made.decoder = lib.decoders.Fuse()
    return made


# ---- vocabularies ----------------------------------------------------------------------------


def _characters(texts: Iterable[str], unknown: bool, size: int | None) -> Tokenizer:
    from gpugrad.text.tokenizer import Tokenizer

    counts: Counter[str] = Counter()
    for text in _strings(texts):
        counts.update(text)
    _check_found(counts)
    special = _PLAIN_SPECIAL if unknown else {}
    room = None if size is None else size - len(special)
    kept = sorted(char for char, _ in counts.most_common(room))
    return Tokenizer(_character_pipeline(_numbered([*special.values(), *kept])), **_named(special))


def _words(texts: Iterable[str], size: int, least: int, lowercase: bool) -> Tokenizer:
    from gpugrad.text.tokenizer import Tokenizer

    lib = tokenizers_library()
    special = list(_PLAIN_SPECIAL.values())
    made = _word_pipeline(_numbered(special), lowercase)
    trainer = lib.trainers.WordLevelTrainer(
        vocab_size=size, min_frequency=least, special_tokens=special, show_progress=False
    )
    made.train_from_iterator(_strings(texts), trainer)
    _check_found(made.get_vocab_size() > len(special))
    return Tokenizer(made, **_named(_PLAIN_SPECIAL))


def _bpe(texts: Iterable[str], size: int, least: int) -> Tokenizer:
    from gpugrad.text.families import GPT2Tokenizer

    lib = tokenizers_library()
    made = gpt2_pipeline({}, [])
    alphabet = lib.pre_tokenizers.ByteLevel.alphabet()  # of all bytes
    if size < len(alphabet) + 1:
        raise ArgumentError(
            f"train_tokenizer('bpe'): vocab_size = {size}; it must be at least "
            f"{len(alphabet) + 1}: one token for each byte, and {END_OF_TEXT}."
        )
    trainer = lib.trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=least,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=alphabet,
        show_progress=False,
    )
    made.train_from_iterator(_strings(texts), trainer)
    return GPT2Tokenizer(tokenizer_object=made)


def _wordpiece(texts: Iterable[str], size: int, least: int, lowercase: bool) -> Tokenizer:
    """The library's trainer numbers the continuing letters (##a) in the order of a hash table,
    which is random, and breaks ties by these numbers. Named first, they have a fixed order.
    Letters that vocab_size has no room for, the rarest, are unknown."""
    from gpugrad.text.families import BertTokenizer

    lib = tokenizers_library()
    special = list(BERT_SPECIAL.values())
    made = bert_pipeline(_numbered(special), lowercase)
    if iter(texts) is texts:
        texts = list(texts)
    room = (size - len(special)) // 2  # each letter is two tokens
    if not room:
        raise ArgumentError(f"train_tokenizer: vocab_size = {size} leaves no room for words.")
    letters = _alphabet(texts, made.normalizer.normalize_str, room)
    _check_found(letters)
    known = special + letters + [f"##{letter}" for letter in letters]
    trainer = lib.trainers.WordPieceTrainer(
        vocab_size=size,
        min_frequency=least,
        special_tokens=known,
        limit_alphabet=0,  # to those that are named
        continuing_subword_prefix="##",
        show_progress=False,
    )
    made.train_from_iterator(_strings(texts), trainer)
    found = sorted(made.get_vocab().items(), key=lambda each: each[1])
    vocab = _numbered([token for token, _ in found])
    return BertTokenizer(tokenizer_object=bert_pipeline(vocab, lowercase))


def _alphabet(texts: Iterable[str], normal: Callable[[str], str], most: int) -> list[str]:
    """The most frequent characters that are no space, sorted."""
    counts: Counter[str] = Counter()
    for text in _strings(texts):
        counts.update(normal(text))
    kept = itertools.islice((c for c, _ in counts.most_common() if not c.isspace()), most)
    return sorted(kept)


def _strings(texts: Iterable[str]) -> Iterator[str]:
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise DTypeError(
                f"train_tokenizer: text {number} is a {type(text).__name__}, not a string."
            )
        yield text


def _check_found(found: object) -> None:
    if not found:
        raise DataError(
            "train_tokenizer: the texts have no tokens.\n  They are empty, or min_frequency is too "
            "high."
        )


def _numbered(tokens: Iterable[str]) -> dict[str, int]:
    return {token: i for i, token in enumerate(tokens)}


def _named(special: dict[str, str]) -> dict[str, Any]:
    return {f"{kind}_token": token for kind, token in special.items()}
