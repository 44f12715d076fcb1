"""Facts about this installation and machine, for `gpugrad doctor`.

Nothing here needs CuPy or a GPU: the driver is asked through libcuda itself, so that the report can
say what is missing when CuPy cannot.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.metadata
import importlib.util
import platform
import re
from dataclasses import dataclass, field
from pathlib import Path

from gpugrad import backends
from gpugrad.backends.cuda import runs_on
from gpugrad.device import Device
from gpugrad.errors import DeviceError

NATIVE_MODULES = ("_cpu", "_cuda", "_sim")
_PACKAGES = ("numpy", "ml_dtypes", "safetensors", "pillow", "tqdm")
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76  # CUdevice_attribute
_NVIDIA_VENDOR = "0x10de"


@dataclass(frozen=True)
class Native:
    """A native module: what it was built for, or why it cannot be imported."""

    built_for: str | None = None
    error: str | None = None  # set when the file is there and does not load


@dataclass(frozen=True)
class Gpu:
    """One GPU as the driver sees it. `capability` is (9, 0) for sm_90; `memory` is in bytes."""

    name: str
    capability: tuple[int, int]
    memory: int


@dataclass(frozen=True)
class Driver:
    """The NVIDIA driver: release ("580.95.05") and the newest CUDA version it runs ((13, 0))."""

    release: str | None = None
    cuda: tuple[int, int] | None = None
    error: str | None = None  # libcuda is there and refuses


@dataclass(frozen=True)
class Report:
    """Everything the doctor looks at."""

    versions: dict[str, str | None]
    native: dict[str, Native | None]  # None: not built
    cupy: dict[str, str]  # installed CuPy distributions and their versions
    driver: Driver | None  # None: no driver
    gpus: list[Gpu] = field(default_factory=list)
    gpu_on_bus: bool = False
    trials: dict[str, str | None] = field(default_factory=dict)  # device: None or what failed


def report(asked_for: str | None = None) -> Report:
    """Look at everything. Tries the CPU, the simulator where it is built, each GPU that
    is there, and the device asked for."""
    driver, gpus = _driver()
    native = {name: _native(name) for name in NATIVE_MODULES}
    simulated = ["sim"] if native["_sim"] is not None else []
    devices = ["cpu", *simulated, *(f"cuda:{i}" for i in range(len(gpus)))]
    if asked_for not in (None, "auto") and str(Device(asked_for)) not in devices:
        devices.append(str(Device(asked_for)))
    return Report(
        versions=_versions(),
        native=native,
        cupy=_cupy_packages(),
        driver=driver,
        gpus=gpus,
        gpu_on_bus=_gpu_on_bus(),
        trials={device: trial(device) for device in devices},
    )


def trial(device: str) -> str | None:
    """Multiply two small matrices on a device; None when right, else what went wrong."""
    import numpy as np

    try:
        backend = backends.get(device)
        a = np.arange(12, dtype=np.float32).reshape(3, 4)
        y = backend.kernels.gemm(backend.from_numpy(a), backend.from_numpy(a.T.copy()))
        found = backend.to_numpy(y)
    except Exception as error:  # whatever it is, it is what the doctor reports
        return f"{type(error).__name__}: {error}"
    if not np.array_equal(found, a @ a.T):
        return "a 3 x 4 by 4 x 3 matrix product came out wrong"
    return None


def is_gpu(device: str) -> bool:
    """Whether a device name means a GPU."""
    return device != "auto" and Device(device).type == "cuda"


def covers(gpu: Gpu, built_for: str) -> bool:
    """Whether a module built for e.g. "80,90a,120+ptx" runs on this GPU."""
    return runs_on(built_for, f"{gpu.capability[0]}{gpu.capability[1]}")


def gpus() -> list[Gpu]:
    """The GPUs that the driver shows; none where there is no driver."""
    return _driver()[1]


def gpu(device: str | Device) -> Gpu:
    """One GPU. Raises DeviceError where the device is none, or is not there."""
    asked, found = Device(device), gpus()
    if asked.type != "cuda" or asked.index >= len(found):
        raise DeviceError(
            f"device {asked} is not one of the {len(found)} GPUs that the driver shows.\n"
            "  `gpugrad doctor` says what is there and what is missing."
        )
    return found[asked.index]


def gpu_unused() -> bool:
    """Whether there is an NVIDIA driver with a GPU that gpugrad cannot use."""
    return not backends.available("cuda") and bool(gpus())


def _versions() -> dict[str, str | None]:
    versions: dict[str, str | None] = {
        "gpugrad": _version("gpugrad"),
        "python": f"{platform.python_version()} ({platform.system()} {platform.machine()})",
    }
    return versions | {name: _version(name) for name in _PACKAGES}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _native(name: str) -> Native | None:
    full = f"gpugrad.{name}"
    if importlib.util.find_spec(full) is None:
        return None
    try:
        return Native(built_for=str(importlib.import_module(full).built_for()))
    except Exception as error:
        return Native(error=f"{type(error).__name__}: {error}")


def _cupy_packages() -> dict[str, str]:
    found = {}
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"] or ""
        if re.fullmatch(r"cupy(-cuda\d+x?|-rocm.*)?", name.lower()):
            found[name.lower()] = distribution.version
    return found


def _driver() -> tuple[Driver | None, list[Gpu]]:
    release = _driver_release()
    try:
        cuda = ctypes.CDLL("libcuda.so.1" if platform.system() != "Windows" else "nvcuda.dll")
    except OSError:
        return (Driver(release, error="libcuda.so.1 cannot be loaded") if release else None), []
    number = ctypes.c_int()
    version = None
    if cuda.cuDriverGetVersion(ctypes.byref(number)) == 0:
        version = (number.value // 1000, number.value % 1000 // 10)
    status = cuda.cuInit(0)
    if status:
        return Driver(release, version, error=f"cuInit: {_error_name(cuda, status)}"), []
    cuda.cuDeviceGetCount(ctypes.byref(number))
    return Driver(release, version), [_gpu(cuda, i) for i in range(number.value)]


def _gpu(cuda: ctypes.CDLL, index: int) -> Gpu:
    device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    memory, name = ctypes.c_size_t(), ctypes.create_string_buffer(256)
    cuda.cuDeviceGet(ctypes.byref(device), index)
    cuda.cuDeviceGetName(name, len(name), device)
    cuda.cuDeviceGetAttribute(ctypes.byref(major), _CAPABILITY_MAJOR, device)
    cuda.cuDeviceGetAttribute(ctypes.byref(minor), _CAPABILITY_MINOR, device)
    cuda.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
    return Gpu(name.value.decode(errors="replace"), (major.value, minor.value), memory.value)


def _error_name(cuda: ctypes.CDLL, status: int) -> str:
    name = ctypes.c_char_p()
    if cuda.cuGetErrorName(status, ctypes.byref(name)) or name.value is None:
        return f"error {status}"
    return name.value.decode()


def _driver_release() -> str | None:
    try:
        text = Path("/proc/driver/nvidia/version").read_text()
    except OSError:
        return None
    match = re.search(r"\b\d{3}\.\d+(\.\d+)?\b", text)
    return match[0] if match else None


def _gpu_on_bus() -> bool:
    """Whether Linux sees an NVIDIA display device, with or without a driver."""
    for vendor in Path("/sys/bus/pci/devices").glob("*/vendor"):
        try:
            display = (vendor.parent / "class").read_text().startswith("0x03")
            if display and vendor.read_text().strip() == _NVIDIA_VENDOR:
                return True
        except OSError:
            continue
    return False
