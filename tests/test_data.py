"""IDX files, data sets, samplers, loaders, and pictures of digits."""

from __future__ import annotations

import gzip
import hashlib
import struct
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad import data
from gpugrad.data import (
    DataLoader,
    Dataset,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)
from gpugrad.data.idx import DTYPES, read_idx
from gpugrad.data.mnist import PACKAGED, SHA256, load_mnist
from gpugrad.errors import ArgumentError, DataError, IndexOutOfRangeError, ShapeError

# ---- IDX -------------------------------------------------------------------------------------


def idx_bytes(array: np.ndarray[Any, Any]) -> bytes:
    """An array as the bytes of an IDX file."""
    (code,) = [c for c, dtype in DTYPES.items() if dtype == array.dtype.newbyteorder(">")]
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.mark.parametrize("name", ["uint8", "int8", "int16", "int32", "float32", "float64"])
@pytest.mark.parametrize("compressed", [False, True])
def test_idx_round_trip(tmp_path: Path, name: str, compressed: bool) -> None:
    for shape in [(), (0,), (3,), (2, 0, 3), (4, 3, 2)]:
        array = (np.random.default_rng(0).normal(size=shape) * 100).astype(name)
        content = idx_bytes(np.asarray(array))
        path = tmp_path / "x"
        path.write_bytes(gzip.compress(content) if compressed else content)
        found = read_idx(path)
        assert found.dtype == np.dtype(name)
        assert found.dtype.isnative
        np.testing.assert_array_equal(found, array)


GOOD = idx_bytes(np.arange(60, dtype=np.uint8).reshape(3, 4, 5))
PACKED = gzip.compress(GOOD, mtime=0)
FLIPPED = PACKED[:-8] + b"\0\0\0\0" + PACKED[-4:]
BAD = [
    (b"", "a file of 0 bytes (truncated)", "4 bytes"),
    (b"\0\0\x08", "a file of 3 bytes (truncated)", "4 bytes"),
    (b"PK\3\4 zip", "wrong magic number 50 4b 03 04", "00 00, an element type (08, 09"),
    (b"\0\0\x0a\1\0\0\0\0", "wrong magic number 00 00 0a 01", "element type"),
    (GOOD[:9], "a header cut after 9 bytes (truncated)", "16 bytes for 3 axes"),
    (GOOD[:-1], "59 bytes of data (truncated)", "60 bytes for shape (3, 4, 5), uint8"),
    (GOOD + b"!", "trailing bytes after the 60 bytes", "end of the file"),
    (b"\0\0\x0e\2" + b"\xff" * 8, "0 bytes of data (truncated)", "(4294967295, 4294967295)"),
    (PACKED[:-9], "the gzip stream ends early (truncated)", "a whole gzip file"),
    (PACKED[:5], "the gzip stream ends early (truncated)", "a whole gzip file"),
    (FLIPPED, "corrupt gzip data (CRC check failed", "a gzip file with a matching checksum"),
    (b"\x1f\x8b" + b"\x07" * 30, "corrupt gzip data", "a gzip file"),
    (PACKED[:10] + b"\x07" * 40, "corrupt gzip data", "a gzip file"),
    (gzip.compress(GOOD + b"?", mtime=0), "trailing bytes after the 60 bytes", "end of the file"),
]


@pytest.mark.parametrize(("content", "found", "expected"), BAD, ids=map(str, range(len(BAD))))
def test_idx_bad_files(tmp_path: Path, content: bytes, found: str, expected: str) -> None:
    path = tmp_path / "bad.gz"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_idx(path)
    text = str(caught.value)
    head, _, tail = text.partition("; expected ")
    assert head.startswith(f"{path}: ")
    assert found in head
    assert expected in tail
    assert "\n  " in text


def test_idx_missing_and_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing: no such file; expected an IDX file"):
        read_idx(tmp_path / "nothing")
    with pytest.raises(DataError, match=r"cannot be read \(Is a directory\)"):
        read_idx(tmp_path)


# ---- MNIST -----------------------------------------------------------------------------------


