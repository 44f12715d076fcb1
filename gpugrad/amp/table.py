"""What runs in which dtype inside an `autocast` region.

The lists are those of PyTorch's autocast on CUDA; here they hold on every device. A name is that of
the public function; methods, operators and layers come to the same functions. float64 and
integers are never cast, and what is not listed computes in the dtype that it is given.
"""

from __future__ import annotations

LOWER = """
    matmul linear addmm addmv addr addbmm baddbmm einsum bilinear
    conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d
    attention linear_cross_entropy prelu
    lstm gru rnn_tanh rnn_relu
"""
"""The region's dtype: products, which tensor cores compute in half types with float32 sums. Through
matmul also mm, bmm, mv, dot, chain_matmul, multi_dot, tensordot; through attention
scaled_dot_product_attention and MultiheadAttention; the recurrent cells as their networks. The loss
of linear_cross_entropy is float32 all the same. (PyTorch gives dot, bilinear and tensordot the
widest dtype.)"""

FLOAT32 = """
    exp expm1 log log2 log10 log1p pow reciprocal rsqrt acos asin cosh sinh tan erfinv softplus
    sum prod cumsum cumprod logsumexp softmax log_softmax
    norm vector_norm matrix_norm dist cdist pdist renorm cosine_similarity pairwise_distance
    layer_norm rms_norm group_norm add_layer_norm add_rms_norm
    cross_entropy nll_loss mse_loss l1_loss smooth_l1_loss huber_loss kl_div
    binary_cross_entropy binary_cross_entropy_with_logits poisson_nll_loss ctc_loss
    hinge_embedding_loss cosine_embedding_loss margin_ranking_loss soft_margin_loss
    multi_margin_loss multilabel_margin_loss multilabel_soft_margin_loss
    triplet_margin_loss triplet_margin_with_distance_loss
    interpolate
"""
"""float32: what leaves a half type's range (exp, pow, sums) or needs its digits (norms, losses).
(PyTorch refuses binary_cross_entropy on CUDA, as probabilities in float16 have too few digits near
1: take binary_cross_entropy_with_logits.)"""

WIDEST = """
    grid_sample index_put scatter_add
"""
"""The widest floating dtype among the arguments, so that mixed ones are no error. Arithmetic,
comparisons, where, cat, stack, addcmul, addcdiv and atan2 promote anyway."""
