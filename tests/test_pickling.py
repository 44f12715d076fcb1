"""pickle, copy and deepcopy of tensors, modules and optimizers."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import pickletools
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad import nn, optim
from gpugrad.dtype import DTYPES
from gpugrad.errors import DeviceError, GraphError

PROTOCOLS = range(2, pickle.HIGHEST_PROTOCOL + 1)


def through(x: Any, protocol: int = pickle.HIGHEST_PROTOCOL) -> Any:
    return pickle.loads(pickle.dumps(x, protocol))


def same(a: gg.Tensor, b: gg.Tensor) -> None:
    assert type(a) is type(b) and a.dtype == b.dtype and a.device == b.device
    assert a.shape == b.shape and a.tolist() == b.tolist() and b.is_leaf
    assert a.requires_grad == b.requires_grad and b.array.flags.writeable
    assert not np.shares_memory(a.array, b.array)


# ---- tensors -------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.name)
def test_every_dtype(dtype: Any, protocol: int) -> None:
    x = gg.tensor([[0, 1], [2, 3]]).to(dtype)
    for each in (x, x[0], x[0, 1], x[:0], x.mT, x.expand(3, 2, 2)):
        same(each, through(each, protocol))
        same(each, copy.deepcopy(each))


def test_flags_and_layout() -> None:
    x = gg.ones(2, 3, requires_grad=True)
    (x * 2).sum().backward()
    y = through(x)
    same(x, y)
    assert y.grad is None  # as in PyTorch
    image = gg.ones(2, 3, 4, 5).to(memory_format=gg.channels_last)
    assert through(image).is_contiguous(memory_format=gg.channels_last)
    assert through(gg.ones(4, 3).mT).stride() == (1, 3)


def test_a_view_is_written_alone() -> None:
    row = gg.zeros(1000, 1000)[3]
    assert len(pickle.dumps(row)) < 5000


def test_results_of_operations_refuse() -> None:
    y = gg.ones(2, requires_grad=True) * 2
    for call, name in ((pickle.dumps, "pickle"), (copy.copy, "copy"), (copy.deepcopy, "deepcopy")):
        with pytest.raises(GraphError, match=rf"{name}: only leaf.*\(2,\).*<Mul>\.\n.*detach\(\)"):
            call(y)
    same(y.detach(), through(y.detach()))


def test_hooks_are_left_out_with_a_warning() -> None:
    x = gg.ones(2, requires_grad=True)
    x.register_hook(lambda dy: dy)
    with pytest.warns(UserWarning, match="hooks of a tensor are not written"):
        same(x, through(x))


def test_a_pickle_names_nothing_but_our_function_and_class() -> None:
    content = pickle.dumps(gg.ones(2, dtype=gg.bfloat16), 2)
    names = [arg for op, arg, _ in pickletools.genops(content) if op.name == "GLOBAL"]
    assert set(names) <= {"gpugrad.copies rebuild", "gpugrad.tensor Tensor", "_codecs encode"}


def test_a_wrong_class_is_refused() -> None:
    from gpugrad.copies import rebuild

    with pytest.raises(pickle.UnpicklingError, match="no class of tensors"):
        rebuild(print, b"", (0,), (0,), "float32", "cpu", False)  # type: ignore[arg-type]


def test_a_missing_device_is_told() -> None:
    from gpugrad.copies import rebuild

    if gg.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(DeviceError, match="cuda"):
        rebuild(gg.Tensor, b"", (0,), (0,), "float32", "cuda:0", False)


def test_the_device_comes_back(kernel_device: str) -> None:
    x = gg.ones(2, 3, device=kernel_device)
    y = through(x)
    assert y.device == x.device and y.tolist() == x.tolist()


def test_out_of_band_buffers() -> None:
    x, buffers = gg.arange(6).reshape(2, 3), []
    content = pickle.dumps(x, 5, buffer_callback=buffers.append)
    assert len(buffers) == 1 and buffers[0].raw().nbytes == 48
    same(x, pickle.loads(content, buffers=buffers))


def test_one_tensor_in_two_places_stays_one() -> None:
    x = gg.ones(2)
    for a, b in (through([x, x]), copy.deepcopy([x, x])):
        assert a is b and a is not x


def test_copy_shares_the_memory() -> None:
    x = gg.ones(2, requires_grad=True)
    x.sum().backward()
    y = copy.copy(x)
    assert y is not x and y.requires_grad and y.grad is x.grad
    with gg.no_grad():
        y.add_(1)
    assert x.tolist() == [2, 2] and x._version == y._version == 1


class Scaled(gg.Tensor):
    """A subclass with attributes of its own."""

    __slots__ = ("__dict__", "scale")


def test_subclasses_keep_their_attributes() -> None:
    base = gg.ones(2)
    x = Scaled(base.array, base.backend)
    x.scale, x.note = 0.5, ["a"]  # type: ignore[attr-defined]
    for y in (through(x), copy.copy(x), copy.deepcopy(x)):
        assert type(y) is Scaled and y.scale == 0.5 and y.note == ["a"]
    assert copy.copy(x).note is x.note and copy.deepcopy(x).note is not x.note  # type: ignore[attr-defined]
    x.note = x  # type: ignore[attr-defined]
    y = copy.deepcopy(x)
    assert y.note is y is not x


# ---- modules and optimizers ----------------------------------------------------------------------

MODULES = {
    "linear": lambda: nn.Linear(3, 2),
    "sequential": lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout()),
    "lstm": lambda: nn.LSTM(3, 4, 2),
    "transformer": lambda: nn.TransformerEncoderLayer(8, 2),
    "embedding": lambda: nn.Embedding(4, 3),
    "lists": lambda: nn.ParameterList([gg.ones(2)]),
}


@pytest.mark.parametrize("name", MODULES)
def test_modules(name: str) -> None:
    module = MODULES[name]().eval()
    for other in (through(module), copy.deepcopy(module)):
        assert repr(other) == repr(module) and other.training is False
        pairs = zip(module.named_parameters(), other.named_parameters(), strict=True)
        for (path, a), (same_path, b) in pairs:
            assert path == same_path
            same(a, b)
        for a, b in zip(module.buffers(), other.buffers(), strict=True):
            same(a, b)


def test_tied_weights_stay_tied() -> None:
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    net[1].weight = net[0].weight
    for other in (through(net), copy.deepcopy(net)):
        assert other[1].weight is other[0].weight is not net[0].weight


def hook(module: Any, args: Any, output: Any) -> Any:
    """A hook that pickle can name."""
    return output * 0


def test_hooks_of_modules_go_as_pickle_can_name_them() -> None:
    layer = nn.Linear(2, 2)
    layer.register_forward_hook(hook)
    assert through(layer)(gg.ones(1, 2)).tolist() == [[0.0, 0.0]]
    layer.register_forward_hook(lambda *args: None)
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(layer)


@pytest.mark.parametrize("kind", ["SGD", "Adam", "RMSprop"])
def test_a_model_trains_on_with_its_optimizer(kind: str) -> None:
    gg.manual_seed(0)
    net = nn.Linear(2, 1)
    optimizer = getattr(optim, kind)(net.parameters(), lr=0.1)

    def step(net: Any, optimizer: Any) -> None:
        optimizer.zero_grad()
        net(gg.ones(3, 2)).square().sum().backward()
        optimizer.step()

    step(net, optimizer)
    others = [through((net, optimizer)), copy.deepcopy((net, optimizer))]
    step(net, optimizer)
    for other, its in others:
        step(other, its)
        assert gg.equal(other.weight, net.weight)


# ---- other processes -----------------------------------------------------------------------------


def doubled(x: gg.Tensor) -> gg.Tensor:
    """What a process computes."""
    return x * 2


def test_multiprocessing() -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        y = pool.apply(doubled, (gg.tensor([1.0, 2.0], dtype=gg.bfloat16),))
    assert y.tolist() == [2.0, 4.0] and y.dtype == gg.bfloat16
