// float32 GEMM on tensor cores, three tf32 products for each (Ootomo & Yokota 2022; the arithmetic
// is in mma_math.cuh): m16n8k8 (sm_80 and up).
//
//   y = act(alpha row_scale scale (a b) + bias + residual + beta y)
//
// For k >= 128 its error is no larger than that of float32 FMA
// (tests/contract/test_gemm_precision). Infinity, NaN and overflow are those of float32 FMA
// (gemm_overflow.cuh). Accumulates in float32. y = unless beta != 0. Deterministic: fixed order of
// sums.
//
// 6 m n k tensor FLOP. A warp has 64 x 32 of the tile, because it holds two sums for each element.
// Bound: a third of tf32 peak. Reached: not measured.

#include "kernels/gemm_mma.cuh"

namespace gg {

void launch_gemm_mma_tf32x3(Stream stream, const GemmProblem& g, const GemmPlan& plan) {
  launch_mma_tile<Tf32x3Math, void, BlockShape<128, 128, 64, 32>>(stream, g, plan);
}

}  // namespace gg
