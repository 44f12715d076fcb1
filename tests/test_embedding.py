"""Embedding and EmbeddingBag: what they do beyond the cases, and what they refuse."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
import gpugrad.nn.functional as F
from gpugrad import nn
from gpugrad.errors import (
    ArgumentError,
    DeviceError,
    DTypeError,
    GpugradError,
    GraphError,
    IndexOutOfRangeError,
    ShapeError,
)


def table(*shape: int) -> gg.Tensor:
    values = np.random.default_rng(0).standard_normal(shape)
    return gg.tensor(values, requires_grad=True)


# ---- embedding ---------------------------------------------------------------------------------


def test_padding_gets_no_gradient() -> None:
    for padding in (2, -3):
        w = table(5, 3)
        F.embedding(gg.tensor([[0, 2], [2, 4]]), w, padding).sum().backward()
        assert w.grad is not None
        np.testing.assert_array_equal(w.grad.numpy()[:, 0], [1, 0, 0, 0, 1])


def test_gradient_by_frequency() -> None:
    """Of rows 0, 1, 4, which are read once, three times and twice: all get the mean."""
    w = table(5, 3)
    y = F.embedding(gg.tensor([1, 0, 1, 4, 1, 4]), w, scale_grad_by_freq=True)
    dy = np.arange(18.0).reshape(6, 3)
    y.backward(gg.tensor(dy))
    assert w.grad is not None
    expected = [dy[1], dy[[0, 2, 4]].mean(0), [0] * 3, [0] * 3, dy[[3, 5]].mean(0)]
    np.testing.assert_allclose(w.grad.numpy(), expected, rtol=1e-15)


@pytest.mark.parametrize("options", [{}, {"padding_idx": 1}, {"scale_grad_by_freq": True}])
def test_the_gradient_is_linear_in_dy_and_has_a_gradient(options: dict[str, Any]) -> None:
    """With g(dy) the gradient: <g(dy), a> has the gradient g^T(a), whose transpose is g again."""
    w, i = table(4, 2), gg.tensor([[0, 1, 1], [3, 1, 0]])
    dy = gg.tensor(np.random.default_rng(1).standard_normal((2, 3, 2)), requires_grad=True)

    def gradient(dy: gg.Tensor) -> Any:
        (dw,) = gg.autograd.grad(F.embedding(i, w, **options), w, dy, create_graph=True)
        return dw

    assert gg.autograd.gradcheck(gradient, [dy])
    assert gg.autograd.gradgradcheck(gradient, [dy])


@pytest.mark.parametrize("order", [1.0, 2.0, float("inf")])
def test_max_norm_scales_rows_that_are_read(order: float) -> None:
    w = table(5, 4)
    with gg.no_grad():
        w.mul_(3.0)
    before, version = w.detach().clone().numpy(), w._version
    F.embedding(gg.tensor([1, 3, 1]), w, max_norm=1.0, norm_type=order)
    after = w.detach().numpy()
    assert w._version == version + 1
    np.testing.assert_array_equal(after[[0, 2, 4]], before[[0, 2, 4]])
    norms = np.linalg.norm(after[[1, 3]], order, axis=1)
    np.testing.assert_allclose(norms, 1, rtol=1e-6)  # row max_norm / (norm + 1e-7)
    F.embedding(gg.tensor([1]), w, max_norm=2.0, norm_type=order)
    np.testing.assert_array_equal(w.detach().numpy(), after)


def test_a_graph_notices_that_max_norm_changed_the_table() -> None:
    w = table(3, 2)
    y = (w * w).sum()
    F.embedding(gg.tensor([0, 1, 2]), w, max_norm=0.1)
    with pytest.raises(GraphError, match=r"changed in place since \(last by embedding_renorm\)"):
        y.backward()


def test_layer() -> None:
    layer = nn.Embedding(5, 3, padding_idx=-2, dtype=gg.float64)
    assert layer.padding_idx == 3 and layer.weight.dtype == gg.float64
    np.testing.assert_array_equal(layer.weight.detach().numpy()[3], 0)
    assert (layer.weight.detach().numpy()[[0, 1, 2, 4]] != 0).all()
    assert repr(layer).startswith("Embedding(5, 3, padding_idx=3)")
    assert layer(gg.tensor([[1], [2]], dtype=gg.int32)).shape == (2, 1, 3)
    given = gg.tensor([[1.0, 2.0], [3.0, 4.0]])
    frozen = nn.Embedding.from_pretrained(given, padding_idx=0)
    assert not frozen.weight.requires_grad and frozen.padding_idx == 0
    assert frozen(gg.tensor([1, 0])).tolist() == [[3, 4], [1, 2]]
    assert nn.Embedding.from_pretrained(given, freeze=False).weight.requires_grad


# ---- bags --------------------------------------------------------------------------------------


def test_bags_without_what_is_padding() -> None:
    """Rows at padding_idx do not count, in a mean neither; a bag of nothing else is 0."""
    w = table(4, 3)
    rows = w.detach().numpy()
    i, offsets = gg.tensor([1, 0, 2, 0, 0, 3]), gg.tensor([0, 3, 5, 6])
    y = F.embedding_bag(i, w, offsets, padding_idx=0)
    expected = [(rows[1] + rows[2]) / 2, np.zeros(3), rows[3], np.zeros(3)]
    np.testing.assert_allclose(y.detach().numpy(), expected, rtol=1e-15)
    y.sum().backward()
    assert w.grad is not None
    np.testing.assert_allclose(w.grad.numpy()[:, 0], [0, 0.5, 0.5, 1], rtol=1e-15)


def test_last_offset() -> None:
    """With include_last_offset the last one ends the last bag, even before the end of input."""
    w, i = table(4, 3), gg.tensor([0, 1, 2, 3])
    rows = w.detach().numpy()
    whole = F.embedding_bag(i, w, gg.tensor([0, 1, 4]), mode="sum", include_last_offset=True)
    np.testing.assert_allclose(whole.detach().numpy(), [rows[0], rows[1:].sum(0)], rtol=1e-15)
    part = F.embedding_bag(i, w, gg.tensor([0, 1, 3]), mode="sum", include_last_offset=True)
    np.testing.assert_allclose(part.detach().numpy(), [rows[0], rows[1:3].sum(0)], rtol=1e-15)
    part.sum().backward()
    assert w.grad is not None
    np.testing.assert_array_equal(w.grad.numpy()[:, 0], [1, 1, 1, 0])


def test_bags_by_frequency() -> None:
    """A row's gradient is divided by how often the whole input names it."""
    i, offsets = gg.tensor([1, 1, 1, 2]), gg.tensor([0, 1, 2])
    for create_graph in (False, True):
        w = table(4, 1)
        y = F.embedding_bag(i, w, offsets, mode="sum", scale_grad_by_freq=True)
        (dw,) = gg.autograd.grad(y.sum(), w, create_graph=create_graph)
        assert dw is not None
        np.testing.assert_allclose(dw.detach().numpy()[:, 0], [0, 1, 1, 0], rtol=1e-15)


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_second_derivatives_of_bags(mode: str) -> None:
    """Beyond PyTorch, which has none. The padding, row 2, is read, but does not count."""
    i, offsets = gg.tensor([1, 0, 3, 2, 1]), gg.tensor([0, 2, 2])
    w = gg.tensor(np.random.default_rng(2).permutation(8).reshape(4, 2) * 0.5, requires_grad=True)
    s = gg.tensor([0.5, -1.0, 2.0, 1.5, 0.3], dtype=gg.float64, requires_grad=True)

    def bag(w: gg.Tensor, *scale: gg.Tensor) -> gg.Tensor:
        given = scale[0] if scale else None
        options = {"mode": mode, "per_sample_weights": given, "padding_idx": 2}
        return F.embedding_bag(i, w, offsets, **options)

    leaves = [w, s] if mode == "sum" else [w]
    assert gg.autograd.gradgradcheck(bag, leaves)
    dy = gg.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], dtype=gg.float64)
    for a, b in zip(
        gg.autograd.grad(bag(*leaves), leaves, dy),
        gg.autograd.grad(bag(*leaves), leaves, dy, create_graph=True),
        strict=True,
    ):
        assert a is not None and b is not None
        np.testing.assert_allclose(b.detach().numpy(), a.numpy(), rtol=1e-14, atol=1e-15)


