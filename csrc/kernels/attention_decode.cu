// Attention of few queries to many keys, as text is generated: float16, bfloat16, float32, no
// dropout, head sizes 8 to 256 in steps of 8, rows of k and v on 16 bytes. ops/attention.h has the
// contract.
//
// The keys of a head are split between blocks, so that one sentence fills the device; a block has
// R queries that share the head of k (of neighbouring heads, where there are fewer of k), whole in
// shared memory. Eight lanes have a key: each reads 8 neighbours of every 64 of its row, four keys
// at a time, and keeps its own largest score, sum and output, so there is no barrier before the
// end. Then the 16 groups of a block join, and splits join in a second kernel, in order.
//
// Accumulates in float32; o and lse =. Deterministic: splits depend on shapes and the number of
// multiprocessors alone. Bytes: k and v once for each R queries. Bound: bandwidth. Reached: not
// measured.

#include <algorithm>
#include <cmath>

#include "kernels/attention_launch.cuh"

namespace gg {
namespace {

constexpr int kThreads = 128;
constexpr int kLanes = 8;   // of a key
constexpr int kAtOnce = 4;  // keys of a lane
constexpr int kStep = kThreads / kLanes * kAtOnce;
constexpr int64_t kLeastKeys = 256;  // of a split
constexpr int kManyQueries = 4;      // of a block, where heads share keys and D <= 128

/// How the work is shared out. row: one query of one head; `rows` of them meet one head of k.
struct DecodePlan {
  int64_t splits, keys;  ///< keys of a split
  int64_t rows, all_rows;
  int of_block;
  float *out, *numbers;  ///< of splits: [splits][all_rows][D], and (largest, sum) of each row
};

DecodePlan decode_plan(int64_t batch, int64_t groups, int64_t per_group, int64_t m, int64_t n,
                       int64_t d) {
  DecodePlan plan{};
  plan.rows = per_group * m;
  plan.all_rows = batch * groups * plan.rows;
  plan.of_block = plan.rows > 1 && d <= 128 ? kManyQueries : 1;
  const int64_t blocks = batch * groups * ((plan.rows + plan.of_block - 1) / plan.of_block);
  const int64_t wanted = blocks ? int64_t{4} * multiprocessors() / blocks : 1;
  plan.splits = std::clamp<int64_t>(std::min(wanted, n / kLeastKeys), 1, 1024);
  plan.keys = ((n + plan.splits - 1) / plan.splits + kStep - 1) / kStep * kStep;
  return plan;
}

int64_t partial_bytes(const DecodePlan& plan, int64_t d) {
  if (plan.splits == 1) return 0;
  return plan.splits * plan.all_rows * (d + 2) * static_cast<int64_t>(sizeof(float));
}

/// Query `row` of those that meet head g of k.
struct DecodeRow {
  int64_t h;
  int i;

  __device__ DecodeRow(const AttentionProblem& p, int64_t g, int64_t row)
      : h(g * p.per_group + row / p.m), i(static_cast<int>(row % p.m)) {}
};

/// Running softmax of R queries over the keys of eight lanes.
template <int S, int R>
struct DecodeSums {
  float top[R], sum[R], out[R][8 * S] = {};

  __device__ DecodeSums() {
#pragma unroll
    for (int r = 0; r < R; r++) top[r] = minus_infinity<float>(), sum[r] = 0;
  }

  /// Takes `largest` as the base of row r.
  __device__ void rebase(int r, float largest) {
    const float shrink = largest == minus_infinity<float>() ? 0 : std::exp(top[r] - largest);
    top[r] = largest;
    sum[r] *= shrink;
#pragma unroll
    for (int c = 0; c < 8 * S; c++) out[r][c] *= shrink;
  }

  /// Scores become weights.
  __device__ void weigh(float (&score)[R][kAtOnce]) {
#pragma unroll
    for (int r = 0; r < R; r++) {
      float most = top[r];
#pragma unroll
      for (int e = 0; e < kAtOnce; e++) most = score[r][e] > most ? score[r][e] : most;
      rebase(r, most);
      const float base = most == minus_infinity<float>() ? 0 : most;
#pragma unroll
      for (int e = 0; e < kAtOnce; e++) {
        score[r][e] = std::exp(score[r][e] - base);
        sum[r] += score[r][e];
      }
    }
  }

