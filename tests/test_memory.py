"""Memory: what backward and checkpoints hold at their peak, what devices tell, who holds it when it
has run out. (test_host_memory.py: the memory that device cpu keeps.)"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import pytest

import gpugrad as gg
import gpugrad.nn.functional as F
from gpugrad import holders, nn
from gpugrad.backends import cpu_native, cuda
from gpugrad.backends.memory import MIB, MemoryStats
from gpugrad.errors import DeviceError, OutOfMemoryError
from gpugrad.utils.checkpoint import checkpoint_sequential

ROWS, WIDTH = 512, 512
UNIT = ROWS * WIDTH * 4  # an activation of the nets below: 1 MiB
SLACK = 0.1  # of an activation: losses, counters


@pytest.fixture(autouse=True)
def counted() -> Iterator[None]:
    """A test runs in a context of its own: its arrays are counted, and nothing kept is left."""
    cpu_native.module.own_numpy_memory()
    gg.cuda.empty_cache("cpu")
    yield


class Residual(nn.Module):
    """x + relu(a x)."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: gg.Tensor) -> gg.Tensor:
        return x + F.relu(self.a(x))


class Star(nn.Module):
    """One tensor goes through many layers, so that many gradients meet; nothing else is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(6)])

    def forward(self, x: gg.Tensor) -> gg.Tensor:
        h = x.tanh()
        return gg.stack([(layer(h) * 2.0).sum() for layer in self.layers])


def chain(depth: int) -> nn.Module:
    return nn.Sequential(*[m for _ in range(depth) for m in (nn.Linear(WIDTH, WIDTH), nn.Tanh())])


def activations(model: nn.Module, run: Callable[[gg.Tensor], gg.Tensor]) -> tuple[float, ...]:
    """(held after forward, backward's peak above that, held after backward) without weights'
    gradients, which are there before, in activations."""
    x = gg.rand(ROWS, WIDTH).requires_grad_()
    for _ in range(2):  # in the second round the gradients are there
        before = gg.cuda.memory_allocated("cpu")
        loss = run(x).sum()
        held = gg.cuda.memory_allocated("cpu")
        gg.cuda.reset_peak_memory_stats("cpu")
        loss.backward()
        peak, after = gg.cuda.max_memory_allocated("cpu"), gg.cuda.memory_allocated("cpu")
    return (held - before) / UNIT, (peak - held) / UNIT, (after - before) / UNIT


# ---- backward ------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [4, 12])
def test_backward_needs_no_more_than_forward_left(depth: int) -> None:
    """What a layer kept goes when it is consumed, so backward's peak does not grow with depth: a
    layer's dy, dx and its weight's new gradient (a WIDTH x WIDTH one: 1 unit)."""
    held, above, after = activations(model := chain(depth), model)
    assert held == pytest.approx(depth, abs=SLACK), "the input of each layer is the tanh before it"
    assert above <= 2 + SLACK
    assert after <= SLACK, "the graph lives on, its arrays do not"


def test_residual_blocks() -> None:
    """relu keeps its input, the layer its own: 2 for each block; the skip's gradient is 1 more."""
    held, above, after = activations(model := nn.Sequential(*[Residual() for _ in range(6)]), model)
    assert held <= 12 + SLACK and above <= 3 + SLACK and after <= SLACK


def test_sums_of_gradients_are_made_in_place() -> None:
    """Of six gradients that meet there are two at a time, the sum and the next, beside the dy of a
    layer and the gradient of its weight. A sum of its own would be one more."""
    _, above, _ = activations(model := Star(), model)
    assert above <= 4 + SLACK


def test_accumulated_gradients_are_summed_in_place() -> None:
    w = gg.rand(ROWS, WIDTH).requires_grad_()
    (w * 2.0).sum().backward()
    assert w.grad is not None
    place = w.grad.array.ctypes.data
    (w * 3.0).sum().backward()
    assert w.grad.array.ctypes.data == place and (w.grad == 5.0).all().item()


def test_a_gradient_that_somebody_holds_is_left_alone() -> None:
    """The tensor, its array, a view of it: each keeps its values."""
    for hold in (lambda g: g, lambda g: g.array, lambda g: g.array[1:], lambda g: g[1:]):
        w = gg.ones(4, 3, requires_grad=True)
        (w * 2.0).sum().backward()
        held = hold(w.grad)
        (w * 3.0).sum().backward()
        assert np.all(np.asarray(held) == 2.0) and w.grad.tolist() == [[5.0] * 3] * 4
    seen: list[gg.Tensor] = []
    x = gg.ones(3, requires_grad=True)
    h = x * 1.0
    y, z = h * 2.0, h * 3.0
    for branch in (y, z):
        branch.register_hook(seen.append)
    (y + z).sum().backward()
    given = gg.ones(3)
    h = x * 1.0
    (h + h.clone() + h).backward(given)
    assert [g.tolist() for g in (*seen, given)] == [[1.0] * 3] * 3
    assert x.grad.tolist() == [8.0] * 3


def test_several_results_are_let_go() -> None:
    """What an LSTM keeps for its backward, its results among it, although the graph lives on."""
    lstm = nn.LSTM(64, 64)
    before = gg.cuda.memory_allocated("cpu")
    y, _ = lstm(gg.rand(200, 32, 64))
    one = y.nbytes
    loss = y.sum()
    del y, _
    assert gg.cuda.memory_allocated("cpu") - before > 6 * one, "y, and i f g o c of each step"
    loss.backward()
    gradients = sum(p.nbytes for p in lstm.parameters())
    assert gg.cuda.memory_allocated("cpu") - before < gradients + one / 2
    assert loss.grad_fn is not None


# ---- checkpoints ---------------------------------------------------------------------------------


def test_a_checkpoint_saves_what_it_should() -> None:
    """Four segments of three layers: three inputs are kept and the last segment's three tanh; in
    backward one segment's more, for which the last segment's have gone."""
    model = chain(12)
    plain = activations(model, model)
    held, above, after = activations(model, lambda x: checkpoint_sequential(model, 4, x))
    assert plain[0] == pytest.approx(12, abs=SLACK) and held <= 3 + 3 + SLACK
    assert above <= 2 + SLACK < plain[0] - held and after <= SLACK


# ---- what devices tell ---------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["cpu", "sim"])
def test_numbers(device: str) -> None:
    gg.cuda.reset_peak_memory_stats(device)
    before = gg.cuda.memory_allocated(device)
    x = gg.empty(4, MIB, device=device)
    assert gg.cuda.memory_allocated(device) - before == pytest.approx(16 * MIB, rel=0.01)
    del x
    assert gg.cuda.memory_allocated(device) == pytest.approx(before, abs=MIB / 100)
    assert gg.cuda.max_memory_allocated(device) - before == pytest.approx(16 * MIB, rel=0.01)
    assert gg.cuda.memory_reserved(device) - before == pytest.approx(16 * MIB, rel=0.01), "kept"
    gg.cuda.reset_peak_memory_stats(device)
    assert gg.cuda.max_memory_allocated(device) == pytest.approx(before, abs=MIB / 100)
    stats = gg.cuda.memory_stats(device)
    assert stats["reserved_bytes.all.peak"] == gg.cuda.max_memory_reserved(device)
    gg.cuda.empty_cache(device)
    assert gg.cuda.memory_reserved(device) - before < MIB
    free, total = gg.cuda.mem_get_info(device)
    assert 0 < free <= total


@pytest.mark.parametrize("device", ["cpu", "sim"])
def test_summary(device: str) -> None:
    x = gg.empty(3, MIB, device=device)
    y = gg.empty(MIB, device=device)
    del x
    lines = gg.cuda.memory_summary(device).splitlines()
    assert lines[0].startswith(f"{device}: NumPy's arrays") and "GPUGRAD_KEPT_MEMORY" in lines[0]
    text = "\n".join(lines)
    assert "blocks" in lines[1] and "peak" in lines[1] and "reserved" in lines[2]
    assert "kept free  12.0 MiB in 1 blocks, the largest 12.0 MiB" in text and "free of" in text
    del y


def test_the_pool_of_a_gpu(fake_cuda: cuda.CudaBackend) -> None:
    """A peak is found although the pool is asked only where there may be one."""
    pool = fake_cuda._cupy.pool
    fake_cuda.reset_peak_memory_stats()
    asked, flag = pool.asked, 512  # the index flag's block
    arrays = []
    for size in (300, 200, 100, 400, 50):
        arrays.append(fake_cuda.empty((size, MIB // 1024), np.dtype("uint8")))
        if size == 100:
            arrays.clear()
    stats = fake_cuda.memory_stats()
    assert stats.allocated_peak == 600 * 1024 + flag and stats.allocated == 450 * 1024 + flag
    assert pool.asked - asked < 5 + 2
    for _ in range(50):
        fake_cuda.empty((1, 1), np.dtype("uint8"))
    assert pool.asked - asked < 5 + 2 + 2, "below the peak it is asked rarely"
    fake_cuda.reset_peak_memory_stats()
    assert fake_cuda.memory_stats().allocated_peak == 450 * 1024 + flag
    assert "allocated  0.4 MiB" in fake_cuda.memory_summary()
    summary = fake_cuda.memory_summary()
    assert "kept free" in summary and "1024.0 MiB free" in summary
    assert pool.given_back == 0
    fake_cuda.empty_cache()
    assert pool.given_back == 1


def test_gpus_that_are_not_there() -> None:
    for ask in (gg.cuda.get_device_name, gg.cuda.get_device_capability):
        with pytest.raises(DeviceError, match=r"cuda:99 is not one of the .* GPUs.*\n.*doctor"):
            ask("cuda:99")
    with pytest.raises(DeviceError, match="device cpu is not one of"):
        gg.cuda.get_device_name("cpu")


# ---- when it has run out -------------------------------------------------------------------------


def test_holders_are_modules() -> None:
    """Parameters, gradients and what their operations kept; a net in a net has the outer's path."""
    model = nn.Sequential(
        nn.Linear(600, 700), nn.Sequential(nn.ReLU(), nn.Linear(700, 800)), nn.Tanh()
    )
    model(gg.rand(1000, 600)).sum().backward()
    loss = model(gg.rand(1000, 600)).sum()
    found = dict(holders.held(gg.Device("cpu"), 100))
    first, second = "0 (Linear) of Sequential", "1.1 (Linear) of Sequential"
    assert found[f"parameters of {first}"] == found[f"gradients of {first}"] == 4 * 601 * 700
    assert found[f"parameters of {second}"] == 4 * 701 * 800
    # relu's result, which is the second layer's input, too; tanh's; the input of the first layer.
    kept = sum(found.get(f"activations of {name}", 0) for name in (first, second))
    assert kept == 4 * 1000 * (600 + 700 + 800)
    sizes = [size for _, size in holders.held(gg.Device("cpu"), 3)]
    assert len(sizes) == 3 and all(a >= b for a, b in pairwise(sizes))
    assert loss.requires_grad


def test_out_of_memory_names_the_modules(
    fake_cuda: cuda.CudaBackend,
) -> None:
    """A step that does not fit: what was asked, what is there, who holds it, the way out."""
    model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 8)).to("cuda")
    y = model(gg.ones(500, 32, device="cuda"))
    with pytest.raises(OutOfMemoryError) as caught:
        model(gg.ones(5000, 32, device="cuda"))
    text = str(caught.value)
    assert isinstance(caught.value, (MemoryError, gg.cuda.OutOfMemoryError, gg.OutOfMemoryError))
    assert "out of memory on cuda:0: 1.2 MiB for an array of shape (5000, 64), float32." in text
    assert "MiB are in use (at most" in text and "1024.0 MiB of 2048.0 MiB are free" in text
    assert "The largest block to be had has at most 1024.0 MiB." in text
    assert "activations of 0 (Linear) of Sequential" in text
    for way in ("smaller batch", "checkpoint", "float16 or bfloat16", "no_grad", "empty_cache"):
        assert way in text
    assert y.requires_grad


def test_out_of_memory_on_the_host() -> None:
    with pytest.raises(OutOfMemoryError) as caught:
        gg.empty(1 << 40, 1 << 18, device="sim")
    text = str(caught.value)
    assert "out of memory on sim: Unable to allocate" in text and "smaller batch" in text


def test_the_largest_request() -> None:
    known = MemoryStats(10, 10, 30, 30, 1, 2, 12, 5, 100)
    assert known.largest_request() == 12
    assert known._replace(largest_free=None).largest_request() == 20
    assert known._replace(free=50).largest_request() == 50
