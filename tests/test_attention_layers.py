"""MultiheadAttention and the Transformer's layers: behaviour, and what they refuse."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
import gpugrad.nn.functional as F
from gpugrad import nn
from gpugrad.errors import ArgumentError, DTypeError, GpugradError, ShapeError
from gpugrad.nn import attention_functions
from gpugrad.ops.heads import merge_heads, split_heads


def ramp(*shape: int) -> gg.Tensor:
    """Different numbers between -1 and 1, float64."""
    return gg.tensor(np.sin(np.arange(np.prod(shape)) * 1.3).reshape(shape))


def layer(kind: type[nn.Module], *sizes: int, **options: Any) -> Any:
    gg.manual_seed(0)
    return kind(*sizes, dtype=gg.float64, **options)


# ---- heads -------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_first", [False, True])
def test_heads(batch_first: bool) -> None:
    """Views of the projection; heads side by side; and back without a copy."""
    x = ramp(2, 3, 24) if batch_first else ramp(3, 2, 24)
    q, k, v = split_heads(x, 3, 4, batch_first)
    rows = x.numpy() if batch_first else x.numpy().swapaxes(0, 1)
    assert q.shape == (2, 4, 3, 2) and np.shares_memory(k.array, x.array)
    np.testing.assert_array_equal(k.numpy()[1, 2], rows[1, :, 8 + 4 : 8 + 6])
    merged = merge_heads(v, batch_first)
    expected = rows[..., 16:] if batch_first else rows[..., 16:].swapaxes(0, 1)
    np.testing.assert_array_equal(merged.numpy(), expected)

    def whole(x: gg.Tensor) -> gg.Tensor:
        a, b, c = split_heads(x, 3, 4, batch_first)
        return a * b.sin() + (c * c if batch_first else c)

    x = (x * 1.0).requires_grad_()
    assert gg.autograd.gradcheck(whole, [x]) and gg.autograd.gradgradcheck(whole, [x])


def test_gradient_of_one_head_alone() -> None:
    """Of the keys only: queries and values get 0."""
    x = ramp(1, 2, 6).requires_grad_()
    split_heads(x, 3, 1, True)[1].sum().backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy()[0, 0], [0, 0, 1, 1, 0, 0])


# ---- attention ---------------------------------------------------------------------------------


def test_weights_sum_to_one_and_give_the_output() -> None:
    attention = layer(nn.MultiheadAttention, 8, 2, batch_first=True)
    x = ramp(2, 5, 8)
    y, p = attention(x, x, x)
    assert p.shape == (2, 5, 5)
    np.testing.assert_allclose(p.sum(-1).detach().numpy(), 1, rtol=1e-12)
    _, each = attention(x, x, x, average_attn_weights=False)
    assert each.shape == (2, 2, 5, 5)
    fused, nothing = attention(x, x, x, need_weights=False)
    assert nothing is None
    np.testing.assert_allclose(fused.detach().numpy(), y.detach().numpy(), rtol=1e-12, atol=1e-14)


def test_the_fused_kernel_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """With need_weights=False; and a mask that is said to be causal is not even read."""
    calls = []

    def spy(*tensors: Any, **options: Any) -> gg.Tensor:
        calls.append((tensors[3], options["causal"]))
        return attention(*tensors, **options)

    attention = attention_functions.attention
    monkeypatch.setattr(attention_functions, "attention", spy)
    mha, x = layer(nn.MultiheadAttention, 4, 2), ramp(3, 1, 4)
    mask = nn.Transformer.generate_square_subsequent_mask(3, dtype=gg.float64)
    mha(x, x, x)
    assert not calls
    mha(x, x, x, need_weights=False, attn_mask=mask)
    mha(x, x, x, need_weights=False, attn_mask=mask, is_causal=True)
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8, dtype=gg.float64), 1)
    encoder(x, mask < 0)
    encoder(x, mask < 0, is_causal=False)
    diagonal = gg.tensor([[False, True, True], [True, False, True], [True, True, False]])
    encoder(x, diagonal)
    encoder(x, mask * 0.5 + 1.0)
    assert [(m is None, causal) for m, causal in calls] == [
        (False, False),
        (True, True),
        (True, True),  # seen by its values
        *[(False, False)] * 3,
    ]


def test_hidden_keys_do_not_matter() -> None:
    """Neither their values nor their gradients; a query that sees no key gives b_o."""
    attention = layer(nn.MultiheadAttention, 4, 2, batch_first=True)
    x = ramp(2, 5, 4).requires_grad_()
    other = x.detach().clone()
    other[:, 3:] = 1e3
    padding = gg.tensor([[False] * 3 + [True] * 2] * 2)
    a, _ = attention(x, x, x, padding, need_weights=False)
    b, _ = attention(x.detach(), other, other, padding, need_weights=False)
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-12, atol=1e-14)
    a[:, :3].sum().backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy()[:, 3:], 0)
    nothing, _ = attention(x, x, x, gg.ones(2, 5, dtype=gg.bool), need_weights=False)
    np.testing.assert_array_equal(nothing.detach().numpy(), 0)


def test_dropout_in_training_only() -> None:
    attention = layer(nn.MultiheadAttention, 8, 2, dropout=0.5)
    x = ramp(6, 2, 8)
    for weights in (False, True):
        attention.train()
        assert not gg.equal(
            attention(x, x, x, need_weights=weights)[0], attention(x, x, x, need_weights=weights)[0]
        )
        attention.eval()
        assert gg.equal(
            attention(x, x, x, need_weights=weights)[0], attention(x, x, x, need_weights=weights)[0]
        )


def test_initial_values() -> None:
    attention = layer(nn.MultiheadAttention, 16, 2, add_bias_kv=True)
    bound = np.sqrt(6 / (16 + 48))
    weight = attention.in_proj_weight.detach().numpy()
    assert 0.95 * bound < np.abs(weight).max() <= bound
    assert not attention.in_proj_bias.detach().numpy().any()
    assert not attention.out_proj.bias.detach().numpy().any()
    assert attention.bias_k.detach().numpy().std() > 0.1
    separate = layer(nn.MultiheadAttention, 16, 2, kdim=8, bias=False)
    assert list(separate.state_dict()) == [
        "q_proj_weight",
        "k_proj_weight",
        "v_proj_weight",
        "out_proj.weight",
    ]


# ---- transformers ------------------------------------------------------------------------------


def test_the_future_does_not_matter() -> None:
    decoder = nn.TransformerDecoder(layer(nn.TransformerDecoderLayer, 4, 2, 8, 0.0), 2)
    memory, x = ramp(3, 1, 4), ramp(5, 1, 4)
    mask = nn.Transformer.generate_square_subsequent_mask(5, dtype=gg.float64)
    assert mask.tolist()[1] == [0, 0, *[-float("inf")] * 3]
    whole = decoder(x, memory, mask)
    for length in (1, 3):
        short = nn.Transformer.generate_square_subsequent_mask(length, dtype=gg.float64)
        part = decoder(x[:length], memory, short)
        np.testing.assert_allclose(
            part.detach().numpy(), whole[:length].detach().numpy(), rtol=1e-12, atol=1e-14
        )


@pytest.mark.parametrize("norm_first", [False, True])
def test_what_is_not_plain_is_called(norm_first: bool) -> None:
    """Fused kernels stand in for plain LayerNorm, Linear and activation only: others are called,
    and hooks see what passes. The result is the same."""
    encoder = layer(nn.TransformerEncoderLayer, 4, 2, 8, 0.0, "gelu", norm_first=norm_first)
    x = ramp(3, 2, 4)
    fused = encoder(x)
    seen = []
    for part in (encoder.norm1, encoder.norm2, encoder.linear1):
        part.register_forward_hook(lambda module, args, y: seen.append(type(module).__name__))
    encoder.activation = lambda x: F.gelu(x)
    plain = encoder(x)
    assert sorted(seen) == ["LayerNorm", "LayerNorm", "Linear"]
    np.testing.assert_allclose(plain.detach().numpy(), fused.detach().numpy(), rtol=1e-12)
    encoder.norm2 = nn.Identity()
    assert encoder(x).shape == x.shape


def test_stacks_have_parameters_of_their_own() -> None:
    single = layer(nn.TransformerEncoderLayer, 4, 2, 8)
    encoder = nn.TransformerEncoder(single, 3, nn.LayerNorm(4, dtype=gg.float64))
    first, second = (encoder.layers[i].linear1.weight for i in (0, 1))
    assert first is not second and gg.equal(first, second)
    assert len(list(encoder.parameters())) == 3 * len(list(single.parameters())) + 2
    assert encoder.state_dict().keys() >= {"layers.2.self_attn.in_proj_weight", "norm.bias"}


def test_whole_transformer() -> None:
    model = layer(nn.Transformer, 8, 2, 1, 1, 16, batch_first=True)
    y = model(ramp(2, 5, 8), ramp(2, 3, 8))
    assert y.shape == (2, 3, 8)
    bound = np.sqrt(6 / (8 + 16))
    weight = model.encoder.layers[0].linear1.weight.detach().numpy()
    assert 0.9 * bound < np.abs(weight).max() <= bound
    model.eval()
    assert gg.equal(model(ramp(2, 5, 8), ramp(2, 3, 8)), model(ramp(2, 5, 8), ramp(2, 3, 8)))
    own = nn.Transformer(8, 2, custom_encoder=nn.Identity(), num_decoder_layers=1)
    assert isinstance(own.encoder, nn.Identity)


# ---- errors ------------------------------------------------------------------------------------

MHA, X = nn.MultiheadAttention(8, 2, batch_first=True), gg.zeros(3, 5, 8)
CAUSAL = nn.Transformer.generate_square_subsequent_mask(5)

REFUSED: dict[str, tuple[Callable[[], Any], type[GpugradError], str]] = {
    "heads": (
        lambda: nn.MultiheadAttention(8, 3),
        ArgumentError,
        "MultiheadAttention: embed_dim=8 must be a positive multiple of num_heads=3.",
    ),
    "features": (
        lambda: MHA(gg.zeros(3, 5, 6), X, X),
        ShapeError,
        "multi_head_attention: query must have 8 features, its last axis; query (3, 5, 6), key (3, "
        "5, 8), value (3, 5, 8).",
    ),
    "features of keys": (
        lambda: nn.MultiheadAttention(8, 2, kdim=4, batch_first=True)(X, X, X),
        ShapeError,
        "multi_head_attention: key must have 4 features, its last axis",
    ),
    "rank": (
        lambda: MHA(X, X[0], X[0]),
        ShapeError,
        "multi_head_attention: query, key and value must be [batch, length, embed_dim], or all "
        "[length, embed_dim] without a batch; got query (3, 5, 8), key (5, 8), value (5, 8).",
    ),
    "number of values": (
        lambda: MHA(X, X, X[:, :4]),
        ShapeError,
        "multi_head_attention: key and value must be as many",
    ),
    "batch": (
        lambda: nn.MultiheadAttention(8, 2)(gg.zeros(5, 3, 8), X, X),
        ShapeError,
        "multi_head_attention: query and key, which are [length, batch, embed_dim], must have one "
        "batch size; got query (5, 3, 8), key (3, 5, 8), value (3, 5, 8).\n  The layer has "
        "batch_first=False.",
    ),
    "padding mask": (
        lambda: MHA(X, X, X, gg.zeros(5, 3, dtype=gg.bool)),
        ShapeError,
        "multi_head_attention: key_padding_mask must be [batch, keys] = (3, 5); got (5, 3).",
    ),
    "token mask": (
        lambda: MHA(X, X, X, gg.ones(3, 5, dtype=gg.int64)),
        DTypeError,
        "multi_head_attention: key_padding_mask must be bool (True hides the key) or floating; got "
        "(3, 5) int64 on cpu.\n  An attention_mask of 1 for tokens and 0 for padding becomes one "
        "by mask == 0.",
    ),
    "attention mask": (
        lambda: MHA(X, X, X, attn_mask=gg.zeros(4, 5)),
        ShapeError,
        "multi_head_attention: attn_mask must be [queries, keys] = (5, 5) or [batch heads, "
        "queries, keys] = (6, 5, 5); got (4, 5).",
    ),
    "causal without a mask": (
        lambda: MHA(X, X, X, is_causal=True, need_weights=False),
        ArgumentError,
        "multi_head_attention: is_causal=True says that attn_mask is the causal mask; pass it, too",
    ),
    "activation": (
        lambda: nn.TransformerEncoderLayer(8, 2, activation="silu"),
        ArgumentError,
        "TransformerEncoderLayer: activation must be relu, gelu or a function, not 'silu'.",
    ),
    "layers": (
        lambda: nn.TransformerEncoder(nn.Identity(), 0),
        ArgumentError,
        "TransformerEncoder: num_layers must be at least 1, got 0.",
    ),
    "batches": (
        lambda: nn.Transformer(8, 2, 1, 1)(gg.zeros(5, 3, 8), gg.zeros(5, 2, 8)),
        ShapeError,
        "Transformer: src and tgt must have one batch size, axis 1 (batch_first=False); got src "
        "(5, 3, 8), tgt (5, 2, 8).",
    ),
    "width": (
        lambda: nn.Transformer(8, 2, 1, 1)(gg.zeros(5, 3, 4), gg.zeros(5, 3, 8)),
        ShapeError,
        "Transformer: src and tgt must have d_model=8 features; got src (5, 3, 4), tgt (5, 3, 8).",
    ),
    "mask of scores": (
        lambda: F.scaled_dot_product_attention(X, X, X, gg.zeros(3, 5)),
        ShapeError,
        "attn_mask (3, 5) does not broadcast to (3, 5, 5), a score for each query and key",
    ),
    "mask and causal": (
        lambda: F.scaled_dot_product_attention(X, X, X, CAUSAL, is_causal=True),
        ArgumentError,
        "scaled_dot_product_attention: attn_mask and is_causal=True exclude each other.",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    call, kind, text = REFUSED[name]
    with pytest.raises(kind, match=re.escape(text)):
        call()
