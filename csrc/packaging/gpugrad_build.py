"""PEP 517 backend: scikit-build-core, plus nvcc from its PyPI wheels where the machine has none.

`GPUGRAD_CUDA=ON pip install .` must work on a machine with no CUDA toolkit. NVIDIA publishes nvcc
as wheels, so this backend asks pip for them (pinned together: the nvcc wheel leaves its own needs
unpinned) and points CMake at the result. Everything else is scikit-build-core's.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

from scikit_build_core import build as _core
from scikit_build_core.build import *  # noqa: F403  (the hooks that stay as they are)

Settings = dict[str, Any] | None

NVCC_WHEELS = [
    "nvidia-cuda-nvcc==13.0.*",
    "nvidia-nvvm==13.0.*",
    "nvidia-cuda-crt==13.0.*",
    "nvidia-cuda-runtime==13.0.*",
    "nvidia-cuda-cccl==13.0.*",
]


def cuda_wanted(settings: Settings) -> str:
    """GPUGRAD_CUDA from the environment, else from -Ccmake.define.GPUGRAD_CUDA=..., else AUTO."""
    given = os.environ.get("GPUGRAD_CUDA") or (settings or {}).get("cmake.define.GPUGRAD_CUDA")
    return str(given or "AUTO").upper()


def machine_nvcc() -> str | None:
    """nvcc of an installed toolkit, looked for where CMakeLists.txt looks."""
    if "CUDACXX" in os.environ:
        return os.environ["CUDACXX"]
    homes = [os.environ[name] for name in ("CUDA_HOME", "CUDA_PATH") if name in os.environ]
    folders = [f"{home}/bin" for home in homes]
    path = os.pathsep.join([*folders, os.environ.get("PATH", ""), "/usr/local/cuda/bin"])
    return shutil.which("nvcc", path=path)


def wheel_root() -> Path | None:
    """Where the nvcc wheels lie in this environment, if they do."""
    for entry in sys.path:
        root = Path(entry, "nvidia", "cu13")
        if (root / "bin" / "nvcc").is_file():
            return root
    return None


def use_nvcc_wheels() -> None:
    """Point CMake at the wheels' nvcc. Their libraries lie in lib, their profile says lib64."""
    root = wheel_root()
    if root is None:
        return
    os.environ["CUDACXX"] = str(root / "bin" / "nvcc")
    libraries = os.environ.get("LIBRARY_PATH")
    os.environ["LIBRARY_PATH"] = f"{root}/lib" + (f":{libraries}" if libraries else "")


def needs_wheels(settings: Settings) -> bool:
    return cuda_wanted(settings) == "ON" and machine_nvcc() is None


def get_requires_for_build_wheel(config_settings: Settings = None) -> list[str]:
    requires = _core.get_requires_for_build_wheel(config_settings)
    return requires + NVCC_WHEELS if needs_wheels(config_settings) else requires


def get_requires_for_build_editable(config_settings: Settings = None) -> list[str]:
    requires = _core.get_requires_for_build_editable(config_settings)
    return requires + NVCC_WHEELS if needs_wheels(config_settings) else requires


def build_wheel(
    wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None
) -> str:
    if needs_wheels(config_settings):
        use_nvcc_wheels()
    return _core.build_wheel(wheel_directory, config_settings, metadata_directory)


def build_editable(
    wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None
) -> str:
    if needs_wheels(config_settings):
        use_nvcc_wheels()
    return _core.build_editable(wheel_directory, config_settings, metadata_directory)
