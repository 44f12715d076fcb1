"""bench/: what is measured is measured as it says, a run that was cut short goes on, the goals find
their figures, and wrong results are no figures."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import graph_machine
import numpy as np
import pytest

import gpugrad as gg

sys.path.append(str(Path(__file__).parents[1] / "bench"))
import facts
import goals
import record_cifar10
import rehearsal
import rivals
import store
import timing
from duel import Cost, Duel

BENCH = Path(__file__).parents[1] / "bench"
FACTS = {"commit": "abc", "machine": "A GPU", "versions": {"torch": "2"}}


def pytest_of_bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    """As a user starts it: the installed gpugrad, and no worker of this run."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    env = {name: v for name, v in os.environ.items() if not name.startswith("PYTEST_")}
    env["PYTHONSAFEPATH"] = "1"
    return subprocess.run(command, cwd=BENCH.parent, env=env, capture_output=True, text=True)


# ---- timing ------------------------------------------------------------------------------------


def test_a_race_is_interleaved(monkeypatch: pytest.MonkeyPatch) -> None:
    timer, ran = timing.Timer("cpu"), []
    monkeypatch.setattr(timer, "calls_per_round", lambda work: 1)
    clock = iter([1.0, 10.0, 5.0, 50.0, 2.0, 20.0])
    monkeypatch.setattr(timer, "seconds", lambda work, calls: (work(), next(clock))[1])
    assert timer.race([lambda: ran.append("a"), lambda: ran.append("b")], rounds=3) == [2.0, 20.0]
    assert ran == ["a", "b"] * 3


