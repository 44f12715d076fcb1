// From wgmma's accumulators to rows and columns.
//
// A warp of a warpgroup holds 16 rows (device/wgmma.h): lane l has rows l / 4 and l / 4 + 8, and of
// every 8 columns the two from 2 (l % 4) on. Written to memory like this, every row would be
// touched in pieces of 16 bytes or less. for_each_quad passes the accumulators through shared
// memory, 32 columns at a time, so that eight lanes have the 32 neighbouring columns of one row, 4
// each: 128 bytes of float32 or 64 of a 16-bit type.
#pragma once

#include "device/device.h"

namespace gg {

/// Row and column of d[i] in this thread, from its warp's first row and its first column.
GG_DEVICE int accumulator_row(int i) {
  return static_cast<int>(threadIdx.x) % 32 / 4 + i / 2 % 2 * 8;
}
GG_DEVICE int accumulator_column(int i) {
  return i / 4 * 8 + static_cast<int>(threadIdx.x) % 4 * 2 + i % 2;
}

constexpr int kQuadColumns = 32;  // that pass through shared memory at a time
constexpr int kQuadRowStep = 4;   // between the rows of one thread

/// A warp's shared memory; A is float, or the type that integers are summed in. A row's 40 put the
/// four rows that half a warp writes 8 banks apart: neither writes (8 bytes) nor reads (16 bytes)
/// have bank conflicts.
template <class A>
using QuadStagingOf = A[16][kQuadColumns + 8];
using QuadStaging = QuadStagingOf<float>;

/// Writes columns First .. First + 31 of the warp's 16 rows.
template <int First, class Sum, int M, class A>
GG_DEVICE void stage_columns(const Sum (&d)[M], A (&staging)[16][kQuadColumns + 8]) {
#pragma unroll
  for (int i = 0; i < kQuadColumns / 2; i += 2) {
    const Vec<A, 2> pair = {
        {static_cast<A>(d[First / 2 + i]), static_cast<A>(d[First / 2 + i + 1])}};
    store_vec(&staging[accumulator_row(i)][accumulator_column(i)], pair);
  }
}

/// The same for columns known at run time. Registers have no index at run time: it is looked for.
template <int First = 0, class Sum, int M, class A>
GG_DEVICE void stage_columns(int first, const Sum (&d)[M], A (&staging)[16][kQuadColumns + 8]) {
  if (first == First) {
    stage_columns<First>(d, staging);
  } else if constexpr (First + kQuadColumns < 2 * M) {
    stage_columns<First + kQuadColumns>(first, d, staging);
  }
}

/// f(row, column, sums) for all of a warp's 16 rows and N columns (a multiple of 32): sums[r][c] is
/// that of row + kQuadRowStep * r and column + c. All lanes of the warp call it together.
template <int N, class Sum, class A, class F>
GG_DEVICE void for_each_quad(const Sum (&d)[N / 2], A (&staging)[16][kQuadColumns + 8], F f) {
  static_assert(N % kQuadColumns == 0);
  const int row = static_cast<int>(threadIdx.x) % 32 / 8, column = threadIdx.x % 8 * 4;
#pragma unroll 1
  for (int first = 0; first < N; first += kQuadColumns) {
    stage_columns(first, d, staging);
    __syncwarp();
    A sums[4][4];
#pragma unroll
    for (int r = 0; r < 4; r++) {
      const Vec<A, 4> quad = load_vec<4>(&staging[row + kQuadRowStep * r][column]);
#pragma unroll
      for (int c = 0; c < 4; c++) sums[r][c] = quad[c];
    }
    f(row, first + column, sums);
    __syncwarp();
  }
}

}  // namespace gg
