// bfloat16 GEMM on tensor cores: m16n8k16 (sm_80 and up).
//
//   y = act(alpha row_scale scale (a b) + bias + residual + beta y), y bfloat16 or float32
//
// Accumulates in float32. y = unless beta != 0. Deterministic: fixed order of sums. Traffic and
// bound as gemm_mma_f16.cu. Reached: not measured.

#include "kernels/gemm_mma.cuh"

namespace gg {

void launch_gemm_mma_bf16(Stream stream, const GemmProblem& g, const GemmPlan& plan) {
  launch_mma_tile<HalfMath<bf16>, void, BlockShape<128, 128, 64, 64>>(stream, g, plan);
}

}  // namespace gg
