// Sums that a product of split floats cannot form: infinities, NaN, and what overflows on the way.
//
// 3xTF32 (gemm_mma_tf32x3.cu, gemm_hopper_tf32x3.cu) makes NaN of infinity times 0 in its low
// product, and its high part may round up to infinity. So a sum that came out not finite is formed
// again by a plain float32 loop, in the order of gemm_simt_tile.cuh: infinity, NaN and overflow are
// those of `exact`. (Sums of which only a part overflows in float32 may come out finite, and
// right.)
#pragma once

#include <cfloat>

#include "kernels/gemm_epilogue.cuh"

namespace gg {

/// One element of a b, by a plain loop.
GG_DEVICE float plain_sum(const GemmProblem& g, int64_t batch, int64_t m, int64_t n) {
  const float* const a = static_cast<const float*>(g.a.data) + g.batch.offset(0, batch);
  const float* const b = static_cast<const float*>(g.b.data) + g.batch.offset(1, batch);
  float sum = 0;
#pragma unroll 1
  for (int64_t k = 0; k < g.k; k++) {
    sum += a[m * g.a.row + k * g.a.k] * b[n * g.b.row + k * g.b.k];
  }
  return sum;
}

/// Replaces those of R x N sums (rows row + r * step below m, columns from col below n) that are
/// not finite by plain(row, column).
template <int R, int N, class Plain>
GG_DEVICE void replace_overflow(int64_t m, int64_t n, int64_t row, int64_t step, int64_t col,
                                float (&sums)[R][N], const Plain& plain) {
  float all[R * N];
  bool finite = true;
#pragma unroll
  for (int i = 0; i < R * N; i++) {
    all[i] = sums[i / N][i % N];
    finite &= fabsf(all[i]) <= FLT_MAX;
  }
  if (finite) return;
#pragma unroll 1
  for (int i = 0; i < R * N; i++) {  // the next is always all[0]: one copy of the loop over k
    const int64_t r = row + i / N * step, c = col + i % N;
    float sum[1] = {all[0]};
    if (!(fabsf(sum[0]) <= FLT_MAX) && r < m && c < n) sum[0] = plain(r, c);
    rotate(all, sum);
  }
#pragma unroll
  for (int i = 0; i < R * N; i++) sums[i / N][i % N] = all[i];
}

/// The same for sums of a GEMM.
template <int R, int N>
GG_DEVICE void replace_overflow(const GemmProblem& g, int64_t batch, int64_t row, int64_t step,
                                int64_t col, float (&sums)[R][N]) {
  replace_overflow(g.m, g.n, row, step, col, sums,
                   [&](int64_t m, int64_t n) { return plain_sum(g, batch, m, n); });
}

}  // namespace gg
