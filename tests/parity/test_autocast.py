"""autocast and GradScaler beside PyTorch's.

PyTorch's CUDA autocast is asked without a GPU: its rules are applied to fake tensors, which have a
device, a dtype and a shape, but no memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

import gpugrad as gg
from gpugrad.amp.autocast_mode import KIND


def words(text: str) -> list[str]:
    return text.split()


Case = tuple[Callable[..., Any], tuple[Any, ...]]
INT = np.int64

CASES: dict[str, Case] = {
    # the region's dtype
    "matmul": (lambda m, F, a, b: m.matmul(a, b), ((3, 4), (4, 5))),
    "operator": (lambda m, F, a, b: a @ b, ((2, 3, 4), (4, 5))),
    "mm": (lambda m, F, a, b: m.mm(a, b), ((3, 4), (4, 5))),
    "bmm": (lambda m, F, a, b: m.bmm(a, b), ((2, 3, 4), (2, 4, 5))),
    "mv": (lambda m, F, a, b: m.mv(a, b), ((3, 4), (4,))),
    "addmm": (lambda m, F, a, b, c: m.addmm(a, b, c), ((5,), (3, 4), (4, 5))),
    "addmv": (lambda m, F, a, b, c: m.addmv(a, b, c), ((3,), (3, 4), (4,))),
    "addr": (lambda m, F, a, b, c: m.addr(a, b, c), ((3, 4), (3,), (4,))),
    "baddbmm": (lambda m, F, a, b, c: m.baddbmm(a, b, c), ((2, 3, 5), (2, 3, 4), (2, 4, 5))),
    "addbmm": (lambda m, F, a, b, c: m.addbmm(a, b, c), ((3, 5), (2, 3, 4), (2, 4, 5))),
    "einsum": (lambda m, F, a, b: m.einsum("ij,jk->ik", a, b), ((3, 4), (4, 5))),
    "linear": (lambda m, F, a, b, c: F.linear(a, b, c), ((3, 4), (5, 4), (5,))),
    "conv1d": (lambda m, F, a, b, c: F.conv1d(a, b, c), ((2, 3, 8), (4, 3, 3), (4,))),
    "conv2d": (lambda m, F, a, b: F.conv2d(a, b), ((2, 3, 8, 8), (4, 3, 3, 3))),
    "conv3d": (lambda m, F, a, b: F.conv3d(a, b), ((1, 2, 4, 4, 4), (3, 2, 3, 3, 3))),
    "conv_transpose2d": (lambda m, F, a, b: F.conv_transpose2d(a, b), ((2, 3, 4, 4), (3, 2, 3, 3))),
    "attention": (
        lambda m, F, a, b, c: F.scaled_dot_product_attention(a, b, c),
        ((1, 2, 4, 8), (1, 2, 4, 8), (1, 2, 4, 8)),
    ),
    "prelu": (lambda m, F, a, b: F.prelu(a, b), ((2, 3), (3,))),
    # float32
    **{
        name: (lambda m, F, a, n=name: getattr(m, n)(a), ((3, 4),))
        for name in words(
            "exp expm1 log log2 log10 log1p reciprocal rsqrt acos asin cosh sinh tan erfinv sum "
            "prod norm"
        )
    },
    "power": (lambda m, F, a: a**2, ((3, 4),)),
    "pow": (lambda m, F, a, b: m.pow(a, b), ((3, 4), (3, 4))),
    "reflected_pow": (lambda m, F, a: 2.0**a, ((3, 4),)),
    "softplus": (lambda m, F, a: F.softplus(a), ((3, 4),)),
    "softmax": (lambda m, F, a: F.softmax(a, -1), ((3, 4),)),
    "softmax_of_dtype": (lambda m, F, a: F.softmax(a, -1, dtype=m.bfloat16), ((3, 4),)),
    "log_softmax": (lambda m, F, a: m.log_softmax(a, -1), ((3, 4),)),
    "cumsum": (lambda m, F, a: m.cumsum(a, 0), ((3, 4),)),
    "cumprod": (lambda m, F, a: m.cumprod(a, 0), ((3, 4),)),
    "sum_over": (lambda m, F, a: a.sum(0), ((3, 4),)),
    "sum_of_dtype": (lambda m, F, a: m.sum(a, 0, dtype=m.float16), ((3, 4),)),
    "logsumexp": (lambda m, F, a: m.logsumexp(a, 0), ((3, 4),)),
    "vector_norm": (lambda m, F, a: m.linalg.vector_norm(a), ((3, 4),)),
    "dist": (lambda m, F, a, b: m.dist(a, b), ((3, 4), (3, 4))),
    "cdist": (lambda m, F, a, b: m.cdist(a, b), ((30, 4), (3, 4))),
    "pdist": (lambda m, F, a: m.pdist(a), ((3, 4),)),
    "renorm": (lambda m, F, a: m.renorm(a, 2, 0, 1.0), ((3, 4),)),
    "cosine_similarity": (lambda m, F, a, b: F.cosine_similarity(a, b), ((3, 4), (3, 4))),
    "layer_norm": (lambda m, F, a, b: F.layer_norm(a, (4,), b), ((3, 4), (4,))),
    "rms_norm": (lambda m, F, a, b: F.rms_norm(a, (4,), b), ((3, 4), (4,))),
    "group_norm": (lambda m, F, a: F.group_norm(a, 2), ((2, 4, 3),)),
    "cross_entropy": (lambda m, F, a, t: F.cross_entropy(a, t), ((3, 4), (3, INT))),
    "nll_loss": (lambda m, F, a, t: F.nll_loss(a, t), ((3, 4), (3, INT))),
    "poisson_nll_loss": (lambda m, F, a, b: F.poisson_nll_loss(a, b), ((3, 4), (3, 4))),
    **{
        name: (lambda m, F, a, b, n=name: getattr(F, n)(a, b), ((3, 4), (3, 4)))
        for name in words(
            "mse_loss l1_loss smooth_l1_loss huber_loss kl_div hinge_embedding_loss "
            "soft_margin_loss binary_cross_entropy_with_logits"
        )
    },
    "margin_ranking_loss": (
        lambda m, F, a, b, c: F.margin_ranking_loss(a, b, c),
        ((3,), (3,), (3,)),
    ),
    "cosine_embedding_loss": (
        lambda m, F, a, b, t: F.cosine_embedding_loss(a, b, t),
        ((3, 4), (3, 4), (3, INT)),
    ),
    "triplet_margin_loss": (
        lambda m, F, a, b, c: F.triplet_margin_loss(a, b, c),
        ((3, 4), (3, 4), (3, 4)),
    ),
    "multi_margin_loss": (lambda m, F, a, t: F.multi_margin_loss(a, t), ((3, 4), (3, INT))),
    "interpolate": (
        lambda m, F, a: F.interpolate(a, scale_factor=2, mode="bilinear"),
        ((1, 2, 4, 4),),
    ),
    # the widest
    "add": (lambda m, F, a, b: a + b, ((3, 4), (3, 4))),
    "cat": (lambda m, F, a, b: m.cat([a, b]), ((3, 4), (3, 4))),
    "stack": (lambda m, F, a, b: m.stack([a, b]), ((3, 4), (3, 4))),
    "where": (lambda m, F, a, b: m.where(a > 0, a, b), ((3, 4), (3, 4))),
    "addcmul": (lambda m, F, a, b, c: m.addcmul(a, b, c), ((3,), (3,), (3,))),
    "addcdiv": (lambda m, F, a, b, c: m.addcdiv(a, b, c), ((3,), (3,), (3,))),
    "atan2": (lambda m, F, a, b: m.atan2(a, b), ((3,), (3,))),
    "grid_sample": (
        lambda m, F, a, b: F.grid_sample(a, b, align_corners=False),
        ((1, 2, 4, 4), (1, 3, 3, 2)),
    ),
    "scatter_add": (lambda m, F, a, t, b: m.scatter_add(a, 0, t, b), ((3,), (3, INT), (3,))),
    # what the tensor has
    **{
        name: (lambda m, F, a, n=name: getattr(m, n)(a), ((3, 4),))
        for name in words("relu sigmoid tanh sqrt abs neg sin mean amax")
    },
    "gelu": (lambda m, F, a: F.gelu(a), ((3, 4),)),
    "silu": (lambda m, F, a: F.silu(a), ((3, 4),)),
    "max_pool2d": (lambda m, F, a: F.max_pool2d(a, 2), ((1, 2, 4, 4),)),
    "avg_pool2d": (lambda m, F, a: F.avg_pool2d(a, 2), ((1, 2, 4, 4),)),
    "dropout": (lambda m, F, a: F.dropout(a, 0.5), ((3, 4),)),
    "batch_norm": (
        lambda m, F, a, b, c: F.batch_norm(a, None, None, b, c, True),
        ((4, 3, 2), (3,), (3,)),
    ),
    "embedding": (lambda m, F, t, a: F.embedding(t, a), ((3, INT), (5, 4))),
    "reshape": (lambda m, F, a: a.reshape(-1).unsqueeze(0), ((3, 4),)),
}
"""Name -> (function of gg or torch, its nn.functional and tensors; their shapes)."""

MIXED = words(
    "matmul addmm linear conv2d attention cat stack add where addcmul atan2 grid_sample pow dist "
    "scatter_add mse_loss batch_norm layer_norm cosine_similarity einsum prelu"
)
"""Which are tried with the first argument in half and the others in float32, too."""


def inputs(shapes: tuple[Any, ...], dtypes: list[str], make: Callable[[np.ndarray], Any]) -> Any:
    rng = np.random.default_rng(0)
    found = []
    for shape, dtype in zip(shapes, dtypes, strict=True):
        if INT in shape:
            found.append(make(np.ones([n for n in shape if n is not INT], INT)))
        else:
            found.append(make(rng.uniform(0.2, 0.9, shape).astype(np.float32), dtype))
    return found


def ours(name: str, device: str, dtypes: list[str], region: Any) -> str:
    function, shapes = CASES[name]

    def make(x: np.ndarray, dtype: str = "int64") -> gg.Tensor:
        return gg.tensor(x, device=device).to(dtype)

    tensors = inputs(shapes, dtypes, make)
    with region:
        return str(function(gg, gg.nn.functional, *tensors).dtype.name)


@contextmanager
def fake_cuda() -> Iterator[None]:
    """PyTorch's CUDA autocast with float16, on fake tensors."""
    torch.set_autocast_enabled("cuda", True)
    torch.set_autocast_dtype("cuda", torch.float16)
    try:
        with FakeTensorMode():
            yield
    finally:
        torch.set_autocast_enabled("cuda", False)
        torch.clear_autocast_cache()


