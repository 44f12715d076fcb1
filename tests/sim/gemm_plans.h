// What cases about plans of matrix products share: GPUs, and operands without memory.
#pragma once

#include "host_array.h"
#include "kernels/gemm_cost.cuh"
#include "kernels/gemm_float8.cuh"
#include "kernels/gemm_hopper.cuh"

namespace gg {

constexpr GemmDevice kTuring{75, 68}, kA100{80, 108}, kGeForce{86, 82}, kHopper{90, 132};
constexpr auto kExact = MatmulPrecision::exact, kHigh = MatmulPrecision::high,
               kTf32 = MatmulPrecision::tf32;

/// a [m, k] and b [k, n] of that dtype, row-major and aligned, without memory: plans do not look.
inline Array matrix(DType dtype, int64_t rows, int64_t columns) {
  Array a;
  a.dtype = dtype, a.ndim = 2;
  a.shape[0] = rows, a.shape[1] = columns;
  a.stride[0] = columns, a.stride[1] = 1;
  return a;
}

inline void check_plan(const GemmPlan& p, GemmKernel kernel, GemmMath math, int side) {
  CHECK_EQ(static_cast<int>(p.kernel), static_cast<int>(kernel));
  CHECK_EQ(static_cast<int>(p.math), static_cast<int>(math));
  if (side) CHECK_EQ(p.m, side);
}

}  // namespace gg
