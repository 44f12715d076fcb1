"""Attention alone, forward and with its gradient, and the memory it needs.

On a GPU the rivals are the cuDNN and flash back ends of PyTorch (which is FlashAttention-2), each
where it takes the problem, at 16384 tokens in all and 2048 channels; on the CPU it is what PyTorch
chooses. Ours is deterministic backward, theirs are as fast as they can be.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import rehearsal
from duel import Cost
from memory import forget_largest, largest_resident
from rivals import as_torch, in_turn, rotated, torch_module

import gpugrad as gg

Step = Callable[[], object]


@dataclass(frozen=True)
class Attention:
    """q, k and v [batch, tokens, heads, size], seen as [batch, heads, tokens, size]."""

    batch: int
    heads: int
    tokens: int
    size: int
    causal: bool = False
    dropout: float = 0.0
    dtype: str = "float32"

    def cost(self, part: str) -> Cost:
        """Two products of a head forward, five backward; half of each where it is causal."""
        pairs = self.tokens**2 / (2 if self.causal else 1)
        product = 2.0 * self.batch * self.heads * pairs * self.size
        return Cost(flop=product * {"forward": 2, "backward": 5, "both": 7}[part])

    def sized(self) -> Attention:
        """For a rehearsal: two heads of a few tokens."""
        if not rehearsal.ON:
            return self
        return replace(self, batch=1, heads=2, tokens=rehearsal.small(self.tokens))

    def bytes(self) -> int:
        """Of q, k, v and the gradient of the result."""
        elements = self.batch * self.heads * self.tokens * self.size
        return 4 * elements * gg.as_dtype(self.dtype).itemsize


ON_CPU = {
    "512": Attention(8, 8, 512, 64),
    "512_causal": Attention(8, 8, 512, 64, causal=True),
    "128_size64": Attention(16, 4, 128, 64),
    "128_size32": Attention(16, 8, 128, 32),
    "128_dropout": Attention(16, 4, 128, 64, dropout=0.1),
    "2048_causal": Attention(1, 8, 2048, 64, causal=True),
}


def on_gpu() -> Iterator[tuple[str, Attention]]:
    for size in (64, 128):
        for tokens in (512, 1024, 2048, 4096, 8192, 16384):
            for causal in (False, True):
                name = f"{tokens}_size{size}" + "_causal" * causal
                a = Attention(16384 // tokens, 2048 // size, tokens, size, causal, dtype="bfloat16")
                yield name, a
    yield "2048_size128_float16", Attention(8, 16, 2048, 128, dtype="float16")
    yield "2048_size64_float32", Attention(8, 32, 2048, 64)
    yield "2048_size64_dropout", Attention(8, 32, 2048, 64, dropout=0.1, dtype="bfloat16")


CASES = {"cpu": ON_CPU, "cuda": dict(on_gpu())}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "name" in metafunc.fixturenames:
        metafunc.parametrize("name", CASES[metafunc.config.getoption("--device")])


@pytest.fixture(autouse=True)
def exact_float32() -> Any:
    """float32 is float32 for both."""
    torch = torch_module()
    gg.set_matmul_precision("exact")
    if torch is not None:
        torch.set_float32_matmul_precision("highest")
    yield
    gg.set_matmul_precision("high")


def operands(a: Attention, device: str) -> list[gg.Tensor]:
    """q, k, v and the gradient of the result."""
    gg.manual_seed(0)
    shape = (a.batch, a.tokens, a.heads, a.size)
    dtype = gg.as_dtype(a.dtype)
    return [gg.randn(*shape, device=device).to(dtype).transpose(1, 2) for _ in range(4)]


def step(
    attend: Any, a: Attention, sets: list[list[Any]], part: str, chosen: Any = nullcontext
) -> Step:
    """A call for the next of the tensors each time; chosen(): the context that names a back end."""
    for tensors in sets:
        for x in tensors[:3]:
            x.requires_grad_(part != "forward")

    def forward(tensors: list[Any]) -> Any:
        with chosen():
            return attend(*tensors[:3], dropout_p=a.dropout, is_causal=a.causal)

    def backward(y: Any, tensors: list[Any]) -> list[Any]:
        y.backward(tensors[3], retain_graph=part == "backward")
        gradients = [x.grad for x in tensors[:3]]
        for x in tensors[:3]:
            x.grad = None
        return gradients

    if part == "forward":
        return in_turn(forward, sets)
    if part == "both":
        return in_turn(lambda tensors: backward(forward(tensors), tensors), sets)
    return in_turn(lambda pair: backward(*pair), [(forward(each), each) for each in sets])


def back_ends(device: str, dtype: str) -> dict[str, Callable[[], AbstractContextManager[Any]]]:
    """Of PyTorch's attention: label, context. What is fast on a GPU takes 16-bit floats alone."""
    if device == "cpu" or dtype == "float32" or rehearsal.ON:
        return {"PyTorch": nullcontext}
    from torch.nn.attention import SDPBackend, sdpa_kernel

    return {
        "PyTorch cuDNN": lambda: sdpa_kernel(SDPBackend.CUDNN_ATTENTION),
        "PyTorch flash": lambda: sdpa_kernel(SDPBackend.FLASH_ATTENTION),
    }


