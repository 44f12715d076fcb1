// How gemm.cu starts the kernels of the other files. Host only.
#pragma once

#include <algorithm>

#include "core/built_for.h"
#include "kernels/gemm_plan.cuh"

namespace gg {

/// The machine in use.
inline GemmDevice gemm_device() {
  const int present = architecture();
  return {present, multiprocessors(), code_architecture(GG_BUILT_FOR, present)};
}

/// Grids are one axis of up to 2^31 - 1 blocks; more blocks take more launches.
template <class Launch>
void for_each_grid(int64_t blocks, Launch launch_from) {
  constexpr int64_t most = 0x7fffffff;
  for (int64_t first = 0; first < blocks; first += most) {
    launch_from(first, static_cast<unsigned>(std::min(blocks - first, most)));
  }
}

inline int64_t gemm_blocks(const GemmProblem& g, int64_t m, int64_t n) {
  return ((g.m + m - 1) / m) * ((g.n + n - 1) / n) * g.split.count * g.batch.size;
}

// gemm_simt.cu, gemm_skinny.cu
void launch_gemm_simt(Stream stream, const GemmProblem& g, const GemmPlan& plan, DType inputs);
void launch_gemm_skinny(Stream stream, const GemmProblem& g, const GemmPlan& plan, DType inputs);

// gemm_mma_*.cu
using LaunchMma = void(Stream stream, const GemmProblem& g, const GemmPlan& plan);
LaunchMma launch_gemm_mma_f16, launch_gemm_mma_bf16, launch_gemm_mma_tf32, launch_gemm_mma_tf32x3,
    launch_gemm_mma_s8, launch_gemm_mma_u8;

/// gemm_split.cu: adds the partial sums and writes y.
void launch_gemm_split_sum(Stream stream, const GemmProblem& g, DType inputs);

}  // namespace gg
