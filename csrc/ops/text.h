// The kernel contract: embedding, recurrence, rotary positions, sampling. ops.h states the
// conventions.
#pragma once

#include "ops/types.h"

namespace gg {

// ---- embedding: all three modules --------------------------------------------------------------

/// y[j..., :] = weight[index[j...], :].  weight [V, D] of any dtype; index int64, any shape J; an
///   index outside [0, V) is flagged and reads row 0. Moves each row once.
void embedding(Stream stream, const Array& weight, const Array& index, const Array& y,
               const Array& flag);

/// dweight[v, :] = sum over the j with index[j] = v, ascending, of scale[j] dy[row[j], :], divided
///   by their number where `by_count`; 0 where there are none and for v = padding (-1: no padding).
///   index int64 [T]; row int64 [T] or none (row[j] = j); scale [T] (accumulation dtype) or none;
///   dy [R, D] and dweight [V, D] of one floating dtype. An illegal index adds nothing. Positions
///   are sorted first; sums are formed in the accumulation dtype and rounded once; more than 32
///   terms of one index in slices of fixed bounds.
void embedding_grad(Stream stream, const Array& dy, const Array& index, const Array& row,
                    const Array& scale, const Array& dweight, int64_t padding, bool by_count,
                    const Array& workspace);
int64_t embedding_grad_workspace(const Array& index, const Array& dweight);

/// Each row of weight that `index` names (once, however often) and whose ord-norm n exceeds
///   max_norm becomes row * max_norm / (n + 1e-7), in place. An illegal index is flagged.
void embedding_renorm(Stream stream, const Array& weight, const Array& index, double max_norm,
                      double ord, const Array& workspace, const Array& flag);
int64_t embedding_renorm_workspace(const Array& weight, const Array& index);

/// y[b, :] = sum, mean or max over j from offsets[b] to offsets[b + 1] - 1, without those where
///   index[j] = padding, of scale[j] weight[index[j], :]; 0 for a bag of nothing.
///   index int64 [T]; offsets int64 [B + 1], ascending from 0 to T; scale [T] of weight's dtype or
///   none (sum only); y [B, D].  bag int64 [T]: the bag of j, or -1 where j does not count.
///   count int64 [B]: how many of a bag count.  winner int64 [B, D]: max's row of weight, the first
///   of equals, -1 for none (other modes: none).  An illegal index is flagged and does not count.
void embedding_bag(Stream stream, const Array& weight, const Array& index, const Array& offsets,
                   const Array& scale, Reduce mode, int64_t padding, const Array& y,
                   const Array& bag, const Array& count, const Array& winner, const Array& flag);

// ---- recurrence: all three modules -------------------------------------------------------------
//
// One layer in one direction over a whole sequence of T steps, B samples, H hidden units and
// R = H outputs, or R of a projection. Floating, one dtype, but what says otherwise. gates, y and
// their gradients have any strides with the last axis dense, so batch-first is a view. The gates of
// a cell lie side by side, G of them: rnn_tanh, rnn_relu 1; lstm 4 (i f g o); gru 3 (r z n), as
// PyTorch and cuDNN have them.

/// For t = 0 .. T - 1 (down, if `reverse`), with h the output of the step before (at first h0), c
/// the cell state of the step before (c0), u = w h + bias and a = gates[t] + u:
///   rnn:   h = tanh(a) or max(a, 0)
///   lstm:  i, f, o = sigmoid(a), g = tanh(a);  c = f c + i g;  h = o tanh(c)
///   gru:   r, z = sigmoid(a), n = tanh(gates[t] + r u);  h = (1 - z) n + z h
///   with a projection [R, H] (lstm):  h = projection (o tanh(c)).   y[t] = h.
///   gates [T, B, G H]: x W_ih^T + b_ih of all steps, a gemm of the caller's; w [G H, R]; bias [G
///   H] or none; h0 [B, R]; c0 [B, H] (lstm, else none); lengths int64 [B] or none; those
///   above T count as T. Where t >= lengths[b], y[t, b] = 0 and the states of sample b stay as they
///   are. y [T, B, R]; hn [B, R], cn [B, H] (lstm): the last states.  saved [T, B, S H],
///   accumulation dtype, or none (inference): what recurrent_grad needs: rnn S = 0 (none); lstm S =
///   5, the activated i f g o and c; gru S = 4, the activated r z n and n's u. h is rounded at each
///   step (it is y); c is carried in the accumulation dtype and rounded to cn.
void recurrent(Stream stream, Cell cell, const Array& gates, const Array& w, const Array& bias,
               const Array& projection, const Array& h0, const Array& c0, const Array& lengths,
               bool reverse, MatmulPrecision precision, const Array& y, const Array& hn,
               const Array& cn, const Array& saved, const Array& workspace);
int64_t recurrent_workspace(Cell cell, const Array& gates, const Array& w, const Array& projection,
                            const Array& saved);

/// Gradients of the above, from dy, dhn, dcn (those of y, hn, cn; each or none):
///   dgates [T, B, G H] with respect to gates, dinner [T, B, G H] to u (the same but for gru, where
///   n's part is times r; gru only, else none); dh0 [B, R]; dc0 [B, H] (lstm).
///   doutput [T, B, R]: with a projection, the whole gradient of each h[t], else none.
///   What follows is the caller's, by gemm: dx, dW_ih and db_ih from dgates; dw = sum over t of
///   dinner[t]^T h[t - 1]; dbias = sum of dinner; dprojection = sum of doutput[t]^T (o tanh(c)).
///   All gradients are 0 where t >= lengths[b].
void recurrent_grad(Stream stream, Cell cell, const Array& dy, const Array& dhn, const Array& dcn,
                    const Array& w, const Array& projection, const Array& h0, const Array& c0,
                    const Array& lengths, bool reverse, MatmulPrecision precision, const Array& y,
                    const Array& saved, const Array& dgates, const Array& dinner,
                    const Array& doutput, const Array& dh0, const Array& dc0,
                    const Array& workspace);
int64_t recurrent_grad_workspace(Cell cell, const Array& dgates, const Array& w,
                                 const Array& projection);

// ---- positions and sampling: all three modules --------------------------------------------

/// Rotates pairs of x [..., D] by angles (Su et al. 2021): with s, c = sin, cos [..., r / 2], which
///   broadcast to x's leading axes, and the pair (a, b) = (x[i], x[i + r / 2]), or
///   (x[2 i], x[2 i + 1]) where `interleaved`:  (a, b) -> (a c - b s, b c + a s); the rest of D is
///   copied. `inverse` negates s: the gradient. s and c have the accumulation dtype.
void rotary(Stream stream, const Array& x, const Array& cos, const Array& sin, bool interleaved,
            bool inverse, const Array& y);

/// y[b] int64: a draw from row b of logits [B, V], floating. With p = softmax(logits /
/// temperature):
///   the top_k most probable stay (0: all; of equals the first), of these the fewest whose p,
///   summed from the largest (of equals the first), reaches top_p of what stays; y is the first
///   index v whose sum of p over what stayed up to v exceeds u times the whole, u a 24-bit uniform,
///   element b of (state, call). temperature 0: argmax, the first of equals. NaN counts as
///   -infinity; a row of nothing else gives 0. Sums are formed in float64.
void sample(Stream stream, const Array& logits, double temperature, int64_t top_k, double top_p,
            const Array& state, int64_t call, const Array& y, const Array& workspace);
int64_t sample_workspace(const Array& logits);

}  // namespace gg
