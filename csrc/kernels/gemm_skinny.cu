// GEMM with at most 8 rows or columns; the kernels are in gemm_simt_skinny.cuh.
//
// Bound: reading b once, at memory bandwidth. Reached: not measured.

#include "kernels/gemm_simt_skinny.cuh"

#include "core/checks.h"
#include "kernels/gemm_launch.cuh"

namespace gg {
namespace {

/// From here on a dot product is worth a whole block.
constexpr int64_t kLongDot = 1024;

template <class T>
void launch_dot(Stream stream, const GemmProblem& g) {
  const bool whole_block = g.split.k >= kLongDot;
  const int64_t groups = gemm_blocks(g, g.m, 4);
  const int64_t blocks = whole_block ? groups : (groups + kDotWarps - 1) / kDotWarps;
  for_each_grid(blocks, [&](int64_t first, unsigned grid) {
    launch(gemm_skinny_dot<T>, grid, 32 * kDotWarps, 0, stream, g, first, whole_block);
  });
}

template <class T>
void launch_sweep(Stream stream, const GemmProblem& g) {
  const int lanes = g.n * g.batch.size >= 32 * multiprocessors() ? 8 : 2;
  for_each_grid(gemm_blocks(g, g.m, 4 * lanes), [&](int64_t first, unsigned grid) {
    launch(gemm_skinny_sweep<T>, grid, kSweepThreads, 0, stream, g, first, lanes);
  });
}

}  // namespace

void launch_gemm_skinny(Stream stream, const GemmProblem& g, const GemmPlan& plan, DType inputs) {
  dispatch_floating(inputs, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if (plan.kernel == GemmKernel::skinny_dot) {
      launch_dot<T>(stream, g);
    } else {
      launch_sweep<T>(stream, g);
    }
  });
}

}  // namespace gg
