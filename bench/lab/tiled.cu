// Step 2, tiled: a block copies a 32 x 32 tile of a and of b to shared memory and uses each element
// 32 times. A thread still computes one element of y.
//
// Traffic to L2 falls from 5/8 to 1/4 byte for each multiply-add, and does not hang on a cache any
// more. But each multiply-add still needs two numbers from memory, now from shared memory, and that
// is behind the same port: where L1 held the data anyway, this step gains next to nothing.
//
//   a block of 32 warps, for 32 of k:   64 wavefronts of global loads, 64 of shared stores
//                                       1024 of a (one word for all lanes)
//                                       1024 of b (one row of 32 words)      2176 clocks
//                                       1024 warp multiply-adds              512 (A100), 256 (H200)
//
// Bound: A100 4.6 (memory port), H200 7.2 (memory port) TFLOP/s at 4096 cubed; an estimate.
// Reached: not measured.

#include "lab.h"

namespace gg::lab {

constexpr int kTile = 32;

__global__ void __launch_bounds__(kTile* kTile) tiled(const Problem<float> p) {
  GG_SHARED(a, float[kTile][kTile]);
  GG_SHARED(b, float[kTile][kTile]);
  const int x = threadIdx.x, y = threadIdx.y;
  const int row = blockIdx.y * kTile + y, col = blockIdx.x * kTile + x;
  float sum = 0;
  for (int k0 = 0; k0 < p.k; k0 += kTile) {
    a[y][x] = row < p.m && k0 + x < p.k ? p.a[row * p.a_pitch + k0 + x] : 0;
    b[y][x] = k0 + y < p.k && col < p.n ? p.b[(k0 + y) * p.b_pitch + col] : 0;
    __syncthreads();  // the tiles are complete
#pragma unroll
    for (int k = 0; k < kTile; k++) sum += a[y][k] * b[k][x];
    __syncthreads();  // nobody reads them any more
  }
  if (row < p.m && col < p.n) p.y[row * p.y_pitch + col] = sum;
}

void matmul(Stream stream, const Problem<float>& p) {
  const Grid grid(blocks(p.n, kTile), blocks(p.m, kTile));
  launch(tiled, grid, dim3(kTile, kTile), 0, stream, p);
}

}  // namespace gg::lab

LAB_ENTRY(float)
