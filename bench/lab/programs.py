"""Compiles a version to a program for the simulator, or a library for a GPU. Each only once.

Results are kept in the temporary folder under a hash of everything they are made of.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from ladder import HERE, Version

ROOT = HERE.parents[1]
sys.path.append(str(ROOT / "tests"))
from sim import build  # noqa: E402


def _folder(*names: str) -> Path:
    """A folder for what is made of these texts and of all files a version may include."""
    files = sorted((ROOT / "csrc" / "device").glob("*.h"))
    files += sorted((ROOT / "csrc" / "sim").rglob("*.*"))
    files += [*HERE.glob("*.h"), *HERE.glob("*.cu"), *HERE.glob("*.cpp"), Path(build.__file__)]
    digest = hashlib.sha256("\0".join(names).encode())
    for file in sorted(files):
        digest.update(file.read_bytes())
    return Path(tempfile.gettempdir()) / f"gpugrad-lab-{digest.hexdigest()[:16]}"


def simulated(version: Version, flavour: str = "plain") -> Path:
    """The version's program in a flavour of the simulator: plain, asan, tsan or counters."""
    folder = _folder(*build.compiler(), *build.COMMON)
    target = folder / flavour / version.name
    if not target.exists():
        part = f"{version.name}.{os.getpid()}"
        build.program(flavour, part, [version.source], folder, [HERE / "driver.cpp"]).rename(target)
    return target


def library(version: Version, capability: str) -> Path:
    """The version's library for a GPU of this compute capability ("80", "90", ...)."""
    nvcc = shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc"
    architecture = {"90": "90a", "100": "100a"}.get(capability, capability)
    folder = _folder(nvcc, architecture)
    target = folder / f"{version.name}.so"
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = [nvcc, "-std=c++20", "-O3", "-shared", "-Xcompiler", "-fPIC,-fvisibility=hidden"]
        command += [f"-I{ROOT / 'csrc'}", "-DGG_CUDA", "--Werror", "all-warnings"]
        command += ["-gencode", f"arch=compute_{architecture},code=sm_{architecture}"]
        part = folder / f"{version.name}.{os.getpid()}.so"
        subprocess.run([*command, str(version.source), "-o", str(part)], check=True)
        part.rename(target)
    return target
