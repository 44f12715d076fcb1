"""Layers beside PyTorch's: states load into each other, outputs and gradients agree."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from running import EPSILON, cotangent

import gpugrad as gg
from gpugrad import nn
from gpugrad.nn.utils import parametrizations, parametrize

pytestmark = [  # PyTorch's
    pytest.mark.filterwarnings("ignore:Initializing zero-element tensors:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*size at dim=:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated:FutureWarning"),
]
RNG = np.random.default_rng(7)
ROWS, IMAGE = (4, 6), (2, 6, 5, 4)
PAIR, TRIPLET = [ROWS, ROWS], [ROWS, ROWS, ROWS]
SIGNS = np.array([1.0, -1.0, -1.0, 1.0])
LABELS = np.array([0, 5, 2, 2])
STEPS, WORDS = (9, 2, 5), np.array([[1, 2, 2], [4, 1, 0]])


def normal(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    return [RNG.standard_normal(shape) for shape in shapes]


# layer, arguments, options, inputs; shapes are drawn, arrays taken as they are
LAYERS: list[tuple[str, tuple, dict[str, Any], list[Any]]] = [
    ("CELU", (0.5,), {}, [ROWS]),
    ("SELU", (), {}, [ROWS]),
    ("GLU", (), {}, [ROWS]),
    ("GLU", (1,), {}, [IMAGE]),
    ("Hardshrink", (), {}, [ROWS]),
    ("Softshrink", (0.3,), {}, [ROWS]),
    ("Hardswish", (), {}, [ROWS]),
    ("PReLU", (), {}, [ROWS]),
    ("PReLU", (6, 0.1), {}, [IMAGE]),
    ("Softmax2d", (), {}, [IMAGE]),
    ("Softmin", (1,), {}, [ROWS]),
    ("Softsign", (), {}, [ROWS]),
    ("Tanhshrink", (), {}, [ROWS]),
    ("Threshold", (0.2, -1.0), {}, [ROWS]),
    ("LocalResponseNorm", (3, 0.5, 0.75, 2.0), {}, [IMAGE]),
    ("Bilinear", (6, 3, 2), {}, [ROWS, (4, 3)]),
    ("Bilinear", (6, 3, 2, False), {}, [(2, 2, 6), (2, 2, 3)]),
    ("CosineSimilarity", (), {}, PAIR),
    ("CosineSimilarity", (-1, 1e-3), {}, PAIR),
    ("PairwiseDistance", (), {}, PAIR),
    ("PairwiseDistance", (1.0, 1e-3, True), {}, PAIR),
    ("PoissonNLLLoss", (), {}, [ROWS, np.abs(normal(ROWS)[0])]),
    ("PoissonNLLLoss", (), {"full": True}, [ROWS, 4 * np.abs(normal(ROWS)[0])]),
    ("GaussianNLLLoss", (), {"full": True}, [*PAIR, np.abs(normal(ROWS)[0])]),
    ("HingeEmbeddingLoss", (0.5,), {}, [(4,), SIGNS]),
    ("MarginRankingLoss", (0.5,), {}, [(4,), (4,), SIGNS]),
    ("SoftMarginLoss", (), {}, [(4,), SIGNS]),
    ("MultiMarginLoss", (2, 0.7), {}, [ROWS, LABELS]),
    ("MultiMarginLoss", (), {"weight": np.arange(1.0, 7.0)}, [ROWS, LABELS]),
    ("MultiLabelMarginLoss", (), {}, [ROWS, np.array([[3, 1, -1, 2, 2, 2]] * 4)]),
    ("MultiLabelSoftMarginLoss", (), {}, [ROWS, (normal(ROWS)[0] > 0) * 1.0]),
    ("CosineEmbeddingLoss", (0.1,), {}, [*PAIR, SIGNS]),
    ("TripletMarginLoss", (), {}, TRIPLET),
    ("TripletMarginLoss", (0.5, 1.0, 1e-3, True), {}, TRIPLET),
    ("TripletMarginWithDistanceLoss", (), {"swap": True}, TRIPLET),
    ("NLLLoss", (), {"weight": np.arange(1.0, 7.0)}, [ROWS, LABELS]),
    ("CrossEntropyLoss", (), {"label_smoothing": 0.1}, [ROWS, LABELS]),
    ("HuberLoss", ("sum", 0.5), {}, PAIR),
    ("AdaptiveLogSoftmaxWithLoss", (6, 20, [4, 9]), {}, [(5, 6), np.array([1, 19, 5, 8, 0])]),
    ("AdaptiveLogSoftmaxWithLoss", (6, 20, [3], 2.0, True), {}, [(6,), np.array(7)]),
]


def title(layer: Any) -> str:
    name, arguments, options, _ = layer
    return f"{name}{arguments}{[*options]}".replace(" ", "")


def close(a: Any, b: Any) -> None:
    """Within 512 roundings of float64 of the largest: no sum here is longer."""
    a, b = (x.detach().numpy() for x in (a, b))
    assert a.shape == b.shape
    scale = max(1.0, float(np.abs(b).max(initial=0)))
    np.testing.assert_allclose(a, b, rtol=0, atol=512 * EPSILON["float64"] * scale)


def made(library: Any, value: Any) -> Any:
    return library.tensor(value) if isinstance(value, np.ndarray) else value


def build(library: Any, name: str, arguments: tuple, options: dict[str, Any]) -> Any:
    module = nn if library is gg else torch.nn
    given = {key: made(library, value) for key, value in options.items()}
    return getattr(module, name)(*arguments, **given).double()


def numpy_state(module: Any) -> dict[str, np.ndarray]:
    return {name: value.detach().numpy() for name, value in module.state_dict().items()}


def leaf(library: Any, x: np.ndarray, trained: bool = True) -> Any:
    return library.tensor(x).requires_grad_(trained)


def loaded(ours: Any, theirs: Any) -> None:
    """Loads both ways: PyTorch's state into ours, and that back."""
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(numpy_state(theirs))
    theirs.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in numpy_state(ours).items()})


