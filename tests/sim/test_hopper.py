"""The Hopper primitives: mbarriers, TMA, wgmma and clusters.

Their programs are built and run as in test_simulator.py, in every order and with asynchronous work
done at once, late, or at random. Where there is an nvcc, ``hopper_primitives.cu`` shows that each
primitive compiles for sm_90a to the instruction it stands for, and elsewhere to nothing or, where a
kernel does not ask for Hopper, to a trap.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sim import build, on_gpu

FLAVOURS = ["plain", "asan", "tsan"]
ASYNC = ["eager", "lazy", "random"]
ORDERS = [("forward", 0), ("reverse", 0), ("random", 1)]
BUGS = build.HERE / "bugs_hopper.cpp"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hopper")


@pytest.fixture(scope="module", params=FLAVOURS)
def primitives(request: pytest.FixtureRequest, folder: Path) -> Path:
    return build.cases(request.param, folder, "hopper", *on_gpu.CASES)


@pytest.fixture(scope="module")
def bugs(folder: Path) -> dict[str, Path]:
    flavours = [*FLAVOURS, "counters"]
    return {
        flavour: build.cases(flavour, folder, "bugs_hopper", "bugs_hopper") for flavour in flavours
    }


@pytest.mark.parametrize("async_mode", ASYNC)
@pytest.mark.parametrize(("order", "seed"), ORDERS)
def test_primitives(primitives: Path, order: str, seed: int, async_mode: str) -> None:
    arguments = ("--order", order, "--seed", str(seed), "--async", async_mode)
    status, output = build.run(primitives, *arguments)
    assert status == 0, output
    assert "FAILED" not in output and "WARNING" not in output, output
    assert output.count("ok ") == 35


def test_primitives_on_several_cpu_threads(primitives: Path) -> None:
    arguments = ("--order", "random", "--async", "random", "--workers", "3")
    status, output = build.run(primitives, *arguments)
    assert status == 0, output


#: What each tool says of each planted bug, and when asynchronous work has to be done for that. A
#: tool that is not named may see nothing.
NUMBERS = "wrong\n"
RACE = "ThreadSanitizer: data race"
POISON = "AddressSanitizer: use-after-poison"
DEADLOCK = "deadlock: every thread waits"
ARRIVALS = "more arrivals than the 1 expected"
NO_FENCE = "did not call fence_proxy_async"
SEEN: dict[str, list[tuple[str, str, str]]] = {
    "no_empty_wait": [("plain", "eager", DEADLOCK), ("plain", "lazy", ARRIVALS)],
    "wrong_parity": [("plain", mode, DEADLOCK) for mode in ASYNC],
    "no_full_wait": [
        ("plain", "lazy", ARRIVALS),
        ("asan", "lazy", POISON),
        ("tsan", "eager", RACE),
    ],
    "no_store_wait": [("plain", "lazy", NUMBERS), ("tsan", "eager", RACE)],
    "no_proxy_fence": [("counters", mode, NO_FENCE) for mode in ASYNC],
    "unfenced_product": [("counters", mode, NO_FENCE) for mode in ASYNC],
    "late_fence": [("counters", mode, NO_FENCE) for mode in ASYNC],
    "leave_early": [
        ("plain", "eager", NUMBERS),
        ("asan", "eager", POISON),
        ("tsan", "eager", RACE),
    ],
    "early_release": [("plain", "lazy", NUMBERS), ("tsan", "eager", RACE), ("tsan", "lazy", RACE)],
    "early_look": [("plain", "lazy", NUMBERS), ("asan", "lazy", POISON)],
}

#: Reports that name the planted line. The others name where threads wait, or two engines.
AT_THE_LINE = {
    ("no_empty_wait", ARRIVALS),
    ("wrong_parity", DEADLOCK),
    ("no_full_wait", POISON),
    ("no_full_wait", RACE),
    ("no_store_wait", RACE),
    ("no_proxy_fence", NO_FENCE),
    ("unfenced_product", NO_FENCE),
    ("late_fence", NO_FENCE),
    ("leave_early", POISON),
    ("leave_early", RACE),
    ("early_look", POISON),
}


def _line_of(bug: str) -> int:
    lines = BUGS.read_text().splitlines()
    return 1 + next(i for i, line in enumerate(lines) if line.endswith(f"// BUG: {bug}"))


@pytest.mark.parametrize(
    ("bug", "flavour", "async_mode", "report"),
    [(bug, *seen) for bug, all_seen in SEEN.items() for seen in all_seen],
)
def test_planted_bug_is_seen(
    bugs: dict[str, Path], bug: str, flavour: str, async_mode: str, report: str
) -> None:
    _, output = build.run(bugs[flavour], bug, "--async", async_mode)
    assert report in output, output
    if (bug, report) in AT_THE_LINE:
        assert f"bugs_hopper.cpp:{_line_of(bug)}" in output, output


@pytest.mark.parametrize("flavour", [*FLAVOURS, "counters"])
def test_corrected_twins_are_clean(bugs: dict[str, Path], flavour: str) -> None:
    twins = [f"{bug}_fixed" for bug in SEEN]
    for order, seed in ORDERS:
        for async_mode in ASYNC:
            arguments = ("--order", order, "--seed", str(seed), "--async", async_mode)
            status, output = build.run(bugs[flavour], *twins, *arguments)
            assert status == 0, output
            assert output.count("right\n") == len(twins), output
            assert NUMBERS not in output and "Sanitizer" not in output, output


# ---- nvcc ----------------------------------------------------------------------------------------

PRIMITIVES = build.HERE / "hopper_primitives.cu"
NVCC = shutil.which("nvcc") or shutil.which("nvcc", path="/usr/local/cuda/bin")
needs_nvcc = pytest.mark.skipif(NVCC is None, reason="no nvcc")

#: What must be in the PTX for sm_90a, once for each entry.
INSTRUCTIONS = [
    r"mbarrier\.init\.shared::cta\.b64",
    r"fence\.mbarrier_init\.release\.cluster",
    r"mbarrier\.inval\.shared::cta\.b64",
    r"mbarrier\.arrive\.shared::cta\.b64 _",
    r"mbarrier\.arrive\.expect_tx\.shared::cta\.b64 _",
    r"mbarrier\.expect_tx\.relaxed\.cta\.shared::cta\.b64",
    r"mapa\.shared::cluster\.u32",
    r"mbarrier\.arrive\.shared::cluster\.b64 _",
    r"mbarrier\.test_wait\.parity\.shared::cta\.b64",
    r"mbarrier\.try_wait\.parity\.shared::cta\.b64",
    *(rf"bulk\.tensor\.{n}d\.shared::cluster\.global\.tile\.mbarrier" for n in range(1, 6)),
    *(rf"bulk\.tensor\.{n}d\.\S+\.multicast::cluster" for n in (2, 5)),
    *(rf"bulk\.tensor\.{n}d\.shared::cluster\.global\.im2col\.mbarrier" for n in (3, 4, 5)),
    *(rf"bulk\.tensor\.{n}d\.global\.shared::cta\.tile\.bulk_group" for n in (1, 3)),
    *(
        rf"cp\.reduce\.async\.bulk\.tensor\.{n}d\.global\.shared::cta\.{op}\.tile\.bulk_group"
        for n, op in ((2, "add"), (3, "min"), (5, "max"))
    ),
    r"cp\.async\.bulk\.shared::cluster\.global\.mbarrier::complete_tx::bytes",
    r"cp\.async\.bulk\.global\.shared::cta\.bulk_group",
    r"cp\.async\.bulk\.commit_group",
    r"cp\.async\.bulk\.wait_group 0",
    r"cp\.async\.bulk\.wait_group\.read 1",
    r"prefetch\.tensormap",
    r"fence\.proxy\.async\.shared::cta",
    r"fence\.proxy\.async\.global",
    r"barrier\.cluster\.arrive\.release",
    r"barrier\.cluster\.wait\.acquire",
    r"mapa\.u64",
    r"setmaxnreg\.dec\.sync\.aligned\.u32 40",
    r"setmaxnreg\.inc\.sync\.aligned\.u32 232",
    r"wgmma\.fence\.sync\.aligned",
    r"wgmma\.commit_group\.sync\.aligned",
    r"wgmma\.wait_group\.sync\.aligned 0",
]

#: Shape and types, with the operands after the scale of d for A in shared memory and in registers.
PRODUCTS = [
    ("m64n8k16.f32.f16.f16", ", 1, 1, 1, 0", ", 1, 1, 0"),
    ("m64n24k16.f32.bf16.bf16", ", 1, 1, 0, 1", ", 1, 1, 1"),
    ("m64n256k16.f32.bf16.bf16", ", 1, 1, 1, 1", ", 1, 1, 1"),
    ("m64n64k8.f32.tf32.tf32", ", 1, 1", ", 1, 1"),
    ("m64n128k32.f32.e4m3.e4m3", ", 1, 1", ", 1, 1"),
    ("m64n16k32.f32.e4m3.e5m2", ", 1, 1", ", 1, 1"),
    ("m64n16k32.f32.e5m2.e4m3", ", 1, 1", ", 1, 1"),
    ("m64n16k32.f32.e5m2.e5m2", ", 1, 1", ", 1, 1"),
    ("m64n96k32.s32.s8.s8", "", ""),
    ("m64n24k32.s32.u8.u8", "", ""),
]

OURS = re.compile(r"mbarrier\.|cp\.(reduce\.)?async\.bulk|wgmma\.|setmaxnreg|cluster|fence\.proxy")


def _nvcc(folder: Path, architecture: str, *flags: str, source: Path = PRIMITIVES) -> Path:
    assert NVCC is not None
    target = folder / f"{source.stem}_{architecture}{'.ptx' if '-ptx' in flags else '.o'}"
    command = [NVCC, "-std=c++20", f"-I{build.CSRC}", "-DGG_CUDA", "--Werror", "all-warnings"]
    command += [f"-arch={architecture}", *flags, str(source), "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target


def _without_cuda(folder: Path, *names: str) -> str:
    """What the sources print, linked with stand-ins for CUDA's runtime."""
    sources = [build.HERE / name for name in (*names, "cuda_stubs.cpp")]
    objects = [str(_nvcc(folder, "sm_90a", "-c", source=source)) for source in sources]
    program = folder / sources[0].stem
    subprocess.run(["g++", *objects, "-pthread", "-o", str(program)], check=True)
    return build.run(program)[1]


