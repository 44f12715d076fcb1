"""backends/cuda.py without a GPU: its errors, and its code on a stand-in for CuPy (fake_gpu.py).

What is tested is the backend (memory, copies, the index flag, errors), not CuPy. On a GPU
tests/contract runs it all.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from fake_gpu import CudaRuntimeError, FakeCupy, FakeGpu

import gpugrad as gg
from gpugrad import backends, nn
from gpugrad import dtype as dtypes
from gpugrad.backends import cuda
from gpugrad.device import Device
from gpugrad.errors import ArgumentError, DeviceError, IndexOutOfRangeError, OutOfMemoryError


@pytest.mark.parametrize(
    ("built_for", "runs", "fails"),
    [
        ("80,90a,120", "80 86 89 90 120 121", "75 100 103"),
        ("80,80+ptx,90a", "80 86 90 100 120", "75"),
        ("75,100f", "75 100 103", "80 90 110 120"),
        ("80+ptx", "80 90 120", "70 75"),
        ("80+ptx,90a", "80 86 89 90 100 120", "75"),
        ("90a,90a+ptx", "90", "80 100 120"),
        ("90a", "90", "80 100"),
    ],
)
def test_architectures(built_for: str, runs: str, fails: str) -> None:
    assert all(cuda.runs_on(built_for, c) for c in runs.split())
    assert not any(cuda.runs_on(built_for, c) for c in fails.split())


@pytest.fixture
def backend(fake_gpu: cuda.CudaBackend) -> cuda.CudaBackend:
    return fake_gpu


@pytest.mark.parametrize("dtype", dtypes.STORED, ids=str)
def test_copies(backend: cuda.CudaBackend, dtype: np.dtype) -> None:
    for x in (np.arange(12).reshape(3, 4).T, np.array(1), np.zeros((2, 0)), np.arange(9)[::-2]):
        x = x.astype(dtype)
        y = backend.from_numpy(x)
        assert backend.owns(y) and not backend.owns(x) and y.dtype == dtype
        for got, expected in ((y, x), (y.T, x.T)):
            back = backend.to_numpy(got)
            assert type(back) is np.ndarray and back.dtype == dtype
            np.testing.assert_array_equal(back, expected)


def test_kernels(backend: cuda.CudaBackend) -> None:
    x = backend.from_numpy(np.arange(6, dtype=np.float32).reshape(2, 3))
    total = backend.kernels.reduce("sum", backend.kernels.binary("mul", x, 2.0), (1,), False)
    np.testing.assert_array_equal(backend.to_numpy(total), [6, 24])
    with pytest.raises(ArgumentError, match="sqrt"):
        backend.kernels.unary("sqrt", backend.from_numpy(np.arange(3)))


def test_index_flag_is_raised_once_at_synchronisation(backend: cuda.CudaBackend) -> None:
    x = backend.from_numpy(np.arange(4, dtype=np.float32))
    y = backend.kernels.gather(x, (backend.from_numpy(np.array([0, 9])),))
    with pytest.raises(IndexOutOfRangeError, match=r"gather: index 9 .* axis 0 of length 4"):
        backend.to_numpy(y)
    backend.synchronize()
    assert backend.to_numpy(y)[0] == 0


@pytest.mark.parametrize("label", [-1, 3])
def test_a_bad_label_is_told_when_the_loss_is_read(
    backend: cuda.CudaBackend, monkeypatch: pytest.MonkeyPatch, label: int
) -> None:
    """Nothing waits for the device before: a whole training step runs on it first."""
    for name in ("cuda", "cuda:0", backend.device):
        monkeypatch.setitem(backends._backends, name, backend)
    monkeypatch.setattr(backend, "to_numpy", lambda array: pytest.fail("the host has waited"))
    layer = nn.Linear(2, 3, device="cuda")
    optimizer = gg.optim.SGD(layer.parameters(), lr=0.1)
    x, target = gg.ones(4, 2, device="cuda"), gg.tensor([0, label, 2, 0], device="cuda")
    loss = nn.functional.cross_entropy(layer(x), target)
    loss.backward()
    optimizer.step()
    monkeypatch.undo()
    text = rf"cross_entropy: target {label} is not one of the 3 classes.\n.*ignore_index"
    with pytest.raises(IndexOutOfRangeError, match=text):
        loss.item()


def test_sizes_are_asked_of_the_right_gpu(
    backend: cuda.CudaBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A workspace's size may depend on the current GPU's multiprocessors."""
    inside: list[int] = []
    monkeypatch.setattr(FakeGpu, "__enter__", lambda self: inside.append(1))
    monkeypatch.setattr(FakeGpu, "__exit__", lambda self, *error: inside.clear())
    asked = []
    backend.kernels.workspace(lambda: asked.append(bool(inside)) or 8)
    assert asked == [backend._several]


def test_out_of_memory(backend: cuda.CudaBackend) -> None:
    x = backend.empty((512, 512), dtypes.float32)
    with pytest.raises(OutOfMemoryError) as caught:
        backend.empty((1024, 1024), dtypes.float32)
    text = str(caught.value)
    assert "out of memory on cuda:0: 4.0 MiB for an array of shape (1024, 1024), float32" in text
    assert "1.0 MiB are in use (at most 1.0 MiB were), 0.0 MiB cached in 0 blocks" in text
    assert "1024.0 MiB of 2048.0 MiB are free" in text and "empty_cache" in text
    assert backend.owns(x)


def test_a_failed_kernel_is_a_device_error(backend: cuda.CudaBackend) -> None:
    def fail(stream: int) -> None:
        raise RuntimeError("launch of gemm failed: invalid configuration")

    with pytest.raises(DeviceError, match="device cuda:0: launch of gemm failed"):
        backend.launch(fail)
    backend._gpu.error = CudaRuntimeError("cudaErrorIllegalAddress")
    with pytest.raises(DeviceError, match=r"cudaErrorIllegalAddress.*\n.*CUDA_LAUNCH_BLOCKING"):
        backend.synchronize()


def test_errors_name_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def refusal(device: str = "cuda") -> str:
        with pytest.raises(DeviceError) as caught:
            cuda.CudaBackend(Device(device))
        return str(caught.value)

    with monkeypatch.context() as m:
        m.setitem(sys.modules, "cupy", None)
        assert "pip install 'gpugrad[cuda]'" in refusal()
    m = monkeypatch
    m.setattr(cuda, "import_cupy", lambda: FakeCupy(CudaRuntimeError("cudaErrorNoDevice")))
    assert "cudaErrorNoDevice" in refusal() and "nvidia-smi" in refusal()
    m.setattr(cuda, "import_cupy", lambda: FakeCupy(0))
    assert "reports no GPU" in refusal()
    m.setattr(cuda, "import_cupy", lambda: FakeCupy(2))
    assert "cuda:5 does not exist; this machine has cuda:0, cuda:1" in refusal("cuda:5")
    m.setattr(cuda, "load", lambda name: None)
    assert "without CUDA kernels" in refusal() and "GPUGRAD_CUDA=ON pip install ." in refusal()
    m.setattr(cuda, "load", lambda name: SimpleNamespace(built_for=lambda: "80,120"))
    text = refusal("cuda:1")
    assert "compute capability 9.0 (sm_90)" in text and "built for 80,120" in text
    assert "GPUGRAD_CUDA=ON pip install ." in text
