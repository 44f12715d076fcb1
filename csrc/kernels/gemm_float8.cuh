// gemm of 8-bit floats, as gemm.cu sees it (check_gemm has passed and y is not empty), and its
// Hopper kernel. Host only.
#pragma once

#include "kernels/gemm_plan.cuh"

namespace gg {

void gemm_float8(Stream stream, const Array& a, const Array& b, const Array& y,
                 const GemmEpilogue& epilogue, MatmulPrecision precision, const Array& workspace);
int64_t gemm_float8_workspace(const Array& a, const Array& b, const Array& y,
                              MatmulPrecision precision);

// ---- gemm_hopper_float8.cu -------------------------------------------------------------------

/// Whether it can multiply g, orientation included.
bool gemm_hopper_float8_fits(const GemmProblem& g, int architecture);

/// How it would; g fits. Sets g.split.
GemmPlan plan_gemm_hopper_float8(GemmProblem& g, GemmDevice device);

/// Runs it. a, b: the operands' types.
void launch_gemm_hopper_float8(Stream stream, const GemmProblem& g, const GemmPlan& plan, DType a,
                               DType b);

}  // namespace gg
