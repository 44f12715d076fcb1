"""Asks a Hopper GPU whether it does what the simulator says: the Hopper cases, built by nvcc.

    python tests/sim/on_gpu.py              # builds, runs every case, says which hold
    python tests/sim/on_gpu.py wgmma_tf32   # these alone

The cases of ``CASES`` hold the simulator against plain loops (test_hopper.py): descriptors and
swizzles of wgmma, fragments, what sums keep; TMA's boxes, edges, im2col, rounding and reductions;
mbarriers; clusters and multicast. Here the same kernels run on the GPU, so each failure names a
fact that hardware has otherwise. Each case is a process of its own, as one that fails takes its
context along, and is ended after ``SECONDS``: a wrong barrier hangs.

Exit status: 0, also where the GPU is no Hopper; 1 where a case failed; 2 where it does not build.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
CSRC = HERE.parents[1] / "csrc"
CASES = ("mbarrier", "tensor_maps", "tma", "im2col", "wgmma", "cluster")
SECONDS = 20


def nvcc() -> str:
    """nvcc's path. Raises RuntimeError where there is none."""
    found = shutil.which("nvcc") or shutil.which("/usr/local/cuda/bin/nvcc")
    if found is None:
        raise RuntimeError("no nvcc: neither on PATH nor /usr/local/cuda/bin/nvcc")
    return found


def build(folder: Path) -> Path:
    """Compiles the cases for sm_90a; returns the program. Raises RuntimeError with nvcc's words."""
    program = folder / "hopper_on_gpu"
    command = [nvcc(), "-std=c++20", "-O1", "-arch=sm_90a", "-DGG_CUDA", f"-I{CSRC}", f"-I{HERE}"]
    command += ["--Werror", "all-warnings", "--threads", "0", "-x", "cu", "-o", str(program)]
    command += [str(HERE / f"{name}.cpp") for name in (*CASES, "main")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return program


def capability() -> str:
    """Of the first GPU, "9.0" for Hopper; "" where nvidia-smi does not say."""
    if shutil.which("nvidia-smi") is None:
        return ""
    command = ["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.split("\n")[0].strip()


def names(program: Path) -> list[str]:
    """Of all cases."""
    done = subprocess.run([str(program), "--list"], capture_output=True, text=True, check=True)
    return done.stdout.split()


def run(program: Path, case: str, seconds: float = SECONDS) -> str:
    """What the case printed: "ok CASE", or "FAILED CASE: why"."""
    try:
        done = subprocess.run(
            [str(program), case], capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return f"FAILED {case}: hangs, ended after {seconds:g} seconds"
    text = (done.stdout + done.stderr).strip()
    if done.returncode == 0 and text == f"ok {case}":
        return text
    return text if text.startswith("FAILED") else f"FAILED {case}: {done.returncode}, {text}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line above."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("cases", nargs="*")
    wanted = parser.parse_args(arguments).cases
    if capability() not in ("", "9.0"):
        print(f"not asked: the GPU has compute capability {capability()}, Hopper 9.0")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        try:
            program = build(Path(folder))
        except RuntimeError as error:
            print(error)
            return 2
        said = []
        for case in wanted or names(program):
            said.append(run(program, case))
            print(said[-1], flush=True)
    failed = [line.split()[1].rstrip(":") for line in said if not line.startswith("ok ")]
    print(f"{len(said) - len(failed)} of {len(said)} hold" + (": not " if failed else ""), end="")
    print(", ".join(failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
