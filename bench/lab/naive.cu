// Step 1, naive: one thread computes one element of y, straight from global memory.
//
// A warp is 32 columns of one row. At each k it reads one element of a (the same for all lanes: one
// sector) and 32 neighbouring elements of b (four sectors): coalesced, so it is not the pattern
// that is slow, but the number: two loads for one multiply-add. The memory port of a multiprocessor
// takes one warp's load in a clock, its FP32 lanes two (A100) or four (H200) warps' multiply-adds.
//
//   a block of 8 warps, for each k:     16 wavefronts of the memory port     16 clocks
//                                        8 warp multiply-adds                 4 (A100), 2 (H200)
//
// So at most 1/4 of the FP32 peak on A100 and 1/8 on H200, wherever the data come from.
//
// Bound: A100 4.9 (memory port), H200 7.7 (memory port) TFLOP/s at 4096 cubed; an estimate.
// Reached: not measured.

#include "lab.h"

namespace gg::lab {

constexpr int kColumns = 32, kRows = 8;

__global__ void naive(const Problem<float> p) {
  const int row = blockIdx.y * kRows + threadIdx.y;
  const int col = blockIdx.x * kColumns + threadIdx.x;
  if (row >= p.m || col >= p.n) return;
  float sum = 0;
  for (int k = 0; k < p.k; k++) {
    sum += p.a[row * p.a_pitch + k] * p.b[k * p.b_pitch + col];
  }
  p.y[row * p.y_pitch + col] = sum;
}

void matmul(Stream stream, const Problem<float>& p) {
  const Grid grid(blocks(p.n, kColumns), blocks(p.m, kRows));
  launch(naive, grid, dim3(kColumns, kRows), 0, stream, p);
}

}  // namespace gg::lab

LAB_ENTRY(float)
