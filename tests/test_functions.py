"""Functions of users and of the package: derivatives, faults, and the tools that find them."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from arguments_shapes import ARGUMENTS as SHAPES

import gpugrad as gg
from gpugrad import ops
from gpugrad.autograd import Function
from gpugrad.autograd.function import Node
from gpugrad.errors import GradcheckError, GraphError, NonFiniteError, ShapeError


def leaf(*values: float, dtype: Any = gg.float64) -> gg.Tensor:
    return gg.tensor(values, dtype=dtype, requires_grad=True)


def values(x: gg.Tensor | None) -> Any:
    assert x is not None
    return x.tolist()


# ---- functions ---------------------------------------------------------------------


class Cube(Function):
    """y = scale x^3."""

    def forward(self, x: Any, scale: float = 1.0) -> Any:
        self.scale = scale
        self.save(x)
        return self.kernels.binary("mul", self.kernels.binary("pow", x, 3), scale)

    def backward(self, dy: gg.Tensor) -> Any:
        (x,) = self.saved
        return dy * x * x * (3 * self.scale)


class SinCos(Function):
    """(sin x, cos x): two results, both saved."""

    def forward(self, x: Any) -> Any:
        y, z = self.kernels.unary("sin", x), self.kernels.unary("cos", x)
        self.save(y, z)
        return y, z

    def backward(self, dy: gg.Tensor | None, dz: gg.Tensor | None) -> Any:
        y, z = self.saved
        parts = [d * s for d, s in ((dy, z), (dz, -y)) if d is not None]
        return sum(parts[1:], parts[0])


def test_user_functions() -> None:
    x = leaf(1, 2)
    assert gg.autograd.gradcheck(lambda x: Cube.apply(x, scale=0.5), x)
    assert gg.autograd.gradgradcheck(lambda x: Cube.apply(x, scale=0.5), x)
    assert gg.autograd.gradcheck(SinCos.apply, x)
    assert gg.autograd.gradgradcheck(SinCos.apply, x)
    sine, _ = SinCos.apply(x)
    (dx,) = gg.autograd.grad(sine.sum(), x)
    np.testing.assert_allclose(values(dx), np.cos([1, 2]))


def test_functions_need_a_derivative() -> None:
    with pytest.raises(TypeError, match=r"Forward must define backward\(\)"):

        class Forward(Function):
            def forward(self, x: Any) -> Any:
                return x


def test_wrong_backward_is_told() -> None:
    class Two(Cube):
        def backward(self, dy: gg.Tensor) -> Any:
            return dy, dy

    class Wrong(Cube):
        def backward(self, dy: gg.Tensor) -> Any:
            return gg.ones(3)

    class Once(Cube):
        twice_differentiable = False

    x = leaf(1, 2)
    with pytest.raises(GraphError, match=r"Two.backward returned 2 gradients for 1 inputs"):
        Two.apply(x).sum().backward()
    with pytest.raises(
        ShapeError, match=r"gradient of shape \(3,\) reached <AccumulateGrad>.*\(2,\)"
    ):
        Wrong.apply(x).sum().backward()
    with pytest.raises(GraphError, match=r"Once.backward cannot be differentiated again"):
        gg.autograd.grad(Once.apply(x).sum(), x, create_graph=True)


def test_mixed_devices_are_refused() -> None:
    class Elsewhere:
        device = gg.Device("sim")
        kernels = gg.backends.get("cpu").kernels

    other = gg.Tensor(np.ones(2), Elsewhere())  # type: ignore[arg-type]
    with pytest.raises(
        gg.errors.DeviceError, match=r"one device; got \(2,\) float64 on cpu, \(2,\)"
    ):
        gg.ones(2, dtype=gg.float64) + other


# ---- every operation has a derivative or says why not ------------------------------

_X = [[0.5, 0.25], [0.75, 0.125]]


def image(x: gg.Tensor, axes: int) -> gg.Tensor:
    """x as one image of one channel."""
    return x.reshape(1, 1, *[1] * (axes - 1), x.numel())


NETWORK = (False, 1, 0.0, False, False, False)
ARGUMENTS: dict[str, Any] = {
    **SHAPES,
    **{
        f"{kind}{n}d": lambda x, n=n: (image(x, n), image(x[0, :1], n))
        for kind in ("conv", "conv_transpose")
        for n in (1, 2, 3)
    },
    **{
        f"{kind}_pool{n}d": lambda x, n=n: (image(x, n), 1)
        for kind in ("max", "avg", "adaptive_max", "adaptive_avg")
        for n in (1, 2, 3)
    },
    "channel_shuffle": lambda x: (x.reshape(1, 2, 2), 2),
    "pixel_shuffle": lambda x: (x.reshape(4, 1, 1), 2),
    "pixel_unshuffle": lambda x: (x.reshape(1, 2, 2), 2),
    "acosh": lambda x: (x + 2,),
    **dict.fromkeys(
        [
            "add",
            "sub",
            "mul",
            "div",
            "remainder",
            "pow",
            "maximum",
            "minimum",
            "atan2",
            "mm",
            "matmul",
        ],
        lambda x: (x, x.detach() + 1),
    ),
    **dict.fromkeys(["cdist", "cosine_similarity", "pairwise_distance"], lambda x: (x, x + 1)),
    "bilinear": lambda x: (x, x, x[None]),
    "prelu": lambda x: (x, x[0]),
    "threshold": lambda x: (x, 0.3, 0.0),
    "threshold_": lambda x: (x * 1, 0.3, 0.0),
    **dict.fromkeys(["relu_", "celu_", "selu_", "rrelu_"], lambda x: (x * 1,)),
    "lerp": lambda x: (x, x + 1, 0.5),
    **dict.fromkeys(
        [
            "fmod",
            "hypot",
            "copysign",
            "fmax",
            "fmin",
            "rsub",
            "float_power",
            "ldexp",
            "xlogy",
            "logaddexp",
            "logaddexp2",
            "dist",
        ],
        lambda x: (x, x.detach() + 1),
    ),
    **dict.fromkeys(["addcmul", "addcdiv"], lambda x: (x, x, x)),
    **dict.fromkeys(["clamp_min", "clamp_max", "quantile", "nanquantile"], lambda x: (x, 0.5)),
    "renorm": lambda x: (x, 2, 0, 0.5),
    **dict.fromkeys(["cumprod", "cummax", "cummin", "logcumsumexp"], lambda x: (x, 0)),
    "mv": lambda x: (x, x[0]),
    "dot": lambda x: (x[0], x[1]),
    "outer": lambda x: (x[0], x[1]),
    "bmm": lambda x: (x[None], x[None]),
    "addmm": lambda x: (x, x, x),
    "linear": lambda x: (x, x, x[0]),
    "addmv": lambda x: (x[0], x, x[1]),
    "addr": lambda x: (x, x[0], x[1]),
    **dict.fromkeys(["addbmm", "baddbmm"], lambda x: (x, x[None], x[None])),
    **dict.fromkeys(["inner", "kron"], lambda x: (x, x)),
    "vdot": lambda x: (x[0], x[1]),
    "tensordot": lambda x: (x, x, 1),
    "einsum": lambda x: ("ij,jk", x, x),
    "cross": lambda x: (x[0, [0, 1, 1]], x[1, [0, 1, 1]]),
    "cholesky": lambda x: (x @ x.mT,),
    "matrix_power": lambda x: (x, 2),
    "vander": lambda x: (x[0],),
    **dict.fromkeys(["cholesky_solve", "triangular_solve"], lambda x: (x, x)),
    "lu_solve": lambda x: (x, x, gg.tensor([1, 2], dtype=gg.int32)),
    "lu_unpack": lambda x: (x, gg.tensor([1, 2], dtype=gg.int32)),
    **dict.fromkeys(["cat", "concat", "concatenate", "stack"], lambda x: ([x, x],)),
    **dict.fromkeys(
        ("softmax", "log_softmax", "cumsum", "unsqueeze", "logsumexp"), lambda x: (x, 0)
    ),
    **dict.fromkeys(["cross_entropy", "nll_loss"], lambda x: (x, gg.tensor([0, 1]))),
    **dict.fromkeys(["chunk", "split", "repeat_interleave", "roll"], lambda x: (x, 2)),
    **dict.fromkeys(["transpose", "swapaxes", "movedim"], lambda x: (x, 0, 1)),
    "flip": lambda x: (x, 0),
    "tile": lambda x: (x, 2),
    "reshape": lambda x: (x, (4,)),
    "permute": lambda x: (x, (1, 0)),
    "unflatten": lambda x: (x, 0, (2, 1)),
    "broadcast_to": lambda x: (x, (3, 2, 2)),
    "broadcast_tensors": lambda x: (x, x[0]),
    "narrow": lambda x: (x, 0, 0, 1),
    "select": lambda x: (x, 0, 0),
    "index_select": lambda x: (x, 0, gg.tensor([0])),
    "index_add": lambda x: (x, 0, gg.tensor([0]), x[:1]),
    **dict.fromkeys(["gather", "take_along_dim"], lambda x: (x, gg.tensor([[0, 1]]), 0)),
    "gather": lambda x: (x, 0, gg.tensor([[0, 1]])),
    **dict.fromkeys(
        ["scatter", "scatter_add"], lambda x: (x, 0, gg.tensor([[0, 1]]), x.detach()[:1])
    ),
    "masked_select": lambda x: (x, x > 0),
    "masked_fill": lambda x: (x, x > 0.5, 0.0),
    "take": lambda x: (x, gg.tensor([[0, 3]])),
    "where": lambda x: (x > 0.5, x, 0.0),
    "clamp": lambda x: (x, 0.3, 0.6),
    "dropout": lambda x: (x, 0.5),
    "sub_": lambda x: (x,),
    "lstm": lambda x: (x[None], (x[None], x[None]), [x[[0] * 8], x[[0] * 8]], *NETWORK),
    "lstm_cell": lambda x: (x, (x, x), x[[0] * 8], x[[1] * 8]),
    "gru": lambda x: (x[None], x[None], [x[[0] * 6], x[[0] * 6]], *NETWORK),
    "gru_cell": lambda x: (x, x, x[[0] * 6], x[[1] * 6]),
    **dict.fromkeys(("rnn_tanh", "rnn_relu"), lambda x: (x[None], x[None], [x, x], *NETWORK)),
    **dict.fromkeys(("rnn_tanh_cell", "rnn_relu_cell"), lambda x: (x, x, x, x)),
}
INTEGERS = {
    **dict.fromkeys(
        ["gcd", "lcm", "bitwise_left_shift", "bitwise_right_shift"], lambda: (gg.tensor([6]),) * 2
    ),
    **dict.fromkeys(["bitwise_and", "bitwise_or", "bitwise_xor"], lambda: (gg.tensor([1]),) * 2),
    "bitwise_not": lambda: (gg.tensor([1]),),
    "one_hot": lambda: (gg.tensor([1]),),
    "can_cast": lambda: (gg.int64, gg.float32),
    "is_nonzero": lambda: (gg.tensor([1]),),
    "to_dlpack": lambda: (gg.tensor([1]),),
    "crop": lambda: (
        gg.ones(1, 1, 2, 2, requires_grad=True),
        *(gg.tensor([0]),) * 2,
        gg.tensor([False]),
        (1, 1),
    ),
}
PAIRS = (
    "eq ne lt le gt ge logical_and logical_or logical_xor isclose allclose equal floor_divide "
    "heaviside isin"
)


def tensors(result: Any) -> list[gg.Tensor]:
    found = result if isinstance(result, tuple) else (result,)
    return [y for y in found if isinstance(y, gg.Tensor)]


@pytest.mark.parametrize("name", sorted(ops.__all__))
def test_every_operation_is_differentiable_or_listed(name: str) -> None:
    x = gg.tensor(_X, dtype=gg.float64, requires_grad=True)
    function = getattr(ops, name)
    name = getattr(ops.aliases, name).__name__ if name in ops.aliases.__all__ else name
    if name in ops.NON_DIFFERENTIABLE:
        if name in INTEGERS:
            given = INTEGERS[name]()
        else:
            given = (x, x) if name in PAIRS.split() else ARGUMENTS.get(name, lambda x: (x,))(x)
        assert not any(y.requires_grad for y in tensors(function(*given)))
        return
    results = tensors(function(*ARGUMENTS.get(name, lambda x: (x,))(x)))
    if name == "lu_unpack":
        del results[0]  # the permutation is constant
    carrying = [y for y in results if y.dtype == gg.float64]
    assert carrying and all(y.requires_grad for y in carrying), f"{name} cuts the graph"
    sum(y.sum() for y in carrying).backward()
    assert x.grad is not None and x.grad.shape == x.shape


def test_the_list_names_operations_that_exist() -> None:
    assert set(ops.NON_DIFFERENTIABLE) <= set(ops.__all__)


def test_every_function_class_states_its_mathematics() -> None:
    def all_subclasses(cls: type) -> list[type]:
        return [s for c in cls.__subclasses__() for s in (c, *all_subclasses(c))]

    for cls in all_subclasses(Function):
        if cls.__module__.startswith("gpugrad.ops"):
            assert cls.__doc__, f"{cls.__name__} has no docstring"
            abstract = "backward" not in vars(cls)
            assert abstract or "d" in inspect.getdoc(cls), cls.__name__
    assert issubclass(Function, Node)


# ---- finding faults ----------------------------------------------------------------


def test_detect_nan_names_operation_line_and_count() -> None:
    x = leaf(-1, 4)
    text = (
        r"Log forward: 1 of 2 elements of the result \(2,\) float64 are NaN.*\n.*\n.*test_functions"
    )
    with gg.detect_nan(), pytest.raises(NonFiniteError, match=text):
        x.log()


def test_detect_nan_in_backward() -> None:
    x = leaf(0, 4)
    with (
        gg.detect_nan(),
        pytest.raises(NonFiniteError, match=r"Sqrt backward: 1 of 2 elements of g"),
    ):
        x.sqrt().backward(gg.tensor([0.0, 1.0], dtype=gg.float64))
    with gg.detect_nan(infinite=True), pytest.raises(NonFiniteError, match="Reciprocal forward"):
        leaf(0).reciprocal()


def test_detect_nan_lets_given_nan_pass() -> None:
    with gg.detect_nan():
        leaf(np.nan).exp()


def test_detect_anomaly_is_detect_nan() -> None:
    x = gg.tensor([-1.0])
    with gg.autograd.detect_anomaly(), pytest.raises(NonFiniteError, match="Log forward"):
        x.log()
    with gg.autograd.detect_anomaly(check_nan=False):
        x.log()


def test_parameters_without_grad() -> None:
    used, unused, frozen = leaf(1), leaf(2), leaf(3).requires_grad_(False)
    named = [("used", used), ("unused", unused), ("frozen", frozen)]
    with gg.autograd.watch_parameters(named), pytest.warns(UserWarning, match="gradient: unused"):
        (used * 2).sum().backward()
    assert gg.autograd.parameters_without_grad(named) == ["unused"]
    with pytest.raises(GraphError, match="1 parameters got no gradient: unused"):
        gg.autograd.check_parameters(named, strict=True)


class WrongCube(Cube):
    """A planted mistake: the second element's derivative is too large."""

    def backward(self, dy: gg.Tensor) -> Any:
        return super().backward(dy) * gg.tensor([1.0, 1.01], dtype=gg.float64)


