// gemm of ops.h: from arrays to a problem (gemm_problem.cu), to a plan (gemm_plan.cu), to kernels.
// Host only.

#include "core/checks.h"
#include "kernels/gemm_float8.cuh"
#include "kernels/gemm_hopper.cuh"
#include "kernels/gemm_launch.cuh"

namespace gg {
namespace {

/// Operand k (0: a, 1: b) of g, with all its matrices, as an array.
Array operand_array(const GemmProblem& g, int k, DType dtype) {
  const GemmOperand& o = k == 0 ? g.a : g.b;
  Array x;
  x.data = const_cast<void*>(o.data), x.dtype = dtype, x.ndim = 0;
  const auto push = [&](int64_t length, int64_t stride) {
    x.shape[x.ndim] = length, x.stride[x.ndim++] = stride;
  };
  for (int i = 0; i < g.batch.ndim; i++) {
    if (g.batch.stride[k][i] != 0) push(g.batch.length[i], g.batch.stride[k][i]);
  }
  push(k == 0 ? g.m : g.n, o.row);
  push(g.k, o.k);
  return x;
}

/// Copies an operand to `to`, as tensor cores want it.
void pack(Stream stream, GemmProblem& g, int k, DType dtype, void* to) {
  const Array from = operand_array(g, k, dtype);
  set_packed(g, k, dtype_size(dtype), to);
  copy(stream, from, operand_array(g, k, dtype));
}

LaunchMma* mma_kernels(GemmMath math) {
  switch (math) {
    case GemmMath::f16:
      return launch_gemm_mma_f16;
    case GemmMath::bf16:
      return launch_gemm_mma_bf16;
    case GemmMath::tf32:
      return launch_gemm_mma_tf32;
    case GemmMath::tf32x3:
      return launch_gemm_mma_tf32x3;
    case GemmMath::s8:
      return launch_gemm_mma_s8;
    default:
      return launch_gemm_mma_u8;
  }
}

}  // namespace

int64_t gemm_workspace(const Array& a, const Array& b, const Array& y, MatmulPrecision precision) {
  check_gemm(a, b, y, {});
  if (y.size() == 0 || a.size() == 0) return 0;
  if (is_float8(a.dtype)) return gemm_float8_workspace(a, b, y, precision);
  const GemmDevice device = gemm_device();
  GemmProblem folded = gemm_problem(a, b, y, {});
  const int64_t bytes = plan_gemm(folded, a.dtype, precision, device).workspace();
  if (y.ndim == 2) return bytes;
  GemmProblem g = gemm_problem(a, b, y, {}, false);  // what a residual may ask for
  return std::max(bytes, plan_gemm(g, a.dtype, precision, device).workspace());
}

void gemm(Stream stream, const Array& a, const Array& b, const Array& y,
          const GemmEpilogue& epilogue, MatmulPrecision precision, const Array& workspace) {
  check_gemm(a, b, y, epilogue);
  if (y.size() == 0) return;
  if (is_float8(a.dtype)) return gemm_float8(stream, a, b, y, epilogue, precision, workspace);
  GemmProblem g = gemm_problem(a, b, y, epilogue);
  const GemmPlan plan = plan_gemm(g, a.dtype, precision, gemm_device());
  check_workspace("gemm", workspace, plan.workspace());
  char* const space = static_cast<char*>(workspace.data);
  if (plan.splits > 1) g.split.partial = space + plan.pack_a_bytes + plan.pack_b_bytes;
  if (plan.pack_a) pack(stream, g, 0, a.dtype, space);
  if (plan.pack_b) pack(stream, g, 1, a.dtype, space + plan.pack_a_bytes);
  switch (plan.kernel) {
    case GemmKernel::tile:
      launch_gemm_simt(stream, g, plan, a.dtype);
      break;
    case GemmKernel::skinny_dot:
    case GemmKernel::skinny_sweep:
      launch_gemm_skinny(stream, g, plan, a.dtype);
      break;
    case GemmKernel::mma:
      mma_kernels(plan.math)(stream, g, plan);
      break;
    case GemmKernel::hopper:
      launch_gemm_hopper(stream, g, plan, a.dtype);
      break;
  }
  if (plan.splits > 1) launch_gemm_split_sum(stream, g, a.dtype);
}

}  // namespace gg
