"""CIFAR-10 and CIFAR-100 in the publisher's formats, downloads, and what can be wrong with them."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import pickle
import re
import tarfile
import zlib
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from image_files import write_cifar, write_fashion
from PIL import Image

import gpugrad as gg
from gpugrad.data import CIFAR10, CIFAR100, DataLoader, FashionMNIST, TensorDataset, cifar_files
from gpugrad.data import mnist as mnist_file
from gpugrad.data.dataset import takes_batches
from gpugrad.data.download import download
from gpugrad.data.pickles import read_pickle
from gpugrad.errors import ArgumentError, DataError

BATCHES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]


# ---- the formats -----------------------------------------------------------------------------


def forms(tmp_path: Path, kind: type[CIFAR10]) -> list[Path]:
    """Roots with the same images, in each form in which they are published."""
    roots = []
    for edition in ("python", "python2", "binary"):
        for packed in (False, True):
            root = tmp_path / f"{edition}-{packed}"
            write_cifar(root, kind, edition, packed=packed)
            roots.append(root)
    return roots


@pytest.mark.parametrize("kind", [CIFAR10, CIFAR100])
def test_every_form_gives_the_same_items(tmp_path: Path, kind: type[CIFAR10]) -> None:
    images, labels = write_cifar(tmp_path, kind, "binary")
    for root in forms(tmp_path, kind):
        dataset = kind(root, train=True)
        assert len(dataset) == 20
        assert dataset.data.shape == (20, 32, 32, 3) and dataset.data.dtype == np.uint8
        np.testing.assert_array_equal(dataset.data, images.transpose(0, 2, 3, 1))
        assert dataset.targets == labels.tolist()
        test = kind(str(root), train=False)
        assert len(test) == 10
        image, label = dataset[3]
        assert isinstance(image, Image.Image) and image.mode == "RGB" and image.size == (32, 32)
        assert type(label) is int and label == labels[3]
        assert image.getpixel((5, 9)) == tuple(images[3, :, 9, 5])
        assert dataset[-1][1] == labels[-1]


def test_a_folder_may_be_named_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar(tmp_path, CIFAR10, "binary")
    assert len(CIFAR10(tmp_path / "cifar-10-batches-bin", False)) == 10
    monkeypatch.setenv("GPUGRAD_DATA", str(tmp_path))
    assert len(CIFAR10(train=False)) == 10


def test_classes_and_transforms(tmp_path: Path) -> None:
    write_cifar(tmp_path, CIFAR10, "python")
    dataset = CIFAR10(
        root=tmp_path, train=True, transform=np.asarray, target_transform=str, download=True
    )
    assert dataset.classes[6] == "frog" and dataset.class_to_idx["truck"] == 9
    assert len(CIFAR100.classes) == 100 == len(set(CIFAR100.classes))
    assert list(CIFAR100.classes) == sorted(CIFAR100.classes)
    image, label = dataset[0]
    np.testing.assert_array_equal(image, dataset.data[0])
    assert label == str(dataset.targets[0])
    text = repr(dataset)
    assert "Number of datapoints: 20" in text and str(tmp_path) in text and "transform" in text
    with pytest.raises(ArgumentError, match=r"transform is the class ToTensor.\n  Make one"):
        CIFAR10(tmp_path, transform=gg.data.transforms.ToTensor)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="target_transform is a int, which cannot be called"):
        CIFAR10(tmp_path, target_transform=3)  # type: ignore[arg-type]


@pytest.mark.parametrize("device", ["cpu", "sim"])
def test_tensors_for_training_on_a_device(tmp_path: Path, device: str) -> None:
    images, labels = write_cifar(tmp_path, CIFAR10, "binary")
    raw = CIFAR10(tmp_path).tensor_dataset(device)
    assert isinstance(raw, TensorDataset) and takes_batches(raw) and str(raw.device) == device
    np.testing.assert_array_equal(raw.tensors[0].numpy(), images)
    np.testing.assert_array_equal(raw.tensors[1].numpy(), labels)
    assert raw.tensors[0].dtype == gg.uint8 and raw.tensors[1].dtype == gg.int64
    scaled = CIFAR10(tmp_path).tensor_dataset(device, normalise=True).tensors[0]
    mean, std = (np.reshape(v, (1, 3, 1, 1)) for v in (CIFAR10.mean, CIFAR10.std))
    # float32: a product and a difference of values below 3, each rounded by half of 2^-22.
    np.testing.assert_allclose(scaled.numpy(), (images / 255 - mean) / std, rtol=0, atol=2**-20)
    sizes = [len(x) for x, _ in DataLoader(raw, 8)]
    assert sizes == [8, 8, 4]


# ---- what can be wrong ---------------------------------------------------------------------------


def cause(root: Any, **arguments: Any) -> str:
    with pytest.raises(DataError) as caught:
        CIFAR10(root, **arguments)
    return str(caught.value)


def test_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = cause(tmp_path / "nothing")
    assert "is not a folder; expected one with cifar-10-batches-py/, cifar-10-batches-bin/" in text
    assert f"Put {cifar_files.URL}cifar-10-python.tar.gz into {tmp_path / 'nothing'}" in text
    assert "has none of cifar-10-batches-py/" in cause(tmp_path)
    write_cifar(tmp_path, CIFAR10, "python")
    for name in ("data_batch_2", "test_batch"):
        (tmp_path / "cifar-10-batches-py" / name).unlink()
    assert "cifar-10-batches-py lacks data_batch_2, test_batch." in cause(tmp_path)
    monkeypatch.delenv("GPUGRAD_DATA", raising=False)
    assert "no folder was named.\n  Give root, or set GPUGRAD_DATA" in cause(None)


def test_wrong_binary_batches(tmp_path: Path) -> None:
    write_cifar(tmp_path, CIFAR10, "binary")
    path = tmp_path / "cifar-10-batches-bin" / "data_batch_3.bin"
    good = path.read_bytes()
    for content in (good[:-1], good + b"!", b""):
        path.write_bytes(content)
        text = cause(tmp_path)
        assert text.startswith(f"{path}: a file of {len(content)} bytes; expected records of 3073")
    path.write_bytes(good[:3073] + b"\x0a" + good[3074:])
    assert f"{path}: labels has 10 at position 1; expected 0 to 9." in cause(tmp_path)


def replaced(**changes: Any) -> bytes:
    good = {"data": np.zeros((2, 3072), np.uint8), "labels": [1, 2], "batch_label": "x"}
    return pickle.dumps({k: v for k, v in (good | changes).items() if v is not None})


class Evil:
    """Runs a command when it is unpickled."""

    ran: ClassVar[list[int]] = []

    def __reduce__(self) -> Any:
        return os.system, ("echo harm",)


WRONG_PICKLES = [
    (b"", "not a pickle of arrays (Ran out of input)"),
    (b"no pickle at all", "not a pickle of arrays"),
    (replaced()[:-40], "not a pickle of arrays"),
    (pickle.dumps({"data": Evil()}), "it names posix.system, which no data file needs"),
    (pickle.dumps([1, 2]), "a pickled list; expected a dict"),
    (replaced(labels=None), "a dict without 'labels' (it has ['batch_label', 'data'])"),
    (replaced(data=None), "a dict without 'data'"),
    (replaced(data=[1, 2]), "data is <class 'list'>; expected (n, 3072), uint8"),
    (replaced(data=np.zeros((2, 99), np.uint8)), "data is (2, 99), uint8; expected (n, 3072)"),
    (replaced(data=np.zeros((2, 3072))), "data is (2, 3072), float64; expected"),
    (replaced(data=np.zeros((0, 3072), np.uint8), labels=[]), "holds no images"),
    (replaced(labels=[1]), "labels has 1 entries; expected a list of 2 whole numbers"),
    (replaced(labels=[1, 2, 3]), "labels has 3 entries; expected a list of 2 whole numbers"),
    (replaced(labels=[1, 0.5]), "labels has 2 entries; expected a list of 2 whole numbers"),
    (replaced(labels=[[1], [1, 2]]), "labels has 2 entries; expected a list of 2 whole numbers"),
    (replaced(labels="ab"), "labels has a str; expected a list of 2"),
    (replaced(labels=[1, 10]), "labels has 10 at position 1; expected 0 to 9"),
    (replaced(labels=[-1, 1]), "labels has -1 at position 0; expected 0 to 9"),
]


@pytest.mark.parametrize(("content", "text"), WRONG_PICKLES, ids=map(str, range(99)[:18]))
def test_wrong_pickles(tmp_path: Path, content: bytes, text: str) -> None:
    write_cifar(tmp_path, CIFAR10, "python")
    path = tmp_path / "cifar-10-batches-py" / "data_batch_4"
    path.write_bytes(content)
    found = cause(tmp_path)
    assert found.startswith(f"{path}: ") and text in found and "\n  The file is damaged" in found


def test_cifar100_checks_both_labels(tmp_path: Path) -> None:
    write_cifar(tmp_path, CIFAR100, "binary")
    path = tmp_path / "cifar-100-binary" / "train.bin"
    good = bytearray(path.read_bytes())
    for at, value, text in ((0, 20, "coarse_labels has 20"), (1, 100, "fine_labels has 100")):
        bad = bytes(good[:at]) + bytes([value]) + bytes(good[at + 1 :])
        path.write_bytes(bad)
        with pytest.raises(DataError, match=f"{text} at position 0; expected 0 to"):
            CIFAR100(tmp_path)


def test_every_prefix_and_flip_of_a_pickle_is_read_or_refused() -> None:
    """Damage anywhere gives data or a DataError, never another exception."""
    good = replaced(data=np.arange(64, dtype=np.uint8).reshape(2, 32))
    rng = np.random.default_rng(0)
    for i in range(len(good)):
        flipped = bytearray(good)
        flipped[i] ^= int(rng.integers(1, 256))
        for content in (good[:i], bytes(flipped)):
            try:
                read_pickle(content, Path("x"))
            except DataError as error:
                assert str(error).startswith("x: not a pickle of arrays")


def test_wrong_archives(tmp_path: Path) -> None:
    write_cifar(tmp_path, CIFAR10, "python", packed=True)
    path = tmp_path / "cifar-10-python.tar.gz"
    good = path.read_bytes()
    for content in (good[: len(good) // 2], b"", b"no archive", gzip.compress(b"no archive" * 99)):
        path.write_bytes(content)
        assert f"{path}: " in cause(tmp_path)
    plain = bytearray(zlib.decompress(good, 31))
    assert b"cifar-10-batches-py/data_batch_5" in plain
    with tarfile.open(path, "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("cifar-10-batches-py/data_batch_1"), io.BytesIO())
    assert f"{path}: has no cifar-10-batches-py/data_batch_2." in cause(tmp_path)


# ---- downloads -----------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of the publisher's, with an archive whose MD5 is the expected one."""
    folder = tmp_path / "publisher"
    write_cifar(folder, CIFAR10, "python", packed=True)
    archive = folder / "cifar-10-python.tar.gz"
    md5 = hashlib.md5(archive.read_bytes()).hexdigest()
    published = CIFAR10.published
    monkeypatch.setattr(cifar_files, "URL", f"{folder.as_uri()}/")
    edition = published.python._replace(md5=md5)
    monkeypatch.setattr(CIFAR10, "published", published._replace(python=edition))
    return archive


