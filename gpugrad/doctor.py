"""`gpugrad doctor`: what is installed, what works, and the exact fix for what does not."""

from __future__ import annotations

import re
import shlex
import sys
from dataclasses import dataclass

import gpugrad
from gpugrad.backends.report import Gpu, Native, Report, covers, is_gpu, report

_PIP = f"{shlex.quote(sys.executable)} -m pip"
_REBUILD = f"{_PIP} install --force-reinstall --no-deps --no-cache-dir"
_OLDEST = (7, 5)  # compute capability of the oldest architecture the kernels are written for


@dataclass(frozen=True)
class Finding:
    """Something wrong (`broken`: it stops what is there or was asked for) and its fix."""

    what: str
    fix: str
    broken: bool = True


def run(asked_for: str | None = None) -> int:
    """Print the report; 0 when the CPU and what else is there or asked for work, else 1."""
    facts = report(asked_for)
    findings = diagnose(facts, asked_for)
    print(describe(facts))
    print()
    for finding in findings:
        print(f"{'broken' if finding.broken else 'note'}: {finding.what}")
        print(f"  fix: {finding.fix}")
    broken = any(finding.broken for finding in findings)
    works = ", ".join(device for device, error in facts.trials.items() if error is None)
    print(f"devices that work: {works or 'none'}")
    return 1 if broken else 0


# ---- what is there ---------------------------------------------------------------------------


def describe(facts: Report) -> str:
    """The facts, a line each."""
    own = f"{gpugrad.__version__} (source tree, not installed)"
    lines = [
        f"{name:<12} {version or (own if name == 'gpugrad' else 'not installed')}"
        for name, version in facts.versions.items()
    ]
    cupy = ", ".join(f"{version} ({name})" for name, version in facts.cupy.items())
    lines.append(f"{'cupy':<12} {cupy or 'not installed'}")
    lines += [f"{name:<12} {_native_line(native)}" for name, native in facts.native.items()]
    lines.append(f"{'driver':<12} {_driver_line(facts)}")
    for i, gpu in enumerate(facts.gpus):
        capability = ".".join(map(str, gpu.capability))
        memory = f"{gpu.memory / 2**30:.1f} GiB"
        lines.append(f"{f'GPU {i}':<12} {gpu.name}, compute capability {capability}, {memory}")
    if not facts.gpus:
        lines.append(f"{'GPU':<12} {'on the bus, not usable' if facts.gpu_on_bus else 'none'}")
    return "\n".join(lines)


def _native_line(native: Native | None) -> str:
    if native is None:
        return "not built"
    return f"does not load: {native.error}" if native.error else f"built for {native.built_for}"


def _driver_line(facts: Report) -> str:
    driver = facts.driver
    if driver is None:
        return "none"
    parts = [driver.release or "present"]
    if driver.cuda:
        parts.append(f"runs CUDA up to {driver.cuda[0]}.{driver.cuda[1]}")
    if driver.error:
        parts.append(driver.error)
    return ", ".join(parts)


# ---- what is wrong ---------------------------------------------------------------------------


def diagnose(facts: Report, asked_for: str | None = None) -> list[Finding]:
    """What is wrong and its fix. A missing GPU is fine unless a GPU was asked for."""
    gpu_wanted = asked_for is not None and is_gpu(asked_for)
    findings = [*_packages(facts), *_modules(facts), *_cupy_conflict(facts)]
    if facts.gpus or facts.gpu_on_bus or gpu_wanted:
        findings += _gpu_path(facts)
    explained = any(finding.broken for finding in findings)
    for device, error in facts.trials.items():
        if error is not None and not (explained and is_gpu(device)):
            fix = _trial_fix(device)
            findings.append(Finding(f"device {device} does not work: {_first_line(error)}", fix))
    return findings


def _packages(facts: Report) -> list[Finding]:
    findings = []
    for name, version in facts.versions.items():
        if version is None and name == "gpugrad":
            what = "gpugrad runs from its source tree and is not installed"
            findings.append(Finding(what, f"{_PIP} install .   (in the source tree)", broken=False))
        elif version is None:
            findings.append(Finding(f"{name} is not installed", f"{_PIP} install {name}"))
    return findings


def _modules(facts: Report) -> list[Finding]:
    findings = []
    for name, native in facts.native.items():
        if native is not None and native.error:
            switch = {"_cuda": "GPUGRAD_CUDA=ON ", "_sim": "GPUGRAD_SIM=ON "}.get(name, "")
            findings.append(
                Finding(
                    f"{name} was built for another Python or machine: {native.error}",
                    f"{switch}{_REBUILD} .   (in the source tree)",
                )
            )
    if facts.native.get("_cpu") is None:
        findings.append(
            Finding(
                "_cpu is not built: the CPU runs plain NumPy, which is slower",
                f"{_REBUILD} .   (in the source tree; needs a C++20 compiler)",
                broken=False,
            )
        )
    return findings


