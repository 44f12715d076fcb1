// Step 5, multi-stage: the tensor-core kernel, never waiting for memory, and without conflicts.
//
// Copies: cp.async moves 16 bytes from L2 to shared memory past the registers, and a thread goes
// on. Of four slices of k, three are coming while the tensor cores work on one.
//
// Swizzle: in a row of a (4 vectors of 16 bytes) vector v is kept at place v ^ row / 2 % 4, in a
// row of b (16 vectors) at v ^ row % 8. The eight rows of a matrix then lie in eight different
// groups of four banks, and ldmatrix takes its minimum: one wavefront for each matrix.
//
//   a block of 4 warps, for 32 of k:   128 wavefronts of cp.async
//                                      128 of ldmatrix for a, 128 for b           384 clocks
//                                      256 mma of 4096 FLOP                       512, 406
//                                      16 KiB from L2
//
// On A100 the tensor cores are the bound. On H200 L2 cannot feed tiles of 128 x 128 at that rate: a
// kernel for Hopper needs 128 x 256, or clusters that share loads, and wgmma for the other 37 %.
//
// Bound: A100 295.7 (tensor cores), H200 347.5 (L2) TFLOP/s at 4096 cubed; an estimate.
// Reached: not measured.

#include "warp_tile.h"

namespace gg::lab {

constexpr int kTile = 128, kSlice = 32, kStages = 4, kVec = 8;
using Op = MmaM16N8K16<bf16>;

struct Stage {
  bf16 a[kTile][kSlice], b[kSlice][kTile];

  /// Where the 16 bytes are that begin at element (row, k) of a's slice, (k, col) of b's.
  __device__ bf16* a_at(int row, int k) { return &a[row][(k / kVec ^ row / 2 % 4) * kVec]; }
  __device__ bf16* b_at(int k, int col) { return &b[k][(col / kVec ^ k % 8) * kVec]; }
};

/// Starts this thread's share of the copies of one slice; beyond the edges they bring zeros.
GG_DEVICE void copy(Stage& stage, const Problem<bf16>& p, int m0, int n0, int k0) {
#pragma unroll
  for (int i = 0; i < 4; i++) {
    const int v = threadIdx.x + 128 * i, row = v / 4, k = v % 4 * kVec;
    const bool inside = m0 + row < p.m && k0 + k < p.k;
    cp_async<16>(stage.a_at(row, k), p.a + (m0 + row) * p.a_pitch + k0 + k, inside ? 16 : 0);
  }
#pragma unroll
  for (int i = 0; i < 4; i++) {
    const int v = threadIdx.x + 128 * i, k = v / 16, col = v % 16 * kVec;
    const bool inside = k0 + k < p.k && n0 + col < p.n;
    cp_async<16>(stage.b_at(k, col), p.b + (k0 + k) * p.b_pitch + n0 + col, inside ? 16 : 0);
  }
}

GG_DEVICE void multiply(Stage& stage, int row, int col, float (&sum)[4][8][4]) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int k = 0; k < kSlice; k += Op::kK) {
    uint32_t av[4][4], bv[8][2];
#pragma unroll
    for (int i = 0; i < 4; i++) {
      ldmatrix(av[i], stage.a_at(row + 16 * i + lane % 16, k + lane / 16 * 8));
    }
#pragma unroll
    for (int j = 0; j < 8; j += 2) {
      uint32_t two[4];
      ldmatrix_trans(two, stage.b_at(k + lane % 16, col + 8 * j + lane / 16 * 8));
      bv[j][0] = two[0], bv[j][1] = two[1], bv[j + 1][0] = two[2], bv[j + 1][1] = two[3];
    }
    mma_tile<Op, 4, 8>(sum, av, bv);
  }
}

__global__ void __launch_bounds__(128) multi_stage(const Problem<bf16> p) {
  Stage* const stages = shared_dynamic<Stage>();
  const int m0 = blockIdx.y * kTile, n0 = blockIdx.x * kTile;
  const int warp = threadIdx.x / 32, row = warp / 2 * 64, col = warp % 2 * 64;
  const int slices = (p.k + kSlice - 1) / kSlice;

  for (int s = 0; s < kStages - 1; s++) {
    if (s < slices) copy(stages[s], p, m0, n0, s * kSlice);
    cp_async_commit();
  }
  float sum[4][8][4] = {};
  for (int s = 0; s < slices; s++) {
    cp_async_wait<kStages - 2>();  // slice s is here, for this thread
    __syncthreads();               // ... for all; and nobody reads slice s - 1 any more
    const int next = s + kStages - 1;
    if (next < slices) copy(stages[next % kStages], p, m0, n0, next * kSlice);
    cp_async_commit();  // also where it is empty, so that the waits count alike
    multiply(stages[s % kStages], row, col, sum);
  }
  write_warp_tile(p, m0 + row, n0 + col, sum);
}

void matmul(Stream stream, const Problem<bf16>& p) {
  const Grid grid(blocks(p.n, kTile), blocks(p.m, kTile));
  launch(multi_stage, grid, 128, kStages * sizeof(Stage), stream, p);
}

}  // namespace gg::lab

LAB_ENTRY(gg::bf16)
