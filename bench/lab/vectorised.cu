// Step 3, vectorised: a thread computes 8 x 8 elements of y, and all memory is moved 16 bytes at a
// time. For each k it reads 8 numbers of a and 8 of b with four 16-byte loads, and multiplies 64
// times: the port, which set the bound so far, has now 16 multiply-adds for each load.
//
// A block of 256 threads owns 128 x 128 of y, 8 of k at a time. a comes transposed into shared
// memory, so that a thread's 8 rows are neighbours; rows of 128 + 4 floats keep the four transposed
// stores free of bank conflicts. A warp is 4 x 8 threads, a thread 2 x 2 squares of 4 x 4, 16 rows
// and 32 columns apart: a quarter warp reads 16 bytes of a and 128 neighbouring bytes of b.
//
//   a block of 8 warps, for 8 of k:    64 wavefronts of global loads, 64 of shared stores
//                                      1024 of shared loads: 4 x 4 for each warp and k   1152
//                                      clocks 4096 warp multiply-adds                      2048,
//                                      1024
//
// On A100 the FP32 lanes are the bound at last; H200 has twice as many, and the port is.
//
// Bound: A100 18.5 (FP32 lanes), H200 53.3 (memory port) TFLOP/s at 4096 cubed; an estimate.
// Reached: not measured.

#include "lab.h"

namespace gg::lab {

constexpr int kTile = 128, kSlice = 8, kPitch = kTile + 4;

/// Four neighbours, or zeros.
GG_DEVICE Vec<float, 4> four(const float* p, bool inside) {
  return inside ? load_vec<4>(p) : Vec<float, 4>{};
}

__global__ void __launch_bounds__(256, 2) vectorised(const Problem<float> p) {
  GG_SHARED(a, float[kSlice][kPitch]);  // transposed
  GG_SHARED(b, float[kSlice][kPitch]);
  const int t = threadIdx.x, lane = t % 32, warp = t / 32;
  const int m0 = blockIdx.y * kTile, n0 = blockIdx.x * kTile;
  const int a_row = t / 2, a_k = t % 2 * 4;    // what this thread copies of a's slice
  const int b_k = t / 32, b_col = t % 32 * 4;  // and of b's
  const int row = warp / 2 * 32 + lane / 8 * 4, col = warp % 2 * 64 + lane % 8 * 4;

  float sum[8][8] = {};
  for (int k0 = 0; k0 < p.k; k0 += kSlice) {
    const float* const a_next = p.a + (m0 + a_row) * p.a_pitch + k0 + a_k;
    const float* const b_next = p.b + (k0 + b_k) * p.b_pitch + n0 + b_col;
    const auto a_four = four(a_next, m0 + a_row < p.m && k0 + a_k < p.k);
    const auto b_four = four(b_next, k0 + b_k < p.k && n0 + b_col < p.n);
    __syncthreads();  // nobody reads the last slice any more
#pragma unroll
    for (int i = 0; i < 4; i++) a[a_k + i][a_row] = a_four[i];
    store_vec(&b[b_k][b_col], b_four);
    __syncthreads();  // this one is complete
#pragma unroll
    for (int k = 0; k < kSlice; k++) {
      const Vec<float, 4> av[2] = {load_vec<4>(&a[k][row]), load_vec<4>(&a[k][row + 16])};
      const Vec<float, 4> bv[2] = {load_vec<4>(&b[k][col]), load_vec<4>(&b[k][col + 32])};
#pragma unroll
      for (int i = 0; i < 8; i++) {
#pragma unroll
        for (int j = 0; j < 8; j++) sum[i][j] += av[i / 4][i % 4] * bv[j / 4][j % 4];
      }
    }
  }
#pragma unroll
  for (int i = 0; i < 8; i++) {
    const int m = m0 + row + i / 4 * 16 + i % 4;
#pragma unroll
    for (int j = 0; j < 8; j += 4) {
      const int n = n0 + col + j / 4 * 32;
      const Vec<float, 4> out{sum[i][j], sum[i][j + 1], sum[i][j + 2], sum[i][j + 3]};
      if (m < p.m && n < p.n) store_vec(p.y + m * p.y_pitch + n, out);
    }
  }
}

void matmul(Stream stream, const Problem<float>& p) {
  const Grid grid(blocks(p.n, kTile), blocks(p.m, kTile));
  launch(vectorised, grid, 256, 0, stream, p);
}

}  // namespace gg::lab

LAB_ENTRY(float)
