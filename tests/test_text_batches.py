"""Vocabulary, padding, buckets, streams, masks: from texts to what a model takes."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from text_files import corpus, sentences

import gpugrad as gg
from gpugrad.data import DataLoader, IterableDataset, ShuffleBuffer
from gpugrad.errors import (
    ArgumentError,
    DataError,
    DTypeError,
    IndexOutOfRangeError,
    ShapeError,
)
from gpugrad.text import (
    BucketBatchSampler,
    DataCollatorForLanguageModeling,
    DataCollatorWithPadding,
    PackedBlocks,
    PadCollate,
    PretrainingCollate,
    SegmentPairs,
    Tokenizer,
    TokenStore,
    Vocabulary,
    build_vocab_from_iterator,
    documents,
    encode_stream,
    get_tokenizer,
    mask_tokens,
    pad_ids,
    train_tokenizer,
)

# ---- vocabulary ------------------------------------------------------------------------------


def test_vocabulary() -> None:
    counts = Counter({"film": 5, "a": 9, "the": 9, "rare": 1})
    found = Vocabulary(counts, min_freq=2)
    assert found.itos == ["<pad>", "<unk>", "a", "the", "film"]
    assert found.stoi["film"] == found["film"] == 4 and len(found) == 5
    assert found(["the", "rare"]) == [3, 1] and "rare" not in found
    assert found.decode(gg.tensor([4, 1])) == ["film", "<unk>"]
    assert Vocabulary(counts, max_size=3).itos == ["<pad>", "<unk>", "a"]
    assert Vocabulary([["b", "a"], ["a"]], specials=()).itos == ["a", "b"]
    assert Vocabulary(["b", "a", "a"], specials=["<s>"]).itos == ["<s>", "a", "b"]
    own = Vocabulary(["b"], specials=("?",), unknown="?")
    assert own["c"] == 0


def test_vocabulary_under_the_names_of_torchtext() -> None:
    tokens = [get_tokenizer("basic_english")(text) for text in ("You can now, it's <br /> Ok!",)]
    assert tokens[0] == ["you", "can", "now", ",", "it", "'", "s", "ok", "!"]
    found = build_vocab_from_iterator(tokens, specials=["<unk>"])
    with pytest.raises(ArgumentError, match="'never' is not among its 10 tokens"):
        found["never"]
    found.set_default_index(found["<unk>"])
    assert found.lookup_indices(["never", "!"]) == [0, 1]
    assert found.lookup_tokens([0]) == ["<unk>"] and found.lookup_token(1) == "!"
    assert found.get_itos()[:2] == ["<unk>", "!"] and found.get_stoi()["!"] == 1
    assert get_tokenizer("split")("a  B") == ["a", "B"]


def test_vocabularies_that_cannot_be() -> None:
    calls: list[tuple[Any, type[Exception], str]] = [
        (lambda: Vocabulary(min_freq=0), ArgumentError, "min_freq = 0, max_size = None; min_freq"),
        (lambda: Vocabulary(max_size=1), ArgumentError, "max_size at least the 2 special tokens"),
        (lambda: Vocabulary(specials=["a", "a"]), ArgumentError, "has a token twice"),
        (lambda: Vocabulary([3]), DTypeError, "3 is no token; give strings, or lists"),
        (lambda: Vocabulary(["a"]).token(9), IndexOutOfRangeError, "index 9 lies outside its 3 t"),
        (lambda: Vocabulary(["a"], specials=())["b"], ArgumentError, "it has no unknown token"),
        (lambda: get_tokenizer("spacy"), ArgumentError, "'spacy'; known are 'basic_english'"),
    ]
    for call, kind, text in calls:
        with pytest.raises(kind, match=text):
            call()


# ---- padding and buckets ---------------------------------------------------------------------


def test_padding() -> None:
    ids, mask = pad_ids([[5, 6, 7], np.array([8])], pad_id=9)
    assert ids.tolist() == [[5, 6, 7], [8, 9, 9]] and mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert pad_ids([[5]], length=3)[0].tolist() == [[5, 0, 0]]
    batch, labels = PadCollate()([([1, 2], 1), ([3], 0)])
    assert batch["input_ids"].tolist() == [[1, 2], [3, 0]] and labels.tolist() == [1, 0]
    assert batch["attention_mask"].dtype == gg.int64
    with pytest.raises(DataError, match="row 1 of the batch has no tokens"):
        pad_ids([[1], []])
    with pytest.raises(ShapeError, match="row 1 has 3 tokens, length is 2"):
        pad_ids([[1], [1, 2, 3]], length=2)


def test_collator_of_rows_made_by_a_tokenizer() -> None:
    tokenizer = train_tokenizer("wordpiece", sentences(40)[0])
    rows = [{**tokenizer(text), "label": i} for i, text in enumerate(["the film", "film"])]
    batch = DataCollatorWithPadding(tokenizer)(rows)
    assert list(batch) == ["input_ids", "attention_mask", "token_type_ids", "labels"]
    assert batch["labels"].tolist() == [0, 1] and batch["input_ids"].shape == (2, 4)
    assert batch["attention_mask"].tolist()[1] == [1, 1, 1, 0]


def test_buckets_hold_like_lengths() -> None:
    lengths = np.random.default_rng(0).integers(1, 400, 1000)
    sampler = BucketBatchSampler(lengths, 32, generator=gg.Generator().manual_seed(0))
    first, second = list(sampler), list(sampler)
    assert len(first) == len(sampler) == 32 and first != second
    assert sorted(itertools.chain(*first)) == list(range(1000))
    padded = sum(len(batch) * lengths[batch].max() for batch in first)
    # In a random order a batch of 32 is padded to about 390 of 400; here to a 32nd more.
    assert padded < 1.1 * lengths.sum()
    longest = [lengths[batch].max() for batch in first]
    assert longest != sorted(longest) and longest != sorted(longest, reverse=True)
    assert len(BucketBatchSampler(lengths, 32, drop_last=True)) == 31
    assert {len(batch) for batch in BucketBatchSampler(lengths, 32, drop_last=True)} == {32}
    same = BucketBatchSampler(lengths, 32, generator=gg.Generator().manual_seed(0))
    assert list(same) == first


def test_buckets_in_order_and_by_tokens() -> None:
    lengths = [3, 9, 1, 5]
    assert list(BucketBatchSampler(lengths, 2, shuffle=False)) == [[1, 3], [0, 2]]
    sampler = BucketBatchSampler(lengths, max_tokens=10, shuffle=False)
    assert list(sampler) == [[1], [3, 0], [2]] and len(sampler) == 3
    drawn = BucketBatchSampler(np.arange(1, 200), max_tokens=400)
    count = len(drawn)
    batches = list(drawn)
    assert len(batches) == count and sorted(itertools.chain(*batches)) == list(range(199))
    assert all(len(batch) * (max(batch) + 1) <= 400 for batch in batches)
    for options in ({}, {"batch_size": 2, "max_tokens": 9}, {"batch_size": 0}, {"pool": 0}):
        given: Any = options
        with pytest.raises(ArgumentError, match="BucketBatchSampler: batch_size = "):
            BucketBatchSampler(lengths, **given)
    with pytest.raises(ArgumentError, match="item 1 has 9 tokens, max_tokens is 8"):
        BucketBatchSampler(lengths, max_tokens=8)


# ---- streams ---------------------------------------------------------------------------------


class Count(IterableDataset):
    def __init__(self, size: int) -> None:
        self.size = size

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.size))


def test_loader_of_an_iterable() -> None:
    loader = DataLoader(Count(7), batch_size=3, num_workers=2)
    assert [batch.tolist() for batch in loader] == [[0, 1, 2], [3, 4, 5], [6]]
    assert [batch.tolist() for batch in loader] == [[0, 1, 2], [3, 4, 5], [6]]
    dropped = DataLoader(Count(7), batch_size=3, drop_last=True)
    assert len(list(dropped)) == 2
    assert list(DataLoader(Count(3), batch_size=None)) == [0, 1, 2]
    with pytest.raises(TypeError, match="has no len"):
        len(loader)
    for options in ({"shuffle": True}, {"sampler": [1]}, {"batch_sampler": [[1]]}):
        given: Any = options
        (name,) = options
        with pytest.raises(ArgumentError, match=f"{name} with an IterableDataset(?s:.*)Shuffle"):
            DataLoader(Count(3), **given)
    with pytest.raises(NotImplementedError, match="IterableDataset must define __iter__"):
        iter(IterableDataset())


def test_random_numbers_of_a_streamed_batch_are_seeded() -> None:
    def drawn() -> list[float]:
        gg.manual_seed(3)
        loader = DataLoader(Count(4), 2, collate_fn=lambda items: np.random.random())
        return list(loader)

    assert drawn() == drawn() and drawn()[0] != drawn()[1]


def test_shuffle_buffer() -> None:
    mixed = ShuffleBuffer(Count(3000), 100, gg.Generator().manual_seed(0))
    found = list(mixed)
    assert sorted(found) == list(range(3000)) and found != sorted(found)
    # An item can come at most 99 places before its own.
    assert all(item - place < 100 for place, item in enumerate(found))
    assert list(ShuffleBuffer(Count(5), 1)) == list(range(5))
    assert sorted(ShuffleBuffer(Count(5), 9)) == list(range(5))
    with pytest.raises(ArgumentError, match="ShuffleBuffer: size = 0"):
        ShuffleBuffer(Count(3), 0)


@pytest.fixture(scope="module")
def letters() -> Tokenizer:
    return train_tokenizer("characters", ["abc|"], unknown=False)


def test_packed_blocks(letters: Tokenizer) -> None:
    def text(block: Any) -> str:
        return str(letters.decode(block))

    texts = ["abc", "a", "cccc"]
    assert [text(b) for b in PackedBlocks(texts, letters, 3)] == ["abc", "acc"]
    bar = letters.convert_tokens_to_ids("|")
    assert [text(b) for b in PackedBlocks(texts, letters, 4, bar)] == ["abc|", "a|cc"]
    assert [text(b) for b in PackedBlocks(texts, letters, 4, overlap=1)] == ["abca", "accc"]
    loader = DataLoader(PackedBlocks(texts, letters, 2), batch_size=2)
    assert [batch.shape for batch in loader] == [(2, 2), (2, 2)]
    with pytest.raises(DataError, match="the texts have 8 tokens, which fill no block of 9"):
        list(PackedBlocks(texts, letters, 9))
    with pytest.raises(ArgumentError, match="block_size = 2, overlap = 2"):
        PackedBlocks(texts, letters, 2, overlap=2)


def test_a_store_is_no_list_in_memory(letters: Tokenizer) -> None:
    store = TokenStore(encode_stream(iter(["ab", "", "cab"] * 700), letters))
    assert isinstance(store.ids, np.memmap) and len(store) == 2100 and len(store.ids) == 3500
    assert [store[i].tolist() for i in (0, 1, 2, 2099)] == [[0, 1], [], [2, 0, 1], [2, 0, 1]]
    with pytest.raises(DataError, match="the corpus has no tokens"):
        TokenStore(encode_stream(iter(["", ""]), letters))


# ---- masks and pairs -------------------------------------------------------------------------


def test_shares_of_masked_tokens() -> None:
    np.random.seed(0)
    ids = np.random.randint(10, 1010, (400, 250))
    maskable = np.ones(ids.shape, bool)
    maskable[:, 0] = False
    masked, labels = mask_tokens(ids, maskable, 4, 100_000)
    chosen = labels != -100
    assert not chosen[:, 0].any() and (labels[chosen] == ids[chosen]).all()
    assert (masked[~chosen] == ids[~chosen]).all()
    count = int(chosen.sum())
    # Binomial: four standard deviations.
    assert abs(count / maskable.sum() - 0.15) < 4 * np.sqrt(0.15 * 0.85 / maskable.sum())
    shares = {"mask": masked[chosen] == 4, "same": masked[chosen] == ids[chosen]}
    for name, share in (("mask", 0.8), ("same", 0.1)):
        assert abs(shares[name].mean() - share) < 4 * np.sqrt(share * (1 - share) / count)
    alone = mask_tokens(np.array([[2, 7, 3]]), np.array([[False, True, False]]), 4, 9, 1e-9)
    assert alone[1].tolist() == [[-100, 7, -100]]


@pytest.fixture(scope="module")
def pieces() -> Tokenizer:
    return train_tokenizer("wordpiece", corpus().split("\n"))


def test_collator_for_language_models(pieces: Tokenizer) -> None:
    rows = [pieces("the film is superb"), pieces("the plot")]
    batch = DataCollatorForLanguageModeling(pieces, mlm_probability=1.0)(rows)
    special = batch["labels"].numpy() == -100
    assert special.tolist() == [[True, *[False] * 4, True], [True, False, False, *[True] * 3]]
    plain = DataCollatorForLanguageModeling(pieces, mlm=False)(rows)
    assert plain["labels"].tolist()[1] == [*rows[1]["input_ids"], -100, -100]
    with pytest.raises(ArgumentError, match="mlm_probability = 0"):
        DataCollatorForLanguageModeling(pieces, mlm_probability=0)


def test_pairs_of_segments() -> None:
    """Each word here is in one place alone, so it is known where a segment comes from."""
    found = [[f"d{d}s{s}a d{d}s{s}b d{d}s{s}c" for s in range(1 + d % 7)] for d in range(30)]
    words = train_tokenizer("words", (s for d in found for s in d), min_frequency=1)
    pairs = SegmentPairs(iter(found), words, max_length=13)  # room for three sentences and a word
    np.random.seed(0)
    drawn = [pairs[i % len(pairs)] for i in range(2000)]
    random = np.array([label for _, _, label in drawn])
    assert abs(random.mean() - 0.5) < 4 * 0.5 / np.sqrt(len(drawn))
    place = {w: (d, i) for d, doc in enumerate(found) for i, w in enumerate(" ".join(doc).split())}
    for first, second, label in drawn:
        assert len(first) and len(second) and len(first) + len(second) <= 10
        where = [place[words.convert_ids_to_tokens(int(i))] for i in (*first, *second)]
        steps = [(b[0] - a[0], b[1] - a[1]) for a, b in itertools.pairwise(where)]
        border = steps.pop(len(first) - 1)
        assert set(steps) <= {(0, 1)}  # within a segment words follow each other
        assert border == (0, 1) if label == 0 else border[0] != 0
    assert {tuple(first) for first, _, _ in drawn if len(first) > 3}  # several sentences


def test_batches_for_pretraining(pieces: Tokenizer) -> None:
    pairs = SegmentPairs(documents(corpus().splitlines()), pieces, max_length=40)
    loader = DataLoader(pairs, 8, shuffle=True, collate_fn=PretrainingCollate(pieces))
    batch, random = next(iter(loader))
    assert sorted(batch) == [
        "attention_mask", "input_ids", "labels", "next_sentence_label", "token_type_ids",
    ]  # fmt: skip
    n, length = batch["input_ids"].shape
    assert n == 8 and length <= 40 and batch["next_sentence_label"].tolist() == random.tolist()
    ids, types = batch["input_ids"].numpy(), batch["token_type_ids"].numpy()
    mask, labels = batch["attention_mask"].numpy(), batch["labels"].numpy()
    assert (ids[:, 0] == pieces.cls_token_id).all() and (types[mask == 0] == 0).all()
    for row, kinds, size in zip(ids, types, mask.sum(1), strict=True):
        ends = np.flatnonzero(row == pieces.sep_token_id)
        assert len(ends) == 2 and ends[1] == size - 1
        assert kinds.tolist() == [0] * (ends[0] + 1) + [1] * (size - ends[0] - 1) + [0] * (
            length - size
        )
    assert ((labels != -100) <= (mask == 1)).all() and (labels != -100).any()


def test_corpora_without_pairs(pieces: Tokenizer) -> None:
    with pytest.raises(DataError, match="the corpus has one document; next-sentence pairs need"):
        SegmentPairs([["the film .", "the plot ."]], pieces)
    with pytest.raises(ArgumentError, match="max_length = 6; it must be at least 7"):
        SegmentPairs([["a"], ["b"]], pieces, 6)