def compare(ours: Any, theirs: Any, inputs: list[Any]) -> None:
    """Outputs (all of a tuple) and the gradients of drawn inputs and of parameters."""
    arrays = [(normal(x)[0], True) if isinstance(x, tuple) else (x, False) for x in inputs]
    mine, yours = ([leaf(library, *x) for x in arrays] for library in (gg, torch))
    results, expected = ours(*mine), theirs(*yours)
    results = results if isinstance(results, tuple) else (results,)
    expected = expected if isinstance(expected, tuple) else (expected,)
    for y, z in zip(results, expected, strict=True):
        close(y, z)
    dy = cotangent(tuple(results[0].shape))
    results[0].backward(gg.tensor(dy))
    expected[0].backward(torch.tensor(dy))
    pairs = zip([*mine, *ours.parameters()], [*yours, *theirs.parameters()], strict=True)
    for a, b in pairs:
        if b.grad is not None:
            close(a.grad, b.grad)


@pytest.mark.parametrize("layer", LAYERS, ids=title)
def test_layer(layer: Any) -> None:
    name, arguments, options, inputs = layer
    ours, theirs = (build(library, name, arguments, options) for library in (gg, torch))
    loaded(ours, theirs)
    compare(ours, theirs, inputs)


@pytest.mark.parametrize("zero_infinity", [False, True])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("joined", [False, True])
def test_ctc(joined: bool, reduction: str, zero_infinity: bool) -> None:
    """One target needs a blank between equal labels; one is too long for its steps."""
    lengths, words = [3, 2], WORDS
    targets = np.concatenate([words[0], words[1, :2]]) if joined else words
    logits, steps = normal(STEPS)[0], [9, 1] if zero_infinity else [9, 4]
    found = []
    for library, module in ((gg, nn), (torch, torch.nn)):
        x = leaf(library, logits)
        loss = module.CTCLoss(0, reduction, zero_infinity)(
            module.functional.log_softmax(x, -1), library.tensor(targets), steps, lengths
        )
        loss.backward(library.tensor(cotangent(tuple(loss.shape))))
        found.append((loss, x.grad))
    for a, b in zip(*found, strict=True):
        close(a, b)