def theirs(name: str, device: str, dtypes: list[str]) -> str:
    function, shapes = CASES[name]

    def make(x: np.ndarray, dtype: str = "int64") -> torch.Tensor:
        if device == "cuda":
            return torch.empty(x.shape, dtype=getattr(torch, dtype), device="cuda")
        return torch.tensor(x).to(getattr(torch, dtype))

    result = function(torch, torch.nn.functional, *inputs(shapes, dtypes, make))
    return str(result.dtype).removeprefix("torch.")


def dtype_lists(name: str, half: str) -> list[list[str]]:
    n = len(CASES[name][1])
    lists = [["float32"] * n, [half] * n]
    return [*lists, [half] + ["float32"] * (n - 1)] if name in MIXED else lists


@pytest.mark.parametrize("device", ["cpu", "sim"])
@pytest.mark.parametrize("name", sorted(CASES.keys() - {"grid_sample"}))  # takes real tensors alone
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_dtypes_are_those_of_cuda(name: str, device: str) -> None:
    for dtypes in dtype_lists(name, "float16"):
        with fake_cuda():
            expected = theirs(name, "cuda", dtypes)
        assert ours(name, device, dtypes, gg.autocast(gg.float16)) == expected, dtypes


NOT_ON_CPU = """
    mv addmv addr
    exp expm1 log log2 log10 log1p pow power reflected_pow reciprocal rsqrt acos asin cosh sinh tan
    erfinv softplus sum sum_over cumsum cumprod logsumexp softmax log_softmax norm vector_norm
    dist pdist renorm cosine_similarity layer_norm rms_norm group_norm interpolate grid_sample
    scatter_add
"""
"""What PyTorch's CPU autocast leaves in the dtype it has (grid_sample: makes float32), or has not;
here the CPU follows the list for CUDA."""


