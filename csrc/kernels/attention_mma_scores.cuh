// What happens to a warp's scores between two products: bias, hidden keys, dropout.
//
// A warp holds 16 Groups rows and 16 Pairs columns (attention_mma_tile.cuh has who holds what).
// Rows are queries and columns keys, or (ByKeys) rows are keys and columns queries.
#pragma once

#include <cfloat>
#include <cmath>

#include "core/math.h"
#include "kernels/attention_mma_tile.cuh"

namespace gg {

constexpr float kLog2E = 1.4426950408889634f, kLn2 = 0.6931471805599453f;

/// The part of the matrix that a warp's tile is: its first row and column.
struct ScoreTile {
  int row, column;

  /// Of this lane's element e in half h of a pair of a group.
  __device__ __forceinline__ int row_of(int group, int e) const {
    return row + 16 * group + lane_id() / 4 + e / 2 * 8;
  }
  __device__ __forceinline__ int column_of(int pair, int h, int e) const {
    return column + 16 * pair + 8 * h + lane_id() % 4 * 2 + e % 2;
  }
};

/// f(pair, group, half, e) for each element of a lane; all four are constants once unrolled.
template <int Pairs, int Groups, class F>
GG_DEVICE void for_each_score(const F& f) {
#pragma unroll
  for (int i = 0; i < Pairs * Groups * 8; i++)
    f(i / (8 * Groups), i / 8 % Groups, i / 4 % 2, i % 4);
}

// ---- what rows see -----------------------------------------------------------------------------

/// Columns that rows see: those that any does, and those that all do (begin <= column < end).
struct SeenColumns {
  int begin, end, all_begin, all_end;

  __device__ __forceinline__ bool meets(int column, int count) const {
    return begin < column + count && column < end;
  }
  __device__ __forceinline__ bool holds(int column, int count) const {
    return all_begin <= column && column + count <= all_end;
  }
};

constexpr int kNoColumn = 0x7fffffff;

/// The columns each row of a block's tile sees, in shared memory.
template <int Rows>
struct RowBounds {
  int begin[Rows], end[Rows];

  /// One line. Rows from `count` on see none.
  template <bool ByKeys>
  __device__ __forceinline__ void set(int line, const AttentionProblem& p, int64_t batch, int row0,
                                      int count) {
    Interval seen = {0, 0};
    if (row0 + line < count) {
      if constexpr (ByKeys) {
        seen = queries_seeing(p, batch, row0 + line);
      } else {
        seen = keys_seen(p, batch, row0 + line);
      }
    }
    const bool some = seen.begin < seen.end;
    begin[line] = some ? seen.begin : kNoColumn;
    end[line] = some ? seen.end : 0;
  }

  /// All lines. Ends with a barrier.
  template <bool ByKeys>
  __device__ __forceinline__ void fill(const AttentionProblem& p, int64_t batch, int row0,
                                       int count) {
    const int line = static_cast<int>(threadIdx.x);
    if (line < Rows) set<ByKeys>(line, p, batch, row0, count);
    __syncthreads();
  }

  /// Lines up to the last that sees a column. All lanes of a warp call.
  __device__ __forceinline__ int lines() const {
    int last = 0;
    for (int i = lane_id(); i < Rows; i += 32) last = end[i] > 0 ? i + 1 : last;
    return warp_redux_max(last);
  }

