"""The profiler: every kernel seen once, with operation, pass and module; the table, the trace."""

from __future__ import annotations

import gzip
import json
import re
import threading
from pathlib import Path

import numpy as np
import pytest
from fake_gpu import CudaRuntimeError
from nets import Net

import gpugrad as gg
import gpugrad.nn.functional as F
from gpugrad import backends, nn
from gpugrad.backends import cuda
from gpugrad.backends.peaks import Peaks
from gpugrad.cli import build_parser
from gpugrad.errors import ArgumentError, DeviceError
from gpugrad.profiler import emit_nvtx, profile, record_function, schedule, watching
from gpugrad.train.job import Options
from gpugrad.train.profiling import Profile
from gpugrad.train.trainer import Trainer
from gpugrad.utils.checkpoint import checkpoint


def rows(p: profile) -> dict[tuple[str, ...], int]:
    """(kernel, operation, phase, module) -> calls."""
    keys = ("kernel", "operation", "phase", "module")
    return {average.parts: average.count for average in p.key_averages(group_by=keys)}


# ---- what is seen --------------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["cpu", "sim"])
def test_a_training_step(device: str) -> None:
    model = Net().to(device)
    optimizer = gg.optim.SGD(model.parameters(), lr=0.1)
    x, target = gg.rand(5, 6, device=device), gg.tensor([0, 1, 2, 0, 1], device=device)
    with profile() as p:
        loss = F.cross_entropy(model(x), target)
        loss.backward()
        optimizer.step()
    found = rows(p)
    assert found["gemm", "Linear", "forward", "body.0"] == 1
    assert found["gemm", "Linear", "forward", "head"] == 1
    assert found["gemm", "Linear", "backward", "body.0"] == 1, "its input wants no gradient"
    assert found["gemm", "Linear", "backward", "head"] == 2
    assert found["unary tanh", "Tanh", "forward", "body.1"] == 1
    assert found["cross_entropy", "CrossEntropy", "forward", ""] == 1
    assert found["cross_entropy_grad", "CrossEntropy", "backward", ""] == 1
    assert found["sgd_step", "SGD.step", "", ""] == 1
    assert {str(event.backend.device) for event in p.events()} == {device}
    assert sum(found.values()) == len(p.events())


def test_kernels_are_as_before() -> None:
    """The same objects: nothing is spent when nobody listens. An exception leaves none behind."""
    kernels = [backends.get(device).kernels for device in ("cpu", "sim")]
    before = [dict(vars(k)) for k in kernels]
    with pytest.raises(ZeroDivisionError), profile() as p:
        gg.ones(2) + 1
        raise ZeroDivisionError
    assert [vars(k) for k in kernels] == before and len(p.events()) >= 1
    with profile() as p, pytest.raises(ArgumentError):
        backends.get("sim").kernels.unary("sqrt", np.ones(3, np.int32))
    assert [vars(k) for k in kernels] == before and not p.events()


def test_a_kernel_that_calls_another_is_one() -> None:
    """cross_entropy casts its weights by itself."""
    x, target = np.ones((2, 3, 1), np.float16), np.zeros((2, 1), np.int64)
    with profile() as p:
        backends.get("sim").kernels.cross_entropy(x, target, np.ones(3, np.float16), -1, 0.0)
    assert [event.kernel for event in p.events()] == ["cross_entropy"]


def test_nested_profiles() -> None:
    x = gg.ones(3)
    with profile() as outer:
        x + 1
        with profile() as inner:
            x * 2
        x - 3
    names = [[event.kernel for event in p.events()] for p in (outer, inner)]
    assert names == [["binary add", "binary mul", "binary sub"], ["binary mul"]]


