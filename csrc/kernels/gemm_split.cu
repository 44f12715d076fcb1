// The second half of a GEMM whose k is split between blocks.
//
//   y = act(alpha row_scale scale (partial[0] + partial[1] + ...) + bias + residual + beta y)
//
// partial [split][batch][m][pitch] has the dtype of the sums. They are added in index order, so the
// bits do not depend on the schedule. y = unless beta != 0.
//
// A thread takes four neighbouring columns. Bound: bandwidth, splits * m * n sums read once.
// Reached: not measured.

#include "core/checks.h"
#include "kernels/gemm_launch.cuh"
#include "kernels/gemm_overflow.cuh"

namespace gg {
namespace {

constexpr int kThreads = 256;

template <class A>
__global__ void __launch_bounds__(kThreads)
    gemm_split_sum(const __grid_constant__ GemmProblem g, const A* partial, int splits) {
  constexpr int W = sizeof(A) == 8 ? 2 : 4;
  const int64_t columns = g.split.pitch / 4, size = g.partial_size();
  const int64_t step = int64_t{gridDim.x} * kThreads;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < size / 4; i += step) {
    A sums[1][4] = {};
    const A* p = partial + 4 * i;
#pragma unroll 4
    for (int s = 0; s < splits; s++, p += size) {
#pragma unroll
      for (int w = 0; w < 4; w += W) {
        const Vec<A, W> v = load_vec<W>(p + w);
#pragma unroll
        for (int e = 0; e < W; e++) sums[0][w + e] += v[e];
      }
    }
    const int64_t row = i / columns % g.m, batch = i / columns / g.m, col = i % columns * 4;
    if constexpr (std::is_same_v<A, float>) {
      if (g.exact_overflow) replace_overflow(g, batch, row, 1, col, sums);
    }
    Epilogue<A>(g, batch, 0).write(row, 1, col, sums);
  }
}

template <class A>
void launch_sum(Stream stream, const GemmProblem& g) {
  GemmProblem whole = g;
  whole.split.partial = nullptr;
  const int64_t blocks = (g.partial_size() / 4 + kThreads - 1) / kThreads;
  const int64_t most = int64_t{8} * multiprocessors();
  launch(gemm_split_sum<A>, static_cast<unsigned>(std::min(blocks, most)), kThreads, 0, stream,
         whole, static_cast<const A*>(g.split.partial), g.split.count);
}

}  // namespace

void launch_gemm_split_sum(Stream stream, const GemmProblem& g, DType inputs) {
  if (is_floating(inputs)) {
    if (inputs == DType::f64) return launch_sum<double>(stream, g);
    return launch_sum<float>(stream, g);
  }
  if (dtype_size(inputs) == 8) return launch_sum<uint64_t>(stream, g);
  launch_sum<uint32_t>(stream, g);
}

}  // namespace gg
