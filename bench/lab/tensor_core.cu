// Step 4, tensor core: bfloat16 operands, and one instruction multiplies 16 x 16 by 16 x 8.
//
// A block of 4 warps owns 128 x 128 of y, 32 of k at a time; a warp owns 64 x 64 of it, 4 x 8
// products of mma.sync. ldmatrix brings operands from shared memory in the shape the tensor core
// wants: four 8 x 8 matrices at a time, each lane giving the address of one 16-byte row.
//
// Those rows are 64 bytes (a) and 256 bytes (b) apart, so the eight rows of a matrix share banks:
// 4 wavefronts for a matrix of a and 8 for one of b, where 1 would do. The simulator counts them.
//
//   a block of 4 warps, for 32 of k:   128 wavefronts of global loads, 128 of shared stores
//                                      512 of ldmatrix for a (ideal: 128)
//                                      1024 of ldmatrix for b (ideal: 128)      1792 clocks
//                                      256 mma of 4096 FLOP                     512, 406
//
// H200 does not reach its tensor peak with mma.sync: 63 % of it, which is in the 406.
//
// Bound: A100 84.5 (memory port), H200 137.1 (memory port) TFLOP/s at 4096 cubed; an estimate.
// Reached: not measured.

#include "warp_tile.h"

namespace gg::lab {

constexpr int kTile = 128, kSlice = 32, kVec = 8;
using Op = MmaM16N8K16<bf16>;

__global__ void __launch_bounds__(128) tensor_core(const Problem<bf16> p) {
  GG_SHARED(a, bf16[kTile][kSlice]);
  GG_SHARED(b, bf16[kSlice][kTile]);
  const int t = threadIdx.x, lane = t % 32, warp = t / 32;
  const int m0 = blockIdx.y * kTile, n0 = blockIdx.x * kTile;
  const int row = warp / 2 * 64, col = warp % 2 * 64;

  float sum[4][8][4] = {};
  for (int k0 = 0; k0 < p.k; k0 += kSlice) {
    Vec<bf16, kVec> a_next[4] = {}, b_next[4] = {};
#pragma unroll
    for (int i = 0; i < 4; i++) {  // 512 vectors of 16 bytes for each operand
      const int v = t + 128 * i, m = m0 + v / 4, a_k = k0 + v % 4 * kVec;
      const int b_k = k0 + v / 16, n = n0 + v % 16 * kVec;
      if (m < p.m && a_k < p.k) a_next[i] = load_vec<kVec>(p.a + m * p.a_pitch + a_k);
      if (b_k < p.k && n < p.n) b_next[i] = load_vec<kVec>(p.b + b_k * p.b_pitch + n);
    }
    __syncthreads();  // nobody reads the last slice any more
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int v = t + 128 * i;
      store_vec(&a[v / 4][v % 4 * kVec], a_next[i]);
      store_vec(&b[v / 16][v % 16 * kVec], b_next[i]);
    }
    __syncthreads();  // this one is complete
#pragma unroll
    for (int k = 0; k < kSlice; k += Op::kK) {
      uint32_t av[4][4], bv[8][2];
#pragma unroll
      for (int i = 0; i < 4; i++) ldmatrix(av[i], &a[row + 16 * i + lane % 16][k + lane / 16 * 8]);
#pragma unroll
      for (int j = 0; j < 8; j += 2) {
        uint32_t two[4];  // columns j and j + 1 of products
        ldmatrix_trans(two, &b[k + lane % 16][col + 8 * j + lane / 16 * 8]);
        bv[j][0] = two[0], bv[j][1] = two[1], bv[j + 1][0] = two[2], bv[j + 1][1] = two[3];
      }
      mma_tile<Op, 4, 8>(sum, av, bv);
    }
  }
  write_warp_tile(p, m0 + row, n0 + col, sum);
}

void matmul(Stream stream, const Problem<bf16>& p) {
  const Grid grid(blocks(p.n, kTile), blocks(p.m, kTile));
  launch(tensor_core, grid, 128, 0, stream, p);
}

}  // namespace gg::lab

LAB_ENTRY(gg::bf16)
