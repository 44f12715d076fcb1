"""The one list of cases: every differentiable or array operation, declared once.

It feeds the gradient checks (test_gradients.py), the simulator (test_simulated.py), the committed
reference values (test_reference.py), parity with PyTorch (parity/), the benchmarks (bench/) and the
support table in README (support_table.py).

gpugrad speaks PyTorch's names, so a case is written once, over `t` (gpugrad or torch), `f` (their
nn.functional) and the tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from inputs import (
    Sample,
    away,
    between,
    booleans,
    distinct,
    integers,
    normal,
    positive,
    together,
    unit,
)

import gpugrad as gg
import gpugrad.nn.functional as F


@dataclass(frozen=True)
class Case:
    """One operation.

    name: unique; family: its row group in the support table.
    function: (t, f, *tensors) -> tensor.
    inputs: samples (see inputs.py); floating arrays are cast to the dtype under test.
    grad_order: how many times it can be differentiated (0: not at all).
    rtol: tolerance in units of the dtype's epsilon, relative to the largest element: the number
        of roundings on the longest path of the operation, doubled for two implementations.
    bench: inputs for the benchmarks, drawn by the same generators.
    """

    name: str
    family: str
    function: Callable[..., Any]
    inputs: Sequence[Sample]
    grad_order: int = 2
    rtol: float = 16
    bench: Sequence[Sample] = ()

    def ours(self, *tensors: gg.Tensor) -> gg.Tensor:
        return self.function(gg, F, *tensors)

    def theirs(self, torch: ModuleType, *tensors: Any) -> Any:
        return self.function(torch, torch.nn.functional, *tensors)


CASES: list[Case] = []
_family = ""


def family(name: str) -> None:
    """Cases declared from here on belong to this family."""
    global _family
    _family = name


def case(name: str, function: Callable, inputs: Sequence[Sample], **more: Any) -> None:
    CASES.append(Case(name, _family, function, inputs, **more))


def call(name: str, *arguments: Any, **options: Any) -> Callable:
    """t.name(*tensors, *arguments, **options)."""
    return lambda t, f, *tensors: getattr(t, name)(*tensors, *arguments, **options)


def functional(name: str, *arguments: Any, **options: Any) -> Callable:
    """f.name(*tensors, *arguments, **options)."""
    return lambda t, f, *tensors: getattr(f, name)(*tensors, *arguments, **options)


def method(name: str, *arguments: Any, **options: Any) -> Callable:
    """x.name(*others, *arguments, **options)."""
    return lambda t, f, x, *others: getattr(x, name)(*others, *arguments, **options)


# ---- element-wise ------------------------------------------------------------------------------

family("element-wise")
BIG = (1 << 20,)


def unary(name: str, inputs: Callable[..., list[Sample]], **more: Any) -> None:
    case(name, call(name), inputs((3, 5), (), (2, 0, 3), (1,), (67,)), **more)


unary("neg", normal)
unary("abs", away(0))
unary("sign", away(0), grad_order=1)
unary("square", normal)
unary("reciprocal", away(0, scale=1), rtol=64)
unary("sqrt", positive, bench=positive(BIG))
unary("rsqrt", positive)
unary("exp", normal, bench=normal(BIG))
unary("exp2", normal)
unary("expm1", normal)
unary("log", positive, bench=positive(BIG))
unary("log2", positive)
unary("log10", positive)
unary("log1p", positive)
unary("sin", normal)
unary("cos", normal)
unary("tan", unit)
unary("asin", unit)
unary("acos", unit)
unary("atan", normal)
unary("sinh", normal)
unary("cosh", normal)
unary("tanh", normal, bench=normal(BIG))
unary("asinh", normal)
unary("acosh", between(1.2, 3.0))
unary("atanh", unit)
unary("erf", normal)
unary("erfc", normal)
unary("sigmoid", normal, bench=normal(BIG))
HALVES = away(*np.arange(-3, 3.5, 0.5), scale=1.5)
for _name in ("floor", "ceil", "round", "trunc"):
    unary(_name, HALVES, grad_order=1)
for _name in ("isnan", "isinf", "isfinite", "logical_not"):
    unary(_name, normal, grad_order=0)

BROADCAST = ([(3, 4), (3, 4)], [(3, 1), (1, 4)], [(2, 3, 4), (4,)], [(), (3,)], [(2, 0), (1,)])


def binary(name: str, inputs: Callable[..., list[Sample]], **more: Any) -> None:
    case(name, call(name), inputs(*BROADCAST), **more)


binary("add", normal, bench=normal([BIG, BIG]))
binary("sub", normal)
binary("mul", normal, bench=normal([BIG, BIG]))
binary("div", away(0, scale=1), rtol=64)
binary("pow", positive, rtol=64)
binary("maximum", normal)
binary("minimum", normal)
binary("atan2", away(0), rtol=64)
for _name in ("eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or", "logical_xor"):
    binary(_name, normal, grad_order=0)
binary("floor_divide", away(0), grad_order=0)
binary("remainder", away(0), grad_order=1, rtol=64)
for _name in ("bitwise_and", "bitwise_or", "bitwise_xor"):
    binary(_name, integers(-9, 9), grad_order=0)

case("add_number", lambda t, f, x: 2 + x + 1.5, normal((3, 4), ()))
case("sub_number", lambda t, f, x: 2 - x, normal((3, 4), ()))
case("div_number", lambda t, f, x: 2 / x, positive((3, 4), ()), rtol=64)
case("pow_number", lambda t, f, x: x**3 + 2.0**x, positive((3, 4)), rtol=64)
case("clamp", method("clamp", -0.5, 1), away(-0.5, 1)((3, 5), (67,)))
case("clamp_min", method("clamp", min=0.2), away(0.2)((3, 5)))
CHOICES = normal([(3, 4), (3, 1)], [(2, 4), ()])
case("where", call("where"), together(booleans((3, 4), (4,)), CHOICES))
case(
    "masked_fill",
    lambda t, f, c, x: x.masked_fill(c, -2.0),
    together(booleans((3, 4)), normal((3, 4))),
)

family("activations")


def activation(label: str, inputs: Callable[..., list[Sample]], *options: Any, **more: Any) -> None:
    name = label.removesuffix("_tanh")
    named = {"approximate": "tanh"} if label == "gelu_tanh" else {}
    samples = inputs((3, 5), (), (2, 0), (67,))
    case(label, functional(name, *options, **named), samples, **more)


activation("relu", away(0), bench=normal(BIG))
activation("leaky_relu", away(0), 0.1)
activation("elu", away(0), 1.5)
activation("gelu", normal, rtol=64, bench=normal(BIG))
activation("gelu_tanh", normal, rtol=64)
activation("silu", normal, rtol=64)
activation("mish", normal, rtol=64)
activation("softplus", normal, rtol=64)
activation("logsigmoid", normal, rtol=64)
activation("hardtanh", away(-1, 1))
activation("relu6", away(0, 6, scale=4))

# ---- reductions --------------------------------------------------------------------------------

family("reductions")
SHAPES = ((3, 5), (2, 3, 4), (67, 3), (130,))
for _name in ("sum", "mean"):
    case(_name, method(_name), normal(*SHAPES, ()), bench=normal((4096, 1024)))
    case(f"{_name}_dim", method(_name, dim=0, keepdim=True), normal(*SHAPES))
    case(f"{_name}_dims", method(_name, dim=(0, -1)), normal((2, 3, 4), (2, 67)))
for _name in ("max", "min"):
    case(f"a{_name}", method(f"a{_name}", dim=-1), distinct(*SHAPES))
    case(_name, method(_name), distinct(*SHAPES))
    case(f"{_name}_dim", lambda t, f, x, n=_name: getattr(x, n)(dim=0).values, distinct(*SHAPES))
    case(f"arg{_name}", method(f"arg{_name}", dim=-1), distinct(*SHAPES), grad_order=0)
for _name in ("any", "all"):
    case(_name, method(_name, dim=0), booleans((3, 5), (2, 0), (67, 3)), grad_order=0)
case("prod", method("prod"), positive((3, 5), (7,)), rtol=64)
case("prod_dim", method("prod", dim=1), positive((3, 5)), rtol=64)
case("var", method("var", dim=-1), normal((3, 5), (2, 67)), rtol=64)
case("std", method("std"), normal((3, 5), (67,)), rtol=64)
case("norm", method("norm"), normal((3, 5), (67,)))
case("logsumexp", method("logsumexp", -1), normal((3, 5), (2, 67)), rtol=64)
case("cumsum", method("cumsum", 1), normal((3, 5), (2, 67, 3)), rtol=128)

# ---- linear algebra ----------------------------------------------------------------------------

family("linear algebra")
VECTORS = ([(4,), (4,)], [(4,), (4, 5)], [(3, 4), (4,)])
MATRICES = ([(3, 4), (4, 5)], [(3, 0), (0, 5)], [(0, 4), (4, 5)], [(70, 33), (33, 65)])
BATCHES = ([(2, 3, 4), (4, 5)], [(2, 1, 3, 4), (5, 4, 2)])
SQUARES = normal(*([(n, n), (n, n)] for n in (256, 1024)), [(8, 512, 512), (8, 512, 512)])
case("matmul", call("matmul"), normal(*VECTORS, *MATRICES, *BATCHES), rtol=128, bench=SQUARES)
TRANSPOSED = normal([(4, 3), (5, 4)], [(2, 33, 70), (65, 33)])
case("matmul_transposed", lambda t, f, a, b: a.mT @ b.mT, TRANSPOSED, rtol=128)
case(
    "linear",
    functional("linear"),
    normal([(5, 4), (3, 4), (3,)], [(2, 5, 4), (3, 4), (3,)], [(4,), (3, 4), (3,)]),
    rtol=64,
    bench=normal([(128, 784), (128, 784), (128,)]),
)
case("bmm", call("bmm"), normal([(2, 3, 4), (2, 4, 5)]), rtol=64)
case("addmm", call("addmm"), normal([(5,), (3, 4), (4, 5)], [(3, 5), (3, 4), (4, 5)]), rtol=64)
case("outer", call("outer"), normal([(3,), (4,)]))
case("dot", call("dot"), normal([(67,), (67,)]), rtol=128)

# ---- softmax and losses ------------------------------------------------------------------------

family("softmax and losses")
ROWS = normal((4, 7), (3, 1), (2, 0, 5), (2, 3, 70), (3, 1100))
LOGITS = normal((4096, 1024), (64, 50304))
for _name in ("softmax", "log_softmax"):
    case(_name, call(_name, -1), ROWS, rtol=64, bench=LOGITS)
    case(f"{_name}_dim", call(_name, 1), normal((2, 5, 3), (4, 7)), rtol=64)


def loss(label: str, inputs: Sequence[Sample], name: str = "", **options: Any) -> None:
    case(label, functional(name or label, **options), inputs, rtol=64)


LABELS = [np.array([0, 6, 2, 2]), np.array([[0, 4, 2], [1, 1, 3]]), np.array([5, 1099, 0])]
LABELLED = together(normal((4, 7), (2, 5, 3), (3, 1100)), [(labels,) for labels in LABELS])
loss("cross_entropy", LABELLED)
loss("cross_entropy_sum", LABELLED, "cross_entropy", reduction="sum")
loss("cross_entropy_none", LABELLED, "cross_entropy", reduction="none")
loss("cross_entropy_smoothed", LABELLED, "cross_entropy", label_smoothing=0.1)
loss("cross_entropy_ignored", LABELLED[:2], "cross_entropy", ignore_index=2)
CLASS_WEIGHTS = np.arange(1, 8)
case(
    "cross_entropy_weighted",
    lambda t, f, x, target, w: f.cross_entropy(
        x, target, weight=w.to(x.dtype), label_smoothing=0.1, ignore_index=2
    ),
    together(LABELLED[:1], [(CLASS_WEIGHTS,)]),
    rtol=64,
)
PROBABILITIES = together(normal((4, 7)), between(0, 1)((4, 7)))
loss("cross_entropy_probabilities", PROBABILITIES, "cross_entropy", label_smoothing=0.1)
PAIRS = normal([(3, 4), (3, 4)], [(5,), (5,)])
loss("mse_loss", PAIRS)
loss("l1_loss", PAIRS)
loss("smooth_l1_loss", PAIRS)
loss("huber_loss", PAIRS)
loss("binary_cross_entropy", between(0.1, 0.9)([(3, 4), (3, 4)]))
loss("binary_cross_entropy_with_logits", between(0.1, 0.9)([(3, 4), (3, 4)]))
loss("kl_div", normal([(3, 4), (3, 4)]), reduction="sum", log_target=True)
loss("nll_loss", LABELLED[:2])

# ---- views, joins, indexing --------------------------------------------------------------------

family("views and indexing")
CUBE = normal((2, 3, 4))
case("reshape", method("reshape", 4, -1), CUBE)
case("reshape_of_view", lambda t, f, x: x.permute(2, 0, 1).reshape(8, 3), CUBE)
case("flatten", method("flatten", 1), CUBE)
case("transpose", method("transpose", 0, 2), CUBE)
case("permute", method("permute", 2, 0, 1), CUBE)
case("squeeze", lambda t, f, x: x.squeeze(1).unsqueeze(0), normal((2, 1, 4)))
case("expand", method("expand", 5, 3, 4), normal((3, 1), (1, 3, 4)))
case("movedim", method("movedim", 0, -1), CUBE)
case("chunk", lambda t, f, x: x.chunk(2, dim=-1)[1], CUBE)
case("split", lambda t, f, x: x.split([1, 3], dim=2)[1], CUBE)
case("unbind", lambda t, f, x: x.unbind(1)[2], CUBE)
case("repeat", method("repeat", 2, 1, 3), CUBE)
case("flip", method("flip", 0, 2), CUBE)
case("roll", method("roll", 1, 2), CUBE)
case("tril", method("tril", -1), normal((3, 4), (2, 5, 3)))
case("triu", method("triu", 1), normal((3, 4), (2, 5, 3)))
case("diagonal", method("diagonal"), normal((3, 4), (4, 3)))
case("narrow", method("narrow", 1, 1, 2), CUBE)
case("select", lambda t, f, x: x[1], CUBE)
case("slice", lambda t, f, x: x[:, 1:, ::2], CUBE)
case("ellipsis", lambda t, f, x: x[..., None, -1], CUBE)
case("clone", method("clone"), CUBE)
case("index", lambda t, f, x, i: x[i], together(CUBE, integers(-2, 2)((5,))))
PAIR = integers(0, 2)([(5, 1), (3,)])
case("index_pair", lambda t, f, x, i, j: x[i, :, j], together(CUBE, PAIR))
case("index_mask", lambda t, f, x: x[x.detach() > 0], distinct((3, 5)))
case("index_select", lambda t, f, x, i: x.index_select(1, i), together(CUBE, integers(0, 3)((5,))))
case("gather", lambda t, f, x, i: x.gather(1, i), together(CUBE, integers(0, 3)((2, 6, 4))))
case("cat", lambda t, f, a, b: t.cat([a, b], 1), normal([(2, 3), (2, 4)], [(2, 0), (2, 4)]))
case("stack", lambda t, f, a, b: t.stack([a, b], -1), normal([(2, 3), (2, 3)]))

import cases_elementwise  # noqa: E402, F401 (adds more element-wise cases to the list)
import cases_images  # noqa: E402, F401 (adds the cases of images to the list)
import cases_linalg  # noqa: E402, F401 (adds the cases of linear algebra to the list)
import cases_nn  # noqa: E402, F401 (adds the cases of nn to the list)
import cases_shapes  # noqa: E402, F401 (adds the cases of shapes and order)
import cases_text  # noqa: E402, F401 (adds the cases of text to the list)

BY_NAME = {each.name: each for each in CASES}
assert len(BY_NAME) == len(CASES), "two cases have one name"
