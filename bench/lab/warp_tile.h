// The end of both tensor-core versions: a warp's 64 x 64 sums to y.
#pragma once

#include "lab.h"

namespace gg::lab {

/// A lane holds pairs of neighbours, rows 8 apart: 4-byte stores, four lanes for a row of a
/// product. Half of each 32-byte sector is written at a time, which is no matter next to k
/// products.
GG_DEVICE void write_warp_tile(const Problem<bf16>& p, int m0, int n0,
                               const float (&sum)[4][8][4]) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int i = 0; i < 4; i++) {
#pragma unroll
    for (int j = 0; j < 8; j++) {
#pragma unroll
      for (int half = 0; half < 2; half++) {
        const int m = m0 + 16 * i + 8 * half + lane / 4, n = n0 + 8 * j + lane % 4 * 2;
        if (m >= p.m || n >= p.n) continue;
        const float* const pair = sum[i][j] + 2 * half;
        store_vec(p.y + m * p.y_pitch + n,
                  Vec<bf16, 2>{from_float<bf16>(pair[0]), from_float<bf16>(pair[1])});
      }
    }
  }
}

}  // namespace gg::lab
