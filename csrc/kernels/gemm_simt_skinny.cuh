// GEMM with at most 8 rows: bound by reading b once.
//
//   gemm_skinny_dot    b faster along k (x W^T): a team of threads along k, each with 4 columns x 8
//                      rows of partial dot products, which are added over lanes, then warps in
//                      order. An access is 16 bytes of each column. A team is the block, a warp, or
//                      where k is short the fewest lanes (8 at least) that have all of it.
//   gemm_skinny_sweep  b faster along n: threads along n and along k, partial sums likewise.
//
// Where columns are few and k is long, k is split between blocks as well (GemmSplit). Every sum's
// order depends on shapes, layouts and the machine, not on alignment.
//
// Memory's latency of about 800 ns at 4.8 TB/s (H200) asks for 29 KB on their way to each of 132
// multiprocessors. dot loads 128 bytes for each thread at once: 64 KB with four blocks of 128
// threads. sweep loads 8 rows of b at once in 16 bits (64 bytes), 6 of float32 (96), 2 of float64
// (64), for each of 512 threads: 32 or 48 KB.
#pragma once

#include "device/cache.h"
#include "kernels/gemm_simt_tile.cuh"

namespace gg {

constexpr int kSkinnyRows = 8;
constexpr int kDotWarps = 4;
constexpr int kSweepThreads = 512;  // at most

/// k that a thread takes of each column at once.
template <class T>
constexpr int kDotWidth = sizeof(T) == 2 ? 8 : 4;

/// W neighbouring elements as they came from memory. Taken apart by values(), not before: a use of
/// what a load brings, so much as its upper half, waits for it and keeps later loads back.
template <class T, int W>
struct Loaded {
  Vec<uint32_t, W * sizeof(T) / 4> words;

  __device__ __forceinline__ void load(const T* p) {
    words = load_vec_streaming<W * sizeof(T) / 4>(reinterpret_cast<const uint32_t*>(p));
  }
  __device__ __forceinline__ Vec<T, W> values() const {
    Vec<T, W> v;
    memcpy(&v, &words, sizeof(v));
    return v;
  }
};

/// acc += a b over W positions of k, for four columns b.
template <int W, class T>
GG_DEVICE void dot_step(const GemmProblem& g, const T* a, const Vec<T, W> (&b)[4],
                        Sum<T> (&acc)[kSkinnyRows][4]) {
#pragma unroll
  for (int r = 0; r < kSkinnyRows; r++, a += g.a.row) {
    if (r >= g.m) break;
    const Vec<T, W> av = load_vec<W>(a);
#pragma unroll
    for (int c = 0; c < 4; c++) {
#pragma unroll
      for (int i = 0; i < W; i++) acc[r][c] += widen(av[i]) * widen(b[c][i]);
    }
  }
}

/// Which columns of y and which part of k a group of threads has; `columns` to a group.
template <class T>
struct SkinnyGroup {
  int64_t col, split, batch, k0, k_end;
  const T *a, *b;  // of this matrix of the batch

