// GEMM with at most 8 rows: bound by reading b once.
//
//   gemm_skinny_dot    b faster along k (x W^T): threads along k, each with 4 columns x 8 rows of
//                      partial dot products, which are added over lanes, then warps in order.
//   gemm_skinny_sweep  b faster along n: threads along n and along k, partial sums likewise.
//
// Every sum's order depends on the shape alone, not on alignment.
#pragma once

#include "kernels/gemm_problem.cuh"

namespace gg {

constexpr int kSkinnyRows = 8;
constexpr int kDotWarps = 4;
constexpr int kSweepThreads = 256;

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
    gemm_skinny_dot(const GemmProblem g, int64_t first_block, bool whole_block) {
  using A = Sum<T>;
  GG_SHARED(partial, A[kDotWarps][kSkinnyRows * 4]);
  const int t = threadIdx.x, warp = t / 32, lane = t % 32;
  const int64_t groups = (g.n + 3) / 4;
  int64_t group = first_block + blockIdx.x;
  if (!whole_block) group = group * kDotWarps + warp;
  const bool active = group < groups * g.batch.size;  // the last block may have idle warps
  if (!active) group = 0;
  const int64_t col = group % groups * 4;
  const int64_t batch = group / groups;
  const T* const a = static_cast<const T*>(g.a.data) + g.batch.offset(0, batch);
  const T* b[4];  // beyond the last column they repeat it
  for (int c = 0; c < 4; c++) {
    const int64_t column = col + c < g.n ? col + c : g.n - 1;
    b[c] = static_cast<const T*>(g.b.data) + g.batch.offset(1, batch) + column * g.b.row;
  }

  A acc[kSkinnyRows][4] = {};
  const bool vector = g.a.vector && g.b.vector;
  const int step = whole_block ? 128 * kDotWarps : 128;
  for (int64_t k = 4 * (whole_block ? t : lane); k < g.k && active; k += step) {
    if (vector && k + 4 <= g.k) {
      dot_step<4>(g, a, b, k, acc);
    } else {
#pragma unroll 1
      for (int64_t at = k; at < k + 4 && at < g.k; at++) dot_step<1>(g, a, b, at, acc);
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
  const int r = lane / 4, c = lane % 4;
  if (!active || r >= g.m || col + c >= g.n || (whole_block && warp > 0)) return;
  A sum = partial[warp][lane];
  if (whole_block) {
    for (int w = 1; w < kDotWarps; w++) sum += partial[w][lane];
  }
  finish<1>(g, static_cast<T*>(g.y) + g.batch.offset(2, batch), r, col + c, 1, &sum);
}

/// `lanes` (2 or 8) threads side by side along n, each with 4 columns; the other threads of the
/// block are spread along k.
template <class T>
__global__ void __launch_bounds__(kSweepThreads, 2)
    gemm_skinny_sweep(const GemmProblem g, int64_t first_block, int lanes) {
  using A = Sum<T>;
  constexpr int warps = kSweepThreads / 32;
  GG_SHARED(partial, A[warps][kSkinnyRows][32]);
  const int t = threadIdx.x, warp = t / 32, lane = t % lanes, width = 4 * lanes;
  const int64_t groups = (g.n + width - 1) / width;
  const int64_t block = first_block + blockIdx.x;
  const int64_t col = block % groups * width;
  const int64_t batch = block / groups;
  const int columns = g.n - col < width ? static_cast<int>(g.n - col) : width;

  const T* const a_data = static_cast<const T*>(g.a.data) + g.batch.offset(0, batch);
  const T* const b_data = static_cast<const T*>(g.b.data) + g.batch.offset(1, batch);
  A acc[kSkinnyRows][4] = {};
  const T* b = b_data + (col + 4 * lane) * g.b.row;
#pragma unroll 4
  for (int64_t k = t / lanes; k < g.k; k += kSweepThreads / lanes) {
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
  const int r = t / width, c = t % width;
  if (r >= g.m || c >= columns) return;
  A sum = partial[0][r][c];
  for (int w = 1; w < warps; w++) sum += partial[w][r][c];
  finish<1>(g, static_cast<T*>(g.y) + g.batch.offset(2, batch), r, col + c, 1, &sum);
}

}  // namespace gg
