// GEMM with at most 8 rows: bound by reading b once.
//
//   gemm_skinny_dot    b faster along k (x W^T): threads along k, each with 4 columns x 8 rows of
//                      partial dot products, which are added over lanes, then warps in order. An
//                      access is 16 bytes of each column.
//   gemm_skinny_sweep  b faster along n: threads along n and along k, partial sums likewise.
//
// Where columns are few and k is long, k is split between blocks as well (GemmSplit). Every sum's
// order depends on the shape alone, not on alignment.
#pragma once

#include "kernels/gemm_simt_tile.cuh"

namespace gg {

constexpr int kSkinnyRows = 8;
constexpr int kDotWarps = 4;
constexpr int kSweepThreads = 256;

/// k that a thread takes of each column at once.
template <class T>
constexpr int kDotWidth = sizeof(T) == 2 ? 8 : 4;

/// acc += a b over positions k .. k + W - 1; b holds the starts of four columns.
template <int W, class T>
GG_DEVICE void dot_step(const GemmProblem& g, const T* a, const T* const (&b)[4], int64_t k,
                        Sum<T> (&acc)[kSkinnyRows][4]) {
  Vec<T, W> bv[4];
#pragma unroll
  for (int c = 0; c < 4; c++) bv[c] = load_vec<W>(b[c] + k * g.b.k);
  a += k * g.a.k;
#pragma unroll
  for (int r = 0; r < kSkinnyRows; r++, a += g.a.row) {
    if (r >= g.m) break;
    const Vec<T, W> av = load_vec<W>(a);
#pragma unroll
    for (int c = 0; c < 4; c++) {
#pragma unroll
      for (int i = 0; i < W; i++) acc[r][c] += widen(av[i]) * widen(bv[c][i]);
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

/// Adds a warp's sums over its lanes: row r, column c end in partial[4 r + c].
template <class A>
GG_DEVICE void add_lanes(int64_t rows, A (&acc)[kSkinnyRows][4], A* partial) {
#pragma unroll 1
  for (int r = 0; r < rows; r++) {
#pragma unroll
    for (int c = 0; c < 4; c++) {
      const A sum = warp_sum(acc[0][c]);
      if (lane_id() == 0) partial[r * 4 + c] = sum;
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

/// Four columns for each team of threads: a warp, or the block if k is long (whole_block).
template <class T>
__global__ void __launch_bounds__(32 * kDotWarps, sizeof(Sum<T>) == 8 ? 3 : 4)
    gemm_skinny_dot(const __grid_constant__ GemmProblem g, int64_t first_block, bool whole_block) {
  using A = Sum<T>;
  constexpr int W = kDotWidth<T>;
  GG_SHARED(partial, A[kDotWarps][kSkinnyRows * 4]);
  const int t = threadIdx.x, warp = t / 32, lane = t % 32;
  int64_t group = first_block + blockIdx.x;
  if (!whole_block) group = group * kDotWarps + warp;
  const bool active = group < (g.n + 3) / 4 * g.split.count * g.batch.size;  // warps of the last
  const SkinnyGroup<T> at(g, active ? group : 0, 4);
  const T* b[4];  // beyond the last column they repeat it
  for (int c = 0; c < 4; c++) b[c] = at.b + (at.col + c < g.n ? at.col + c : g.n - 1) * g.b.row;

  A acc[kSkinnyRows][4] = {};
  const bool vector = g.a.vector && g.a.along_k && g.b.vector && g.b.along_k;
  const int step = whole_block ? 32 * W * kDotWarps : 32 * W;
  for (int64_t k = at.k0 + W * (whole_block ? t : lane); k < at.k_end && active; k += step) {
    if (vector && k + W <= at.k_end) {
      dot_step<W>(g, at.a, b, k, acc);
    } else {
#pragma unroll 1
      for (int64_t i = k; i < k + W && i < at.k_end; i++) dot_step<1>(g, at.a, b, i, acc);
    }
  }
  add_lanes(g.m, acc, partial[warp]);
  __syncthreads();
  if (!active || lane >= g.m || (whole_block && warp > 0)) return;
  A sums[1][4];  // lane r writes row r
  add_partial(&partial[warp][4 * lane], whole_block ? kDotWarps : 1, kSkinnyRows * 4, sums);
  Epilogue<A, T>(g, at.batch, at.split).write(lane, 1, at.col, sums);
}

/// `lanes` (2 or 8) threads side by side along n, each with 4 columns; the other threads of the
/// block are spread along k.
template <class T>
__global__ void __launch_bounds__(kSweepThreads, 2)
    gemm_skinny_sweep(const __grid_constant__ GemmProblem g, int64_t first_block, int lanes) {
  using A = Sum<T>;
  constexpr int warps = kSweepThreads / 32;
  GG_SHARED(partial, A[warps][kSkinnyRows][32]);
  const int t = threadIdx.x, warp = t / 32, lane = t % lanes, width = 4 * lanes;
  const SkinnyGroup<T> at(g, first_block + blockIdx.x, width);
  const int columns = g.n - at.col < width ? static_cast<int>(g.n - at.col) : width;

  A acc[kSkinnyRows][4] = {};
  const T* const b = at.b + (at.col + 4 * lane) * g.b.row;
#pragma unroll 4
  for (int64_t k = at.k0 + t / lanes; k < at.k_end; k += kSweepThreads / lanes) {
    const Vec<A, 4> bv = load4(b + k * g.b.k, g.b.row, columns - 4 * lane, g.b.vector);
    const T* a = at.a + k * g.a.k;
#pragma unroll
    for (int r = 0; r < kSkinnyRows; r++, a += g.a.row) {
      if (r >= g.m) break;
      const A av = widen(*a);
#pragma unroll
      for (int c = 0; c < 4; c++) acc[r][c] += av * bv[c];
    }
  }

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
  const int r = t / lanes;
  if (r >= g.m || 4 * lane >= columns) return;
  A sums[1][4];
  add_partial(&partial[0][r][4 * lane], warps, kSkinnyRows * 32, sums);
  Epilogue<A, T>(g, at.batch, at.split).write(r, 1, at.col + 4 * lane, sums);
}

}  // namespace gg