  /// Joins the four groups of lanes of each warp; the result is in all of them.
  __device__ void join_warp() {
#pragma unroll
    for (int mask = kLanes; mask < kWarp; mask *= 2) {
#pragma unroll
      for (int r = 0; r < R; r++) {
        const float other = shuffle_xor(top[r], mask);
        rebase(r, other > top[r] ? other : top[r]);
        sum[r] += shuffle_xor(sum[r], mask);
#pragma unroll
        for (int c = 0; c < 8 * S; c++) out[r][c] += shuffle_xor(out[r][c], mask);
      }
    }
  }
};

/// Columns column .. column + 7 of four keys: key, key + 4, ..; zeros from `end` and from D on.
GG_DEVICE void read_keys(const AttentionProblem& p, const AttentionTensor& x, int64_t offset,
                         int key, int end, int column, Vec<float, 8> (&to)[kAtOnce]) {
  with_attention_storage<float>(p.dtype, [&](auto zero) {
    using T = decltype(zero);
    Vec<T, 8> values[kAtOnce] = {};
#pragma unroll
    for (int e = 0; e < kAtOnce; e++) {
      const int64_t at = key + kWarp / kLanes * e;
      if (at >= end || column >= p.d) break;
      values[e] = load_vec<8>(static_cast<const T*>(x.data) + offset + at * x.row + column);
    }
#pragma unroll
    for (int e = 0; e < kAtOnce * 8; e++) to[e / 8][e % 8] = to_float(values[e / 8][e % 8]);
  });
}

template <int S, int R>
struct DecodeShared {
  float q[R][S * kSlice];
  float out[kThreads / kWarp][R][S * kSlice];
  float top[kThreads / kWarp][R], sum[kThreads / kWarp][R];
  Interval seen[R];
};

/// Scores of four keys: scale, bias, -infinity where hidden. All lanes of a key get them.
template <int S, int R>
GG_DEVICE void decode_scores(const AttentionProblem& p, const DecodeShared<S, R>& shared, int64_t b,
                             int64_t g, int64_t row, int key, int end, float (&score)[R][kAtOnce]) {
  const int lane = threadIdx.x % kLanes;
#pragma unroll
  for (int s = 0; s < S; s++) {
    const int column = s * kSlice + lane * 8;
    if (s * kSlice >= p.d) break;
    Vec<float, 8> k[kAtOnce];
    read_keys(p, p.k, p.k.offset(b, g, 0), key, end, column, k);
#pragma unroll
    for (int r = 0; r < R; r++) {
      const Vec<float, 8> q = load_vec<8>(&shared.q[r][column]);
#pragma unroll
      for (int e = 0; e < kAtOnce; e++) {
#pragma unroll
        for (int c = 0; c < 8; c++) score[r][e] += q[c] * k[e][c];
      }
    }
  }
#pragma unroll
  for (int r = 0; r < R; r++) {
    const DecodeRow query(p, g, row + r);
#pragma unroll
    for (int e = 0; e < kAtOnce; e++) {
      const int at = key + kWarp / kLanes * e;
#pragma unroll
      for (int mask = 1; mask < kLanes; mask *= 2) score[r][e] += shuffle_xor(score[r][e], mask);
      score[r][e] *= static_cast<float>(p.scale);
      const bool seen = at >= shared.seen[r].begin && at < shared.seen[r].end;
      if (seen && p.bias.data) {
        score[r][e] = biased(p.bias, p.bias.offset(b, query.h, query.i, at), score[r][e]);
      }
      if (!seen) score[r][e] = minus_infinity<float>();
    }
  }
}

/// Adds four values by their weights.
template <int S, int R>
GG_DEVICE void add_values(const AttentionProblem& p, int64_t b, int64_t g, int key, int end,
                          const float (&weight)[R][kAtOnce], DecodeSums<S, R>& sums) {
#pragma unroll
  for (int s = 0; s < S; s++) {
    if (s * kSlice >= p.d) break;
    Vec<float, 8> v[kAtOnce];
    read_keys(p, p.v, p.v.offset(b, g, 0), key, end, s * kSlice + threadIdx.x % kLanes * 8, v);
#pragma unroll
    for (int r = 0; r < R; r++) {
#pragma unroll
      for (int e = 0; e < kAtOnce; e++) {
#pragma unroll
        for (int c = 0; c < 8; c++) sums.out[r][8 * s + c] += weight[r][e] * v[e][c];
      }
    }
  }
}

/// The block's queries and what each sees.
template <int S, int R>
GG_DEVICE void load_queries(const AttentionProblem& p, DecodeShared<S, R>& shared, int64_t b,
                            int64_t g, int64_t row, int64_t rows) {
  for (int e = threadIdx.x; e < R * S * kSlice; e += kThreads) {
    const int r = e / (S * kSlice), c = e % (S * kSlice);
    float x = 0;
    if (row + r < rows && c < p.d) {
      const DecodeRow query(p, g, row + r);
      with_attention_storage<float>(p.dtype, [&](auto zero) {
        using T = decltype(zero);
        x = to_float(
            static_cast<const T*>(p.q.data)[p.q.offset(b, query.h, query.i) + c * p.q.column]);
      });
    }
    shared.q[r][c] = x;
  }
  if (threadIdx.x < R) {
    const int64_t at = row + threadIdx.x;
    shared.seen[threadIdx.x] =
        at < rows ? keys_seen(p, b, DecodeRow(p, g, at).i) : Interval{INT32_MAX, 0};
  }
  __syncthreads();
}

/// Writes one row: o and lse.
GG_DEVICE void write_row(const AttentionProblem& p, int64_t b, const DecodeRow& query, int column,
                         float out, float top, float sum) {
  with_attention_storage<float>(p.dtype, [&](auto zero) {
    using T = decltype(zero);
    static_cast<T*>(p.o.data)[p.o.offset(b, query.h, query.i) + column * p.o.column] =
        from_float<T>(sum == 0 ? 0.0f : out / sum);
  });
  if (column > 0) return;
  static_cast<float*>(p.lse.data)[p.lse.offset(b, query.h, query.i)] =
      sum == 0 ? minus_infinity<float>() : top + std::log(sum);
}

/// Joins the warps of a block, in order, and writes its rows, or their part of a split.
template <int S, int R>
GG_DEVICE void finish(const AttentionProblem& p, const DecodePlan& plan, DecodeShared<S, R>& shared,
                      int64_t b, int64_t g, int64_t row, int64_t split,
                      const DecodeSums<S, R>& sums) {
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  if (lane < kLanes) {
#pragma unroll
    for (int r = 0; r < R; r++) {
      if (lane == 0) shared.top[warp][r] = sums.top[r], shared.sum[warp][r] = sums.sum[r];
#pragma unroll
      for (int c = 0; c < 8 * S; c++) {
        shared.out[warp][r][c / 8 * kSlice + lane * 8 + c % 8] = sums.out[r][c];
      }
    }
  }
  __syncthreads();
  for (int e = threadIdx.x; e < R * S * kSlice; e += kThreads) {
    const int r = e / (S * kSlice), c = e % (S * kSlice);
    if (row + r >= plan.rows || c >= p.d) continue;
    float top = minus_infinity<float>(), sum = 0, out = 0;
    for (int w = 0; w < kThreads / kWarp; w++) top = MaxOp()(top, shared.top[w][r]);
    const float base = top == minus_infinity<float>() ? 0 : top;
    for (int w = 0; w < kThreads / kWarp; w++) {
      const float shrink = std::exp(shared.top[w][r] - base);
      sum += shared.sum[w][r] * shrink;
      out += shared.out[w][r][c] * shrink;
    }
    if (plan.splits == 1) {
      write_row(p, b, DecodeRow(p, g, row + r), c, out, top, sum);
      continue;
    }
    const int64_t at = split * plan.all_rows + (b * p.groups + g) * plan.rows + row + r;
    plan.out[at * p.d + c] = out;
    if (c == 0) plan.numbers[2 * at] = top, plan.numbers[2 * at + 1] = sum;
  }
}

template <int S, int R>
__global__ void __launch_bounds__(kThreads)
    decode(const __grid_constant__ AttentionProblem p, const DecodePlan plan, int64_t first_block) {
  using Shared = DecodeShared<S, R>;
  GG_SHARED(shared, Shared);
  const int64_t block = first_block + blockIdx.x, tiles = (plan.rows + R - 1) / R;
  const int64_t split = block % plan.splits, row = block / plan.splits % tiles * R;
  const int64_t g = block / plan.splits / tiles % p.groups,
                b = block / plan.splits / tiles / p.groups;
  load_queries(p, shared, b, g, row, plan.rows);
  int64_t begin = split * plan.keys, end = 0, least = INT32_MAX;
#pragma unroll
  for (int r = 0; r < R; r++) {
    end = shared.seen[r].end > end ? shared.seen[r].end : end;
    least = shared.seen[r].begin < least ? shared.seen[r].begin : least;
  }
  end = end < begin + plan.keys ? end : begin + plan.keys;
  begin = begin > least ? begin : least / kStep * kStep;
  const int warp = threadIdx.x / kWarp, group = threadIdx.x % kWarp / kLanes;
  DecodeSums<S, R> sums;
  for (int64_t step = begin; step < end; step += kStep) {
    const int key = static_cast<int>(step) + warp * (kWarp / kLanes) * kAtOnce + group;
    float score[R][kAtOnce] = {};
    decode_scores(p, shared, b, g, row, key, static_cast<int>(end), score);
    sums.weigh(score);
    add_values(p, b, g, key, static_cast<int>(end), score, sums);
  }
  sums.join_warp();
  finish(p, plan, shared, b, g, row, split, sums);
}

/// Adds up the splits of a row: a block of one warp for each.
__global__ void __launch_bounds__(kWarp) join_splits(const __grid_constant__ AttentionProblem p,
                                                     const DecodePlan plan, int64_t first_block) {
  const int64_t row = first_block + blockIdx.x;
  const int64_t head = row / plan.rows, g = head % p.groups, b = head / p.groups;
  float top = minus_infinity<float>();
  for (int64_t s = 0; s < plan.splits; s++) {
    top = MaxOp()(top, plan.numbers[2 * (s * plan.all_rows + row)]);
  }
  const float base = top == minus_infinity<float>() ? 0 : top;
  for (int c = threadIdx.x; c < p.d; c += kWarp) {
    float sum = 0, out = 0;
    for (int64_t s = 0; s < plan.splits; s++) {
      const int64_t at = s * plan.all_rows + row;
      const float shrink = std::exp(plan.numbers[2 * at] - base);
      sum += plan.numbers[2 * at + 1] * shrink;
      out += plan.out[at * p.d + c] * shrink;
    }
    write_row(p, b, DecodeRow(p, g, row % plan.rows), c, out, top, sum);
  }
}

}  // namespace

bool attention_decode_takes(const AttentionProblem& p) {
  return p.m > 0 && p.m <= kDecodeQueries && p.n > 0 && p.sequences <= 1 && p.dtype != DType::f64 &&
         !p.dropout.state && p.d % 8 == 0 && p.k.vector && p.v.vector;
}

int64_t attention_decode_workspace(const Array& q, const Array& k) {
  if (q.ndim != 4 || k.ndim != 4 || q.dtype == DType::f64) return 0;
  if (q.shape[2] > kDecodeQueries || k.shape[1] == 0) return 0;
  const int64_t per_group = q.shape[1] / k.shape[1];
  const DecodePlan plan =
      decode_plan(q.shape[0], k.shape[1], per_group, q.shape[2], k.shape[2], q.shape[3]);
  return partial_bytes(plan, q.shape[3]);
}

void launch_attention_decode(Stream stream, const AttentionProblem& p, void* workspace) {
  DecodePlan plan = decode_plan(p.batch, p.groups, p.per_group, p.m, p.n, p.d);
  plan.out = static_cast<float*>(workspace);
  plan.numbers = plan.out + plan.splits * plan.all_rows * p.d;
  auto* kernel = p.d <= 64 ? decode<1, 1> : p.d <= 128 ? decode<2, 1> : decode<4, 1>;
  if (plan.of_block > 1) kernel = decode<2, kManyQueries>;
  const int64_t tiles = (plan.rows + plan.of_block - 1) / plan.of_block;
  for_each_launch(p.batch * p.groups * tiles * plan.splits, [&](int64_t first, unsigned grid) {
    launch(kernel, grid, kThreads, 0, stream, p, plan, first);
  });
  if (plan.splits == 1) return;
  for_each_launch(plan.all_rows, [&](int64_t first, unsigned grid) {
    launch(join_splits, grid, kWarp, 0, stream, p, plan, first);
  });
}

}  // namespace gg