@pytest.fixture(scope="module")
def ptx(folder: Path) -> Iterator[str]:
    yield _nvcc(folder, "sm_90a", "-ptx").read_text()


@needs_nvcc
@pytest.mark.parametrize("instruction", INSTRUCTIONS)
def test_instruction_is_emitted(ptx: str, instruction: str) -> None:
    assert re.search(instruction, ptx), instruction


@needs_nvcc
@pytest.mark.parametrize(("name", "shared", "registers"), PRODUCTS)
def test_product_is_emitted(ptx: str, name: str, shared: str, registers: str) -> None:
    head = rf"wgmma\.mma_async\.sync\.aligned\.{re.escape(name)} \{{[^}}]*\}}, "
    calls = re.findall(head + r"(.*);", ptx)
    from_shared = [c for c in calls if re.fullmatch(rf"%\w+, %\w+, p{re.escape(shared)}", c)]
    from_registers = [
        c for c in calls if re.fullmatch(rf"\{{[^}}]*\}}, %\w+, p{re.escape(registers)}", c)
    ]
    assert from_shared and from_registers, calls
    accumulators = re.search(head, ptx)
    n = int(re.findall(r"n(\d+)k", name)[0])
    assert accumulators is not None and accumulators.group(0).count("%") == n // 2


@needs_nvcc
def test_assembles_without_spills(folder: Path) -> None:
    assert NVCC is not None
    source = _nvcc(folder, "sm_90a", "-ptx")
    ptxas = Path(os.path.realpath(NVCC)).with_name("ptxas")
    command = [str(ptxas), "-arch=sm_90a", "-v", str(source), "-o", str(folder / "p.cubin")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    spills = re.findall(r"(\d+) bytes spill stores", done.stderr)
    assert spills and set(spills) == {"0"}, done.stderr


@needs_nvcc
@pytest.mark.parametrize("architecture", ["sm_80", "sm_120"])
def test_elsewhere_there_is_nothing(folder: Path, architecture: str) -> None:
    text = _nvcc(folder, architecture, "-ptx").read_text()
    assert text.count(".entry") == 13
    assert not OURS.search(text), OURS.findall(text)


@needs_nvcc
@pytest.mark.parametrize("architecture", ["sm_75", "sm_90", "sm_120"])
def test_elsewhere_primitives_trap(folder: Path, architecture: str) -> None:
    source = build.HERE / "hopper_elsewhere.cu"
    text = _nvcc(folder, architecture, "-ptx", source=source).read_text()
    bodies = text.split(".entry ")[1:]
    names = {re.findall(r"\w+", body)[0]: "trap;" in body for body in bodies}
    assert len(names) == 33
    assert [n for n, traps in names.items() if not traps] == ["_Z7answersPj"], names
    assert not OURS.search(re.sub(r"_Z\w+", "", text))


@needs_nvcc
def test_encoding_binds_a_context(folder: Path) -> None:
    """Once for each thread, and only where none is bound."""
    output = _without_cuda(folder, "tensor_map_context.cu", "tensor_map_runtime.cpp")
    assert output == "bound 3 times\n"


@needs_nvcc
def test_threads_do_not_lower_limits_of_shared_memory(folder: Path) -> None:
    output = _without_cuda(folder, "launch_limits.cu", "launch_limits_runtime.cpp")
    assert output == "0 of 100 refused\n"


@needs_nvcc
def test_host_side_does_not_link_to_the_driver(folder: Path) -> None:
    compiled = _nvcc(folder, "sm_90a", "-c")
    done = subprocess.run(["nm", "-u", str(compiled)], capture_output=True, text=True, check=True)
    undefined = [line.split()[-1] for line in done.stdout.splitlines()]
    assert any(name.startswith("cudaGetDriverEntryPoint") for name in undefined), undefined
    assert not [name for name in undefined if re.match(r"cu[A-Z]", name)], undefined


@needs_nvcc
def test_cases_build_for_a_gpu(folder: Path) -> None:
    """gpu_report.sh runs them first of all. Where there is no GPU, each fails and says why."""
    program = on_gpu.build(folder)
    cases = on_gpu.names(program)
    assert len(cases) == 26 and not [name for name in cases if "misuse" in name]
    if shutil.which("nvidia-smi") is None:
        assert "cudaErrorInsufficientDriver" in on_gpu.run(program, "mbarrier_ring")
    assert on_gpu.run(program, "nonsense") == "FAILED: no case of that name"
    assert on_gpu.run(program, "wgmma_f16", seconds=0).startswith("FAILED wgmma_f16: hangs")
