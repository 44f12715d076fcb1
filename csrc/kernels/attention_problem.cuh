// What an attention kernel is told, and which pairs of query and key it has to do with.
//
// attention.cu makes the problem from arrays; all attention kernels take it. Rows i and keys j are
// indices along the whole axes M and N, also where sequences are packed: a query sees one interval
// of keys, a key is seen by one interval of queries, and both ends of either never fall as the row
// rises. So a tile of rows first .. last has to visit [begin(first), end(last)), and sees a tile of
// columns whole where that lies in [begin(last), end(first)): windows, causality and lengths need
// no other code. Packed sequences need tiles of their own, and no length is known to the host.
#pragma once

#include "core/array.h"
#include "core/philox.h"
#include "device/device.h"

namespace gg {

/// [batch, head, row, column]; strides in elements.
struct AttentionTensor {
  void* data;
  int64_t batch, head, row, column;
  bool vector;  ///< rows are contiguous and all start at multiples of 16 bytes

  GG_HD int64_t offset(int64_t b, int64_t h, int64_t i) const {
    return b * batch + h * head + i * row;
  }
};

/// Added to the scores, or where a bool false hides the key; data is null where there is none.
/// dbias uses it too, of the accumulation dtype.
struct AttentionBias {
  void* data;
  DType dtype;
  int64_t batch, head, row, column;

  GG_HD int64_t offset(int64_t b, int64_t h, int64_t i, int64_t j) const {
    return b * batch + h * head + i * row + j * column;
  }
};

struct AttentionDropout {
  const int64_t* state;  ///< null: no dropout
  int64_t call;
  uint32_t threshold;  ///< an element is kept where its word >> 8 is not below
  double factor;       ///< of those kept: 1 / (1 - p)
};

struct AttentionProblem {
  AttentionTensor q, k, v, o;            ///< q, o [B, H, M, D]; k, v [B, G, N, D]
  AttentionTensor d_o, dq, dk, dv;       ///< of the gradient
  AttentionTensor lse;                   ///< [B, H, M], of the accumulation dtype
  AttentionBias bias, dbias;             ///< [B, H, M, N]
  void* delta;                           ///< rowsum(dO o), contiguous [B, H, M], accumulation dtype
  const int32_t *q_offsets, *k_offsets;  ///< [sequences + 1] each, contiguous; null: not packed
  const int32_t* k_lengths;              ///< or null
  int64_t lengths_stride;
  AttentionDropout dropout;
  double scale;
  int64_t left, right;                      ///< -1 or at most 2^32
  int64_t batch, heads, groups, per_group;  ///< per_group = heads / groups
  int m, n, d, sequences;
  bool align_end;
  DType dtype;  ///< of q, k, v, o
};

struct Interval {
  int begin, end;  ///< none where end <= begin
};

/// One sequence's rows of q and of k (those that may be seen).
struct AttentionSequence {
  int64_t q_begin, q_end, k_begin, k_end;

