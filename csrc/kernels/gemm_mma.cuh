// GEMM on tensor cores by mma.sync: the kernel, for every Math of mma_math.cuh.
//
// A block computes a tile of y; a warp 64 x 64 of it (32 x 32 in the small tile). Operands are
// contiguous along k or along their rows, aligned to 16 bytes (gemm.cu copies others first); which
// of the two is a run-time choice, the same for all threads. Tiles of y are visited in groups of 8
// rows of tiles, so that blocks running at the same time share operands in L2.
//
// Bound: tensor peak for large m, n and k. Estimate for A100, from the main loop's instructions on
// sm_80 (for a warp and 64 bytes of k: float16 128 x 256: 64 HMMA, 16 LDSM, 6 LDGSTS of 169; tf32:
// 64 HMMA of 478; 3xTF32: 96 HMMA of 591): 265 to 280 TFLOP/s in float16 and bfloat16, 120 to 130
// in tf32, 40 to 45 in 3xTF32 (float32's own peak there is 19.5). Reached: not measured.
#pragma once

#include "kernels/gemm_launch.cuh"
#include "kernels/mma_output.cuh"

namespace gg {

struct TilePlace {
  int64_t m0, n0, split, batch;
};

/// Which tile block number `block` computes.
template <class Shape>
GG_DEVICE TilePlace place_tile(const GemmProblem& g, int64_t block) {
  constexpr unsigned group = 8;
  const auto m_tiles = static_cast<unsigned>((g.m + Shape::kM - 1) / Shape::kM);
  const auto n_tiles = static_cast<unsigned>((g.n + Shape::kN - 1) / Shape::kN);
  const int64_t tiles = int64_t{m_tiles} * n_tiles;
  const auto tile = static_cast<unsigned>(block % tiles);
  const unsigned first = tile / (group * n_tiles) * group;
  const unsigned rows = m_tiles - first < group ? m_tiles - first : group;
  const unsigned in_group = tile - first * n_tiles;
  block /= tiles;
  return {int64_t{first + in_group % rows} * Shape::kM, int64_t{in_group / rows} * Shape::kN,
          block % g.split.count, block / g.split.count};
}

template <class Math, class Shape>
GG_DEVICE void gemm_mma_block(const GemmProblem& g, int64_t block) {
  using T = typename Math::Element;
  using Sum = typename Math::Sum;
  using A = std::conditional_t<std::is_integral_v<Sum>, uint32_t, float>;
  constexpr bool async = Math::kArchitecture >= 80;
  char* const shared = shared_dynamic<char>();
  const TilePlace at = place_tile<Shape>(g, block);
  const int64_t k0 = at.split * g.split.k, k = g.k - k0 < g.split.k ? g.k - k0 : g.split.k;
  const T* const a_data =
      static_cast<const T*>(g.a.data) + g.batch.offset(0, at.batch) + at.m0 * g.a.row + k0 * g.a.k;
  const T* const b_data =
      static_cast<const T*>(g.b.data) + g.batch.offset(1, at.batch) + at.n0 * g.b.row + k0 * g.b.k;
  // 8-bit operands are always along k: the constant saves their other branch.
  const bool a_along_k = sizeof(T) == 1 || g.a.along_k, b_along_k = sizeof(T) == 1 || g.b.along_k;
  MatrixView<T, Shape::kM, Shape::kThreads> a(a_data, g.a.slow(), a_along_k, g.m - at.m0, k);
  MatrixView<T, Shape::kN, Shape::kThreads> b(b_data, g.b.slow(), b_along_k, g.n - at.n0, k);
  const StageAccess<T, Shape> access(a_along_k, b_along_k);
  const int tiles = static_cast<int>((k + kTileK<T> - 1) / kTileK<T>);
  WarpSums<Math, Shape> sums;
  const auto write = [&](const TilePlace& place) {
    Math::finish(sums);
    write_sums<T, Shape, std::is_same_v<Math, Tf32x3Math>>(
        g, place.batch, place.split, place.m0, place.n0, reinterpret_cast<A*>(shared), sums.d);
  };
  if constexpr (async) {
    GG_SHARED(place, TilePlace);  // for the epilogue: until then registers are scarce
    if (threadIdx.x == 0) place = at;
    mainloop_async<Math, Shape>(a, b, access, tiles, shared, sums);
    write(place);
  } else {  // shared memory is scarcer: sm_75 has 64 KiB, for two blocks just enough
    mainloop_staged<Math, Shape>(a, b, access, tiles, shared, sums);
    write(at);
  }
}

/// Blocks of 128 threads share a multiprocessor by twos: 255 registers for a thread in any case.
template <class Math, class Shape>
__global__ void __launch_bounds__(Shape::kThreads, Shape::kThreads == 128 ? 2 : 1)
    gemm_mma(const __grid_constant__ GemmProblem g, int64_t first_block) {
  constexpr bool runs = Math::kArchitecture >= 80 ? kDeviceHas80 : kDeviceBelow80;
  if constexpr (runs) {
    gemm_mma_block<Math, Shape>(g, first_block + blockIdx.x);
  } else {
    __trap();  // the host does not launch it
  }
}

template <class Math, class Shape>
void launch_mma(Stream stream, const GemmProblem& g) {
  constexpr int stages = Math::kArchitecture >= 80 ? kAsyncStages : kStagedStages;
  constexpr int bytes = std::max(stages * Shape::kStageBytes, kTurnBytes<Shape>);
  for_each_grid(gemm_blocks(g, Shape::kM, Shape::kN), [&](int64_t first, unsigned grid) {
    launch(gemm_mma<Math, Shape>, grid, Shape::kThreads, bytes, stream, g, first);
  });
}

using SmallShape = BlockShape<64, 64, 32, 32>;
using WideShape = BlockShape<128, 256, 64, 64>;

/// Large: the shape of the 128 x 128 tile. The kernels for sm_75 run there alone.
template <class Math, class Math75, class Large>
void launch_mma_tile(Stream stream, const GemmProblem& g, const GemmPlan& plan) {
  if constexpr (!std::is_void_v<Math75>) {
    if (gemm_device().code < 80) {
      if (plan.m == SmallShape::kM) return launch_mma<Math75, SmallShape>(stream, g);
      return launch_mma<Math75, Large>(stream, g);
    }
  }
  if constexpr (sizeof(typename Math::Element) == 2) {
    if (plan.n == WideShape::kN) return launch_mma<Math, WideShape>(stream, g);
  }
  if (plan.m == SmallShape::kM) return launch_mma<Math, SmallShape>(stream, g);
  launch_mma<Math, Large>(stream, g);
}

}  // namespace gg
