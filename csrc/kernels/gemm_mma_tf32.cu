// float32 GEMM on tensor cores, one tf32 product: m16n8k8 (sm_80 and up).
//
//   y = act(alpha row_scale scale (a b) + bias + residual + beta y)
//
// Both factors are rounded to 11 bits, to nearest: an error of at most 2^-11 of each product.
// Accumulates in float32. y = unless beta != 0. Deterministic: fixed order of sums.
//
// 2 m n k FLOP; a 128 x 128 tile reads 4 m n k / 64 bytes of operands, mostly from L2. Bound:
// tensor peak for long k, else bandwidth. Reached: not measured.

#include "kernels/gemm_mma.cuh"

namespace gg {

void launch_gemm_mma_tf32(Stream stream, const GemmProblem& g, const GemmPlan& plan) {
  launch_mma_tile<Tf32Math, void, BlockShape<128, 128, 64, 64>>(stream, g, plan);
}

}  // namespace gg
