"""Names that PyTorch programs use beside the mathematics: seeds, switches, old constructors."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

import gpugrad as gg
from gpugrad import nn
from gpugrad.data import RandomSampler
from gpugrad.errors import ArgumentError, DataError, DTypeError


def test_seed_everything() -> None:
    gg.manual_seed(1)
    gg.cuda.manual_seed(1)
    gg.cuda.manual_seed_all(1)
    gg.use_deterministic_algorithms(True)
    assert gg.are_deterministic_algorithms_enabled()
    cudnn = importlib.import_module("gpugrad.backends.cudnn")
    assert gg.backends.cudnn is cudnn and not cudnn.is_available() and cudnn.version() is None
    assert cudnn.deterministic and not cudnn.benchmark
    assert not gg.backends.mps.is_available() and not gg.backends.mps.is_built()
    assert gg.cuda.current_device() == 0
    assert gg.cuda.is_bf16_supported() == gg.cuda.is_available()


def test_tf32_switch() -> None:
    before = gg.get_matmul_precision()
    try:
        gg.backends.cuda.matmul.allow_tf32 = True
        assert gg.get_matmul_precision() == "tf32" and gg.backends.cuda.matmul.allow_tf32
        gg.backends.cuda.matmul.allow_tf32 = False
        assert gg.get_matmul_precision() == "high" and not gg.backends.cuda.matmul.allow_tf32
        gg.set_matmul_precision("exact")
        gg.backends.cuda.matmul.allow_tf32 = False
        assert gg.get_matmul_precision() == "exact"
        with pytest.raises(AttributeError, match="no setting 'allow_tf33', only allow_tf32"):
            gg.backends.cuda.matmul.allow_tf33 = True  # type: ignore[attr-defined]
    finally:
        gg.set_matmul_precision(before)
    with pytest.raises(AttributeError, match="has no attribute 'xpu'"):
        gg.backends.xpu  # noqa: B018


def test_compile_gives_the_same_object() -> None:
    model = nn.Linear(2, 2)
    assert gg.compile(model) is model and gg.compile(model, mode="max-autotune") is model

    @gg.compile
    def double(x: gg.Tensor) -> gg.Tensor:
        return 2 * x

    @gg.compile(fullgraph=True)
    def triple(x: gg.Tensor) -> gg.Tensor:
        return 3 * x

    assert double(gg.ones(1)).item() == 2 and triple(gg.ones(1)).item() == 3


def test_typed_constructors() -> None:
    kinds = {
        "BoolTensor": gg.bool, "ByteTensor": gg.uint8, "CharTensor": gg.int8,
        "ShortTensor": gg.int16, "IntTensor": gg.int32, "LongTensor": gg.int64,
        "HalfTensor": gg.float16, "FloatTensor": gg.float32, "DoubleTensor": gg.float64,
    }  # fmt: skip
    for name, dtype in kinds.items():
        make = getattr(gg, name)
        assert make([1, 0]).dtype == dtype and make([1, 0]).tolist() == [1, 0]
        assert make(2, 3).shape == make(*gg.Size([2, 3])).shape == (2, 3)
        assert (
            make(np.int64(3)).shape == make(3).shape == (3,)
            and make().shape == (0,)
            and make(2).dtype == dtype
        )
    array = np.ones(2)
    copy = gg.FloatTensor(array)
    array[0] = 5
    assert copy.tolist() == [1, 1] and gg.LongTensor((2, 3)).tolist() == [2, 3]
    assert isinstance(gg.ones(2, 3).shape, gg.Size)


def test_variable() -> None:
    x = gg.ones(2)
    y = gg.autograd.Variable(x, requires_grad=True)
    (y * 3).sum().backward()
    assert y.grad is not None and y.grad.tolist() == [3, 3] and not x.requires_grad
    x.fill_(2)
    assert y.tolist() == [2, 2]  # the same memory
    kind = gg.autograd.Variable
    assert isinstance(x, kind) and not isinstance(1, kind)
    with pytest.raises(DTypeError, match="Variable: data must be a Tensor, got int"):
        kind(1)  # type: ignore[arg-type]


def test_modules_by_their_places() -> None:
    for place, name in (
        ("utils.data.dataloader", "DataLoader"), ("utils.data.dataset", "Dataset"),
        ("utils.data.sampler", "RandomSampler"), ("distributions.categorical", "Categorical"),
        ("distributions.normal", "Normal"), ("distributions.kl", "kl_divergence"),
    ):  # fmt: skip
        assert hasattr(importlib.import_module(f"gpugrad.{place}"), name)
    assert gg.optim.lr_scheduler._LRScheduler is gg.optim.lr_scheduler.LRScheduler
    assert gg.vmap is gg.func.vmap


def test_randint_by_name() -> None:
    gg.manual_seed(0)
    one = gg.randint(5, (4,))
    for call in (
        lambda: gg.randint(5, size=(4,)),
        lambda: gg.randint(high=5, size=(4,)),
        lambda: gg.randint(0, high=5, size=(4,)),
        lambda: gg.randint(0, 5, (4,)),
    ):
        gg.manual_seed(0)
        assert gg.equal(call(), one)
    for wrong in (lambda: gg.randint(5), lambda: gg.randint(size=(2,))):
        with pytest.raises(ArgumentError, match=r"randint: give randint\(high, size\)"):
            wrong()


def test_randint_takes_no_int_as_size() -> None:
    """As in PyTorch: randint(1, 5) would else give 5 zeros to who expects a number."""
    for wrong in (lambda: gg.randint(1, 5), lambda: gg.randint(0, 5, 3)):
        with pytest.raises(ArgumentError, match=r"size must be a tuple, got \d.\n  Give \(\d,\)"):
            wrong()
    assert gg.randint(5, [2, 3]).shape == (2, 3) and gg.randint(5, ()).shape == ()


def test_a_sampler_without_end_starts_at_once() -> None:
    sampler = RandomSampler(range(10), replacement=True, num_samples=10**10)
    first = iter(sampler)
    assert all(0 <= next(first) < 10 for _ in range(100)) and len(sampler) == 10**10
    assert len(list(RandomSampler(range(3), replacement=True, num_samples=70_000))) == 70_000


def test_a_missing_file_is_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no such file") as caught:
        gg.load(tmp_path / "none.pt")
    assert isinstance(caught.value, DataError)