def test_threads_are_seen() -> None:
    x = gg.ones(3)
    together = threading.Barrier(3)

    def work() -> None:
        together.wait()
        for _ in range(50):
            x + 1
        together.wait()

    with profile() as p:
        workers = [threading.Thread(target=work) for _ in range(3)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    assert len(p.events()) == 150 and len({event.thread for event in p.events()}) == 3


def test_graphs_made_before_and_finished_after() -> None:
    """A forward that was not seen has a backward that is, and the other way round."""
    layer = nn.LayerNorm(4)  # its backward calls kernels, not operations
    x = gg.rand(3, 4, requires_grad=True)
    early = layer(x).sum()
    with profile() as p:
        early.backward()
        late = layer(x).sum()
    seen = {(event.kernel, event.phase) for event in p.events()}
    assert {("layer_norm_grad", "backward"), ("layer_norm", "forward")} <= seen
    late.backward()


def test_a_device_that_is_first_used_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "_backends", {})
    with profile() as p:
        gg.ones(2, device="sim") + 1
    assert [str(e.backend.device) for e in p.events() if e.kernel == "binary add"] == ["sim"]


def test_recomputed_operations_are_told_apart() -> None:
    model = Net()
    with profile() as p:
        checkpoint(model, gg.rand(2, 6), early_stop=False).sum().backward()
    phases = [event.phase for event in p.events() if event.kernel == "unary tanh"]
    assert phases == ["forward", "recompute"]
    modules = {event.module for event in p.events() if event.phase == "recompute"}
    assert {"body.0", "body.1", "head"} <= modules


def test_sums_of_gradients_and_functions_without_derivative() -> None:
    x = gg.rand(4, requires_grad=True)
    with profile() as p:
        h = x * 2
        (h.sin() + h.cos()).sum().backward()
        x.argmax()
    found = {(event.kernel, event.operation, event.phase) for event in p.events()}
    assert ("binary add", "sum of gradients", "backward") in found
    assert ("reduce argmax", "argmax", "") in found


def test_detect_nan_is_nobodys_operation() -> None:
    with profile() as p, gg.detect_nan():
        gg.ones(3) + 1
    assert [event.kernel for event in p.events()].count("unary isnan") == 0


# ---- the table -----------------------------------------------------------------------------------


