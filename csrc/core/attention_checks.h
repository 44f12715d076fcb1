// Checks of the arguments of attention and its gradient, the same for every module. Host only.
#pragma once

#include "core/checks.h"
#include "ops/attention.h"

namespace gg {

constexpr int64_t kMaxHeadSize = 256;
constexpr int64_t kMaxAttentionAxis = int64_t{1} << 30;  // so that ends of tiles fit 32 bits

inline void check_attention_inputs(const char* op, const Array& q, const Array& k, const Array& v) {
  check_floating(op, "q", q);
  check_same_dtype(op, "q", q, "k", k);
  check_same_dtype(op, "q", q, "v", v);
  GG_CHECK(q.ndim == 4 && k.ndim == 4 && v.ndim == 4, op,
           "q must be [B, H, M, D], k and v [B, G, N, D], got q ", q, ", k ", k, ", v ", v);
  check_same_shape(op, "k", k, "v", v);
  GG_CHECK(q.shape[0] == k.shape[0] && q.shape[3] == k.shape[3], op,
           "q, k and v must agree in batch (axis 0) and head size (axis 3), got q ", q, ", k ", k);
  const int64_t heads = q.shape[1], groups = k.shape[1], size = q.shape[3];
  GG_CHECK(groups > 0 ? heads % groups == 0 : heads == 0, op, "the ", groups,
           " heads of k and v must divide the ", heads, " heads of q, got q ", q, ", k ", k,
           "; repeat or merge heads of k and v");
  GG_CHECK(size >= 1 && size <= kMaxHeadSize, op, "head size must be from 1 to ", kMaxHeadSize,
           ", got ", size, " (q ", q, "); use more heads of a smaller size");
  for (int axis = 0; axis < 4; axis++) {
    GG_CHECK(q.shape[axis] <= kMaxAttentionAxis && k.shape[axis] <= kMaxAttentionAxis, op,
             "an axis must be at most 2^30, got q ", q, ", k ", k);
  }
}

inline void check_attention_offsets(const char* op, const Array& q, const Array& k,
                                    const AttentionOptions& options) {
  const Array &queries = options.q_offsets, &keys = options.k_offsets;
  GG_CHECK(bool(queries) == bool(keys), op,
           "q_offsets and k_offsets must be given both or neither, got ", queries, " and ", keys);
  if (!queries) return;
  GG_CHECK(!options.k_lengths, op,
           "k_lengths must be none where offsets are given: the offsets say how long each sequence "
           "is, got k_lengths ",
           options.k_lengths);
  check_dtype(op, "q_offsets", queries, DType::i32);
  check_dtype(op, "k_offsets", keys, DType::i32);
  GG_CHECK(queries.ndim == 1 && queries.shape[0] >= 1 && same_shape(queries, keys), op,
           "q_offsets and k_offsets must both be [S + 1] for S sequences, got ", queries, " and ",
           keys);
  check_contiguous(op, "q_offsets", queries);
  check_contiguous(op, "k_offsets", keys);
  GG_CHECK(q.shape[0] == 1, op, "packed sequences lie along one sample: B must be 1, got q ", q);
  GG_CHECK(queries.shape[0] > 1 || (q.shape[2] == 0 && k.shape[2] == 0), op,
           "offsets of no sequence need M and N of 0, got q ", q, ", k ", k);
}

/// The bias has the scores' shape [B, H, M, N], or broadcasts to it.
inline void check_attention_bias(const char* op, const Array& q, const Array& k,
                                 const Array& bias) {
  if (!bias) return;
  const DType sums = accumulation(q.dtype);
  GG_CHECK(bias.dtype == DType::boolean || bias.dtype == q.dtype || bias.dtype == sums, op,
           "bias must be bool, ", q.dtype, " or ", sums, ", as q ", q, ", got ", bias);
  const Array scores{nullptr, sums, 4, {q.shape[0], q.shape[1], q.shape[2], k.shape[2]}, {}};
  GG_CHECK(broadcasts_to(bias, scores), op, "bias ", bias,
           " does not broadcast to the scores [B, H, M, N] = ", shape_text(scores), " of q ", q,
           " and k ", k);
}

inline void check_attention_options(const char* op, const Array& q, const Array& k,
                                    const AttentionOptions& options) {
  check_attention_bias(op, q, k, options.bias);
  check_attention_offsets(op, q, k, options);
  if (options.k_lengths) {
    check_dtype(op, "k_lengths", options.k_lengths, DType::i32);
    check_shape(op, "k_lengths", options.k_lengths, {q.shape[0]});
  }
  GG_CHECK(options.left >= -1 && options.right >= -1, op,
           "a window's sides must be -1 (no bound) or more, got left ", options.left, ", right ",
           options.right);
  GG_CHECK(options.dropout >= 0 && options.dropout <= 1, op, "dropout must be in [0, 1], got ",
           options.dropout);
  if (options.dropout == 0) return;
  GG_CHECK(options.state, op, "dropout ", options.dropout,
           " needs the state of a generator, got none");
  check_dtype(op, "state", options.state, DType::i64);
  check_shape(op, "state", options.state, {2});
  check_contiguous(op, "state", options.state);
}

/// `name` has q's dtype and the shape of `like`.
inline void check_attention_like(const char* op, const char* name, const Array& a,
                                 const char* like_name, const Array& like) {
  check_same_dtype(op, like_name, like, name, a);
  check_same_shape(op, like_name, like, name, a);
}

inline void check_attention_lse(const char* op, const Array& q, const Array& lse) {
  check_dtype(op, "lse", lse, accumulation(q.dtype));
  check_shape(op, "lse", lse, {q.shape[0], q.shape[1], q.shape[2]});
}

/// Throws std::invalid_argument where the arguments break the contract of `attention`.
inline void check_attention(const Array& q, const Array& k, const Array& v,
                            const AttentionOptions& options, const Array& o, const Array& lse) {
  const char* const op = "attention";
  check_attention_inputs(op, q, k, v);
  check_attention_options(op, q, k, options);
  check_attention_like(op, "o", o, "q", q);
  check_attention_lse(op, q, lse);
}

/// Of attention_grad.
struct AttentionGradients {
  const Array &dq, &dk, &dv, &dbias;
};

/// Throws std::invalid_argument where the arguments break the contract of `attention_grad`.
inline void check_attention_grad(const Array& d_o, const Array& q, const Array& k, const Array& v,
                                 const Array& o, const Array& lse, const AttentionOptions& options,
                                 const AttentionGradients& gradients) {
  const char* const op = "attention_grad";
  check_attention_inputs(op, q, k, v);
  check_attention_options(op, q, k, options);
  check_attention_like(op, "d_o", d_o, "q", q);
  check_attention_like(op, "o", o, "q", q);
  check_attention_lse(op, q, lse);
  check_attention_like(op, "dq", gradients.dq, "q", q);
  check_attention_like(op, "dk", gradients.dk, "k", k);
  check_attention_like(op, "dv", gradients.dv, "v", v);
  if (!gradients.dbias) return;
  check_dtype(op, "dbias", gradients.dbias, accumulation(q.dtype));
  check_shape(op, "dbias", gradients.dbias, {q.shape[0], q.shape[1], q.shape[2], k.shape[2]});
}

}  // namespace gg
