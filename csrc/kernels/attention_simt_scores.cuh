// From products to scores, for the kernels of attention_simt.cuh: scale, bias, what is hidden, and
// what dropout keeps. Rows of a block are queries (Side::queries) or keys; columns the other.
#pragma once

#include "kernels/attention_simt.cuh"

namespace gg {

/// The columns that a row sees.
template <Side side>
GG_DEVICE Interval columns_seen(const AttentionProblem& p, int64_t b, int row) {
  return side == Side::queries ? keys_seen(p, b, row) : queries_seeing(p, b, row);
}

/// The columns that a block has to visit.
template <class Tile, Side side>
GG_DEVICE Interval visited(const AttentionProblem& p, const SimtPlace& at) {
  if (at.count <= 0) return {0, 0};
  const int begin = columns_seen<side>(p, at.b, at.first).begin;
  const int end = columns_seen<side>(p, at.b, at.first + at.count - 1).end;
  if (begin >= end) return {0, 0};
  return {first_column(p, begin, Tile::kColumns), end};
}

/// What a row sees, for rows `first` to first + count - 1 of the block; none from there to `rows`.
/// Ends with a barrier.
template <Side side>
GG_DEVICE void find_seen(const AttentionProblem& p, const SimtPlace& at, int rows, Interval* seen) {
  for (int row = threadIdx.x; row < rows; row += blockDim.x) {
    Interval columns{INT32_MAX, 0};  // nothing, and never a whole tile
    if (row < at.count) columns = columns_seen<side>(p, at.b, at.first + row);
    seen[row] = columns;
  }
  __syncthreads();
}

/// How many of a warp's rows there are, by what find_seen found: no register holds it meanwhile.
template <class Tile>
GG_DEVICE int rows_there(const Interval* seen) {
  const int row = threadIdx.x % kWarp;
  return warp_redux_max(row < Tile::kWarpRows && seen[row].begin != INT32_MAX ? row + 1 : 0);
}

/// A warp's rows and a tile's columns.
struct SimtWindow {
  int64_t b, h;          ///< h: of q
  int row, column;       ///< the first of either
  const Interval* seen;  ///< of the warp's first row
};

/// The bias of the warp's rows over a tile, into `to` (rows of Tile::kWeightPitch): neighbouring
/// lanes take neighbouring keys. What lies beyond the arrays is left as it is.
template <class Tile, Side side, class A>
GG_DEVICE void load_bias(const AttentionProblem& p, const SimtWindow& w, A* to) {
  constexpr int R = Tile::kWarpRows, C = Tile::kColumns;
  const int row_end = side == Side::queries ? p.m : p.n;
  const int column_end = side == Side::queries ? p.n : p.m;
#pragma unroll 1
  for (int e = threadIdx.x % kWarp; e < R * C; e += kWarp) {
    const int r = side == Side::queries ? e / C : e % R;
    const int c = side == Side::queries ? e % C : e / R;
    if (w.row + r >= row_end || w.column + c >= column_end) continue;
    const int i = side == Side::queries ? w.row + r : w.column + c;
    const int j = side == Side::queries ? w.column + c : w.row + r;
    to[r * Tile::kWeightPitch + c] = biased(p.bias, p.bias.offset(w.b, w.h, i, j), A(0));
  }
}

/// Products become scores: scale, bias, -infinity where hidden. `own`: the thread's first weight;
/// the warp's weights are overwritten where there is a bias.
template <class Tile, Side side, class A, int R, int C>
GG_DEVICE void form_scores(const AttentionProblem& p, const SimtWindow& w, A* warp_weights,
                           const A* own, A (&acc)[R][C]) {
  const bool bias = p.bias.data;
  if (bias) {
    __syncwarp();
    load_bias<Tile, side>(p, w, warp_weights);
    __syncwarp();
  }
  const Interval first = w.seen[0], last = w.seen[Tile::kWarpRows - 1];
  const bool whole = last.begin <= w.column && w.column + Tile::kColumns <= first.end;
  const int row = threadIdx.x % kWarp / 8, column = w.column + threadIdx.x % 8;
  const A scale = static_cast<A>(p.scale);
#pragma unroll
  for (int i = 0; i < R; i++) {
    const Interval seen = w.seen[row + 4 * i];
#pragma unroll
    for (int j = 0; j < C; j++) {
      const int at = column + 8 * j;
      A score = acc[i][j] * scale;
      if (bias) {
        const A added = own[i * 4 * Tile::kWeightPitch + 8 * j];
        score = added == minus_infinity<A>() ? added : score + added;
      }
      acc[i][j] = whole || (at >= seen.begin && at < seen.end) ? score : minus_infinity<A>();
    }
  }
}

/// Which of a tile's columns of query i dropout keeps, for this thread's C columns, the first in
/// bit 0; the tile begins at key j. The eight lanes of a row draw four neighbouring keys each.
template <int C>
GG_DEVICE unsigned kept_keys(const AttentionProblem& p, PhiloxStream stream, int64_t b, int64_t h,
                             int i, int j) {
  const int lane = threadIdx.x % 8;
  unsigned kept = 0;
#pragma unroll 1
  for (int half = 0; half < C / 4; half++) {
    const uint64_t first = dropout_element(p, b, h, i, j + 32 * half + 4 * lane);
    unsigned bits = dropout_keeps4(stream, p.dropout.threshold, first) << (4 * lane);
#pragma unroll
    for (int mask = 1; mask < 8; mask *= 2) bits |= shuffle_xor(bits, mask);
#pragma unroll
    for (int e = 0; e < 4; e++) kept |= (bits >> (lane + 8 * e) & 1u) << (4 * half + e);
  }
  return kept;
}

/// The same of key j + row, for tiles of 32 queries from i on: the four rows side by side in a warp
/// are keys j .. j + 3, and each of their lanes draws all four for one query.
GG_DEVICE unsigned kept_queries(const AttentionProblem& p, PhiloxStream stream, int64_t b,
                                int64_t h, int i, int j) {
  const int lane = threadIdx.x % 8, row = threadIdx.x % kWarp / 8;
  const uint64_t first = dropout_element(p, b, h, i + lane + 8 * row, j);
  unsigned bits = dropout_keeps4(stream, p.dropout.threshold, first) << (4 * row);
  bits |= shuffle_xor(bits, 8);
  bits |= shuffle_xor(bits, 16);
  unsigned kept = 0;
#pragma unroll
  for (int e = 0; e < 4; e++) kept |= (bits >> (4 * e + row) & 1u) << e;
  return kept;
}

/// What dropout makes of this thread's R x C weights: a bit for each that is kept, row by row.
template <Side side, int R, int C>
struct SimtDropout {
  uint64_t kept = ~uint64_t{0};
  bool on;
  double factor;

  __device__ explicit SimtDropout(const AttentionProblem& p)
      : on(p.dropout.state), factor(p.dropout.factor) {}

  __device__ void draw(const AttentionProblem& p, const SimtWindow& w) {
    if (!on) return;
    static_assert(R * C <= 64 && (side == Side::queries || C == 4));
    const PhiloxStream stream = philox_stream(p.dropout.state, p.dropout.call);
    kept = 0;
#pragma unroll 1
    for (int i = 0; i < R; i++) {
      const int row = w.row + 4 * i;
      unsigned bits;
      if constexpr (side == Side::queries) {
        bits = kept_keys<C>(p, stream, w.b, w.h, row + threadIdx.x % kWarp / 8, w.column);
      } else {
        bits = kept_queries(p, stream, w.b, w.h, w.column, row);
      }
      kept |= uint64_t{bits} << (C * i);
    }
  }

  /// x as dropout leaves it.
  template <class A>
  __device__ A apply(A x, int i, int j) const {
    if (!on) return x;
    return kept >> (C * i + j) & 1 ? x * static_cast<A>(factor) : A(0);
  }
};

}  // namespace gg
