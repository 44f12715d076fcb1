// gemm of ops.h: from arrays to a problem (gemm_problem.cu), to a plan (gemm_plan.cu), to kernels.
// Host only.

#include "core/checks.h"
#include "kernels/gemm_hopper.cuh"
#include "kernels/gemm_launch.cuh"

namespace gg {
namespace {

/// Copies an operand to `to`, contiguous along k, rows at multiples of 16 bytes. k is its place in
/// the batch layout.
void pack(Stream stream, GemmProblem& g, GemmOperand& o, int k, int64_t rows, DType dtype,
          void* to) {
  const int64_t per_chunk = 16 / dtype_size(dtype);
  const int64_t pitch = (g.k + per_chunk - 1) / per_chunk * per_chunk;
  Array from, packed;
  from.data = const_cast<void*>(o.data), packed.data = to;
  from.dtype = packed.dtype = dtype;
  from.ndim = packed.ndim = 2;
  from.shape[0] = packed.shape[0] = rows, from.shape[1] = packed.shape[1] = g.k;
  from.stride[0] = o.row, from.stride[1] = o.k;
  packed.stride[0] = pitch, packed.stride[1] = 1;
  int64_t step = rows * pitch;
  for (int i = g.batch.ndim - 1; i >= 0; i--) {  // axes along which it repeats stay so
    int64_t& stride = g.batch.stride[k][i];
    if (stride == 0 || g.batch.length[i] == 1) continue;
    const int axis = from.ndim++;
    packed.ndim++;
    from.shape[axis] = packed.shape[axis] = g.batch.length[i];
    from.stride[axis] = stride, packed.stride[axis] = step;
    stride = step, step *= g.batch.length[i];
  }
  copy(stream, from, packed);
  o = {to, pitch, 1, true, true};
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

void launch_mma(Stream stream, GemmProblem& g, const GemmPlan& plan, DType inputs, char* packed) {
  if (plan.pack_a) pack(stream, g, g.a, 0, g.m, inputs, packed);
  if (plan.pack_b) pack(stream, g, g.b, 1, g.n, inputs, packed + plan.pack_a_bytes);
  mma_kernels(plan.math)(stream, g, plan);
}

}  // namespace

int64_t gemm_workspace(const Array& a, const Array& b, const Array& y, MatmulPrecision precision) {
  check_gemm(a, b, y, {});
  if (y.size() == 0 || a.size() == 0) return 0;
  int64_t bytes = 0;
  for (const bool fold : {true, false}) {  // which, a residual decides
    GemmProblem g = gemm_problem(a, b, y, {}, fold);
    const GemmPlan plan = plan_gemm(g, a.dtype, precision, {architecture(), multiprocessors()});
    bytes = std::max(bytes, plan.workspace());
  }
  return bytes;
}

void gemm(Stream stream, const Array& a, const Array& b, const Array& y,
          const GemmEpilogue& epilogue, MatmulPrecision precision, const Array& workspace) {
  check_gemm(a, b, y, epilogue);
  if (y.size() == 0) return;
  GemmProblem g = gemm_problem(a, b, y, epilogue);
  const GemmPlan plan = plan_gemm(g, a.dtype, precision, {architecture(), multiprocessors()});
  check_workspace("gemm", workspace, plan.workspace());
  char* const space = static_cast<char*>(workspace.data);
  if (plan.splits > 1) g.split.partial = space + plan.pack_a_bytes + plan.pack_b_bytes;
  switch (plan.kernel) {
    case GemmKernel::tile:
      launch_gemm_simt(stream, g, plan, a.dtype);
      break;
    case GemmKernel::skinny_dot:
    case GemmKernel::skinny_sweep:
      launch_gemm_skinny(stream, g, plan, a.dtype);
      break;
    case GemmKernel::mma:
      launch_mma(stream, g, plan, a.dtype, space);
      break;
    case GemmKernel::hopper:
      launch_gemm_hopper(stream, g, a.dtype);
      break;
  }
  if (plan.splits > 1) launch_gemm_split_sum(stream, g, a.dtype);
}

}  // namespace gg
