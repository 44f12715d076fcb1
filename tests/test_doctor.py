"""gpugrad doctor: each thing that can be wrong is named with its fix, from made-up facts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpugrad import doctor
from gpugrad.backends.report import Driver, Gpu, Native, Report, covers, report

H100 = Gpu("NVIDIA H100 80GB HBM3", (9, 0), 80 << 30)
HEALTHY = Report(
    versions={"gpugrad": "0.1.0", "python": "3.11.7", "numpy": "2.4.6", "ml_dtypes": "0.6.0"},
    native={"_cpu": Native("cpu"), "_cuda": Native("80,90a,120,120+ptx"), "_sim": None},
    cupy={"cupy-cuda13x": "14.2.0"},
    driver=Driver("580.95.05", (13, 0)),
    gpus=[H100],
    gpu_on_bus=True,
    trials={"cpu": None, "cuda:0": None},
)
BARE = replace(HEALTHY, cupy={}, driver=None, gpus=[], gpu_on_bus=False, trials={"cpu": None})


def broken(facts: Report, asked_for: str | None = None) -> list[str]:
    """What is broken, each with its fix, as text."""
    found = doctor.diagnose(facts, asked_for)
    assert all(finding.what and finding.fix for finding in found)
    return [f"{finding.what} -> {finding.fix}" for finding in found if finding.broken]


def test_healthy_and_without_gpu() -> None:
    assert broken(HEALTHY) == []
    assert broken(BARE) == []
    assert broken(replace(BARE, native={"_cpu": Native("cpu"), "_cuda": None, "_sim": None})) == []


@pytest.mark.parametrize(
    ("change", "what", "fix"),
    [
        ({"cupy": {}}, "CuPy is not installed", "install 'cupy-cuda13x>=14'"),
        (
            {"cupy": {"cupy-cuda12x": "14.2.0", "cupy-cuda13x": "14.2.0"}},
            "2 CuPy packages are installed (cupy-cuda12x, cupy-cuda13x)",
            "uninstall -y cupy-cuda12x cupy-cuda13x && ",
        ),
        (
            {"driver": None, "gpus": []},
            "on the bus, but there is no driver",
            "apt install nvidia-driver-580",
        ),
        (
            {"driver": Driver("580.95.05", (13, 0), "cuInit: CUDA_ERROR_UNKNOWN"), "gpus": []},
            "cuInit: CUDA_ERROR_UNKNOWN",
            "nvidia-smi",
        ),
        (
            {"driver": Driver("550.54.14", (12, 4))},
            "cupy-cuda13x needs a driver that runs CUDA 13; this one runs 12.4",
            "install 'cupy-cuda12x>=14'",
        ),
        (
            {"driver": Driver("470.82.01", (11, 4))},
            "driver is too old: it runs CUDA 11.4",
            "apt install nvidia-driver-580",
        ),
        (
            {"native": {"_cpu": Native("cpu"), "_cuda": None, "_sim": None}},
            "_cuda is not built",
            "GPUGRAD_CUDA=ON",
        ),
        (
            {
                "gpus": [Gpu("NVIDIA RTX A4000", (8, 6), 16 << 30)],
                "native": {"_cuda": Native("90a")},
            },
            "GPU 0 (NVIDIA RTX A4000) has architecture sm_86; _cuda has 90a",
            "-Ccmake.define.CMAKE_CUDA_ARCHITECTURES=86",
        ),
        (
            {"gpus": [Gpu("Tesla P100", (6, 0), 16 << 30)]},
            "gpugrad begins at sm_75",
            "use --device cpu",
        ),
        (
            {"native": {"_cpu": Native(error="ImportError: undefined symbol"), "_cuda": None}},
            "_cpu was built for another Python or machine: ImportError: undefined symbol",
            "--force-reinstall",
        ),
        (
            {"trials": {"cpu": "RuntimeError: boom\nmore"}},
            "device cpu does not work: RuntimeError: boom",
            "--force-reinstall",
        ),
        (
            {"trials": {"cpu": None, "cuda:0": "DeviceError: no"}},
            "device cuda:0 does not work: DeviceError: no",
            "device='cuda:0'",
        ),
        ({"versions": {"ml_dtypes": None}}, "ml_dtypes is not installed", "pip install ml_dtypes"),
    ],
)
def test_each_fault_has_its_fix(change: dict[str, object], what: str, fix: str) -> None:
    (only, *_) = broken(replace(HEALTHY, **change))  # type: ignore[arg-type]
    found, _, way_out = only.partition(" -> ")
    assert what in found
    assert fix in way_out


def test_a_fault_is_told_once() -> None:
    """A failing GPU trial says nothing new when its cause is known."""
    facts = replace(HEALTHY, cupy={}, trials={"cpu": None, "cuda:0": "DeviceError: no cupy"})
    assert len(broken(facts)) == 1


def test_gpu_missing_matters_only_when_asked_for() -> None:
    facts = replace(BARE, trials={"cpu": None, "cuda:0": "DeviceError: no driver"})
    (only,) = broken(facts, "cuda")
    assert "this machine shows none" in only
    assert "docker run --gpus all" in only


def test_covers() -> None:
    def runs(capability: tuple[int, int], built_for: str) -> bool:
        return covers(Gpu("", capability, 0), built_for)

    assert runs((9, 0), "80,90a")
    assert not runs((10, 0), "80,90a")
    assert runs((8, 6), "80")
    assert not runs((8, 0), "86")
    assert runs((12, 1), "120,120+ptx")
    assert not runs((8, 9), "75,90a,120+ptx")


def test_describe_names_everything() -> None:
    text = doctor.describe(HEALTHY)
    for part in [
        "gpugrad      0.1.0",
        "14.2.0 (cupy-cuda13x)",
        "built for 80,90a",
        "not built",
        "580.95.05, runs CUDA up to 13.0",
        "compute capability 9.0, 80.0 GiB",
    ]:
        assert part in text


def test_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    """The real report runs, and the CPU works."""
    facts = report()
    assert facts.trials["cpu"] is None
    assert ("sim" in facts.trials) == (facts.native["_sim"] is not None)
    status = doctor.run()
    out = capsys.readouterr().out
    assert "devices that work: cpu" in out
    assert status == (1 if "broken: " in out else 0)
