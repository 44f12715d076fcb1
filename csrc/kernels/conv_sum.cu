// The second half of a convolution whose sums are split between blocks.
//
//   conv_split_sum   y = act(alpha scale (partial[0] + partial[1] + ...) + bias + residual + beta
//   y)
//                    partial [split][group][position][pitch]: fprop and dgrad
//   conv_wgrad_sum   dw = partial[0] + partial[1] + ..., dw of any strides
//                    partial [split][group][k][tap][c, padded]
//
// Partial sums are float32 and added in index order, so the bits do not depend on the schedule.
// y = unless beta != 0; dw =.
//
// A thread takes four neighbouring columns. Bound: bandwidth, all partial sums read once. Reached:
// not measured.

#include "core/checks.h"
#include "kernels/conv_launch.cuh"
#include "kernels/conv_overflow.cuh"

namespace gg {
namespace {

constexpr int kThreads = 256;

/// The sum of element 4 * i .. of each split.
GG_DEVICE void add_splits(const float* partial, int64_t i, int64_t size, int splits,
                          float (&sums)[1][4]) {
  const float* p = partial + 4 * i;
#pragma unroll 4
  for (int s = 0; s < splits; s++, p += size) {
    const Vec<float, 4> v = load_vec<4>(p);
#pragma unroll
    for (int e = 0; e < 4; e++) sums[0][e] += v[e];
  }
}

__global__ void __launch_bounds__(kThreads)
    conv_split_sum(const __grid_constant__ ConvMma c, const float* partial, int splits) {
  const GemmProblem& g = c.p.gemm;
  const int64_t columns = g.split.pitch / 4, size = g.partial_size();
  const int64_t step = int64_t{gridDim.x} * kThreads;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < size / 4; i += step) {
    float sums[1][4] = {};
    add_splits(partial, i, size, splits, sums);
    const int64_t row = i / columns % g.m, group = i / columns / g.m, col = i % columns * 4;
    if (g.exact_overflow) {
      replace_overflow(g.m, g.n, row, 1, col, sums,
                       [&](int64_t m, int64_t n) { return plain_output(c, group, m, n); });
    }
    conv_epilogue<float>(c.p, group, 0).write(row, 1, col, sums);
  }
}

/// dw's places: groups of four channels of [group, k, taps, c padded], innermost last.
struct WeightPlaces {
  Layout<1> layout;
  int64_t c;  ///< stride of channels
  void* data;
};

__global__ void __launch_bounds__(kThreads)
    conv_wgrad_sum(const __grid_constant__ ConvMma c, const __grid_constant__ WeightPlaces dw,
                   int splits) {
  const GemmProblem& g = c.p.gemm;
  const float* const partial = static_cast<const float*>(g.split.partial);
  const int64_t quads = g.n / c.p.taps() / 4, size = g.partial_size();
  const int64_t step = int64_t{gridDim.x} * kThreads;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < size / 4; i += step) {
    float sums[1][4] = {};
    add_splits(partial, i, size, splits, sums);
    const int64_t channel = i % quads * 4;
    if (g.exact_overflow) {
      const int64_t row = i / (g.n / 4), tap = i / quads % c.p.taps();
      replace_overflow(1, c.p.c, 0, 1, channel, sums, [&](int64_t, int64_t n) {
        return plain_weight(c, row / g.m, row % g.m, static_cast<int>(tap), n);
      });
    }
    const int64_t at = dw.layout.offset(0, i);
    with_output<void, float>(c.p.dtype, [&](auto y) {
      using Y = decltype(y);
#pragma unroll
      for (int e = 0; e < 4; e++) {
        if (channel + e < c.p.c) static_cast<Y*>(dw.data)[at + e * dw.c] = convert<Y>(sums[0][e]);
      }
    });
  }
}

unsigned sum_grid(const GemmProblem& g) {
  const int64_t blocks = (g.partial_size() / 4 + kThreads - 1) / kThreads;
  return static_cast<unsigned>(std::min(blocks, int64_t{8} * multiprocessors()));
}

}  // namespace

void launch_conv_split_sum(Stream stream, const ConvMma& c) {
  ConvMma whole = c;
  whole.p.gemm.split.partial = nullptr;
  launch(conv_split_sum, sum_grid(c.p.gemm), kThreads, 0, stream, whole,
         static_cast<const float*>(c.p.gemm.split.partial), c.p.gemm.split.count);
}

void launch_conv_wgrad_sum(Stream stream, const ConvMma& c, const ConvFilter& dw) {
  const GemmProblem& g = c.p.gemm;
  WeightPlaces places{{}, dw.c, dw.data};
  places.layout.push(c.p.groups, {dw.group});
  places.layout.push(g.m, {dw.k});
  for (int a = 0; a < kConvAxes; a++) places.layout.push(c.p.axis[a].taps, {dw.tap[a]});
  places.layout.push(g.n / c.p.taps() / 4, {4 * dw.c});
  places.layout.finish();
  launch(conv_wgrad_sum, sum_grid(g), kThreads, 0, stream, c, places, g.split.count);
}

}  // namespace gg