  /// Of lines first .. first + count - 1, of which those below `existing` must see a column for
  /// all to see it. All lanes of a warp call.
  __device__ __forceinline__ SeenColumns seen(int first, int count, int existing) const {
    SeenColumns s = {kNoColumn, 0, 0, kNoColumn};
    for (int i = first + lane_id(); i < first + count; i += 32) {
      s.begin = min(s.begin, begin[i]), s.end = max(s.end, end[i]);
      if (i < existing)
        s.all_begin = max(s.all_begin, begin[i]), s.all_end = min(s.all_end, end[i]);
    }
    return {warp_redux_min(s.begin), warp_redux_max(s.end), warp_redux_max(s.all_begin),
            warp_redux_min(s.all_end)};
  }
};

/// hide(pair, group, half, e) for each element of a column that its row does not see. line: of the
/// warp's first row in `bounds`.
template <int Pairs, int Groups, int Rows, class Hide>
GG_DEVICE void hide_scores(const RowBounds<Rows>& bounds, int line, const ScoreTile& at,
                           const Hide& hide) {
  int begin[2 * Groups], length[2 * Groups];
#pragma unroll
  for (int r = 0; r < 2 * Groups; r++) {
    const int i = line + 8 * r + lane_id() / 4;
    begin[r] = bounds.begin[i], length[r] = max(bounds.end[i] - bounds.begin[i], 0);
  }
  for_each_score<Pairs, Groups>([&](int pair, int g, int h, int e) {
    const int r = 2 * g + e / 2;
    const auto from_begin = static_cast<unsigned>(at.column_of(pair, h, e) - begin[r]);
    if (from_begin >= static_cast<unsigned>(length[r])) hide(pair, g, h, e);
  });
}

// ---- bias --------------------------------------------------------------------------------------

/// The bias of one head, for rows and columns of the tile.
struct HeadBias {
  const char* data;
  DType dtype;
  int64_t row, column;  ///< strides, in bytes
  int rows, columns;    ///< of the matrix
};

template <bool ByKeys>
GG_DEVICE HeadBias head_bias(const AttentionProblem& p, int64_t batch, int64_t head) {
  const int size = p.bias.dtype == DType::boolean ? 1 : p.bias.dtype == DType::f32 ? 4 : 2;
  const int64_t offset = batch * p.bias.batch + head * p.bias.head;
  HeadBias b{static_cast<const char*>(p.bias.data) + offset * size,
             p.bias.dtype,
             p.bias.row * size,
             p.bias.column * size,
             p.m,
             p.n};
  if constexpr (ByKeys) {
    const HeadBias turned{b.data, b.dtype, b.column, b.row, b.columns, b.rows};
    return turned;
  } else {
    return b;
  }
}

/// The bias of 16 rows and 16 columns; -infinity where a bool hides the key.
template <class B>
GG_DEVICE void load_bias(float (&value)[8], const HeadBias& bias, const ScoreTile& at) {
#pragma unroll
  for (int i = 0; i < 8; i++) {
    // Beyond the matrix, whatever is at its edge: such elements are hidden or not used.
    const int64_t row = min(at.row_of(0, i % 4), bias.rows - 1);
    const int64_t column = min(at.column_of(0, i / 4, i % 4), bias.columns - 1);
    const B x = *reinterpret_cast<const B*>(bias.data + row * bias.row + column * bias.column);
    if constexpr (std::is_same_v<B, uint8_t>) {
      value[i] = x ? 0.0f : -INFINITY;
    } else {
      value[i] = to_float(x);
    }
  }
}

/// s = s factor + bias log2 e; finite where the bias is, so that a row hidden by the most negative
/// number still has a softmax.
template <class T, int Pairs, int Groups>
GG_DEVICE void add_bias(float (&s)[Pairs][Groups][2][4], float factor, const HeadBias& bias,
                        const ScoreTile& tile) {
#pragma unroll 1
  for (int i = 0; i < Pairs * Groups; i++) {
    const ScoreTile at{tile.row + i % Groups * 16, tile.column + i / Groups * 16};
    float value[8];
    if (bias.dtype == DType::boolean) {
      load_bias<uint8_t>(value, bias, at);
    } else if (bias.dtype == DType::f32) {
      load_bias<float>(value, bias, at);
    } else {
      load_bias<T>(value, bias, at);
    }
#pragma unroll
    for (int e = 0; e < 8; e++) {
      const float sum = s[0][0][e / 4][e % 4] * factor + value[e] * kLog2E;
      value[e] = value[e] == -INFINITY ? value[e] : sum < -FLT_MAX ? -FLT_MAX : sum;
    }
    // Those just done go to the end: a loop cannot index registers at run time.
    rotate<8>(reinterpret_cast<float (&)[Pairs * Groups * 8]>(s), value);
  }
}

/// What lse stands for in powers of 2; a query that saw no key has p = 0.
GG_DEVICE float lse_powers(float lse) {
  return lse == -INFINITY ? INFINITY : lse * kLog2E;
}

/// Scores as powers of 2 are s factor; but where a bias or a scale that is not positive asks for
/// it, they are brought there first and factor is 1.
struct ScoreScale {
  float to_powers, factor;
  bool special;
};

GG_DEVICE ScoreScale score_scale(const AttentionProblem& p) {
  const float to_powers = static_cast<float>(p.scale) * kLog2E;
  const bool special = p.bias.data || !(to_powers > 0);
  return {to_powers, special ? 1.0f : to_powers, special};
}

/// What `special` asks for.
template <class T, bool ByKeys, int Pairs, int Groups>
GG_DEVICE void bring_to_powers(float (&s)[Pairs][Groups][2][4], const AttentionProblem& p,
                               const ScoreScale& scale, int64_t batch, int64_t head,
                               const ScoreTile& at) {
  if (p.bias.data) {
    add_bias<T>(s, scale.to_powers, head_bias<ByKeys>(p, batch, head), at);
  } else {
    for_each_score<Pairs, Groups>(
        [&](int pair, int g, int h, int e) { s[pair][g][h][e] *= scale.to_powers; });
  }
}

// ---- dropout -----------------------------------------------------------------------------------

/// Bit 8 pair + 4 half + e of bits[group] is set where the element is kept. A draw decides four
/// neighbouring keys; the lanes that hold them make a draw each and exchange what it says.
template <bool ByKeys, int Pairs, int Groups>
GG_DEVICE void dropout_bits(uint32_t (&bits)[Groups], const AttentionProblem& p, int64_t batch,
                            int64_t head, const ScoreTile& at) {
  const PhiloxStream stream = philox_stream(p.dropout.state, p.dropout.call);
  const int lane = lane_id(), place = ByKeys ? lane / 4 % 4 : lane % 2;
  const auto draw = [&](int query, int key) {
    const uint64_t element = dropout_element(p, batch, head, query, key);
    return dropout_keeps4(stream, p.dropout.threshold, element) << 4 * place;
  };
#pragma unroll
  for (int g = 0; g < Groups; g++) {
    bits[g] = 0;
#pragma unroll 1
    for (int n = 0; n < 2 * Pairs; n++) {
      const int row = at.row + 16 * g, column = at.column + 8 * n;
      uint32_t four = 0;
      if constexpr (ByKeys) {  // lanes 4 and 8 apart: two queries by two groups of keys
        uint32_t all = draw(column + lane % 4 * 2 + place % 2, row + place / 2 * 8 + lane / 16 * 4);
        all |= shuffle_xor(all, 4);
        all |= shuffle_xor(all, 8);
        for (int e = 0; e < 4; e++) four |= (all >> (4 * e + place) & 1) << e;
      } else {  // lanes 1 apart: two queries
        uint32_t all = draw(row + lane / 4 + 8 * place, column + lane % 4 / 2 * 4);
        all |= shuffle_xor(all, 1);
        four = (all >> 2 * place & 3) | (all >> (4 + 2 * place) & 3) << 2;
      }
      bits[g] |= four << 4 * n;
    }
  }
}

GG_DEVICE bool is_kept(uint32_t bits, int pair, int h, int e) {
  return bits >> (8 * pair + 4 * h + e) & 1;
}

}  // namespace gg