def test_the_clock_of_the_device_begins_behind_other_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the marks there are the calls alone; before them work for as long as Python needs."""
    did: list[str] = []

    class Backend:
        def synchronize(self) -> None:
            did.append("wait")

        def mark(self) -> float:
            did.append("mark")
            return float(len(did))

        def seconds(self, first: float, last: float) -> float:
            return last - first

    class Busy:
        def occupy(self, seconds: float) -> None:
            did.append("busy" if seconds else "idle")

    monkeypatch.setattr(timing.backends, "get", lambda device: Backend())
    monkeypatch.setattr(timing, "busy", lambda device: Busy())
    timer = timing.Timer("cuda", clock="device")

    def work() -> None:
        did.append("call")

    assert timer.seconds(work, 2) == 3 / 2  # from the mark at 3 to that at 6
    assert did == ["wait", "idle", "mark", "call", "call", "mark", "wait"]
    did.clear()
    timer.seconds(work, 1)
    assert did == ["wait", "busy", "mark", "call", "mark", "wait"]
    assert timing.Timer("cpu", clock="device").clock == "wall"


def test_operands_are_rotated_over_three_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rivals, "second_level_cache", lambda device: 50 << 20)
    counter = itertools.count()
    made = rivals.rotated(lambda: next(counter), 4 << 20, "cuda")
    assert len(made) * (4 << 20) > 3 * (50 << 20)
    work = rivals.in_turn(lambda x: x, made)
    assert [work() for _ in range(len(made) + 1)] == [*made, made[0]]


# ---- results -----------------------------------------------------------------------------------


def test_a_wrong_tile_is_seen() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    a, b = (rng.uniform(-1, 1, (512, 512)).astype(np.float32) for _ in range(2))
    y = a @ b
    right = gg.tensor(y).to(gg.bfloat16)
    rivals.check_agree(right, torch.tensor(y))
    y[128:192, 64:128] = y[:64, :64]
    with pytest.raises(AssertionError, match=r"result is off by .*, the largest element being"):
        rivals.check_agree(right, torch.tensor(y))
    with pytest.raises(AssertionError):
        rivals.check_agree(gg.tensor(np.full((2, 2), np.nan, np.float32)), torch.ones(2, 2))


def test_every_result_is_compared() -> None:
    torch = pytest.importorskip("torch")
    ones, twos = gg.ones(3), torch.full((3,), 2.0)
    with pytest.raises(AssertionError, match="is off by 1, the largest element being 2"):
        rivals.check_agree(ones.array, (None, twos, None))  # a convolution's gradients
    with pytest.raises(AssertionError, match="is off by 1"):
        rivals.check_agree([ones, ones], [torch.ones(3), twos])
    with pytest.raises(AssertionError, match="is off by 1"):
        rivals.check_agree(ones, twos.numpy())
    for nothing in (None, (), 1.0):
        with pytest.raises(AssertionError, match="gave 1 results to compare, the rival 0"):
            rivals.check_agree(ones, nothing)
    with pytest.raises(AssertionError, match="gave 0 results to compare, the rival 1"):
        rivals.check_agree(None, twos)
    with pytest.raises(AssertionError, match=r"\(3,\) is not \(1,\)"):
        rivals.check_agree(ones, torch.ones(1))
    rivals.check_agree(None, gg.ones(2))  # a copy, the bound


@pytest.mark.parametrize(
    ("dtype", "within"), [("float32", 2e-5), ("bfloat16", 0.006), ("float16", 8e-4), ("int32", 0)]
)
def test_tolerance_is_the_dtypes(dtype: str, within: float) -> None:
    torch = pytest.importorskip("torch")
    scale = 1 << 10
    theirs = torch.full((4,), scale).to(getattr(torch, dtype))
    off = within * scale
    rivals.check_agree(gg.full((4,), scale + off), theirs)
    rivals.check_agree(gg.full((4,), scale + 3 * off), theirs, roundings=3)
    with pytest.raises(AssertionError, match="is off by"):
        rivals.check_agree(gg.full((4,), scale + (2 * off or 1)), theirs)


def test_tf32_has_its_own_tolerance(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    ours, theirs = gg.full((4,), 1.002), torch.ones(4)
    with pytest.raises(AssertionError, match="is off by"):
        rivals.check_agree(ours, theirs)
    monkeypatch.setattr(gg, "get_matmul_precision", lambda: "tf32")
    rivals.check_agree(ours, theirs)


def test_results_are_kept_test_by_test(tmp_path: Path) -> None:
    duel = Duel("a[1]", "PyTorch", 1.0, 2.0, "some", Cost(flop=3.0), "device")
    first = store.Store(tmp_path, FACTS)
    first.begin("some", "hangs")
    first.add("some", "a[1]", [duel], {"cuDNN": "no kernel"})
    again = store.Store(tmp_path, FACTS)
    assert again.has("some", "a[1]") and again.failed("some") and not again.failed("other")
    assert not again.has("some", "hangs"), "it may have been cut off by the clock"
    again.begin("some", "hangs")
    again = store.Store(tmp_path, FACTS)
    assert again.has("some", "hangs")
    assert not again.has("some", "b") and not again.has("other", "a[1]")
    written = json.loads((tmp_path / "some.json").read_text())
    assert store.duels_of(written) == [duel] and written["commit"] == "abc"
    assert written["failed"] == {
        "hangs": {"gpugrad": "did not end"},
        "a[1]": {"cuDNN": "no kernel"},
    }
    again.add("some", "hangs", [duel], {})
    assert "hangs" not in json.loads((tmp_path / "some.json").read_text())["failed"]
    again.note(gpu_at_work={"clocks.sm": "1980 MHz"})
    assert "1980 MHz" in (tmp_path / "some.json").read_text()
    untouched = store.Store(tmp_path, FACTS)
    assert untouched.has("some", "a[1]")
    untouched.note(gpu_at_work={"clocks.sm": "210 MHz"})
    assert "1980 MHz" in (tmp_path / "some.json").read_text()
    assert not store.Store(tmp_path, FACTS | {"commit": "def"}).has("some", "a[1]")


def test_a_suite_goes_on_where_it_was(tmp_path: Path) -> None:
    """The second run has nothing left to do, and ends as the first; nothing selected is pytest's
    5, what the time did not suffice for our 20, what cannot be imported pytest's 2."""
    arguments = (str(BENCH / "test_overhead.py"), "-k", "test_forward[relu]")
    arguments += ("--benchmark-disable-gc", f"--results={tmp_path}")
    statuses = [pytest_of_bench(*arguments).returncode for _ in range(2)]
    assert statuses == [0, 0]
    assert pytest_of_bench(*arguments, "-k", "nosuch").returncode == 5
    stopped = pytest_of_bench(*arguments, "-k", "test_forward[exp]", "--seconds", "0.001")
    assert stopped.returncode == 20 and "run it again for the rest" in stopped.stdout
    (found,) = tmp_path.iterdir()
    result = json.loads(found.read_text())
    assert found.name == "overhead.json" and result["versions"]["numpy"] == np.__version__