def rival_steps(a: Attention, sets: list[Any], part: str, device: str) -> dict[str, Step]:
    """Of each back end; one that does not take the problem says so when it is first called."""
    if (torch := torch_module()) is None:
        return {}
    attend = torch.nn.functional.scaled_dot_product_attention

    def made(chosen: Callable[[], AbstractContextManager[Any]]) -> Step:
        copies = [[as_torch(x) for x in tensors] for tensors in sets]
        return step(attend, a, copies, part, chosen)

    ends = back_ends(device, a.dtype).items()
    return {label: when_called(partial(made, chosen)) for label, chosen in ends}


def when_called(make: Callable[[], Step]) -> Step:
    """The step of make(), made at its first call."""
    kept = cache(make)
    return lambda: kept()()


@pytest.mark.parametrize("part", ["forward", "backward", "both"])
def test_attention(compare, device: str, name: str, part: str) -> None:
    a = CASES[device][name].sized()
    sets = rotated(lambda: operands(a, device), a.bytes(), device)
    rivals = rival_steps(a, sets, part, device)
    ours = step(gg.nn.functional.scaled_dot_product_attention, a, sets, part)
    # The scores' softmax and the result; backward the gradient of the scores, too.
    roundings, same = (2 if part == "forward" else 3), a.dropout == 0
    compare(ours, rivals, a.cost(part), "device", same=same, roundings=roundings)


# ---- memory ------------------------------------------------------------------------------------

TOKENS = (512, 1024, 2048, 4096)


def our_step(tokens: int, device: str) -> Step:
    a = Attention(1, 4, tokens, 64)
    attend = gg.nn.functional.scaled_dot_product_attention
    return step(attend, a, [operands(a, device)], "both")


def attention_memory(tokens: int, device: str) -> int:
    """Bytes that attention with its gradient adds, at its peak, to a process that has run one."""
    our_step(64, device)()
    run = our_step(tokens, device)
    if device == "cuda":
        before = gg.cuda.memory_allocated(device)
        gg.cuda.reset_peak_memory_stats(device)
        run()
        return gg.cuda.max_memory_allocated(device) - before
    forget_largest()
    before = largest_resident()
    run()
    return largest_resident() - before


def test_attention_memory(device: str, capsys) -> None:
    """Each length in a process of its own. Twice the tokens: about twice the memory, not four times
    (beside what a process rounds up to)."""
    if rehearsal.ON:
        pytest.skip("other processes have no stand-in for a GPU")
    needed = []
    for tokens in TOKENS:
        command = [sys.executable, __file__, str(tokens), device]
        folder = Path(__file__).parent
        run = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=True)
        needed.append(int(run.stdout))
    with capsys.disabled():
        sizes = ", ".join(
            f"{tokens}: {size / 2**20:.1f} MiB" for tokens, size in zip(TOKENS, needed, strict=True)
        )
        matrix = 4 * 4 * TOKENS[-1] ** 2 / 2**20
        print(f"\n  peak memory of attention and its gradient, {sizes}")
        print(f"  (the matrix of scores alone would be {matrix:.0f} MiB at {TOKENS[-1]})")
    slack = 8 << 20
    for less, more in pairwise(needed):
        assert more <= 2 * less + slack


if __name__ == "__main__":
    print(attention_memory(int(sys.argv[1]), sys.argv[2]))