def write_mnist(folder: Path, train: int = 256, test: int = 64) -> Path:
    """A folder with the first images of MNIST, uncompressed."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, count in (("train", train), ("t10k", test)):
        images, labels = load_mnist(train=part == "train")
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx_bytes(images[:count]))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx_bytes(labels[:count]))
    return folder


def test_packaged_files_are_the_published_ones() -> None:
    for name, expected in SHA256.items():
        assert hashlib.sha256((PACKAGED / f"{name}.gz").read_bytes()).hexdigest() == expected
    assert "LeCun" in (PACKAGED / "NOTICE").read_text()


def test_mnist_content() -> None:
    images, labels = load_mnist(train=False)
    assert images.shape == (10000, 28, 28)
    assert np.bincount(labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    dataset = data.MNIST(train=False)
    x, label = dataset[0]
    assert len(dataset) == 10000
    assert x.shape == (1, 28, 28)
    assert x.dtype == gg.float32
    assert int(label) == 7
    expected = (images[:100] / 255 - 0.1307) / 0.3081
    np.testing.assert_allclose(dataset.tensors[0][:100, 0].numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("layout", ["MNIST", "MNIST/raw", "mnist", "."])
def test_mnist_layouts(tmp_path: Path, layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_mnist(tmp_path / layout, 5, 3)
    assert len(data.MNIST(tmp_path)) == 5
    monkeypatch.setenv("GPUGRAD_DATA", str(tmp_path))
    assert len(data.MNIST(train=False)) == 3
    monkeypatch.setenv("GPUGRAD_DATA", str(tmp_path / "elsewhere"))
    assert len(data.MNIST(train=False)) == 10000


def test_mnist_bad_copies(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is not a folder; expected one with MNIST/train-images"):
        data.MNIST(tmp_path / "nothing")
    with pytest.raises(DataError, match=r"has none of MNIST/train-images-idx3-ubyte.gz"):
        data.MNIST(tmp_path)
    folder = write_mnist(tmp_path / "mnist", 5, 3)
    labels = folder / "train-labels-idx1-ubyte"
    labels.write_bytes(idx_bytes(np.zeros(4, np.uint8)))
    with pytest.raises(DataError, match=r"found shape \(4,\), uint8; expected \(5,\)"):
        data.MNIST(tmp_path)
    labels.write_bytes(idx_bytes(np.array([0, 1, 10, 3, 4], np.uint8)))
    with pytest.raises(DataError, match=r"label 10 at position 2; expected 0 to 9"):
        data.MNIST(tmp_path)
    (folder / "train-images-idx3-ubyte").write_bytes(idx_bytes(np.zeros((5, 32, 32), np.uint8)))
    with pytest.raises(DataError, match=r"found shape \(5, 32, 32\), uint8; expected \(n, 28, 28"):
        data.MNIST(tmp_path)


# ---- data sets -------------------------------------------------------------------------------


class Squares(Dataset):
    """Item i is (i, i^2)."""

    def __init__(self, size: int = 10) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> tuple[int, float]:
        return index, float(index**2)


def test_tensor_dataset() -> None:
    x, y = gg.arange(12).reshape(6, 2), gg.arange(6)
    dataset = TensorDataset(x, y)
    assert len(dataset) == 6
    assert dataset[2][0].tolist() == [4, 5]
    assert dataset[1:3][1].tolist() == [1, 2]
    with pytest.raises(ShapeError, match=r"first axes differ: shapes \[\(6, 2\), \(5,\)\]"):
        TensorDataset(x, y[:5])
    with pytest.raises(ShapeError, match="at least one axis"):
        TensorDataset()


def test_subset_and_concat() -> None:
    subset = Subset(Squares(), [3, -1, 5])
    assert [subset[i] for i in range(3)] == [(3, 9.0), (-1, 1.0), (5, 25.0)]
    assert subset[1:] == [(-1, 1.0), (5, 25.0)]
    with pytest.raises(IndexOutOfRangeError, match=r"index 10 at position 1 lies outside .* 10 "):
        Subset(Squares(), [0, 10])
    both = Squares(3) + Squares(2)
    assert len(both) == 5
    assert [both[i][0] for i in (0, 2, 3, -1)] == [0, 2, 0, 1]
    with pytest.raises(IndexOutOfRangeError, match="index 5 lies outside 5 items"):
        both[5]
    with pytest.raises(ArgumentError, match="no data sets"):
        data.ConcatDataset([])


def test_random_split() -> None:
    parts = data.random_split(Squares(10), [7, 3], generator=gg.Generator().manual_seed(1))
    again = data.random_split(Squares(10), [0.7, 0.3], generator=gg.Generator().manual_seed(1))
    indices = [list(part.indices) for part in parts]
    assert indices == [list(part.indices) for part in again]
    assert sorted(indices[0] + indices[1]) == list(range(10))
    assert indices[0] != sorted(indices[0])
    assert [len(part) for part in data.random_split(Squares(10), [1 / 3] * 3)] == [4, 3, 3]
    with pytest.raises(ArgumentError, match=r"lengths \[7, 2\] sum to 9, but .* 10 items"):
        data.random_split(Squares(10), [7, 2])


def test_base_classes_say_what_is_missing() -> None:
    class Empty(Dataset):
        pass

    with pytest.raises(NotImplementedError, match="Empty must define __len__"):
        len(Empty())


# ---- loaders, in this process ------------------------------------------------------------------


def batches(loader: DataLoader) -> list[list[int]]:
    """The first field of each batch."""
    return [batch[0].tolist() for batch in loader]


def test_order_and_len() -> None:
    for dataset in (Squares(), TensorDataset(gg.arange(10), gg.arange(10) * 2)):
        assert batches(DataLoader(dataset, 4)) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
        loader = DataLoader(dataset, 4, drop_last=True)
        assert batches(loader) == [[0, 1, 2, 3], [4, 5, 6, 7]]
        assert len(loader) == 2
        assert len(DataLoader(dataset, 4)) == 3
        assert batches(DataLoader(dataset, 3, sampler=[5, 1, 1, 0])) == [[5, 1, 1], [0]]
        assert batches(DataLoader(dataset, batch_sampler=[[1], [2, 3]])) == [[1], [2, 3]]
        assert batches(DataLoader(dataset, 4, sampler=[])) == []


def test_shuffle_is_seeded_and_the_same_by_item_and_on_the_device() -> None:
    def epochs(dataset: Any) -> list[list[list[int]]]:
        generator = gg.Generator().manual_seed(7)
        loader = DataLoader(dataset, 4, shuffle=True, generator=generator)
        return [batches(loader), batches(loader)]

    on_device = epochs(TensorDataset(gg.arange(10)))
    assert on_device == epochs(TensorDataset(gg.arange(10)))
    assert on_device[0] != on_device[1]
    assert sorted(i for batch in on_device[0] for i in batch) == list(range(10))
    gg.manual_seed(3)
    first = batches(DataLoader(TensorDataset(gg.arange(10)), 4, shuffle=True))
    gg.manual_seed(3)
    assert first == batches(DataLoader(TensorDataset(gg.arange(10)), 4, shuffle=True))


def test_the_same_order_on_another_device() -> None:
    """Data on the simulator is taken there, in the order the CPU gives for the same seed."""
    orders = []
    for device in ("cpu", "sim"):
        gg.manual_seed(3)
        gg.rand(2)  # as a model's initial values are drawn
        dataset = TensorDataset(gg.arange(10, device=device))
        loader = DataLoader(dataset, 4, shuffle=True)
        orders.append(batches(loader))
        assert str(next(iter(loader))[0].device) == device
    assert orders[0] == orders[1]


def test_batches_do_not_alias_the_data() -> None:
    x = gg.zeros(6)
    for (batch,) in DataLoader(TensorDataset(x), 3):
        batch += 1
    assert x.tolist() == [0] * 6


def test_subset_of_tensors_stays_on_the_device() -> None:
    subset = Subset(Subset(TensorDataset(gg.arange(10) * 10), [9, 1, 8, 2]), [3, 0, 1])
    assert data.dataset.takes_batches(subset)
    assert batches(DataLoader(subset, 2)) == [[20, 90], [10]]


def test_overridden_items_are_respected() -> None:
    class Negated(TensorDataset):
        def __getitem__(self, index: Any) -> Any:
            return (-super().__getitem__(index)[0],)

    assert batches(DataLoader(Negated(gg.arange(3)), 3)) == [[0, -1, -2]]


def test_samplers() -> None:
    generator = gg.Generator().manual_seed(0)
    drawn = list(data.RandomSampler(range(5), True, 40, generator))
    assert len(drawn) == 40
    assert set(drawn) <= set(range(5))
    twice = list(data.RandomSampler(range(5), num_samples=10, generator=generator))
    assert sorted(twice[:5]) == sorted(twice[5:]) == list(range(5))
    with pytest.raises(ArgumentError, match="num_samples = 0"):
        data.RandomSampler(range(5), num_samples=0)


Pair = namedtuple("Pair", "image label")


def test_subset_and_weighted_samplers() -> None:
    gg.manual_seed(3)
    assert sorted(SubsetRandomSampler([5, 2, 9])) == [2, 5, 9]
    assert len({tuple(SubsetRandomSampler([5, 2, 9])) for _ in range(50)}) == 6
    often = list(WeightedRandomSampler([3.0, 0.0, 1.0], 4000))
    assert len(often) == 4000 and 1 not in often and abs(often.count(0) - 3000) < 150
    once = [list(WeightedRandomSampler([3.0, 0.0, 1.0], 2, replacement=False)) for _ in range(2000)]
    assert all(sorted(order) == [0, 2] for order in once)
    assert abs(sum(order[0] == 0 for order in once) - 1500) < 100  # first with probability 3 / 4
    loader = DataLoader(Squares(9), 2, sampler=SubsetRandomSampler([5, 2, 8]))
    assert sorted(int(i) for x, _ in loader for i in x) == [2, 5, 8] and len(loader) == 2
    for weights in ([-1.0, 2.0], [0.0], [float("nan")], [[1.0]], []):
        with pytest.raises(ArgumentError, match="one row of finite numbers of at least 0"):
            WeightedRandomSampler(weights, 1)
    with pytest.raises(ArgumentError, match=r"num_samples = 2, replacement = False; .* at most 1"):
        WeightedRandomSampler([1.0, 0.0], 2, replacement=False)


def test_collate() -> None:
    items = [
        {"a": np.ones((2, 3), np.float32) * i, "b": Pair(i, 0.5), "c": "text", "d": [True]}
        for i in range(4)
    ]
    batch = data.default_collate(items)
    assert batch["a"].shape == (4, 2, 3)
    assert batch["a"].dtype == gg.float32
    assert isinstance(batch["b"], Pair)
    assert batch["b"].image.dtype == gg.int64
    assert batch["b"].label.dtype == gg.float64
    assert batch["c"] == ["text"] * 4
    assert batch["d"][0].dtype == gg.bool
    assert data.default_collate([gg.ones(2), gg.zeros(2)]).tolist() == [[1, 1], [0, 0]]
    with pytest.raises(
        ShapeError, match=r"item 0 of the batch has shape \(2,\), item 1 has \(3,\)"
    ):
        data.default_collate([np.ones(2), np.ones(3)])
    with pytest.raises(ShapeError, match=r"different numbers of fields: \[1, 2\]"):
        data.default_collate([(1,), (1, 2)])
    with pytest.raises(TypeError, match="cannot make a batch of object"):
        data.default_collate([object()])


def test_single_items_and_own_collate() -> None:
    assert [tuple(item) for item in DataLoader(Squares(3), None)] == [(0, 0.0), (1, 1.0), (2, 4.0)]
    assert list(DataLoader(Squares(3), 2, collate_fn=len)) == [2, 1]


def test_bad_arguments() -> None:
    for arguments, text in [
        ({"batch_size": 0}, "batch_size = 0; it must be a positive integer"),
        ({"shuffle": True, "sampler": [1]}, "sampler and shuffle=True both say the order"),
        ({"batch_sampler": [[1]], "batch_size": 2}, "batch_sampler says batches and order"),
        ({"num_workers": -1}, "num_workers = -1"),
        ({"prefetch_factor": 2}, "prefetch_factor = 2 with num_workers = 0"),
        ({"persistent_workers": True}, "needs num_workers of 1 or more"),
        ({"batch_size": None, "drop_last": True}, "batch_size=None makes no batches"),
    ]:
        with pytest.raises(ArgumentError, match=text):
            DataLoader(Squares(), **arguments)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="a set, has no __getitem__"):
        DataLoader({1, 2})
    with pytest.warns(UserWarning, match="pin_memory has no effect"):
        DataLoader(Squares(), pin_memory=True)
