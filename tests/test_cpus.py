"""How many CPUs the threads of device cpu take: csrc/core/cpus.h."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gpugrad.backends.cpu_native import module

CPUS = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        ("max 100000", CPUS),
        ("100000 100000", 1),
        ("50000 100000", 1),
        ("190000 100000", 1),
        ("90000000 100000", CPUS),
        ("", CPUS),
        ("nonsense", CPUS),
    ],
)
def test_a_quota_of_version_2(tmp_path: Path, quota: str, expected: int) -> None:
    (tmp_path / "cpu.max").write_text(f"{quota}\n")
    assert module.usable_cpus(str(tmp_path)) == expected


@pytest.mark.parametrize(("quota", "expected"), [("-1", CPUS), ("100000", 1), ("90000000", CPUS)])
def test_a_quota_of_version_1(tmp_path: Path, quota: str, expected: int) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert module.usable_cpus(str(tmp_path)) == expected


@pytest.mark.parametrize(
    ("group", "files", "line"),
    [
        ("a.slice/b.service", ("cpu.max",), "0::/a.slice/b.service"),
        ("cpu/a/b", ("cpu.cfs_quota_us", "cpu.cfs_period_us"), "4:cpuacct,cpu:/a/b"),
    ],
)
def test_quotas_of_the_groups_above(
    tmp_path: Path, group: str, files: tuple[str, ...], line: str
) -> None:
    def expect(expected: int) -> None:
        assert module.usable_cpus(str(tmp_path), str(tmp_path / "groups")) == expected

    def limit(folder: Path, quota: int) -> None:
        words = (quota, 100000) if len(files) > 1 else (f"{quota} 100000",)
        for file, word in zip(files, words, strict=True):
            (folder / file).write_text(f"{word}\n")

    (tmp_path / "groups").write_text(f"12:cpuset:/c\n{line}\n")
    own = tmp_path / group
    own.mkdir(parents=True)
    expect(CPUS)
    limit(own.parent, 100000)
    expect(1)
    limit(own, 90000000)  # more than the group above has
    expect(1)
    limit(own.parent, -1)
    expect(CPUS)
    limit(own, 100000)
    expect(1)


def test_no_quota(tmp_path: Path) -> None:
    assert module.usable_cpus(str(tmp_path)) == CPUS
    assert 1 <= module.usable_cpus() <= CPUS