def test_ctc_of_one_sequence_and_of_nothing() -> None:
    x = normal((7, 4))[0]
    cases = [
        (np.array([1, 1, 3]), [7], [3]),
        (np.array([], dtype=np.int64), [7], [0]),
        (np.array([2]), [0], [1]),
        (np.array([], dtype=np.int64), [0], [0]),
    ]
    cases += [(np.array([3]), [7], [1])]
    for (targets, *sizes), reduction in product(cases, ("none", "mean", "sum")):
        for blank in (0, 2) if 2 not in targets else (0,):
            arguments = (*sizes, blank, reduction)
            ours = nn.functional.ctc_loss(gg.tensor(x), gg.tensor(targets), *arguments)
            theirs = torch.nn.functional.ctc_loss(
                torch.tensor(x), torch.tensor(targets), *arguments
            )
            close(ours, theirs)


def test_adaptive_softmax_probabilities() -> None:
    arguments = (6, 20, [4, 9])
    ours, theirs = (
        build(library, "AdaptiveLogSoftmaxWithLoss", arguments, {}) for library in (gg, torch)
    )
    loaded(ours, theirs)
    x = 3 * normal((50, 6))[0]
    close(ours.log_prob(gg.tensor(x)), theirs.log_prob(torch.tensor(x)))
    assert ours.predict(gg.tensor(x)).tolist() == theirs.predict(torch.tensor(x)).tolist()


LAZY: list[tuple[str, tuple, dict[str, Any], tuple[int, ...]]] = [
    ("LazyLinear", (5,), {}, (3, 6)),
    *((f"LazyConv{n}d", (8, 2), {"groups": 2}, (2, 4, *[5] * n)) for n in (1, 2, 3)),
    *((f"LazyConvTranspose{n}d", (8, 2), {"bias": False}, (2, 4, *[5] * n)) for n in (1, 2, 3)),
    *((f"LazyBatchNorm{n}d", (), {}, (2, 4, *[5] * n)) for n in (1, 2, 3)),
    *((f"LazyInstanceNorm{n}d", (), {}, (2, 4, *[5] * n)) for n in (1, 2, 3)),
    ("LazyInstanceNorm2d", (), {"affine": False, "track_running_stats": False}, (4, 5, 5)),
]


@pytest.mark.parametrize("layer", LAZY, ids=title)
def test_lazy_layer(layer: Any) -> None:
    name, arguments, options, shape = layer
    ours, theirs = (build(library, name, arguments, options) for library in (gg, torch))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    x = normal(shape)[0]
    theirs(torch.tensor(x))
    ours.load_state_dict(numpy_state(theirs))  # loading gives it its shapes, too
    other = build(gg, name, arguments, options)
    other(gg.tensor(x))
    assert type(other).__name__ == type(theirs).__name__ == name.removeprefix("Lazy")
    loaded(other, theirs)
    theirs.eval(), ours.eval(), other.eval()
    for module in (ours, other):
        module.zero_grad()
        theirs.zero_grad()
        compare(module, theirs, [shape])
        assert repr(module) == repr(other)


PARTS = [("Linear", (5, 3)), ("Conv2d", (2, 3, 3)), ("ConvTranspose2d", (2, 3, 3))]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part[0])
@pytest.mark.parametrize("kind", ["weight_norm", "spectral_norm"])
def test_norms_of_weights(kind: str, part: Any) -> None:
    name, arguments = part
    x = normal((2, 5) if name == "Linear" else (2, 2, 6, 6))[0]
    for ours, theirs in (
        (getattr(parametrizations, kind), getattr(torch.nn.utils.parametrizations, kind)),
        (getattr(nn.utils, kind), getattr(torch.nn.utils, kind)),
    ):
        a, b = ours(build(gg, name, arguments, {})), theirs(build(torch, name, arguments, {}))
        assert sorted(a.state_dict()) == sorted(b.state_dict())
        a.load_state_dict(numpy_state(b))
        for _ in range(2):  # in training each forward of spectral_norm changes its vectors
            close(a(gg.tensor(x)), b(torch.tensor(x)))
        a.weight.square().sum().backward()
        b.weight.square().sum().backward()
        for (n, p), (m, q) in zip(
            sorted(a.named_parameters()), sorted(b.named_parameters()), strict=True
        ):
            assert n == m
            if q.grad is not None:
                close(p.grad, q.grad)
        a.eval(), b.eval()
        close(a(gg.tensor(x)), b(torch.tensor(x)))


def test_weight_norm_loads_the_older_form() -> None:
    old = nn.utils.weight_norm(nn.Linear(5, 3))
    new = parametrizations.weight_norm(nn.Linear(5, 3))
    new.load_state_dict(old.state_dict())
    x = gg.randn(2, 5)
    assert gg.allclose(new(x), old(x))