def test_download_unpacks_and_is_done_once(server: Path, tmp_path: Path) -> None:
    root = tmp_path / "a" / "b"
    assert len(CIFAR10(root, download=True)) == 20
    assert sorted(os.listdir(root)) == ["cifar-10-batches-py", "cifar-10-python.tar.gz"]
    assert sorted(os.listdir(root / "cifar-10-batches-py")) == BATCHES
    server.unlink()
    assert len(CIFAR10(root, download=True)) == 20
    assert len(CIFAR10(root, train=False)) == 10


def test_download_that_fails_leaves_nothing(server: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    server.write_bytes(server.read_bytes() + b"!")
    text = cause(root, download=True)
    assert "the downloaded file has MD5" in text and "nothing was kept" in text
    server.unlink()
    text = cause(root, download=True)
    assert "cifar-10-python.tar.gz: cannot be downloaded (" in text
    assert f"and put it at {root / 'cifar-10-python.tar.gz'}." in text
    assert os.listdir(root) == []
    (tmp_path / "file").write_text("")
    assert "cannot be written (" in cause(tmp_path / "file" / "x", download=True)


def test_download_refused_by_a_server(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be downloaded \(Connection refused\)|refused"):
        download("http://127.0.0.1:9/file", tmp_path / "file", "0")


# ---- Fashion-MNIST, and MNIST as torchvision has it ----------------------------------------------


def test_fashion_mnist(tmp_path: Path) -> None:
    for folder in ("FashionMNIST/raw", "fashion-mnist"):
        root = tmp_path / folder[0]
        images, labels = write_fashion(root / folder)
        dataset = FashionMNIST(root)
        assert takes_batches(dataset) and dataset.classes[int(labels[0])] in dataset.classes
        x, y = dataset[2]
        expected = (images[2] / 255 - 0.2860) / 0.3530
        np.testing.assert_allclose(x[0].numpy(), expected, rtol=0, atol=2**-20)
        assert int(y) == labels[2]
        assert len(FashionMNIST(str(root), train=False, transform=None, download=True)) == 6
    pictures = FashionMNIST(root, True, np.asarray, float)
    image, label = pictures[1]
    np.testing.assert_array_equal(image, images[1])
    assert isinstance(label, float)
    with pytest.raises(DataError, match=r"Fashion-MNIST: .* has none of FashionMNIST/raw/train-im"):
        FashionMNIST(tmp_path)
    with pytest.raises(DataError, match=re.escape(f"Put {FashionMNIST.published.url}train-images")):
        FashionMNIST(tmp_path)


def test_fashion_mnist_is_not_taken_for_mnist(tmp_path: Path) -> None:
    """The names of their files are equal."""
    write_fashion(tmp_path)
    assert len(gg.data.MNIST(tmp_path)) == 12
    with pytest.raises(DataError, match="has none of"):
        FashionMNIST(tmp_path)


def test_fashion_mnist_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "publisher"
    write_fashion(folder)
    md5 = {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    published = FashionMNIST.published._replace(url=f"{folder.as_uri()}/", md5=md5)
    monkeypatch.setattr(FashionMNIST, "published", published)
    assert len(FashionMNIST(tmp_path / "root", download=True)) == 12
    assert len(os.listdir(tmp_path / "root" / "FashionMNIST" / "raw")) == 2  # what was asked for


def test_mnist_with_torchvisions_arguments(tmp_path: Path) -> None:
    to_tensor = gg.data.transforms.ToTensor()
    dataset = gg.data.MNIST(tmp_path, train=False, transform=to_tensor, download=True)
    assert not takes_batches(dataset) and len(dataset) == 10000
    x, label = dataset[0]
    assert x.shape == (1, 28, 28) and type(label) is int and label == 7
    images, _ = mnist_file.load_mnist(train=False)
    np.testing.assert_array_equal(x[0].numpy(), images[0] / np.float32(255))
    assert dataset.data.shape == (10000, 28, 28) and dataset.targets[:3].tolist() == [7, 2, 1]
    batch, labels = next(iter(DataLoader(dataset, 3)))
    assert batch.shape == (3, 1, 28, 28) and labels.tolist() == [7, 2, 1]
    named = gg.data.MNIST(train=False, target_transform=lambda y: dataset.classes[y])
    assert not takes_batches(named) and named[0][1] == "7" and named[0][0].shape == (1, 28, 28)
    with pytest.raises(DataError, match="has none of MNIST/t10k-images"):
        gg.data.MNIST(tmp_path, train=False)


def test_subset_by_assignment(tmp_path: Path) -> None:
    images, labels = write_cifar(tmp_path, CIFAR10, "binary")
    dataset = CIFAR10(tmp_path)
    dataset.data, dataset.targets = dataset.data[5:9], dataset.targets[5:9]
    assert len(dataset) == 4
    np.testing.assert_array_equal(dataset.data, images[5:9].transpose(0, 2, 3, 1))
    assert dataset[0][1] == labels[5]
