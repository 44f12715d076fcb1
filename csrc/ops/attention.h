// The kernel contract: attention. ops.h states the conventions.
#pragma once

#include "ops/types.h"

namespace gg {

// ---- attention: all three modules ----------------------------------------------------------

/// Which keys a query sees, and how. Query i and key j count within their sequence.
struct AttentionOptions {
  /// Added to the scores, of q's or the accumulation dtype; or bool, where false hides the key.
  /// [B, H, M, N] or broadcast to it by strides of 0; none.
  Array bias;
  /// int32 [S + 1] each, or none: S sequences packed one after another along M and N (B == 1);
  /// queries of sequence s see the keys of s alone, so that not even a NaN passes from one to
  /// another. Ascending from 0 to M and N.
  Array q_offsets, k_offsets;
  /// int32 [B] or none: keys from k_lengths[b] on are padding, never seen (not with offsets).
  Array k_lengths;
  /// A window: -left <= j - (i + shift) <= right; -1 is no bound; causal is right = 0. shift is 0,
  /// or, with `align_end`, (number of keys) - (number of queries) of the sequence.
  int64_t left = -1, right = -1;
  bool align_end = false;
  double scale = 1;
  /// Probability p of dropout; element ((b H + h) M + i) N + j (i and j along the whole axes) of
  /// the draw (state, call), as `dropout` has it. state is none where p is 0.
  double dropout = 0;
  Array state;
  int64_t call = 0;
};

/// o = (dropout of softmax(scale q k^T + bias, over the keys seen)) v, and
/// lse[b, h, i] = logsumexp of the scores, by online softmax: the M x N matrix is never stored.
///   q [B, H, M, D], k and v [B, G, N, D], o [B, H, M, D], any strides; G divides H: head h of q
///   meets head h / (H / G) of k and v. lse [B, H, M] in the accumulation dtype. D from 1 to 256.
///   A query that sees no key has o = 0 and lse = -infinity.
///   Scores, softmax and sums in the accumulation dtype; float16 and bfloat16 round the
///   probabilities once before they meet v. float32 products are exact, whatever `precision`.
///   4 B H M N D FLOP (half, if causal).
void attention(Stream stream, const Array& q, const Array& k, const Array& v,
               const AttentionOptions& options, MatmulPrecision precision, const Array& o,
               const Array& lse, const Array& workspace);
int64_t attention_workspace(const Array& q, const Array& k, const Array& o);

/// With p = exp(score - lse), z the dropout factor (0 or 1 / (1 - p)), dp = (dO v^T) z and
/// delta = sum over D of dO o:  ds = p (dp - delta);
///   dv = (p z)^T dO,  dk = scale ds^T q,  dq = scale ds k,  dbias = ds.
///   dbias [B, H, M, N] of the accumulation dtype (0 where hidden), or none: the only matrix that
///   is ever stored, and only where a floating bias wants its gradient.
///   Heads of q that share a head of k add in order; each gradient is formed in one block, so there
///   are no atomics. 14 B H M N D FLOP.
void attention_grad(Stream stream, const Array& d_o, const Array& q, const Array& k, const Array& v,
                    const Array& o, const Array& lse, const AttentionOptions& options,
                    MatmulPrecision precision, const Array& dq, const Array& dk, const Array& dv,
                    const Array& dbias, const Array& workspace);
int64_t attention_grad_workspace(const Array& q, const Array& k);

}  // namespace gg