def run_suite(tmp_path: Path, body: str) -> tuple[int, dict[str, Any]]:
    """pytest's status of a suite in a folder with bench's conftest, and its result file."""
    suite = tmp_path / "test_some.py"
    (tmp_path / "conftest.py").write_text((BENCH / "conftest.py").read_text())
    suite.write_text(body)
    places = ("--rootdir", str(tmp_path), "-c", os.devnull, "-o", f"pythonpath={BENCH}")
    run = pytest_of_bench(str(suite), f"--results={tmp_path / 'r'}", *places)
    found = tmp_path / "r" / "some.json"
    return run.returncode, json.loads(found.read_text()) if found.exists() else {}


@pytest.mark.parametrize(
    ("who", "said", "lost"),
    [
        ("ours", "cudaErrorLaunchFailure", True),
        ("theirs", "an illegal memory access was encountered", True),
        ("theirs", "CUDA_ERROR_OUT_OF_MEMORY", False),
    ],
)
def test_a_lost_context_ends_the_session(tmp_path: Path, who: str, said: str, lost: bool) -> None:
    """What follows would fail without fault; a rival that lost it is no failure of ours."""
    status, result = run_suite(
        tmp_path,
        f"""
def fails(): raise RuntimeError({said!r})
def test_a(compare): compare(*{{"ours": (fails, {{}}), "theirs": (int, {{"r": fails}})}}[{who!r}])
def test_b(compare): compare(fails, {{}})
""",
    )
    assert status == (20 if lost else 1)
    assert ("b" in result["failed"]) is not lost
    if who == "ours":
        assert said in result["failed"]["a"]["gpugrad"]
    elif lost:  # it is tried once more
        assert result["begun"] == {"a": 1}
    else:
        assert said in result["failed"]["a"]["r"] and result["duels"]


def test_a_failure_is_not_forgotten(tmp_path: Path) -> None:
    body = "def test_a(compare): compare(lambda: 1 / 0, {})"
    assert [run_suite(tmp_path, body)[0] for _ in range(2)] == [1, 1]


def test_a_suite_that_cannot_be_imported_is_a_failure(tmp_path: Path) -> None:
    assert run_suite(tmp_path, "import no_such_module")[0] == 2


def test_the_commit_of_changed_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git = tmp_path / "git"
    git.write_text(
        '#!/bin/sh\ncase "$*" in *rev-parse*) echo abc1234 ;; *"diff HEAD"*) cat "$DIFF" ;; esac\n'
    )
    git.chmod(0o755)
    diff = tmp_path / "diff"
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("DIFF", str(diff))
    monkeypatch.delenv("COMMIT", raising=False)
    found = []
    for changes in ("", "-a\n+b\n", "-a\n+c\n"):
        diff.write_text(changes)
        found.append(facts.commit())
    assert found[0] == "abc1234" and len(set(found)) == 3
    assert all(commit.startswith("abc1234-dirty-") for commit in found[1:])
    command = [sys.executable, str(BENCH / "facts.py"), "--commit"]
    assert subprocess.run(command, capture_output=True, text=True).stdout == f"{found[2]}\n"
    monkeypatch.setenv("COMMIT", "given")
    assert facts.commit() == "given"


# ---- goals -------------------------------------------------------------------------------------


def names_on_a_gpu() -> list[tuple[str, str]]:
    """(suite, name) of all that bench measures there."""
    run = pytest_of_bench("bench", "--collect-only", "-q", "-o", "addopts=", "--device", "cuda")
    lines = [line for line in run.stdout.splitlines() if "::" in line]
    parts = [line.partition("::") for line in lines]
    return [(Path(a).stem.removeprefix("test_"), b.removeprefix("test_")) for a, _, b in parts]