@pytest.mark.parametrize("name", sorted(CASES.keys() - set(NOT_ON_CPU.split())))
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_dtypes_are_those_of_the_cpu(name: str) -> None:
    """The default dtype of both: bfloat16."""
    for dtypes in dtype_lists(name, "bfloat16"):
        with torch.autocast("cpu"):
            expected = theirs(name, "cpu", dtypes)
        assert ours(name, "cpu", dtypes, gg.autocast("cpu")) == expected, dtypes


ELSEWHERE = {
    **dict.fromkeys(
        words(
            "_convolution convolution cudnn_convolution cudnn_convolution_transpose conv_tbc "
            "_scaled_dot_product_flash_attention _thnn_fused_gru_cell _thnn_fused_lstm_cell "
            "native_layer_norm nll_loss2d"
        ),
        "PyTorch's inside of a function that is listed",
    ),
    **dict.fromkeys(
        words(
            "_upsample_bicubic2d_aa _upsample_bilinear2d_aa _upsample_nearest_exact1d "
            "_upsample_nearest_exact2d _upsample_nearest_exact3d upsample_bicubic2d "
            "upsample_bilinear2d upsample_linear1d upsample_nearest1d upsample_nearest2d "
            "upsample_nearest3d upsample_trilinear3d"
        ),
        "interpolate",
    ),
    **dict.fromkeys(
        words("frobenius_norm linalg_matrix_norm linalg_vector_norm nuclear_norm"), "norms"
    ),
    "scaled_dot_product_attention": "attention",
    "grid_sampler": "grid_sample",
    **dict.fromkeys(words("gru_cell lstm_cell rnn_relu_cell rnn_tanh_cell"), "gru, lstm, rnn"),
    **dict.fromkeys(words("bmm mm mv chain_matmul linalg_multi_dot"), "matmul"),
    **dict.fromkeys(words("dot vdot tensordot linalg_vecdot"), "products, through matmul"),
    **dict.fromkeys(words("addcdiv addcmul atan2 cross"), "promote anyway"),
}
"""What PyTorch names and table.py has under another name, or not; and where."""