@pytest.mark.parametrize("fast", [False, True])
def test_gradcheck_finds_a_wrong_derivative(fast: bool) -> None:
    x = leaf(1, 2)
    match = "random direction" if fast else r"worst d y\[1\] / d x\[1\]: analytic 12.12, numeric 12"
    with pytest.raises(GradcheckError, match=match):
        gg.autograd.gradcheck(WrongCube.apply, x, fast_mode=fast)
    assert not gg.autograd.gradcheck(WrongCube.apply, x, fast_mode=fast, raise_exception=False)
    assert gg.autograd.gradcheck(Cube.apply, x, fast_mode=fast)


def test_gradcheck_demands_float64() -> None:
    with pytest.raises(gg.errors.ArgumentError, match="must be float64"):
        gg.autograd.gradcheck(gg.exp, gg.ones(2, requires_grad=True))


def test_squares_of_half_types_do_not_overflow() -> None:
    x = gg.tensor([300.0, -300.0, 300.0, -300.0], dtype=gg.float16)
    assert x.norm().item() == 600 and x.norm().dtype == gg.float16
    assert x.std().item() == 346.5  # of 346.41, in steps of 0.25
    assert x.norm(3).item() == 476.25
    assert gg.nn.functional.normalize(x, dim=0).tolist() == [0.5, -0.5, 0.5, -0.5]
