"""Holds the built _cuda against what the build promised. Needs cuobjdump (extra [dev]), no GPU.

    python .ci/check_cuda.py

Device code for every architecture of built_for(), and no kernel with spills or local memory
beyond those listed below, each with its reason.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from gpugrad import _cuda

# Kernels that may use a stack frame: part of the name -> why.
LOCAL_MEMORY = {"unary_kernel": "sin, cos, tan of large arguments (Payne-Hanek reduction)"}


def cuobjdump(*options: str) -> str:
    """cuobjdump's output on the built module."""
    wheels = Path(sysconfig.get_path("purelib"), "nvidia", "cu13", "bin")
    os.environ["PATH"] = f"{wheels}{os.pathsep}{os.environ['PATH']}"
    program = shutil.which("cuobjdump")
    if program is None:
        sys.exit("cuobjdump is missing: pip install 'gpugrad[dev]'")
    command = [program, *options, _cuda.__file__]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def missing_architectures() -> list[str]:
    """Promised architectures without device code in the module."""
    elf = set(re.findall(r"\.sm_(\w+)\.cubin", cuobjdump("--list-elf")))
    ptx = set(re.findall(r"\.sm_(\w+)\.ptx", cuobjdump("--list-ptx")))
    promised = _cuda.built_for().split(",")
    return [a for a in promised if (a.removesuffix("+ptx") not in (ptx if "+" in a else elf))]


def kernels_with_local_memory() -> tuple[int, list[str]]:
    """Number of kernels, and those that keep values outside registers without leave."""
    found = re.findall(
        r"Function (\S+):\s+REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)",
        cuobjdump("-res-usage"),
    )
    bad = [
        f"{name}: {registers} registers, stack {stack}, local {local}"
        for name, registers, stack, _, local in found
        if int(stack) + int(local) > 0 and not any(part in name for part in LOCAL_MEMORY)
    ]
    return len(found), bad


def main() -> None:
    missing = missing_architectures()
    if missing:
        sys.exit(f"no device code for {missing}, promised by built_for(): {_cuda.built_for()}")
    count, bad = kernels_with_local_memory()
    if count == 0:
        sys.exit("cuobjdump lists no kernel at all")
    if bad:
        sys.exit("kernels with spills or local memory:\n  " + "\n  ".join(bad))
    size = Path(_cuda.__file__).stat().st_size / 2**20
    print(f"_cuda: {_cuda.built_for()}, {count} kernels, none spills, {size:.1f} MiB")


if __name__ == "__main__":
    main()
