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

/// Four columns for each team of threads: a warp, or the block if k is long (whole_block).
template <class T>
__global__ void __launch_bounds__(32 * kDotWarps, sizeof(Sum<T>) == 8 ? 3 : 4)
    gemm_skinny_dot(const __grid_constant__ GemmProblem g, int64_t first_block, bool whole_block) {
  using A = Sum<T>;
  constexpr int W = kDotWidth<T>;
  GG_SHARED(partial, A[kDotWarps][kSkinnyRows * 4]);
  const int t = threadIdx.x, warp = t / 32, lane = t % 32;
  const int64_t groups = (g.n + 3) / 4;
  int64_t group = first_block + blockIdx.x;
  if (!whole_block) group = group * kDotWarps + warp;
  const bool active = group < groups * g.split.count * g.batch.size;  // the last block's warps
  if (!active) group = 0;
  const int64_t col = group % groups * 4;
  const int64_t split = group / groups % g.split.count, batch = group / groups / g.split.count;
  const int64_t k0 = split * g.split.k, k_end = g.k - k0 < g.split.k ? g.k : k0 + g.split.k;
  const T* const a = static_cast<const T*>(g.a.data) + g.batch.offset(0, batch);
  const T* b[4];  // beyond the last column they repeat it
  for (int c = 0; c < 4; c++) {
    const int64_t column = col + c < g.n ? col + c : g.n - 1;
    b[c] = static_cast<const T*>(g.b.data) + g.batch.offset(1, batch) + column * g.b.row;
  }

  A acc[kSkinnyRows][4] = {};
  const bool vector = g.a.vector && g.b.vector;
  const int step = whole_block ? 32 * W * kDotWarps : 32 * W;
  for (int64_t k = k0 + W * (whole_block ? t : lane); k < k_end && active; k += step) {
    if (vector && k + W <= k_end) {
      dot_step<W>(g, a, b, k, acc);
    } else {
#pragma unroll 1
      for (int64_t at = k; at < k + W && at < k_end; at++) dot_step<1>(g, a, b, at, acc);
    }
  }

#pragma unroll 1
  for (int r = 0; r < g.m; r++) {
#pragma unroll
    for (int c = 0; c < 4; c++) {
      const A sum = warp_sum(acc[0][c]);
      if (lane == 0) partial[warp][r * 4 + c] = sum;
    }
    shift_rows(acc);
  }
  __syncthreads();
  // Lane r writes row r.
  if (!active || lane >= g.m || (whole_block && warp > 0)) return;
  A sums[1][4];
#pragma unroll
  for (int c = 0; c < 4; c++) {
    sums[0][c] = partial[warp][4 * lane + c];
    for (int w = 1; w < kDotWarps && whole_block; w++) sums[0][c] += partial[w][4 * lane + c];
  }
  Epilogue<A>(g, batch, split).write(lane, 1, col, sums);
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
  const int64_t groups = (g.n + width - 1) / width;
  const int64_t block = first_block + blockIdx.x;
  const int64_t col = block % groups * width;
  const int64_t split = block / groups % g.split.count, batch = block / groups / g.split.count;
  const int64_t k0 = split * g.split.k, k_end = g.k - k0 < g.split.k ? g.k : k0 + g.split.k;
  const int columns = g.n - col < width ? static_cast<int>(g.n - col) : width;

  const T* const a_data = static_cast<const T*>(g.a.data) + g.batch.offset(0, batch);
  const T* const b_data = static_cast<const T*>(g.b.data) + g.batch.offset(1, batch);
  A acc[kSkinnyRows][4] = {};
  const T* b = b_data + (col + 4 * lane) * g.b.row;
#pragma unroll 4
  for (int64_t k = k0 + t / lanes; k < k_end; k += kSweepThreads / lanes) {
    const Vec<A, 4> bv = load4(b + k * g.b.k, g.b.row, columns - 4 * lane, g.b.vector);
    const T* a = a_data + k * g.a.k;
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
#pragma unroll
  for (int c = 0; c < 4; c++) {
    sums[0][c] = partial[0][r][4 * lane + c];
    for (int w = 1; w < warps; w++) sums[0][c] += partial[w][r][4 * lane + c];
  }
  Epilogue<A>(g, batch, split).write(r, 1, col + 4 * lane, sums);
}

}  // namespace gg