def test_table(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = backends.get("cpu")
    monkeypatch.setattr(cpu, "_peaks", Peaks(1e9, {"float32": 1e10}, "test"), raising=False)
    model = Net()
    with profile(record_shapes=True, profile_memory=True) as p:
        model(gg.rand(5, 6)).sum().backward()
    averages = p.key_averages()
    seconds = [average.seconds for average in averages]
    assert seconds == sorted(seconds, reverse=True) and len(averages) == len(seconds)
    linear = next(a for a in averages if a.key == "gemm Linear forward")
    assert linear.count == 2 and linear.flops == 2 * 5 * (6 * 8 + 8 * 3)
    assert linear.mean == linear.seconds / 2
    assert linear.bound == pytest.approx(linear.least / linear.seconds)
    moved = [4 * (5 * 6 + 6 * 8 + 8 + 5 * 8), 4 * (5 * 8 + 8 * 3 + 3 + 5 * 3)]
    assert linear.least == pytest.approx(sum(moved) / 1e9), "both are bound by bandwidth"
    assert linear.device_time_total == linear.seconds * 1e6
    lines = p.table().splitlines()
    titles = "kernel operation pass calls total ms % mean us GFLOP/s GB/s of bound MiB kept"
    assert " ".join(lines[0].split()) == titles
    assert len(lines) == 1 + len(averages) + 2
    assert f"{len(p.events())} calls" in lines[-2] and "1.0 GB/s" in lines[-1]
    assert "float32 10 GFLOP/s (test)" in lines[-1]
    assert p.table(row_limit=2).count("\n") == 1 + 2 + 2 and "more (row_limit)" in p.table(None, 2)
    most = p.table(sort_by="count").splitlines()[1]
    assert re.search(rf"(ward|-) +{max(a.count for a in averages)} ", most)
    shapes = p.key_averages(group_by_input_shape=True).table()
    assert "float32[5, 6], float32[6, 8], float32[8]" in shapes
    assert "body.0" in p.table(group_by=("module",)) and "cpu" in p.table(group_by=("device",))


def test_table_errors() -> None:
    with profile() as p:
        with pytest.raises(ArgumentError, match="still running"):
            p.table()
        with pytest.raises(ArgumentError, match="is running already"):
            p.start()
    assert "0 calls" in p.table()
    with pytest.raises(ArgumentError, match="cannot sort by 'size'; legal are time, calls"):
        p.table(sort_by="size")
    with pytest.raises(ArgumentError, match="'name' is no key to group by; legal are kernel"):
        p.key_averages(group_by=["name"])
    with pytest.raises(ArgumentError, match="record_shapes=True"):
        p.key_averages(group_by_input_shape=True)


def test_the_simulator_has_no_bound() -> None:
    with profile() as p:
        gg.ones(3, device="sim") + 1
    (average,) = [a for a in p.key_averages() if a.parts[0] == "binary add"]
    assert average.bound is None and average.rate(average.bytes) > 0
    assert p.table().splitlines()[-1] == "bound of sim: not known"


# ---- on a GPU ------------------------------------------------------------------------------------


def test_events_of_a_gpu(
    fake_cuda: cuda.CudaBackend,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Times are those of events; the host waits at the beginning and the end alone; NVTX ranges."""
    waits: list[str] = []
    wait = fake_cuda.synchronize
    monkeypatch.setattr(fake_cuda, "synchronize", lambda: (waits.append("wait"), wait())[1])
    x = gg.ones(64, 64, device="cuda")
    cupy = fake_cuda._cupy
    with profile() as p, record_function("mine"):
        x @ x
        before = len(waits)
        x + 1
        cupy.capturing = True
        x * 2
        cupy.capturing = False
    assert before == 1 and len(waits) == 2
    product, add, captured = p.events()
    assert product.seconds > 0 and add.start > product.start > 0
    assert captured.seconds is None and product.host > 0
    assert not cupy.ranges and "MatMul gemm" in cupy.pushed and cupy.pushed[0] == "mine"
    text = p.table()
    assert text.splitlines()[0].endswith("host ms")
    assert re.search(r"binary mul +Mul +forward +1 +- +- +- +- +- +- +0\.", text)
    assert "bound of cuda:0: 4916.7 GB/s" in text and "NVIDIA H200, from its clocks" in text
    found = next(a for a in p.key_averages() if a.parts[0] == "gemm")
    assert found.bound == pytest.approx(4 * 2 * 4096 / fake_cuda.peaks().bandwidth / found.seconds)
    cupy.pushed.clear()
    with emit_nvtx():
        x + 1
    with emit_nvtx(enabled=False):
        x + 1
    assert cupy.pushed == ["Add binary add"]


def test_an_error_at_the_end_does_not_hide_the_blocks_own(
    fake_cuda: cuda.CudaBackend,
) -> None:
    x = gg.ones(3, device="cuda")
    with pytest.raises(ZeroDivisionError), profile():
        x + 1
        fake_cuda._gpu.error = CudaRuntimeError("cudaErrorIllegalAddress")
        raise ZeroDivisionError
    fake_cuda._gpu.error = None
    with pytest.raises(DeviceError, match="an earlier kernel failed"), profile():
        x + 1
        fake_cuda._gpu.error = CudaRuntimeError("cudaErrorIllegalAddress")
    fake_cuda._gpu.error = None


# ---- trace, ranges, schedules --------------------------------------------------------------------


def test_chrome_trace(tmp_path: Path) -> None:
    with profile(record_shapes=True, profile_memory=True) as p:
        with record_function("load"):
            x = gg.rand(4, 6)
        (x * gg.ones(6, requires_grad=True)).sum().backward()
        p.step()
    for name in ("trace.json", "trace.json.gz"):
        p.export_chrome_trace(tmp_path / name)
    trace = json.loads((tmp_path / "trace.json").read_text())
    assert json.loads(gzip.decompress((tmp_path / "trace.json.gz").read_bytes())) == trace
    complete = [e for e in trace["traceEvents"] if e["ph"] == "X"]
    names = [e["name"] for e in complete]
    assert {"load", "ProfilerStep#0", "Mul binary mul"} <= set(names)
    assert len(complete) == len(p.events()) + 2
    for entry in complete:
        assert entry["ts"] >= 0 and entry["dur"] >= 0 and entry["pid"] == entry["tid"] == 0
    mul = complete[names.index("Mul binary mul")]
    assert mul["cat"] == "forward" and mul["args"]["FLOP"] == 24
    load, drawn = complete[names.index("load")], complete[names.index("rand uniform")]
    assert load["ts"] <= drawn["ts"] <= drawn["ts"] + drawn["dur"] <= load["ts"] + load["dur"]
    assert {"M", "C", "X"} == {e["ph"] for e in trace["traceEvents"]}


def test_a_gpus_trace_has_a_row_of_its_own(
    fake_cuda: cuda.CudaBackend,
    tmp_path: Path,
) -> None:
    with profile() as p:
        gg.ones(3, device="cuda") + 1
    p.export_chrome_trace(tmp_path / "trace.json")
    entries = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    adds = [e["pid"] for e in entries if e["name"] == "Add binary add"]
    assert sorted(adds) == [0, 1]
    assert [e["args"]["name"] for e in entries if e["ph"] == "M" and e["pid"] == 1] == ["cuda:0"]


def test_record_function_decorates() -> None:
    @record_function("twice")
    def twice(x: gg.Tensor) -> gg.Tensor:
        return x * 2

    twice(gg.ones(1))
    with profile() as p:
        assert twice(gg.ones(1)).item() == 2
    assert [r.name for r in p.ranges] == ["twice"]


def test_schedules() -> None:
    saved: list[list[str]] = []
    plan = schedule(wait=1, warmup=1, active=2, repeat=2, skip_first=1)
    x = gg.ones(1)
    operations = [
        getattr(gg, name)
        for name in ("sin", "cos", "tan", "exp", "log", "sqrt", "abs", "neg", "tanh", "ceil")
    ]
    with profile(
        schedule=plan, on_trace_ready=lambda p: saved.append([e.kernel for e in p.events()])
    ) as p:
        for operation in operations:
            operation(x)
            p.step()
    assert saved == [["unary exp", "unary log"], ["unary neg", "unary tanh"]]
    assert p.step_num == 10
    with pytest.raises(ArgumentError, match="active must be at least 1"):
        schedule(wait=0, warmup=0, active=0)


# ---- training ------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [3, 100])
def test_training_hook(steps: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After `skip` steps `steps` are recorded, or what there is until the end."""
    model = Net()
    path = tmp_path / "trace.json"
    hook = Profile(str(path), skip=2, steps=steps)
    optimizer = gg.optim.SGD(model.parameters(), lr=0.1)
    data = [(gg.rand(4, 6), gg.tensor([0, 1, 2, 0]))] * 8
    Trainer(model, optimizer, F.cross_entropy, hooks=[hook], capture=False).fit(data, 1)
    recorded = min(steps, 6)
    text = capsys.readouterr().out
    assert re.search(rf"sgd_step +SGD.step +- +{recorded} ", text)
    names = [entry["name"] for entry in json.loads(path.read_text())["traceEvents"]]
    assert sum(name.startswith("ProfilerStep") for name in names) == recorded
    with pytest.raises(ArgumentError, match="skip=0 and steps=20 must be at least 1"):
        Profile(skip=0)


def test_training_hook_on_the_command_line() -> None:
    parser = build_parser()
    for job in ("mnist", "cifar10", "sentiment", "lm"):
        given = [parser.parse_args(["train", job, *rest]).profile
                 for rest in ([], ["--profile"], ["--profile", "trace.json"])]  # fmt: skip
        assert given == [None, "", "trace.json"]
    assert Options("mlp", profile="").profile == ""


def test_who_listens_later_hears_nothing_of_a_replay_under_way() -> None:
    class Heard(watching.Listener):
        def __init__(self) -> None:
            self.events: list[str] = []

        def on_kernel(self, event: watching.Event) -> None:
            self.events.append(event.kernel)

    early, late = Heard(), Heard()
    watching.listen(early)
    try:
        watching.watched_replay(backends.get("cpu"), "step", lambda: watching.listen(late))
    finally:
        watching.unlisten(early), watching.unlisten(late)
    assert early.events == ["graph"] and not late.events