def test_every_goal_finds_its_figures(tmp_path: Path) -> None:
    """Ours takes 1 s, every rival 3, so that all ratios are 3; a copy is as fast as softmax."""
    names = names_on_a_gpu()
    kept = store.Store(tmp_path, FACTS)
    cost = Cost(flop=1e12, bytes=6e9, items=16384.0, unit="tokens")
    everyone = ("PyTorch", "PyTorch compiled", "PyTorch cuDNN", "cuDNN", "copy")
    for suite in ("matmul", "attention", "rows", "optimizers", "convolutions", "steps"):
        duels = [
            Duel(name, rival, 1.0, 3.0, suite, cost)
            for place, name in names
            if place == suite
            for rival in everyone
        ]
        assert duels
        kept.add(suite, "all", duels, {})
    record = {"accuracy": 94.1, "seconds": 1.4}
    (tmp_path / "record_cifar10.json").write_text(json.dumps({"record": record}))
    lines = goals.table(tmp_path).splitlines()[2:]
    assert len(lines) == len(goals.GOALS) and not any("not measured" in line for line in lines)
    found = {line.split(" | ")[0][2:]: line.split(" | ")[2:] for line in lines}
    assert found["large products in bfloat16, of cuBLAS, through PyTorch"] == ["3.00", "yes |"]
    assert found["softmax and norms forward, of a copy"] == ["1.00", "yes |"]
    assert found["MNIST steps captured, of PyTorch eager (lowest)"] == ["3.00", "no |"]
    assert found["GPT-2 124M, tokens a second"] == ["16,384", "no |"]
    assert found["CIFAR-10 to 94 %, seconds"] == ["1.40", "yes |"]
    few = goals.Results(tmp_path).duels("matmul", goals.BFLOAT16 + goals.LARGE, "PyTorch")
    assert all("bfloat16" in duel.name and "1024x1024x1024" not in duel.name for duel in few)


def test_a_record_below_94_percent_is_none(tmp_path: Path) -> None:
    record = {"accuracy": 93.9, "seconds": 1.0}
    (tmp_path / "record_cifar10.json").write_text(json.dumps({"record": record}))
    assert goals.cifar10(goals.Results(tmp_path)) is None
    lines = goals.table(tmp_path).splitlines()[2:]
    assert all(line.endswith("| - | not measured |") for line in lines)


def test_the_record_leaves_the_first_run_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def train(data: Any, recipes: Any, options: Any) -> float:
        assert options.model in recipes and options.precision == "bf16"
        lines = [json.dumps({"seconds": 10.0 if options.seed == 0 else 0.5 * options.seed})] * 2
        Path(options.log).write_text("\n".join(lines))
        return 0.94 + options.seed / 1000

    monkeypatch.setattr(record_cifar10, "train_images", train)
    found = record_cifar10.records(3, {"precision": "bf16", "device": "cpu", "epochs": None})
    assert [run["seconds"] for run in found["runs"]] == [1.0, 2.0, 3.0]
    assert found["seconds"] == 2.0 and found["accuracy"] == pytest.approx(94.2)


# ---- on a GPU ----------------------------------------------------------------------------------


def test_a_rehearsal_runs_a_suite_of_the_gpu() -> None:
    """CI rehearses all of them."""
    run = pytest_of_bench(
        "bench/test_quantised.py", "-k", "test_int8[sq", "--device", "cuda", "--rehearse"
    )
    assert run.returncode == 0 and "int8[square-16384x16384x16384]" in run.stdout, run.stdout
    refused = pytest_of_bench("bench/test_quantised.py", "--rehearse")
    assert refused.returncode == 4 and "--rehearse goes with --device cuda" in refused.stderr


def test_sizes_of_a_rehearsal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert rehearsal.small(4096) == 4096
    monkeypatch.setattr(rehearsal, "ON", True)
    assert [rehearsal.small(n) for n in (4096, 4097, 8)] == [64, 63, 8]


def test_a_step_is_captured_as_the_suite_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    graph_machine.install(monkeypatch)
    import test_steps

    step = test_steps.step(gg, test_steps.Job(small_net, 4, (6,), low=False), "cuda", None)
    machine = gg.backends.get("cuda")._cupy
    for _ in range(5):
        step()
    assert machine.launched == 3


def small_net(library: Any) -> Any:
    return library.nn.Linear(6, 10)
