"""nvcc turns every portable primitive into the instructions it stands for."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from sim import build

NVCC = shutil.which("nvcc") or shutil.which("/usr/local/cuda/bin/nvcc")

WIDTHS = ["u8", "u16", "u32", r"v2\.u32", r"v4\.u32"]

#: Instructions in PTX, as regular expressions, by the architecture that has them first.
INSTRUCTIONS: dict[int, list[str]] = {
    75: [
        *(
            rf"ldmatrix\.sync\.aligned\.m8n8\.x{n}{t}\.shared\.b16"
            for n in "124"
            for t in ["", r"\.trans"]
        ),
        r"mma\.sync\.aligned\.m16n8k8\.row\.col\.f32\.f16\.f16\.f32",
        r"mma\.sync\.aligned\.m8n8k16\.row\.col\.s32\.s8\.s8\.s32",
        r"mma\.sync\.aligned\.m8n8k16\.row\.col\.s32\.u8\.u8\.s32",
        r"bar\.sync [%\w]+, [%\w]+",
        r"bar\.arrive [%\w]+, [%\w]+",
        *(rf"ld\.global\.L1::no_allocate\.{t} " for t in WIDTHS),
        *(rf"st\.global\.cs\.{t} " for t in WIDTHS),
        r"prefetch\.global\.L2",
    ],
    80: [
        *(rf"mma\.sync\.aligned\.m16n8k16\.row\.col\.f32\.{t}\.{t}\.f32" for t in ("f16", "bf16")),
        r"mma\.sync\.aligned\.m16n8k8\.row\.col\.f32\.tf32\.tf32\.f32",
        *(rf"mma\.sync\.aligned\.m16n8k32\.row\.col\.s32\.{t}\.{t}\.s32" for t in ("s8", "u8")),
        r"cvt\.rna\.tf32\.f32",
        *(rf"cp\.async\.ca\.shared\.global \[\S+\], \[\S+\], {n};" for n in (4, 8)),
        *(rf"cp\.async\.ca\.shared\.global \[\S+\], \[\S+\], {n}, %r\d+;" for n in (4, 8)),
        r"cp\.async\.cg\.shared\.global \[\S+\], \[\S+\], 16;",
        r"cp\.async\.cg\.shared\.global \[\S+\], \[\S+\], 16, %r\d+;",
        r"cp\.async\.commit_group",
        r"cp\.async\.wait_group 0",
        r"cp\.async\.wait_group 1",
        *(rf"redux\.sync\.{op}\.{t}" for op in ("add", "min", "max") for t in ("s32", "u32")),
        *(rf"redux\.sync\.{op}\.b32" for op in ("and", "or", "xor")),
    ],
    90: [
        *(
            rf"stmatrix\.sync\.aligned\.m8n8\.x{n}{t}\.shared\.b16"
            for n in "124"
            for t in ["", r"\.trans"]
        ),
        r"griddepcontrol\.wait",
        r"griddepcontrol\.launch_dependents",
    ],
}
#: What stands for them below: nothing of the instruction may be left.
ABSENT = {75: ["cp.async", "redux.sync", "stmatrix", "m16n8k16", "griddepcontrol"]}
ABSENT[80] = ["stmatrix", "griddepcontrol"]


def _compile(architecture: str, folder: Path) -> str:
    """PTX of compile_primitives.cu; ptxas has accepted it, and nobody warned."""
    command = [str(NVCC), "-std=c++20", f"-I{build.CSRC}", "--Werror", "all-warnings", "-cubin"]
    command += ["-gencode", f"arch=compute_{architecture},code=sm_{architecture}"]
    command += ["--keep", "--keep-dir", str(folder), "-o", str(folder / "primitives.cubin")]
    command.append(str(build.HERE / "compile_primitives.cu"))
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return (folder / "compile_primitives.ptx").read_text()


@pytest.mark.skipif(NVCC is None, reason="needs nvcc")
@pytest.mark.parametrize("architecture", ["75", "80", "90a", "120"])
def test_primitives_become_their_instructions(architecture: str, tmp_path: Path) -> None:
    ptx = _compile(architecture, tmp_path)
    number = int(architecture.rstrip("a"))
    wanted = [i for first, listed in INSTRUCTIONS.items() if first <= number for i in listed]
    missing = [instruction for instruction in wanted if not re.search(instruction, ptx)]
    assert not missing, f"not in the PTX for sm_{architecture}: {missing}"
    present = [text for text in ABSENT.get(number, []) if text in ptx]
    assert not present, f"in the PTX for sm_{architecture}: {present}"