  __device__ __forceinline__ SkinnyGroup(const GemmProblem& g, int64_t group, int columns) {
    const int64_t groups = (g.n + columns - 1) / columns;
    col = group % groups * columns;
    group /= groups;
    split = group % g.split.count, batch = group / g.split.count;
    k0 = split * g.split.k, k_end = g.k - k0 < g.split.k ? g.k : k0 + g.split.k;
    a = static_cast<const T*>(g.a.data) + g.batch.offset(0, batch);
    b = static_cast<const T*>(g.b.data) + g.batch.offset(1, batch);
  }
};

/// Adds sums over `team` lanes: row r, column c end in partial[4 r + c].
template <class A>
GG_DEVICE void add_lanes(int64_t rows, int team, A (&acc)[kSkinnyRows][4], A* partial) {
#pragma unroll 1
  for (int r = 0; r < rows; r++) {
#pragma unroll
    for (int c = 0; c < 4; c++) {
      A sum = acc[0][c];
      for (int offset = 1; offset < team; offset *= 2) sum += shuffle_xor(sum, offset);
      if (lane_id() % team == 0) partial[r * 4 + c] = sum;
    }
    shift_rows(acc);
  }
}

/// Adds four columns of `count` partial sums, `step` apart, in order.
template <class A>
GG_DEVICE void add_partial(const A* partial, int count, int step, A (&sums)[1][4]) {
#pragma unroll
  for (int c = 0; c < 4; c++) {
    sums[0][c] = partial[c];
    for (int w = 1; w < count; w++) sums[0][c] += partial[w * step + c];
  }
}

/// acc += a b over a thread's part of k: W positions at every `step`, from k on.
template <class T>
GG_DEVICE void dot_columns(const GemmProblem& g, const SkinnyGroup<T>& at, int64_t k, int step,
                           Sum<T> (&acc)[kSkinnyRows][4]) {
  constexpr int W = kDotWidth<T>;
  const T* b[4];  // beyond the last column they repeat it
  for (int c = 0; c < 4; c++) b[c] = at.b + (at.col + c < g.n ? at.col + c : g.n - 1) * g.b.row;
  if (g.a.vector && g.a.along_k && g.b.vector && g.b.along_k) {  // strides along k are 1
    const int64_t last = at.k_end - W;
    while (k <= last) {  // two steps are loaded at once, and done by one copy of the code
      Loaded<T, W> now[4], later[4];
#pragma unroll
      for (int c = 0; c < 4; c++) now[c].load(b[c] + k);
#pragma unroll
      for (int c = 0; c < 4; c++) later[c].load(b[c] + (k + step <= last ? k + step : k));
#pragma unroll 1
      for (int i = 0; i < 2 && k <= last; i++, k += step) {
        Vec<T, W> values[4];
#pragma unroll
        for (int c = 0; c < 4; c++) values[c] = now[c].values(), now[c] = later[c];
        dot_step(g, at.a + k, values, acc);
      }
    }
  }
  for (; k < at.k_end; k += step) {
#pragma unroll 1
    for (int64_t i = k; i < k + W && i < at.k_end; i++) {
      const int64_t from = i * g.b.k;
      const Vec<T, 1> values[4] = {{{b[0][from]}}, {{b[1][from]}}, {{b[2][from]}}, {{b[3][from]}}};
      dot_step(g, at.a + i * g.a.k, values, acc);
    }
  }
}

/// Four columns for each team of threads: the block's, or 8, 16 or 32 lanes.
template <class T>
__global__ void __launch_bounds__(32 * kDotWarps, sizeof(Sum<T>) == 8 ? 2 : 4)
    gemm_skinny_dot(const __grid_constant__ GemmProblem g, int64_t first_block, int team) {
  using A = Sum<T>;
  constexpr int threads = 32 * kDotWarps, sums_of_team = kSkinnyRows * 4;
  GG_SHARED(partial, A[threads / kSkinnyRows][sums_of_team]);
  const int t = threadIdx.x, lane = t % team, lanes = team < 32 ? team : 32;
  const int64_t group = (first_block + blockIdx.x) * (threads / team) + t / team;
  const bool active = group < (g.n + 3) / 4 * g.split.count * g.batch.size;  // teams of the last
  const SkinnyGroup<T> at(g, active ? group : 0, 4);
  A acc[kSkinnyRows][4] = {};
  if (active) dot_columns(g, at, at.k0 + kDotWidth<T> * lane, kDotWidth<T> * team, acc);
  __syncwarp();
  add_lanes(g.m, lanes, acc, partial[t / lanes]);
  __syncthreads();
  if (!active || lane >= g.m) return;
  A sums[1][4];  // lane r writes row r
  add_partial(&partial[t / team][4 * lane], team / lanes, sums_of_team, sums);
  Epilogue<A, T>(g, at.batch, at.split).write(lane, 1, at.col, sums);
}

/// acc += a b over a thread's part of k, every `step`-th position from k on: four columns, of which
/// `count` exist (the last is repeated). Rows of b are loaded `Rows` at a time; beyond the end the
/// last one again, which is not used.
template <int Rows, bool Vector, class T>
GG_DEVICE void sweep_columns(const GemmProblem& g, const SkinnyGroup<T>& at, const T* b, int count,
                             int64_t k, int step, Sum<T> (&acc)[kSkinnyRows][4]) {
  for (; k < at.k_end; k += Rows * step) {
    Loaded<T, 4> whole[Rows];
    Vec<T, 4> single[Rows];
    T first[Rows];  // row 0 of a; those of others wait for their turn
#pragma unroll
    for (int i = 0; i < Rows; i++) {
      const int64_t row = k + i * step < at.k_end ? k + i * step : at.k_end - 1;
      const T* const p = b + row * g.b.k;
      if constexpr (Vector) {
        whole[i].load(p);
      } else {
#pragma unroll
        for (int c = 0; c < 4; c++) single[i][c] = p[(c < count ? c : count - 1) * g.b.row];
      }
      first[i] = at.a[row * g.a.k];
    }
#pragma unroll
    for (int i = 0; i < Rows; i++) {
      if (k + i * step >= at.k_end) break;
      const Vec<T, 4> bv = Vector ? whole[i].values() : single[i];
      const T* a = at.a + (k + i * step) * g.a.k;
#pragma unroll
      for (int r = 0; r < kSkinnyRows; r++, a += g.a.row) {
        if (r >= g.m) break;
        const Sum<T> av = widen(r == 0 ? first[i] : *a);
#pragma unroll
        for (int c = 0; c < 4; c++) acc[r][c] += av * widen(bv[c]);
      }
    }
  }
}

/// `lanes` (2, 4 or 8) threads side by side along n, each with 4 columns; the other threads of the
/// block are spread along k.
template <class T>
__global__ void __launch_bounds__(kSweepThreads, 1)
    gemm_skinny_sweep(const __grid_constant__ GemmProblem g, int64_t first_block, int lanes) {
  using A = Sum<T>;
  constexpr int rows_at_once = sizeof(T) == 8 ? 2 : sizeof(T) == 4 ? 6 : 8;
  GG_SHARED(partial, A[kSweepThreads / 32][kSkinnyRows][32]);
  const int t = threadIdx.x, warp = t / 32, lane = t % lanes, width = 4 * lanes;
  const SkinnyGroup<T> at(g, first_block + blockIdx.x, width);
  const int columns = g.n - at.col < width ? static_cast<int>(g.n - at.col) : width;

  A acc[kSkinnyRows][4] = {};
  const T* const b = at.b + (at.col + 4 * lane) * g.b.row;
  const int step = static_cast<int>(blockDim.x) / lanes, count = columns - 4 * lane;
  const int64_t k = at.k0 + t / lanes;
  if (g.b.vector && count >= 4) {
    sweep_columns<rows_at_once, true>(g, at, b, count, k, step, acc);
  } else if (count > 0) {
    sweep_columns<sizeof(T) == 8 ? 1 : 2, false>(g, at, b, count, k, step, acc);
  }
  __syncwarp();

#pragma unroll
  for (int r = 0; r < kSkinnyRows; r++) {
    if (r >= g.m) break;
#pragma unroll
    for (int c = 0; c < 4; c++) {
      for (int offset = lanes; offset < 32; offset *= 2) {
        acc[r][c] += shuffle_xor(acc[r][c], offset);
      }
      if (t % 32 < lanes) partial[warp][r][4 * lane + c] = acc[r][c];
    }
  }
  __syncthreads();
  const int r = t / lanes, warps = static_cast<int>(blockDim.x) / 32;
  if (r >= g.m || 4 * lane >= columns) return;
  A sums[1][4];
  add_partial(&partial[0][r][4 * lane], warps, kSkinnyRows * 32, sums);
  Epilogue<A, T>(g, at.batch, at.split).write(r, 1, at.col + 4 * lane, sums);
}

}  // namespace gg
