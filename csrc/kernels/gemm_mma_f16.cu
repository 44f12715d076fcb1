// float16 GEMM on tensor cores: m16n8k16 (sm_80 and up), m16n8k8 (sm_75).
//
//   y = act(alpha row_scale scale (a b) + bias + residual + beta y), y float16 or float32
//
// Accumulates in float32. y = unless beta != 0. Deterministic: fixed order of sums.
//
// 2 m n k FLOP; a 128 x 128 tile reads 2 m n k / 64 bytes of operands, mostly from L2. Bound:
// tensor peak for long k, else bandwidth. Reached: not measured.

#include "kernels/gemm_mma.cuh"

namespace gg {

void launch_gemm_mma_f16(Stream stream, const GemmProblem& g, const GemmPlan& plan) {
  launch_mma_tile<HalfMath<f16>, HalfMath75, BlockShape<128, 128, 64, 64>>(stream, g, plan);
}

}  // namespace gg