@pytest.mark.parametrize("trivialization", [True, False])
@pytest.mark.parametrize("shape", [(4, 4), (6, 3), (3, 6)], ids=str)
@pytest.mark.parametrize("kind", ["matrix_exp", "cayley", "householder"])
def test_orthogonal(kind: str, shape: tuple[int, int], trivialization: bool) -> None:
    options = {"orthogonal_map": kind, "use_trivialization": trivialization}
    a = parametrizations.orthogonal(build(gg, "Linear", shape, {}), **options)
    b = torch.nn.utils.parametrizations.orthogonal(build(torch, "Linear", shape, {}), **options)
    a.load_state_dict(numpy_state(b))
    with torch.no_grad():
        b.parametrizations.weight.original += 0.1 * torch.from_numpy(normal(shape[::-1])[0])
    a.parametrizations.weight.original.data = gg.tensor(
        b.parametrizations.weight.original.detach().numpy()
    )
    close(a.weight, b.weight)
    dy = cotangent(shape[::-1])
    a.weight.backward(gg.tensor(dy))
    b.weight.backward(torch.tensor(dy))
    close(a.parametrizations.weight.original.grad, b.parametrizations.weight.original.grad)
    if kind == "householder" or trivialization:  # assigning gives that value back
        q = np.linalg.qr(normal((6, 6))[0])[0][: shape[1], : shape[0]]
        q = np.linalg.qr(q if shape[1] >= shape[0] else q.T)[0]
        q = q if shape[1] >= shape[0] else q.T
        a.weight = gg.tensor(np.ascontiguousarray(q))
        close(a.weight, torch.from_numpy(np.ascontiguousarray(q)))


def test_fused_layers() -> None:
    for layer, norm, shape in [
        (("Conv2d", (2, 3, 3)), ("BatchNorm2d", (3,)), (2, 2, 5, 5)),
        (("ConvTranspose2d", (2, 3, 3)), ("BatchNorm2d", (3,)), (2, 2, 5, 5)),
        (("Linear", (2, 3, False)), ("BatchNorm1d", (3,)), (4, 2)),
    ]:
        transpose = layer[0].startswith("ConvT")
        pair = []
        for library in (gg, torch):
            first, second = (build(library, *each, {}) for each in (layer, norm))
            pair.append((first, second))
        for ours, theirs in zip(*pair, strict=True):
            loaded(ours, theirs)
        stats = np.abs(normal((3,))[0])
        for library, (_, bn) in zip((gg, torch), pair, strict=True):
            bn.running_mean.copy_(library.tensor(stats + 1))
            bn.running_var.copy_(library.tensor(stats))
        x = normal(shape)[0]
        fused = []
        for library, (first, bn) in zip((gg, torch), pair, strict=True):
            utils = nn.utils if library is gg else torch.nn.utils
            first.eval(), bn.eval()
            if layer[0] == "Linear":
                fused.append(utils.fuse_linear_bn_eval(first, bn))
            else:
                fused.append(utils.fuse_conv_bn_eval(first, bn, transpose))
        close(fused[0](gg.tensor(x)), fused[1](torch.tensor(x)))
        first, bn = pair[0]
        close(fused[0](gg.tensor(x)), bn(first(gg.tensor(x))))


def test_parametrization_with_several_originals() -> None:
    def product_of(base: Any) -> Any:
        class Product(base):
            def forward(self, a: Any, b: Any) -> Any:
                return a * b

            def right_inverse(self, w: Any) -> Any:
                return w.abs(), w.sign()

        return Product()

    ours, theirs = product_of(nn.Module), product_of(torch.nn.Module)
    a, b = build(gg, "Linear", (3, 2), {}), build(torch, "Linear", (3, 2), {})
    loaded(a, b)
    parametrize.register_parametrization(a, "weight", ours)
    torch.nn.utils.parametrize.register_parametrization(b, "weight", theirs)
    loaded(a, b)
    close(a.weight, b.weight)
    a.weight, b.weight = gg.full((2, 3), -2.0, dtype=gg.float64), torch.full((2, 3), -2.0).double()
    loaded(a, b)
    close(a.weight, b.weight)