def test_bag_layer() -> None:
    layer = nn.EmbeddingBag(5, 3, mode="sum", padding_idx=1)
    assert repr(layer).startswith("EmbeddingBag(5, 3, padding_idx=1, mode='sum')")
    x = gg.tensor([[0, 1], [2, 3]])
    w = layer.weight.detach().numpy()
    np.testing.assert_allclose(layer(x).detach().numpy(), [w[0], w[2] + w[3]], rtol=1e-6)
    frozen = nn.EmbeddingBag.from_pretrained(gg.ones(2, 2), mode="sum")
    assert not frozen.weight.requires_grad
    weights = gg.tensor([[0.5, 2.0]])
    assert frozen(gg.tensor([[0, 1]]), None, weights).tolist() == [[2.5, 2.5]]


# ---- errors ------------------------------------------------------------------------------------

W, IDS = gg.zeros(10, 4), gg.tensor([1, 2, 3])
REFUSED: dict[str, tuple[Callable[[], Any], type[GpugradError], str]] = {
    "id": (
        lambda: F.embedding(gg.tensor([[3, 12]]), W),
        IndexOutOfRangeError,
        "embedding: index 12 is not one of the 10 rows of the table.\n  Indices are 0 to 9; does "
        "the vocabulary fit num_embeddings?",
    ),
    "negative id": (
        lambda: nn.Embedding(10, 4)(gg.tensor([-1])),
        IndexOutOfRangeError,
        "embedding: index -1 is not one of the 10 rows of the table.",
    ),
    "id with max_norm": (
        lambda: F.embedding(gg.tensor([10]), W, max_norm=1.0),
        IndexOutOfRangeError,
        "embedding: index 10 is not one of the 10 rows",
    ),
    "id in a bag": (
        lambda: F.embedding_bag(gg.tensor([[10]]), W),
        IndexOutOfRangeError,
        "embedding: index 10 is not one of the 10 rows",
    ),
    "floats": (
        lambda: F.embedding(gg.ones(3), W),
        DTypeError,
        "embedding: input must hold integers, row numbers of the table; got (3,) float32 on cpu.",
    ),
    "swapped": (
        lambda: F.embedding(W, IDS),
        DTypeError,
        "The table is the second argument.",
    ),
    "table": (
        lambda: F.embedding(IDS, gg.zeros(10)),
        ShapeError,
        "embedding: weight must be [num_embeddings, embedding_dim]; got (10,) float32 on cpu.",
    ),
    "devices": (
        lambda: F.embedding(IDS, W.to("sim")),
        DeviceError,
        "embedding: all tensors must be on one device",
    ),
    "padding": (
        lambda: F.embedding(IDS, W, 10),
        ArgumentError,
        "embedding: padding_idx must be within num_embeddings, -10 to 9; got 10.",
    ),
    "padding of a layer": (
        lambda: nn.Embedding(10, 4, padding_idx=-11),
        ArgumentError,
        "Embedding: padding_idx must be within num_embeddings, -10 to 9; got -11.",
    ),
    "norm": (
        lambda: F.embedding(IDS, W, max_norm=-1.0),
        ArgumentError,
        "embedding: max_norm must not be negative and norm_type positive; got max_norm=-1.0",
    ),
    "sizes": (
        lambda: nn.Embedding(10, -1),
        ArgumentError,
        "Embedding: embedding_dim must be an integer of at least 0, got -1.",
    ),
    "pretrained": (
        lambda: nn.Embedding.from_pretrained(gg.zeros(3)),
        ShapeError,
        "Embedding.from_pretrained: embeddings must be [num_embeddings, embedding_dim]; got (3,).",
    ),
    "no offsets": (
        lambda: F.embedding_bag(IDS, W),
        ArgumentError,
        "embedding_bag: offsets must be given for a 1-D input, (3,): where each bag begins.",
    ),
    "needless offsets": (
        lambda: F.embedding_bag(IDS.reshape(1, 3), W, gg.tensor([0])),
        ArgumentError,
        "embedding_bag: offsets must be None for a 2-D input",
    ),
    "first offset": (
        lambda: F.embedding_bag(IDS, W, gg.tensor([1, 2])),
        ArgumentError,
        "offsets must ascend from 0 to at most input's length 3; got 1 as the first.",
    ),
    "falling offsets": (
        lambda: F.embedding_bag(IDS, W, gg.tensor([0, 2, 1])),
        ArgumentError,
        "got 2 before 1 at position 2.",
    ),
    "last offset": (
        lambda: F.embedding_bag(IDS, W, gg.tensor([0, 4])),
        IndexOutOfRangeError,
        "at most input's length 3; got 4 as the last.",
    ),
    "mode": (
        lambda: F.embedding_bag(IDS, W, gg.tensor([0]), mode="min"),
        ArgumentError,
        "embedding_bag: mode must be one of ('sum', 'mean', 'max'), not 'min'.",
    ),
    "frequency of max": (
        lambda: F.embedding_bag(IDS, W, gg.tensor([0]), mode="max", scale_grad_by_freq=True),
        ArgumentError,
        "embedding_bag: mode 'max' takes neither scale_grad_by_freq nor sparse.",
    ),
    "weights of a mean": (
        lambda: F.embedding_bag(IDS, W, gg.tensor([0]), per_sample_weights=gg.ones(3)),
        ArgumentError,
        "embedding_bag: per_sample_weights are for mode='sum' only; got mode='mean'.",
    ),
    "shape of weights": (
        lambda: F.embedding_bag(IDS, W, gg.tensor([0]), mode="sum", per_sample_weights=gg.ones(2)),
        ShapeError,
        "embedding_bag: per_sample_weights (2,) must have the shape of input, (3,).",
    ),
    "dtype of weights": (
        lambda: F.embedding_bag(
            IDS, W, gg.tensor([0]), mode="sum", per_sample_weights=gg.ones(3, dtype=gg.float64)
        ),
        DTypeError,
        "embedding_bag: per_sample_weights must have weight's dtype",
    ),
    "rank": (
        lambda: F.embedding_bag(gg.zeros(1, 2, 3, dtype=gg.int64), W),
        ShapeError,
        "embedding_bag: input must have 1 or 2 axes",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    call, kind, text = REFUSED[name]
    with pytest.raises(kind, match=re.escape(text)):
        call()


@pytest.mark.parametrize("device", ["cpu", "sim"])
def test_an_id_that_is_no_row_is_named_on_every_device(device: str) -> None:
    with pytest.raises(IndexOutOfRangeError, match="embedding: index 7 is not one of the 5 rows"):
        F.embedding(gg.tensor([0, 7], device=device), gg.zeros(5, 2, device=device))
        gg.zeros(1, device=device).tolist()  # a GPU tells when it is waited for
