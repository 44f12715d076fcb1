// Convolution on tensor cores by mma.sync: an implicit GEMM, for every Math of mma_math.cuh.
//
//   conv_mma         y = epilogue(sum over tap, channel of x w): fprop, and each phase of dgrad
//                    rows are positions of y, columns channels; k = (tap, channel)
//   conv_mma_wgrad   partial[split][group][k][tap][c] = sum over a slice of positions of dy x
//                    rows are channels of dy, columns (tap, channel of x); k = positions
//
// Tiles, main loop and output are those of gemm_mma.cuh; windows are gathered on the way from
// global to shared memory (conv_views.cuh) and cost no memory of their own. x is channels-last, w
// is [k][tap][c], both in chunks of 16 bytes (conv.cu copies others first). y may have any strides.
//
// Accumulates in float32. y = unless beta != 0. Deterministic: fixed order of sums; partial sums
// are added in index order (conv_sum.cu).
//
// 2 size(y) c taps FLOP; bound: tensor peak for c of 64 and more. Reached: not measured.
#pragma once

#include "kernels/conv_launch.cuh"
#include "kernels/conv_overflow.cuh"
#include "kernels/gemm_mma.cuh"

namespace gg {

/// sums += a b over `tiles` tiles of k, then write(at).
template <class Math, class Shape, class A, class B, class Access, class Sums, class Write>
GG_DEVICE void run_mainloop(A& a, B& b, const Access& access, int tiles, char* shared, Sums& sums,
                            const TilePlace& at, const Write& write) {
  if constexpr (Math::kArchitecture >= 80) {
    GG_SHARED(place, TilePlace);  // for the epilogue: until then registers are scarce
    if (threadIdx.x == 0) place = at;
    mainloop_async<Math, Shape>(a, b, access, tiles, shared, sums);
    write(place);
  } else {
    mainloop_staged<Math, Shape>(a, b, access, tiles, shared, sums);
    write(at);
  }
}

template <class Math, class Shape>
GG_DEVICE void conv_mma_block(const ConvMma& c, int64_t block) {
  using T = typename Math::Element;
  const GemmProblem& g = c.p.gemm;
  char* const shared = shared_dynamic<char>();
  const TilePlace at = place_tile<Shape>(g, block);
  const int64_t k0 = at.split * g.split.k, k = g.k - k0 < g.split.k ? g.k - k0 : g.split.k;
  const T* const w = static_cast<const T*>(c.p.w.data) + at.batch * c.p.w.group;
  WindowView<T, Shape::kM, Shape::kThreads> a(c, at.batch, at.m0,
                                              static_cast<int>(k0 * sizeof(T) / kChunk));
  MatrixView<T, Shape::kN, Shape::kThreads> b(w + at.n0 * c.p.w.k + k0, c.p.w.k, true, g.n - at.n0,
                                              k);
  const StageAccess<T, Shape> access(true, true);
  const int tiles = static_cast<int>((k + kTileK<T> - 1) / kTileK<T>);
  WarpSums<Math, Shape> sums;
  const auto replace = [&](const TilePlace& to, int64_t row, int64_t step, int64_t col,
                           auto& tile) {
    replace_overflow(g.m, g.n, row, step, col, tile,
                     [&](int64_t m, int64_t n) { return plain_output(c, to.batch, m, n); });
  };
  const auto write = [&](const TilePlace& to) {
    Math::finish(sums);
    const auto epilogue = conv_epilogue<float, T>(c.p, to.batch, to.split);
    turn_sums<Shape>(to.m0, to.n0, g.n, reinterpret_cast<float*>(shared), sums.d,
                     [&](int64_t row, int64_t step, int64_t col, auto& tile) {
                       if constexpr (std::is_same_v<Math, Tf32x3Math>) {
                         if (!g.split.partial) replace(to, row, step, col, tile);
                       }
                       write_rows(epilogue, row, step, col, tile);
                     });
  };
  run_mainloop<Math, Shape>(a, b, access, tiles, shared, sums, at, write);
}

template <class Math, class Shape>
GG_DEVICE void conv_mma_wgrad_block(const ConvMma& c, int64_t block) {
  using T = typename Math::Element;
  const GemmProblem& g = c.p.gemm;
  char* const shared = shared_dynamic<char>();
  const TilePlace at = place_tile<Shape>(g, block);
  const int64_t k0 = at.split * g.split.k, k = g.k - k0 < g.split.k ? g.k - k0 : g.split.k;
  const int64_t pitch = c.p.y.at[kConvAxes - 1];  // of dy's positions
  const T* const dy = static_cast<const T*>(c.p.y.data) + at.batch * c.p.y.group;
  MatrixView<T, Shape::kM, Shape::kThreads> a(dy + at.m0 + k0 * pitch, pitch, false, g.m - at.m0,
                                              k);
  PixelView<T, Shape::kN, Shape::kThreads> b(
      c, at.batch, static_cast<int>(at.n0 * sizeof(T) / kChunk), k0, static_cast<int>(k));
  const StageAccess<T, Shape> access(false, false);
  const int tiles = static_cast<int>((k + kTileK<T> - 1) / kTileK<T>);
  WarpSums<Math, Shape> sums;
  const auto write = [&](const TilePlace& to) {
    Math::finish(sums);
    const Epilogue<float, T> partial(g, to.batch, to.split);
    turn_sums<Shape>(to.m0, to.n0, g.n, reinterpret_cast<float*>(shared), sums.d,
                     [&](int64_t row, int64_t step, int64_t col, auto& tile) {
                       partial.write_partial(row, step, col, tile);
                     });
  };
  run_mainloop<Math, Shape>(a, b, access, tiles, shared, sums, at, write);
}

/// Blocks of 128 threads share a multiprocessor by twos: 255 registers for a thread.
template <class Math, class Shape, bool Wgrad>
__global__ void __launch_bounds__(Shape::kThreads, Shape::kThreads == 128 ? 2 : 1)
    conv_mma(const __grid_constant__ ConvMma c, int64_t first_block) {
  constexpr bool runs = Math::kArchitecture >= 80 ? kDeviceHas80 : kDeviceBelow80;
  if constexpr (!runs) {
    __trap();  // the host does not launch it
  } else if constexpr (Wgrad) {
    conv_mma_wgrad_block<Math, Shape>(c, first_block + blockIdx.x);
  } else {
    conv_mma_block<Math, Shape>(c, first_block + blockIdx.x);
  }
}

/// How far `positions` are, as PixelView counts them.
inline void set_line(ConvWalk& walk, const ConvProblem& p, int positions) {
  walk.line_stride = 0;
  for (int a = kConvAxes - 1; a >= 0; a--) {
    walk.line[a] = positions % p.axis[a].out, positions /= p.axis[a].out;
    walk.line_stride += walk.line[a] * walk.step[a];
  }
  walk.line_stride += positions * walk.n;
}

template <class Math, class Shape, bool Wgrad>
void launch_conv_shape(Stream stream, ConvMma c) {
  using Columns = PixelView<typename Math::Element, Shape::kN, Shape::kThreads>;
  if (Wgrad) set_line(c.walk, c.p, Columns::kLineStep);
  constexpr int stages = Math::kArchitecture >= 80 ? kAsyncStages : kStagedStages;
  constexpr int bytes = std::max(stages * Shape::kStageBytes, kTurnBytes<Shape>);
  for_each_grid(gemm_blocks(c.p.gemm, Shape::kM, Shape::kN), [&](int64_t first, unsigned grid) {
    launch(conv_mma<Math, Shape, Wgrad>, grid, Shape::kThreads, bytes, stream, c, first);
  });
}

/// wgrad in large tiles; not for 3xTF32, nor on sm_75, where registers would not suffice.
template <class Math>
constexpr bool kLargeWgrad = !std::is_same_v<Math, Tf32x3Math> && Math::kArchitecture >= 80;

template <class Math, class Large>
void launch_conv_math(Stream stream, const ConvMma& c, bool wgrad, bool large) {
  if (wgrad) {
    if constexpr (kLargeWgrad<Math>) {
      if (large) return launch_conv_shape<Math, Large, true>(stream, c);
    }
    return launch_conv_shape<Math, SmallShape, true>(stream, c);
  }
  if (large) return launch_conv_shape<Math, Large, false>(stream, c);
  launch_conv_shape<Math, SmallShape, false>(stream, c);
}

}  // namespace gg