def test_the_table_has_all_that_pytorch_lists() -> None:
    names = {
        name.removeprefix("aten::").partition(".")[0]
        for name in torch._C._dispatch_get_all_op_names()
        if name.startswith("aten::")
        and torch._C._dispatch_has_kernel_for_dispatch_key(name, "AutocastCUDA")
    }
    assert len(names) > 90
    assert names - set(KIND) - set(ELSEWHERE) == set()


# ---- GradScaler --------------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["cpu", "sim"])
@pytest.mark.parametrize("growth,backoff,interval", [(2.0, 0.5, 2), (1.7, 0.3, 1), (3.0, 0.9, 4)])
def test_scales_are_pytorchs(device: str, growth: float, backoff: float, interval: int) -> None:
    """The same pattern of infinities: the same scales, states, parameters; two optimizers, of which
    either may meet one, and a new scale set by hand."""
    options = (2.0**10, growth, backoff, interval)
    mine, other = gg.GradScaler(device, *options), torch.amp.GradScaler("cpu", *options)
    rng = np.random.default_rng(1)
    p = [gg.ones(3, device=device, requires_grad=True) for _ in range(2)]
    q = [torch.ones(3, requires_grad=True) for _ in range(2)]
    ours_ = [gg.optim.Adam([x], 0.1) for x in p]
    theirs_ = [torch.optim.Adam([x], 0.1) for x in q]
    for step in range(24):
        bad = [rng.choice([1.0, 1.0, 1.0, np.inf, np.nan]) for _ in range(2)]
        for make, xs, scaler, optimizers in (
            (lambda v: gg.tensor(v, device=device), p, mine, ours_),
            (torch.tensor, q, other, theirs_),
        ):
            for x, optimizer, factor in zip(xs, optimizers, bad, strict=True):
                optimizer.zero_grad()
                weight = make(np.array([1.0, factor, 0.5], np.float32))
                scaler.scale((x * weight).sum()).backward()
                if step % 3 == 0:
                    scaler.unscale_(optimizer)
                scaler.step(optimizer)
            scaler.update(*((512.0,) if step == 11 else ()))
        assert mine.get_scale() == other.get_scale(), step
        assert mine.state_dict() == other.state_dict(), step
        for x, y in zip(p, q, strict=True):
            np.testing.assert_allclose(x.detach().numpy(), y.detach().numpy(), rtol=1e-5)


def test_states_go_from_one_to_the_other() -> None:
    other = torch.amp.GradScaler("cpu", 8.0, 3.0, 0.25, 5)
    mine = gg.GradScaler()
    mine.load_state_dict(other.state_dict())
    assert mine.state_dict() == other.state_dict()
    assert mine.scale(gg.ones(2)).tolist() == [8.0, 8.0]
    other.load_state_dict(mine.state_dict())
    assert gg.GradScaler(enabled=False).state_dict() == {}


def test_custom_functions_cast_as_pytorchs() -> None:
    """dtypes inside forward and backward, and of the gradients."""

    def seen(m: Any, amp: Any, cast: Any, enabled: bool) -> list[str]:
        found: list[str] = []

        def note(x: Any) -> None:
            found.append(str(x.dtype).removeprefix("torch."))

        class Product(m.autograd.Function):
            @staticmethod
            @amp.custom_fwd(device_type="cpu", cast_inputs=cast)
            def forward(ctx: Any, a: Any, b: Any) -> Any:
                note(a)
                ctx.save_for_backward(a, b)
                y = a @ b
                note(y)
                return y

            @staticmethod
            @amp.custom_bwd(device_type="cpu")
            def backward(ctx: Any, dy: Any) -> Any:
                a, b = ctx.saved_tensors
                note(dy)
                da = dy.float() @ b.float().T
                note(da)
                return da, a.T @ dy.to(a.dtype)

        x = m.ones(2, 2, requires_grad=True)
        with m.autocast("cpu", enabled=enabled):
            y = Product.apply(x, x)
        note(y)
        y.float().sum().backward()
        note(x.grad)
        return found

    for enabled in (True, False):
        for cast in ("float32", "bfloat16", None):
            ours_ = seen(gg, gg.amp, cast and getattr(gg, cast), enabled)
            assert ours_ == seen(torch, torch.amp, cast and getattr(torch, cast), enabled), cast
