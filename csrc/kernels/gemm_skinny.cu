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
  constexpr int threads = 32 * kDotWarps;
  int team = kSkinnyRows;
  while (team < 32 && team * kDotWidth<T> < g.split.k) team *= 2;
  if (g.split.k >= kLongDot) team = threads;
  const int64_t teams = threads / team, blocks = (gemm_blocks(g, g.m, 4) + teams - 1) / teams;
  for_each_grid(blocks, [&](int64_t first, unsigned grid) {
    launch(gemm_skinny_dot<T>, grid, threads, 0, stream, g, first, team);
  });
}

/// How gemm_skinny_sweep is launched: wide pieces of b's rows, but not on few multiprocessors.
struct Sweep {
  int lanes, threads;

  explicit Sweep(const GemmProblem& g) : lanes(8), threads(kSweepThreads / 2) {
    if (gemm_device().architecture != 90) {
      if (g.n * g.batch.size < 32 * multiprocessors()) lanes = 2;
      return;
    }
    while (lanes > 2 && 4 * blocks(g) < 3 * multiprocessors()) lanes /= 2;
    if (blocks(g) < 2 * multiprocessors()) threads = kSweepThreads;  // one block each
  }

  int64_t blocks(const GemmProblem& g) const { return gemm_blocks(g, g.m, 4 * lanes); }
};

template <class T>
void launch_sweep(Stream stream, const GemmProblem& g) {
  const Sweep sweep(g);
  for_each_grid(sweep.blocks(g), [&](int64_t first, unsigned grid) {
    launch(gemm_skinny_sweep<T>, grid, sweep.threads, 0, stream, g, first, sweep.lanes);
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