  static __device__ __forceinline__ int64_t clamp(int64_t x, int64_t low, int64_t high) {
    return x < low ? low : x > high ? high : x;
  }
  /// Of i - shift = j: what is added to a query's index to get the key's.
  static __device__ __forceinline__ int64_t shift(const AttentionProblem& p,
                                                  const AttentionSequence& s) {
    return s.k_begin - s.q_begin +
           (p.align_end ? (s.k_end - s.k_begin) - (s.q_end - s.q_begin) : 0);
  }
};

/// The sequence that `row` belongs to, by the offsets of its own axis.
GG_DEVICE AttentionSequence attention_sequence(const AttentionProblem& p, int64_t b, int row,
                                               const int32_t* offsets) {
  if (!offsets) {
    const int64_t keys =
        p.k_lengths ? AttentionSequence::clamp(p.k_lengths[b * p.lengths_stride], 0, p.n) : p.n;
    return {0, p.m, 0, keys};
  }
  int low = 0, high = p.sequences;  // the last sequence that begins at or before the row
  while (high - low > 1) {
    const int middle = low + (high - low) / 2;
    (offsets[middle] <= row ? low : high) = middle;
  }
  AttentionSequence s;  // never beyond the arrays, whatever the offsets hold
  s.q_begin = AttentionSequence::clamp(p.q_offsets[low], 0, p.m);
  s.q_end = AttentionSequence::clamp(p.q_offsets[low + 1], s.q_begin, p.m);
  s.k_begin = AttentionSequence::clamp(p.k_offsets[low], 0, p.n);
  s.k_end = AttentionSequence::clamp(p.k_offsets[low + 1], s.k_begin, p.n);
  return s;
}

/// The keys that query i of sample b may see, a bool bias aside.
GG_DEVICE Interval keys_seen(const AttentionProblem& p, int64_t b, int i) {
  const AttentionSequence s = attention_sequence(p, b, i, p.q_offsets);
  const int64_t at = i + AttentionSequence::shift(p, s);
  const int64_t begin = p.left < 0 ? s.k_begin : at - p.left;
  const int64_t end = p.right < 0 ? s.k_end : at + p.right + 1;
  return {static_cast<int>(AttentionSequence::clamp(begin, s.k_begin, s.k_end)),
          static_cast<int>(AttentionSequence::clamp(end, s.k_begin, s.k_end))};
}

/// The queries that may see key j of sample b; the converse of keys_seen.
GG_DEVICE Interval queries_seeing(const AttentionProblem& p, int64_t b, int j) {
  const AttentionSequence s = attention_sequence(p, b, j, p.k_offsets);
  if (j >= s.k_end) return {static_cast<int>(s.q_end), static_cast<int>(s.q_end)};  // padding
  const int64_t at = j - AttentionSequence::shift(p, s);
  const int64_t begin = p.right < 0 ? s.q_begin : at - p.right;
  const int64_t end = p.left < 0 ? s.q_end : at + p.left + 1;
  return {static_cast<int>(AttentionSequence::clamp(begin, s.q_begin, s.q_end)),
          static_cast<int>(AttentionSequence::clamp(end, s.q_begin, s.q_end))};
}

// ---- tiles of rows -----------------------------------------------------------------------------

/// How many tiles of `height` the rows of a head make: all queries, or all keys. Where sequences
/// are packed, one more for each: only the device knows their lengths. So many may have no rows.
inline int64_t row_tiles(const AttentionProblem& p, int64_t rows, int height) {
  return p.q_offsets ? rows / height + p.sequences : (rows + height - 1) / height;
}

/// The rows of a tile, of k (by_keys) or of q: begin <= row < end.
///
/// Packed, they are of one sequence alone, and so are then the columns they see: a product adds all
/// columns of a tile to each of its rows, and 0 NaN is NaN, so that one sequence would reach its
/// neighbour's results. The tiles of the sequence that begins at row b have the numbers from
/// b / height + (its own number) on: enough for its rows, and those left over have none.
GG_DEVICE Interval rows_of_tile(const AttentionProblem& p, bool by_keys, int tile, int height) {
  const int rows = by_keys ? p.n : p.m;
  if (!p.q_offsets) return {tile * height, rows};
  const int32_t* const offsets = by_keys ? p.k_offsets : p.q_offsets;
  const auto begin = [&](int sequence) {  // all rows belong to one, as in attention_sequence
    if (sequence == 0) return int64_t{0};
    return sequence == p.sequences ? rows : AttentionSequence::clamp(offsets[sequence], 0, rows);
  };
  const auto first_tile = [&](int sequence) { return begin(sequence) / height + sequence; };
  int low = 0, high = p.sequences;
  while (high - low > 1) {
    const int middle = low + (high - low) / 2;
    (first_tile(middle) <= tile ? low : high) = middle;
  }
  const int64_t end = begin(low + 1), first = begin(low) + (tile - first_tile(low)) * height;
  return {static_cast<int>(first < end ? first : end), static_cast<int>(end)};
}

/// The column that a walk over columns seen from `begin` on starts with: a multiple of a tile's
/// `width`, but where sequences are packed none of another's.
GG_DEVICE int first_column(const AttentionProblem& p, int begin, int width) {
  return p.q_offsets ? begin : begin / width * width;
}

template <class A>
GG_DEVICE A minus_infinity() {
  return static_cast<A>(-__builtin_huge_val());
}

/// scale q k^T with the bias at `offset` added; -infinity where a bool hides the key. A is float
/// or double. There is a bias.
template <class A>
GG_DEVICE A biased(const AttentionBias& bias, int64_t offset, A score) {
  if (bias.dtype == DType::boolean) {
    return static_cast<const uint8_t*>(bias.data)[offset] ? score : minus_infinity<A>();
  }
  if constexpr (std::is_same_v<A, double>) {
    return score + static_cast<const double*>(bias.data)[offset];
  } else {
    if (bias.dtype == DType::f16) {
      return score + to_float(static_cast<const f16*>(bias.data)[offset]);
    }
    if (bias.dtype == DType::bf16) {
      return score + to_float(static_cast<const bf16*>(bias.data)[offset]);
    }
    return score + static_cast<const float*>(bias.data)[offset];
  }
}

/// Number of element (b, h, i, j) in the draw of the dropout.
GG_DEVICE uint64_t dropout_element(const AttentionProblem& p, int64_t b, int64_t h, int i, int j) {
  const uint64_t row = static_cast<uint64_t>((b * p.heads + h) * p.m + i);
  return row * static_cast<uint64_t>(p.n) + static_cast<uint64_t>(j);
}

/// Which of elements first .. first + 3 the dropout keeps, the first in bit 0. One draw where
/// first is a multiple of four, else two.
GG_DEVICE unsigned dropout_keeps4(PhiloxStream stream, uint32_t threshold, uint64_t first) {
  const int skip = static_cast<int>(first % 4);
  unsigned bits = 0;
  for (int half = 0; half < (skip ? 2 : 1); half++) {
    const PhiloxWords words = philox(stream, first / 4 + half);
#pragma unroll
    for (int i = 0; i < 4; i++) bits |= (words.w[i] >> 8 >= threshold ? 1u : 0u) << (4 * half + i);
  }
  return bits >> skip & 15u;
}

}  // namespace gg
