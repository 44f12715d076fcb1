// int8, uint8 and bool GEMM on tensor cores: m16n8k32 (sm_80 and up), m8n8k16 (sm_75).
//
//   y = act(alpha row_scale scale (a b) + bias + residual + beta y), y int8, uint8, bool, int32 or
//   float32
//
// Accumulates in int32, which wraps. y = unless beta != 0. bool: any(a and b); a and b hold 0
// and 1.
//
// 2 m n k operations; operands are contiguous along k (gemm.cu copies others first). Bound: tensor
// peak for long k, else bandwidth. Reached: not measured.

#include "kernels/gemm_mma.cuh"

namespace gg {

void launch_gemm_mma_s8(Stream stream, const GemmProblem& g, const GemmPlan& plan) {
  launch_mma_tile<ByteMath<int8_t>, ByteMath75<int8_t>, BlockShape<128, 128, 64, 64>>(stream, g,
                                                                                      plan);
}

void launch_gemm_mma_u8(Stream stream, const GemmProblem& g, const GemmPlan& plan) {
  launch_mma_tile<ByteMath<uint8_t>, ByteMath75<uint8_t>, BlockShape<128, 128, 64, 64>>(stream, g,
                                                                                        plan);
}

}  // namespace gg
