"""What PyTorch refuses, gpugrad refuses too: the same call raises in both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as TF

import gpugrad as gg
import gpugrad.nn.functional as F

# Each takes (library, functional) and must raise with both.
REFUSED: dict[str, Callable[[Any, Any], Any]] = {
    "matmul_inner": lambda t, f: t.zeros(2, 3) @ t.zeros(4, 5),
    "matmul_scalar": lambda t, f: t.zeros(()) @ t.zeros(3),
    "matmul_batch": lambda t, f: t.zeros(2, 3, 4) @ t.zeros(3, 4, 5),
    "matmul_dtype": lambda t, f: t.zeros(2, 3) @ t.zeros(3, 2, dtype=t.float64),
    "bmm_rank": lambda t, f: t.bmm(t.zeros(2, 3), t.zeros(3, 2)),
    "add_shapes": lambda t, f: t.zeros(2, 3) + t.zeros(2, 4),
    "where_shapes": lambda t, f: t.where(t.zeros(2) > 0, t.zeros(3), t.zeros(3)),
    "reshape_size": lambda t, f: t.zeros(2, 3).reshape(4, 2),
    "reshape_two_unknown": lambda t, f: t.zeros(2, 3).reshape(-1, -1),
    "view_strides": lambda t, f: t.zeros(2, 3).t().view(6),
    "permute_count": lambda t, f: t.zeros(2, 3).permute(0),
    "permute_twice": lambda t, f: t.zeros(2, 3).permute(0, 0),
    "transpose_range": lambda t, f: t.zeros(2, 3).transpose(0, 2),
    "expand_size": lambda t, f: t.zeros(2, 3).expand(2, 4),
    "cat_shapes": lambda t, f: t.cat([t.zeros(2, 3), t.zeros(3, 4)], 0),
    "cat_empty": lambda t, f: t.cat([]),
    "stack_shapes": lambda t, f: t.stack([t.zeros(2), t.zeros(3)]),
    "split_sizes": lambda t, f: t.zeros(4).split([1, 2]),
    "index_range": lambda t, f: t.zeros(3)[3],
    "index_too_many": lambda t, f: t.zeros(3)[0, 0],
    "index_list_range": lambda t, f: t.zeros(3)[[0, 5]],
    "index_mask_shape": lambda t, f: t.zeros(3)[t.zeros(4) > 0],
    "sum_dim_range": lambda t, f: t.zeros(2, 3).sum(dim=2),
    "sum_dim_twice": lambda t, f: t.zeros(2, 3).sum(dim=(0, 0)),
    "mean_integer": lambda t, f: t.arange(3).mean(),
    "max_empty": lambda t, f: t.zeros(0).max(),
    "argmax_empty": lambda t, f: t.zeros(0).argmax(),
    "softmax_integer": lambda t, f: t.softmax(t.arange(3), 0),
    "softmax_dim": lambda t, f: t.softmax(t.zeros(2, 3), 2),
    "cross_entropy_batch": lambda t, f: f.cross_entropy(t.zeros(3, 4), t.zeros(2, dtype=t.int64)),
    "cross_entropy_dtype": lambda t, f: f.cross_entropy(t.zeros(3, 4), t.zeros(3)),
    "cross_entropy_label": lambda t, f: f.cross_entropy(t.zeros(2, 4), t.tensor([0, 4])),
    "cross_entropy_weight": lambda t, f: f.cross_entropy(
        t.zeros(2, 4), t.tensor([0, 1]), weight=t.zeros(3)
    ),
    "dropout_p": lambda t, f: f.dropout(t.zeros(3), 1.5),
    "linear_features": lambda t, f: f.linear(t.zeros(2, 3), t.zeros(4, 5)),
    "bce_range": lambda t, f: f.binary_cross_entropy(t.full((2,), 1.5), t.zeros(2)),
    "bce_shapes": lambda t, f: f.binary_cross_entropy(t.zeros(2, 1), t.zeros(2)),
    "conv_channels": lambda t, f: f.conv2d(t.zeros(1, 3, 5, 5), t.zeros(4, 2, 3, 3)),
    "conv_groups": lambda t, f: f.conv2d(t.zeros(1, 3, 5, 5), t.zeros(4, 1, 3, 3), groups=2),
    "conv_kernel": lambda t, f: f.conv2d(t.zeros(1, 3, 2, 5), t.zeros(4, 3, 3, 3)),
    "conv_rank": lambda t, f: f.conv2d(t.zeros(5, 5), t.zeros(4, 3, 3, 3)),
    "conv_bias": lambda t, f: f.conv2d(t.zeros(1, 3, 5, 5), t.zeros(4, 3, 3, 3), t.zeros(3)),
    "conv_padding": lambda t, f: f.conv2d(t.zeros(1, 3, 5, 5), t.zeros(4, 3, 3, 3), padding=-1),
    "conv_stride": lambda t, f: f.conv2d(t.zeros(1, 3, 5, 5), t.zeros(4, 3, 3, 3), stride=0),
    "conv_same": lambda t, f: f.conv2d(
        t.zeros(1, 3, 5, 5), t.zeros(4, 3, 3, 3), stride=2, padding="same"
    ),
    "conv_dtype": lambda t, f: f.conv2d(t.zeros(1, 3, 5, 5), t.zeros(4, 3, 3, 3).double()),
    "conv_transpose_output": lambda t, f: f.conv_transpose2d(
        t.zeros(1, 3, 5, 5), t.zeros(3, 4, 3, 3), output_padding=1
    ),
    "unpool_size": lambda t, f: f.max_unpool2d(
        t.zeros(1, 1, 2, 2), t.zeros(1, 1, 2, 2, dtype=t.int64), 2, output_size=(8, 4)
    ),
    "pad_odd": lambda t, f: f.pad(t.zeros(2, 3), (1,)),
    "pad_reflect": lambda t, f: f.pad(t.zeros(2, 3, 4), (4, 0), mode="reflect"),
    "channels_last_rank": lambda t, f: t.zeros(2, 3).to(memory_format=t.channels_last),
    "einsum_terms": lambda t, f: t.einsum("ij,jk", t.zeros(2, 3)),
    "einsum_lengths": lambda t, f: t.einsum("ij,ij", t.zeros(2, 3), t.zeros(3, 3)),
    "einsum_result": lambda t, f: t.einsum("ij->ik", t.zeros(2, 3)),
    "einsum_letter": lambda t, f: t.einsum("i1->i", t.zeros(2, 3)),
    "addmm_input": lambda t, f: t.addmm(t.zeros(3), t.zeros(2, 3), t.zeros(3, 4)),
    "baddbmm_stacks": lambda t, f: t.baddbmm(t.zeros(2, 2, 2), t.zeros(2, 2, 2), t.zeros(3, 2, 2)),
    "tensordot_lengths": lambda t, f: t.tensordot(t.zeros(2, 3), t.zeros(2, 3), 1),
    "inverse_singular": lambda t, f: t.linalg.inv(t.zeros(3, 3)),
    "inverse_shape": lambda t, f: t.linalg.inv(t.zeros(2, 3)),
    "inverse_half": lambda t, f: t.linalg.inv(t.eye(3).half()),
    "inverse_integer": lambda t, f: t.linalg.inv(t.ones(2, 2, dtype=t.int64)),
    "solve_singular": lambda t, f: t.linalg.solve(t.zeros(2, 2), t.zeros(2, 1)),
    "cholesky_indefinite": lambda t, f: t.linalg.cholesky(-t.eye(3)),
    "lu_factor_singular": lambda t, f: t.linalg.lu_factor(t.zeros(2, 2)),
    "svd_nan": lambda t, f: t.linalg.svd(t.full((3, 3), float("nan"))),
    "qr_mode": lambda t, f: t.linalg.qr(t.eye(3), "economic"),
    "matrix_norm_ord": lambda t, f: t.linalg.matrix_norm(t.eye(3), 3),
    "vector_norm_nothing": lambda t, f: t.linalg.vector_norm(t.zeros(0), float("inf")),
    "cross_length": lambda t, f: t.linalg.cross(t.zeros(4), t.zeros(4)),
    "matrix_power_shape": lambda t, f: t.linalg.matrix_power(t.zeros(2, 3), 2),
    "multi_dot_one": lambda t, f: t.linalg.multi_dot([t.eye(3)]),
    "is_nonzero_of_many": lambda t, f: t.is_nonzero(t.zeros(2)),
    "from_dlpack_number": lambda t, f: t.from_dlpack(3),
    "backward_vector": lambda t, f: (t.zeros(3, requires_grad=True) * 2).backward(),
    "backward_no_graph": lambda t, f: t.zeros(()).backward(),
    "backward_twice": lambda t, f: backward_twice(t),
    "backward_dy_shape": lambda t, f: (t.zeros(3, requires_grad=True) * 2).backward(t.zeros(2)),
    "grad_unused": lambda t, f: t.autograd.grad(
        t.ones(2, requires_grad=True).sum(), t.ones(2, requires_grad=True)
    ),
    "leaf_in_place": lambda t, f: t.zeros(3, requires_grad=True).add_(1),
    "saved_in_place": lambda t, f: saved_in_place(t),
    "integer_requires_grad": lambda t, f: t.arange(3).requires_grad_(),
    "numpy_of_grad": lambda t, f: t.zeros(3, requires_grad=True).numpy(),
    "item_of_many": lambda t, f: t.zeros(3).item(),
    "interpolate_neither": lambda t, f: f.interpolate(t.zeros(1, 2, 4, 4)),
    "interpolate_both": lambda t, f: f.interpolate(t.zeros(1, 2, 4, 4), 3, 2),
    "interpolate_rank": lambda t, f: f.interpolate(t.zeros(2, 4, 4), 3, mode="bilinear"),
    "interpolate_mode": lambda t, f: f.interpolate(t.zeros(1, 2, 4, 4), 3, mode="cubic"),
    "interpolate_align": lambda t, f: f.interpolate(t.zeros(1, 2, 4, 4), 3, align_corners=True),
    "interpolate_antialias": lambda t, f: f.interpolate(t.zeros(1, 2, 4, 4), 3, antialias=True),
    "interpolate_sizes": lambda t, f: f.interpolate(t.zeros(1, 2, 4, 4), (3, 3, 3)),
    "interpolate_nothing": lambda t, f: f.interpolate(t.zeros(1, 2, 4, 4), scale_factor=0.1),
    "pixel_shuffle_channels": lambda t, f: f.pixel_shuffle(t.zeros(1, 6, 2, 2), 2),
    "pixel_shuffle_rank": lambda t, f: f.pixel_shuffle(t.zeros(4, 2), 2),
    "pixel_unshuffle_size": lambda t, f: f.pixel_unshuffle(t.zeros(1, 2, 3, 4), 2),
    "unfold_rank": lambda t, f: f.unfold(t.zeros(2, 3), 2),
    "unfold_kernel": lambda t, f: f.unfold(t.zeros(1, 2, 3, 3), 4),
    "fold_rows": lambda t, f: f.fold(t.zeros(1, 6, 4), (4, 4), 2, stride=2),
    "fold_columns": lambda t, f: f.fold(t.zeros(1, 8, 5), (4, 4), 2, stride=2),
    "grid_sample_grid": lambda t, f: f.grid_sample(
        t.zeros(1, 2, 4, 4), t.zeros(1, 3, 3, 3), align_corners=False
    ),
    "grid_sample_batch": lambda t, f: f.grid_sample(
        t.zeros(1, 2, 4, 4), t.zeros(2, 3, 3, 2), align_corners=False
    ),
    "grid_sample_mode": lambda t, f: f.grid_sample(
        t.zeros(1, 2, 4, 4), t.zeros(1, 3, 3, 2), "linear", align_corners=False
    ),
    "affine_grid_theta": lambda t, f: f.affine_grid(t.zeros(2, 2, 2), (2, 3, 4, 4), False),
    "bool_of_many": lambda t, f: bool(t.zeros(3)),
    "len_of_scalar": lambda t, f: len(t.zeros(())),
    "squeeze_range": lambda t, f: t.zeros(3).squeeze(2),
    "integer_negative_pow": lambda t, f: t.arange(1, 3) ** -1,
    "float_bitwise": lambda t, f: t.bitwise_and(t.zeros(3), t.zeros(3)),
    "bool_neg": lambda t, f: -(t.zeros(3) > 0),
    "bool_sub": lambda t, f: (t.zeros(3) > 0) - (t.zeros(3) > 0),
    "batch_norm_one_value": lambda t, f: f.batch_norm(t.zeros(1, 3), None, None, training=True),
    "batch_norm_untracked": lambda t, f: f.batch_norm(t.zeros(2, 3), None, None),
    "batch_norm_channels": lambda t, f: f.batch_norm(t.zeros(2, 3), t.zeros(4), t.zeros(4)),
    "batch_norm_weight": lambda t, f: f.batch_norm(
        t.zeros(2, 3), t.zeros(3), t.zeros(3), t.ones(4)
    ),
    "layer_norm_shape": lambda t, f: f.layer_norm(t.zeros(2, 3), (2,)),
    "layer_norm_weight": lambda t, f: f.layer_norm(t.zeros(2, 3), (3,), t.zeros(2)),
    "layer_norm_of_nothing": lambda t, f: f.layer_norm(t.zeros(2, 3), ()),
    "rms_norm_shape": lambda t, f: f.rms_norm(t.zeros(2, 3), (2, 2)),
    "group_norm_groups": lambda t, f: f.group_norm(t.zeros(2, 4), 3),
    "group_norm_one_value": lambda t, f: f.group_norm(t.zeros(1, 2), 2),
    "group_norm_rank": lambda t, f: f.group_norm(t.zeros(4), 2),
    "instance_norm_one_position": lambda t, f: f.instance_norm(t.zeros(2, 3, 1)),
    "local_response_norm_rank": lambda t, f: f.local_response_norm(t.zeros(2, 3), 2),
    "embedding_index": lambda t, f: f.embedding(t.tensor([3]), t.zeros(3, 2)),
    "embedding_floats": lambda t, f: f.embedding(t.zeros(3), t.zeros(3, 2)),
    "embedding_table": lambda t, f: f.embedding(t.tensor([0]), t.zeros(3)),
    "embedding_bag_offsets": lambda t, f: f.embedding_bag(t.tensor([0]), t.zeros(3, 2)),
    "embedding_bag_first": lambda t, f: f.embedding_bag(
        t.tensor([0, 1]), t.zeros(3, 2), t.tensor([1])
    ),
    "embedding_bag_weights": lambda t, f: f.embedding_bag(
        t.tensor([[0]]), t.zeros(3, 2), per_sample_weights=t.ones(1, 1)
    ),
    "lstm_input": lambda t, f: t.nn.LSTM(4, 3)(t.zeros(5, 2, 3)),
    "lstm_state": lambda t, f: t.nn.LSTM(4, 3)(
        t.zeros(5, 2, 4), (t.zeros(1, 5, 3), t.zeros(1, 5, 3))
    ),
    "lstm_projection": lambda t, f: t.nn.LSTM(4, 3, proj_size=3),
    "gru_dtype": lambda t, f: t.nn.GRU(4, 3)(t.zeros(5, 2, 4).double()),
    "rnn_nonlinearity": lambda t, f: t.nn.RNN(4, 3, nonlinearity="gelu"),
    "gru_cell_input": lambda t, f: t.nn.GRUCell(4, 3)(t.zeros(2, 3)),
    "pack_order": lambda t, f: t.nn.utils.rnn.pack_padded_sequence(t.zeros(5, 2, 4), [3, 5]),
    "pack_length": lambda t, f: t.nn.utils.rnn.pack_padded_sequence(t.zeros(5, 2, 4), [5, 0]),
    "attention_heads": lambda t, f: t.nn.MultiheadAttention(8, 3),
    "attention_mask": lambda t, f: t.nn.MultiheadAttention(8, 2)(
        *[t.zeros(5, 2, 8)] * 3, attn_mask=t.zeros(4, 5)
    ),
    "attention_padding": lambda t, f: t.nn.MultiheadAttention(8, 2)(
        *[t.zeros(5, 2, 8)] * 3, key_padding_mask=t.zeros(5, 2)
    ),
    "attention_integer_mask": lambda t, f: t.nn.MultiheadAttention(8, 2)(
        *[t.zeros(5, 2, 8)] * 3, key_padding_mask=t.zeros(2, 5, dtype=t.int64)
    ),
    "attention_shapes": lambda t, f: f.scaled_dot_product_attention(
        t.zeros(1, 2, 3, 4), t.zeros(1, 2, 3, 5), t.zeros(1, 2, 3, 5)
    ),
    "transformer_batch": lambda t, f: t.nn.Transformer(8, 2, 1, 1, batch_first=True)(
        t.zeros(2, 5, 8), t.zeros(3, 5, 8)
    ),
}


def backward_twice(t: Any) -> None:
    y = (t.ones(3, requires_grad=True) ** 2).sum()
    y.backward()
    y.backward()


def saved_in_place(t: Any) -> None:
    y = (t.ones(3, requires_grad=True) * 1.0).exp()
    z = y.sum()
    y.add_(1)
    z = (y * y).sum() + z
    z.backward()


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_both(name: str) -> None:
    with pytest.raises((RuntimeError, IndexError, ValueError, TypeError, AssertionError)):
        REFUSED[name](torch, TF)
    with pytest.raises((gg.errors.GpugradError, TypeError)):
        REFUSED[name](gg, F)
