"""gg.save and gg.load: what comes back, and what is told of files that are not what they should."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import pickle
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

import gpugrad as gg
from gpugrad.errors import ArgumentError, DataError

DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32"]
DTYPES += ["float64"]


def same(a: Any, b: Any) -> bool:
    """Equal in type, structure, dtype and every bit."""
    if isinstance(a, gg.Tensor):
        return isinstance(b, gg.Tensor) and same(a.detach().numpy(), b.numpy())
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b or (a != a and b != b)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_comes_back_bit_equal(tmp_path: Path, dtype: str) -> None:
    values = np.array([[0, 1, 3], [5, 7, 1]]).astype(gg.as_dtype(dtype))
    tensor = gg.tensor(values)
    gg.save({"x": tensor, "empty": tensor[:0], "scalar": tensor[0, 1]}, tmp_path / "f.safetensors")
    back = gg.load(tmp_path / "f.safetensors")
    assert back["x"].dtype == values.dtype and back["x"].numpy().tobytes() == values.tobytes()
    assert back["empty"].shape == (0, 3) and back["scalar"].shape == ()


def test_nested_structure(tmp_path: Path) -> None:
    obj = {
        "model": {"0.weight": gg.tensor([[1.0, 2.0]]), "0.bias": gg.tensor([3.0])},
        "optimizer": {"state": {0: {"step": 4, "exp_avg": gg.tensor([0.5])}, 1: {}}},
        "betas": (0.9, 0.999),
        "history": [1, 2.5, None, True, "Zürich", [], (), {}],
        "special": [math.inf, -math.inf, math.nan, -0.0, 1e-320, 2**70],
        "array": np.arange(6, dtype=np.int16).reshape(2, 3),
        "scalar": np.float32(1.5),
        "dtype": gg.bfloat16,
        "$strange": {"$tensor": "x"},
        "keys": {(1, "a"): 1, None: 2, 2.5: 3, True: 4},
    }
    gg.save(obj, tmp_path / "f.safetensors")
    assert same(obj, gg.load(tmp_path / "f.safetensors"))


def test_one_tensor_alone_and_strides(tmp_path: Path) -> None:
    x = gg.tensor(np.arange(12.0, dtype=np.float32).reshape(3, 4)).T[1:]
    gg.save(x, tmp_path / "f")
    assert same(gg.load(tmp_path / "f"), x)


def test_equal_structures_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("f", "g"):
        gg.save({"b": gg.tensor([1.0]), "a": [gg.tensor([2, 3]), 7]}, tmp_path / name)
    assert (tmp_path / "f").read_bytes() == (tmp_path / "g").read_bytes()


def test_names_that_collide_stay_apart(tmp_path: Path) -> None:
    obj = {"a": {"b": gg.tensor([1])}, "a/b": gg.tensor([2]), "__metadata__": gg.tensor([3])}
    gg.save(obj, tmp_path / "f")
    assert same(gg.load(tmp_path / "f"), obj)


def test_load_gives_plain_tensors_on_the_wanted_device(tmp_path: Path) -> None:
    gg.save({"w": gg.nn.Parameter(gg.tensor([1.0]))}, tmp_path / "f")
    with pytest.raises(ArgumentError, match="expected a device such as 'cuda', got a dict"):
        gg.load(tmp_path / "f", map_location={})  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="expected a path or a file, got a int"):
        gg.load(3)  # type: ignore[arg-type]
    back = gg.load(tmp_path / "f", map_location="cpu")
    assert type(back["w"]) is gg.Tensor and not back["w"].requires_grad
    assert str(back["w"].device) == "cpu"
    back["w"].fill_(5)
    assert gg.load(tmp_path / "f")["w"].item() == 1.0


def test_the_safetensors_library_reads_a_flat_dict(tmp_path: Path) -> None:
    x = {"b": gg.tensor([1.0, 2.0]), "a.weight": gg.tensor([[1, 2]]), "c": gg.tensor([True])}
    gg.save(x, tmp_path / "f.safetensors")
    back = safetensors.numpy.load_file(tmp_path / "f.safetensors")
    assert sorted(back) == ["a.weight", "b", "c"]
    assert all(same(x[name].numpy(), back[name]) for name in x)


def test_files_of_the_safetensors_library(tmp_path: Path) -> None:
    x = {"w": np.arange(3.0), "n": np.array([[1]], np.int8), "e": np.zeros((0, 2), np.float16)}
    safetensors.numpy.save_file(x, tmp_path / "f", metadata={"format": "np"})
    back = gg.load(tmp_path / "f")
    assert sorted(back) == ["e", "n", "w"] and all(same(x[k], back[k].numpy()) for k in x)


def test_bfloat16_file_by_hand(tmp_path: Path) -> None:
    """The bytes of the format, written from its description."""
    header = b'{"w":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}'
    body = np.array([1.5, -2], ml_dtypes.bfloat16).tobytes()
    (tmp_path / "f").write_bytes(len(header).to_bytes(8, "little") + header + body)
    back = gg.load(tmp_path / "f")["w"]
    assert back.dtype == gg.bfloat16 and back.float().tolist() == [1.5, -2.0]


# ---- nothing half-written ----------------------------------------------------------------------


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / "f"
    gg.save({"x": gg.tensor([1.0])}, path)
    path.chmod(0o640)
    before = path.read_bytes()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="writing failed: No space left on device"):
        gg.save({"x": gg.tensor([2.0])}, path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["f"]


def test_an_interrupted_save_leaves_nothing(tmp_path: Path, monkeypatch: Any) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        gg.save(gg.tensor([1.0]), tmp_path / "f")
    assert os.listdir(tmp_path) == []


def test_save_refuses_before_writing(tmp_path: Path) -> None:
    for obj, text in [
        ({"a": [1, {2, 3}]}, r"obj\['a'\]\[1\] is a set, which cannot be saved"),
        ({"net": gg.nn.ReLU()}, r"obj\['net'\] is a ReLU.*\n  Save its state: .state_dict\(\)"),
        ({"x": np.array(["a"])}, r"obj\['x'\] is an array of dtype <U1"),
        ({b"k": 1}, "keys can be str"),
    ]:
        with pytest.raises(ArgumentError, match=text):
            gg.save(obj, tmp_path / "f")
    assert os.listdir(tmp_path) == []


def test_save_into_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"No such file or directory.\n  The folder must exist"):
        gg.save(1, tmp_path / "no" / "f")
    with pytest.raises(DataError, match="this is a folder"):
        gg.save(1, tmp_path)


# ---- bad files ---------------------------------------------------------------------------------


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    gg.save({"w": gg.tensor([1.0, 2.0, 3.0]), "n": 3}, path)
    return path


def test_every_truncation_is_told(good: Path) -> None:
    data = good.read_bytes()
    for length in range(len(data)):
        good.write_bytes(data[:length])
        with pytest.raises(DataError, match=r"load\('.*model.safetensors'\): .*(truncated|empty)"):
            gg.load(good)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"PK\x03\x04" + b"x" * 60, "a zip archive"),
        (pickle.dumps([1] * 50), "a Python pickle, which can run any code"),
        (b"\x93NUMPY" + b"x" * 60, "a NumPy .npy file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b"hello, this is some other text file", "not a safetensors file"),
        ((20).to_bytes(8, "little") + b"{not json at all ...}", "damaged: invalid JSON in header"),
        ((2).to_bytes(8, "little") + b"[]", "not a safetensors file"),
    ],
)
def test_foreign_files(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(DataError, match=reason):
        gg.load(tmp_path / "f")


def with_header(path: Path, entries: Any, body: bytes) -> Path:
    header = json.dumps(entries).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + body)
    return path


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}, "damaged: invalid shape"),
        ({"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}, "damaged: .*integer `-1`"),
        ({"dtype": "F32", "shape": [2]}, "damaged: .*missing field `data_offsets`"),
        ({"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}, "damaged: .*offset.* `w`"),
        ({"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, "truncated, or too long"),
        ({"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}, "truncated, or too long"),
        ({"dtype": "F8_E8M0", "shape": [8], "data_offsets": [0, 8]}, "'w' has dtype F8_E8M0"),
        ({"dtype": "U32", "shape": [2], "data_offsets": [0, 8]}, "'w' has dtype U32"),
        ({"dtype": "F4", "shape": [16], "data_offsets": [0, 8]}, "'w' has dtype F4"),
        (7, "damaged: .*invalid type"),
    ],
)
def test_damaged_headers(tmp_path: Path, entry: Any, reason: str) -> None:
    path = with_header(tmp_path / "f", {"w": entry}, b"\0" * 8)
    with pytest.raises(DataError, match=reason):
        gg.load(path)


def test_damaged_structure(tmp_path: Path) -> None:
    for structure in ["{", '{"$tensor": "gone"}', '{"$future": 1}', '{"$dict": 3}']:
        entries = {"__metadata__": {"gpugrad.structure": structure}}
        with pytest.raises(DataError, match="its structure cannot be read"):
            gg.load(with_header(tmp_path / "f", entries, b""))


def test_missing_file_names_near_ones(good: Path) -> None:
    with pytest.raises(DataError, match=r"no such file.\n  Near names there: model.safetensors"):
        gg.load(good.with_name("model.safetensor"))
    with pytest.raises(DataError, match=r"folder .* does not exist either"):
        gg.load(good.parent / "no" / "x")


def test_random_damage_never_does_worse_than_dataerror(good: Path) -> None:
    data = bytearray(good.read_bytes())
    rng = np.random.default_rng(0)
    for _ in range(300):
        broken = bytearray(data)
        for i in rng.integers(0, len(data), 3):
            broken[i] = rng.integers(0, 256)
        good.write_bytes(broken)
        with contextlib.suppress(DataError):
            gg.load(good)


def test_files_and_bytes() -> None:
    """As PyTorch: f may be open, and what is read begins where it stands."""
    stream = io.BytesIO()
    stream.write(b"before")
    wanted = {"w": gg.tensor([1.5, 2.0]), "f": gg.ones(2).to(gg.float8_e5m2), "epoch": 3}
    gg.save(wanted, stream)
    stream.seek(6)
    found = gg.load(stream)
    assert found["w"].tolist() == [1.5, 2.0] and found["epoch"] == 3
    assert found["f"].dtype == gg.float8_e5m2
    with pytest.raises(DataError, match=r"load\(<_io.BytesIO .*>\): the file is empty"):
        gg.load(stream)  # which stands at its end
