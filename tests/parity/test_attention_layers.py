"""MultiheadAttention and the Transformer's layers beside PyTorch: every option."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch

import gpugrad as gg
from parity.test_recurrent_layers import leaf

BATCH, LENGTH, KEYS, EMBED, HEADS = 2, 4, 5, 6, 3
# Float64, the same formulas: what remains is rounding, 2^-53, which up to three layers with
# normalisations amplify, as in test_models.py. A wrong mask or term is of order 0.1.
TOLERANCE = 1e5 * 2**-53
pytestmark = pytest.mark.filterwarnings(
    "ignore:Support for mismatched:UserWarning",  # PyTorch's, of a bool mask beside a floating one
    "ignore:enable_nested_tensor is True:UserWarning",
)


def twins(make: Any) -> tuple[gg.nn.Module, torch.nn.Module]:
    """make(library) for both, with the same parameters: drawn, also where they begin as 0."""
    ours, theirs = make(gg), make(torch)
    rng = np.random.default_rng(0)
    state = {k: rng.standard_normal(v.shape) for k, v in ours.state_dict().items()}
    assert list(state) == list(theirs.state_dict())
    ours.load_state_dict(state)
    theirs.load_state_dict({k: torch.tensor(v) for k, v in state.items()})
    return ours, theirs


def compare(found: list[np.ndarray], exact: list[np.ndarray]) -> None:
    for i, (a, b) in enumerate(zip(found, exact, strict=True)):
        assert a.shape == b.shape
        scale = max(1.0, float(np.abs(b).max(initial=0)))
        np.testing.assert_allclose(a, b, rtol=0, atol=TOLERANCE * scale, err_msg=f"result {i}")


def shape(length: int, features: int, batch: int | None, batch_first: bool) -> tuple[int, ...]:
    if batch is None:
        return (length, features)
    return (batch, length, features) if batch_first else (length, batch, features)


# ---- attention ---------------------------------------------------------------------------------

MASKS = [None, "bool 2", "bool 3", "float 2", "float 3", "causal"]
LAYERS = [
    {},
    {"bias": False, "batch_first": True},
    {"add_bias_kv": True},
    {"add_zero_attn": True, "batch_first": True},
    {"add_bias_kv": True, "add_zero_attn": True},
]


@pytest.mark.parametrize("mask", MASKS, ids=str)
@pytest.mark.parametrize("inputs", ["same", "cross", "widths"])
@pytest.mark.parametrize("options", LAYERS, ids=str)
def test_attention(options: dict[str, Any], inputs: str, mask: str | None) -> None:
    """Output, weights and all gradients, those of floating masks too."""
    widths = {"kdim": 4, "vdim": 7} if inputs == "widths" else {}

    def make(library: Any) -> Any:
        name = library.nn.MultiheadAttention
        return name(EMBED, HEADS, dtype=library.float64, **options, **widths)

    for padding, batch, weights in itertools.product(
        (None, "bool", "float"), (None, BATCH), ("averaged", "all", "none")
    ):
        ours, theirs = twins(make)
        arguments = (inputs, mask, padding, batch, weights)
        compare(attended(gg, ours, *arguments), attended(torch, theirs, *arguments))


def attended(
    library: Any,
    net: Any,
    inputs: str,
    mask: str | None,
    padding: str | None,
    batch: int | None,
    weights: str,
) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    keys = LENGTH if inputs == "same" else KEYS
    sizes = ((LENGTH, EMBED), (keys, net.kdim), (keys, net.vdim))
    arrays = [rng.standard_normal(shape(*s, batch, net.batch_first)) for s in sizes]
    xs = [leaf(library, a) for a in arrays[: {"same": 1, "cross": 2, "widths": 3}[inputs]]]
    query, key, value = (xs * 3)[:3] if inputs == "same" else [*xs, xs[-1]][:3]
    causal = mask == "causal" and net.bias_k is None and not net.add_zero_attn
    m = mask_of(library, mask, keys, batch or 1, rng)
    if m is not None and m.is_floating_point() and not causal:
        xs.append(m.requires_grad_())
    y, p = net(
        query,
        key,
        value,
        key_padding_mask=padding_of(library, padding, keys, batch),
        need_weights=weights != "none",
        attn_mask=m,
        average_attn_weights=weights == "averaged",
        is_causal=causal,
    )
    total = y.sin().sum() + (0 if p is None else p.cos().sum())
    total.backward()
    # -inf in a mask has the gradient 0 or NaN, by the way the zero probability is formed.
    grads = [np.nan_to_num(x.grad.numpy()) for x in [*xs, *net.parameters()]]
    return [y.detach().numpy(), *([] if p is None else [p.detach().numpy()]), *grads]


def mask_of(library: Any, kind: str | None, keys: int, batch: int, rng: Any) -> Any:
    """Each query sees the first key: PyTorch gives NaN where it sees none."""
    if kind is None:
        return None
    if kind == "causal":
        hidden = np.triu(np.ones((LENGTH, keys), bool), 1)
        return library.tensor(np.where(hidden, -np.inf, 0.0))
    sizes = (LENGTH, keys) if kind.endswith("2") else (batch * HEADS, LENGTH, keys)
    hidden = rng.random(sizes) < 0.3
    hidden[..., 0] = False
    if kind.startswith("bool"):
        return library.tensor(hidden)
    return library.tensor(np.where(hidden, -np.inf, rng.standard_normal(sizes)))


def padding_of(library: Any, kind: str | None, keys: int, batch: int | None) -> Any:
    if kind is None:
        return None
    hidden = np.zeros((batch or 1, keys), bool)
    hidden[0, -1] = True
    values = hidden if kind == "bool" else np.where(hidden, -np.inf, 0.3)
    return library.tensor(values[0] if batch is None else values)


def test_static_keys() -> None:
    """F.multi_head_attention_forward with keys and values of the caller's."""
    rng = np.random.default_rng(2)
    sizes = [(LENGTH, BATCH, EMBED), (3 * EMBED, EMBED), (3 * EMBED,), (EMBED, EMBED), (EMBED,),
             (BATCH * HEADS, 7, EMBED // HEADS)]  # fmt: skip
    arrays = [rng.standard_normal(s) for s in sizes]

    def result(library: Any) -> list[np.ndarray]:
        x, w, b, wo, bo, kv = (leaf(library, a) for a in arrays)
        function = library.nn.functional.multi_head_attention_forward
        fixed = (EMBED, HEADS, w, b, None, None, False, 0.0, wo, bo)
        y, p = function(x, x, x, *fixed, static_k=kv, static_v=kv)
        (y.sin().sum() + p.sum()).backward()
        return [y.detach().numpy(), p.detach().numpy(), x.grad.numpy(), kv.grad.numpy()]

    compare(result(gg), result(torch))


# ---- transformers ------------------------------------------------------------------------------

VARIANTS = [(False, True, "relu"), (True, False, "gelu"), (True, True, "tanh")]
MASKED = ["none", "float", "bool", "causal"]
KINDS = ["encoder layer", "decoder layer", "encoder", "decoder", "transformer"]


def transformer(library: Any, kind: str, options: dict[str, Any]) -> Any:
    nn, dtype = library.nn, {"dtype": library.float64}
    sizes = {"dim_feedforward": 7, "dropout": 0.0, **options, **dtype}
    if kind == "transformer":
        return nn.Transformer(EMBED, HEADS, 1, 2, **sizes)
    name = "Encoder" if kind.startswith("encoder") else "Decoder"
    layer = getattr(nn, f"Transformer{name}Layer")(EMBED, HEADS, **sizes)
    if kind.endswith("layer"):
        return layer
    norm = nn.LayerNorm(EMBED, **dtype) if name == "Encoder" else None
    return getattr(nn, f"Transformer{name}")(layer, 2, norm)


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_transformers(kind: str, norm_first: bool) -> None:
    for (batch_first, bias, act), masks, batch in itertools.product(
        VARIANTS, MASKED, (None, BATCH)
    ):
        options: dict[str, Any] = {"batch_first": batch_first, "bias": bias}
        options["norm_first"] = norm_first

        def make(library: Any, act: str = act, options: Any = options) -> Any:
            activation = library.tanh if act == "tanh" else act
            return transformer(library, kind, {**options, "activation": activation})

        ours, theirs = twins(make)
        arguments = (kind, batch_first, masks, batch)
        compare(transformed(gg, ours, *arguments), transformed(torch, theirs, *arguments))


def transformed(
    library: Any, net: Any, kind: str, batch_first: bool, masks: str, batch: int | None
) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    x = leaf(library, rng.standard_normal(shape(LENGTH, EMBED, batch, batch_first)))
    memory = leaf(library, rng.standard_normal(shape(KEYS, EMBED, batch, batch_first)))
    make = library.nn.Transformer.generate_square_subsequent_mask
    mask = make(LENGTH, dtype=library.float64)
    if masks == "bool":
        mask = mask < 0
    padding = padding_of(library, "bool", LENGTH, batch)
    of_memory = padding_of(library, "bool", KEYS, batch)
    inputs = [x] if kind.startswith("encoder") else [x, memory]
    named: dict[str, Any] = {}
    if masks != "none" and kind.startswith("encoder"):
        name = "src_mask" if kind.endswith("layer") else "mask"
        named = {name: mask, "src_key_padding_mask": padding if masks == "bool" else None}
        if masks == "causal":
            named["is_causal"] = True
    elif masks != "none":
        named = {"tgt_mask": mask, "memory_key_padding_mask": of_memory}
        if masks == "causal":
            named["tgt_is_causal"] = True
        else:
            named["tgt_key_padding_mask"] = padding
        if kind == "transformer":
            named["src_key_padding_mask"] = of_memory
    inputs = inputs[::-1] if kind == "transformer" else inputs
    y = net(*inputs, **named)
    y.sin().sum().backward()
    return [y.detach().numpy(), *(p.grad.numpy() for p in [*inputs, *net.parameters()])]