def _cupy_conflict(facts: Report) -> list[Finding]:
    if len(facts.cupy) < 2:
        return []
    packages = sorted(facts.cupy)
    keep = f"cupy-cuda{_cuda_major(facts)}x"
    return [
        Finding(
            f"{len(packages)} CuPy packages are installed ({', '.join(packages)}): they overwrite "
            "each other's files",
            f"{_PIP} uninstall -y {' '.join(packages)} && {_PIP} install {keep}",
            broken=bool(facts.gpus),
        )
    ]


def _gpu_path(facts: Report) -> list[Finding]:
    """From the driver up; the first that is broken hides what stands on it."""
    if facts.driver is None:
        if not facts.gpu_on_bus:
            return [
                Finding(
                    "a GPU was asked for, and this machine shows none",
                    "in a container: start it with `docker run --gpus all`; else use --device cpu",
                )
            ]
        return [
            Finding(
                "an NVIDIA GPU is on the bus, but there is no driver",
                "sudo apt install nvidia-driver-580   (or from nvidia.com/drivers), then reboot",
            )
        ]
    if facts.driver.error or not facts.gpus:
        reason = facts.driver.error or "it shows no GPU"
        return [
            Finding(
                f"the NVIDIA driver is there, but {reason}",
                "run nvidia-smi; reboot after a driver update; in a container use `docker run "
                "--gpus all`; check CUDA_VISIBLE_DEVICES",
            )
        ]
    return [*_cupy_for(facts), *_cuda_module(facts)]


def _cupy_for(facts: Report) -> list[Finding]:
    major = _cuda_major(facts)
    extra = "cuda" if major >= 13 else f"cuda{major}"
    if major < 12:
        return [
            Finding(
                f"the driver is too old: it runs CUDA {_driver_cuda(facts)}, 12.0 is the oldest",
                "sudo apt install nvidia-driver-580   (or from nvidia.com/drivers), then reboot",
            )
        ]
    if not facts.cupy:
        return [Finding("CuPy is not installed", f"{_PIP} install 'cupy-cuda{major}x>=14'")]
    if len(facts.cupy) > 1:
        return []
    (package,) = facts.cupy
    needs = re.search(r"cuda(\d+)", package)
    if needs and int(needs[1]) > major:
        return [
            Finding(
                f"{package} needs a driver that runs CUDA {needs[1]}; this one runs "
                f"{_driver_cuda(facts)}",
                f"update the driver to 580 or newer, or: {_PIP} uninstall -y {package} && {_PIP} "
                f"install 'cupy-cuda{major}x>=14'   (gpugrad's extra [{extra}])",
            )
        ]
    return []


def _cuda_module(facts: Report) -> list[Finding]:
    native = facts.native.get("_cuda")
    if native is None:
        return [
            Finding(
                "_cuda is not built: gpugrad was installed without CUDA",
                f"GPUGRAD_CUDA=ON {_REBUILD} .   (in the source tree)",
            )
        ]
    if native.built_for is None:
        return []
    findings = []
    for i, gpu in enumerate(facts.gpus):
        if not covers(gpu, native.built_for):
            findings.append(_not_covered(i, gpu, native.built_for))
    return findings


def _not_covered(index: int, gpu: Gpu, built_for: str) -> Finding:
    architecture = f"{gpu.capability[0]}{gpu.capability[1]}"
    what = f"GPU {index} ({gpu.name}) has architecture sm_{architecture}; _cuda has {built_for}"
    if gpu.capability < _OLDEST:
        return Finding(f"{what}, and gpugrad begins at sm_75", "use --device cpu, or a newer GPU")
    wanted = "90a" if architecture == "90" else architecture
    return Finding(
        what,
        f"GPUGRAD_CUDA=ON {_REBUILD} -Ccmake.define.CMAKE_CUDA_ARCHITECTURES={wanted} .   "
        "(in the source tree)",
    )


def _trial_fix(device: str) -> str:
    if is_gpu(device):
        code = f"import gpugrad as gg; print(gg.ones(2, device='{device}') + 1)"
        return f'the whole error: {shlex.quote(sys.executable)} -c "{code}"'
    return f"{_REBUILD} .   (in the source tree; for sim with GPUGRAD_SIM=ON)"


def _cuda_major(facts: Report) -> int:
    """The CUDA major version to install for: the driver's, 13 if newer or unknown."""
    return min(facts.driver.cuda[0], 13) if facts.driver and facts.driver.cuda else 13


def _driver_cuda(facts: Report) -> str:
    cuda = facts.driver.cuda if facts.driver else None
    return f"{cuda[0]}.{cuda[1]}" if cuda else "an unknown version"


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else text
