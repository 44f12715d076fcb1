// GEMM on ordinary CUDA cores: every dtype, every stride.
//
//   y = act(alpha row_scale scale (a b) + bias + residual + beta y)    ops.h has the contract
//
// Assumes nothing of strides: an operand is read along its faster axis, four elements at once where
// they are contiguous and aligned, so all of NN, NT, TN, TT are coalesced.
//
// Accumulates in float32 (float16, bfloat16, float32), float64, or wrapping integers. y = unless
// beta != 0. Deterministic: the order of every sum depends on shapes, layouts and the machine;
// where k is split between blocks, gemm_split.cu adds the parts in index order.
//
// 2 m n k FLOP; a tile of side S reads m n k / S elements of each operand, mostly from L2.
// Bound: FP32 peak for the 128 x 128 tile. Reached: not measured.

#include "core/checks.h"
#include "kernels/gemm_launch.cuh"
#include "kernels/gemm_simt_tile.cuh"

namespace gg {
namespace {

template <class T, int S, int QM, int QN, int G>
void launch_tiles(Stream stream, const GemmProblem& g) {
  for_each_grid(gemm_blocks(g, S, S), [&](int64_t first, unsigned grid) {
    launch(gemm_tile<T, S, QM, QN, G>, grid, 2 * S, 0, stream, g, first);
  });
}

template <class T>
void launch_floating(Stream stream, const GemmProblem& g, int side) {
  if constexpr (std::is_same_v<T, float>) {
    if (side == 128) return launch_tiles<T, 128, 2, 2, 1>(stream, g);
    if (side == 32) return launch_tiles<T, 32, 1, 1, 4>(stream, g);
  }
  launch_tiles<T, 64, 2, 1, 2>(stream, g);
}

}  // namespace

void launch_gemm_simt(Stream stream, const GemmProblem& g, const GemmPlan& plan, DType inputs) {
  if (is_floating(inputs)) {
    return dispatch_floating(inputs, [&](auto tag) {
      launch_floating<typename decltype(tag)::type>(stream, g, plan.m);
    });
  }
  if (inputs == DType::i8) return launch_tiles<int8_t, 32, 1, 1, 4>(stream, g);
  dispatch_width(inputs, [&](auto tag) {
    launch_tiles<typename decltype(tag)::type, 32, 1, 1, 4>(stream, g);
  });
}

}  // namespace gg
