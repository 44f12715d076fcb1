// Convolution on ordinary CUDA cores: every dtype, shape and stride.
//
//   fprop, dgrad   y = act(alpha scale sum + bias + residual + beta y), the gather that
//                  conv_problem.cuh describes
//   wgrad          dw = sums over images and positions
//
// Assumes nothing of strides: operands are read along their faster axis, several channels at once
// where they are contiguous and aligned.
//
// Accumulates in float32 (float16, bfloat16, float32) or float64; y = unless beta != 0. Every sum's
// order is fixed by shape and machine: wgrad's positions are split between blocks, whose partial
// sums are added in index order.
//
// 2 * size(y) * c * taps FLOP. A tile of 128 x 64 reads x and w from L2 and L1. Bound: FP32 peak,
// where a group has 64 channels and more. Reached: not measured.

#include <algorithm>

#include "core/checks.h"
#include "kernels/conv_simt_gather.cuh"
#include "kernels/conv_simt_wgrad.cuh"
#include "kernels/gemm_launch.cuh"

namespace gg {
namespace {

constexpr int kSumThreads = 256;

/// A thread adds an element's partial sums and writes it.
template <class A>
__global__ void __launch_bounds__(kSumThreads)
    conv_filter_sum(const __grid_constant__ ConvProblem p, const A* partial, int64_t splits) {
  const int64_t columns = p.taps() * p.c, size = p.groups * p.k * columns;
  const int64_t step = int64_t{gridDim.x} * kSumThreads;
  for (int64_t i = int64_t{blockIdx.x} * kSumThreads + threadIdx.x; i < size; i += step) {
    A sum = 0;
#pragma unroll 4
    for (int64_t s = 0; s < splits; s++) sum += partial[s * size + i];
    const int64_t row = i / columns, group = row / p.k;
    int64_t tap = (i - row * columns) / p.c;
    const int64_t c = i - row * columns - tap * p.c;
    int64_t at = group * p.w.group + (row - group * p.k) * p.w.k + c * p.w.c;
#pragma unroll
    for (int a = kConvAxes - 1; a >= 0; a--) {
      const int64_t rest = tap / p.axis[a].taps;
      at += (tap - rest * p.axis[a].taps) * p.w.tap[a];
      tap = rest;
    }
    with_output<void, A>(p.dtype, [&](auto tag) {
      using Y = decltype(tag);
      static_cast<Y*>(p.w.data)[at] = convert<Y>(sum);
    });
  }
}

template <class A>
void launch_sum(Stream stream, const ConvProblem& p, const void* partial, int64_t splits) {
  const int64_t blocks = (conv_filter_size(p) + kSumThreads - 1) / kSumThreads;
  const int64_t most = int64_t{8} * multiprocessors();
  launch(conv_filter_sum<A>, static_cast<unsigned>(std::min(blocks, most)), kSumThreads, 0, stream,
         p, static_cast<const A*>(partial), splits);
}

SimtGather gather(const ConvProblem& p) {
  SimtGather s{p, ConvPositions(p), false, false, false};
  const int element = dtype_size(p.dtype);
  const ConvAxis* const a = p.axis;
  s.x_vector = channels_align(p, p.x, true) && taken(p.x.group, p.groups) * element % 16 == 0;
  s.w_vector =
      channels_align(p.w.data, p.w.c,
                     {taken(p.w.group, p.groups), taken(p.w.k, p.k), taken(p.w.tap[0], a[0].taps),
                      taken(p.w.tap[1], a[1].taps), taken(p.w.tap[2], a[2].taps)},
                     element);
  s.w_along_c = std::abs(p.w.c) < std::abs(p.w.k) || p.k == 1;
  return s;
}

int64_t wgrad_tiles(const ConvProblem& p) {
  const int64_t columns = p.taps() * p.c;
  return (p.k + kWgradTile - 1) / kWgradTile * ((columns + kWgradTile - 1) / kWgradTile) * p.groups;
}

/// Splits of wgrad, and how many positions each has, a multiple of what is loaded at once.
SimtWgrad wgrad(const ConvProblem& p) {
  const int64_t all = p.n * p.positions(), splits = conv_wgrad_splits(p, wgrad_tiles(p), 512);
  const int64_t rows = (all + splits - 1) / splits;
  SimtWgrad s{p, ConvPositions(p), false, false, 0, 1};
  s.rows = std::max<int64_t>((rows + kWgradSlice - 1) / kWgradSlice * kWgradSlice, kWgradSlice);
  s.splits = std::max<int64_t>((all + s.rows - 1) / s.rows, 1);
  s.x_by_channel = by_channel(p.x, p.c, p.axis[2].step, p.axis[2].out);
  s.y_by_channel = by_channel(p.y, p.k, 1, p.axis[2].out);
  return s;
}

}  // namespace

int64_t conv_wgrad_splits(const ConvProblem& p, int64_t blocks, int64_t least) {
  constexpr int64_t most_bytes = int64_t{128} << 20;
  const int64_t all = p.n * p.positions(), bytes = conv_filter_size(p) * conv_sum_size(p);
  const int64_t wanted = (int64_t{6} * multiprocessors() + blocks - 1) / blocks;
  const int64_t most = std::min(all / least, most_bytes / std::max<int64_t>(bytes, 1));
  return std::max<int64_t>(std::min(wanted, most), 1);
}

void launch_conv_filter_sum(Stream stream, const ConvProblem& p, const void* partial,
                            int64_t splits) {
  if (p.dtype == DType::f64) return launch_sum<double>(stream, p, partial, splits);
  launch_sum<float>(stream, p, partial, splits);
}

void launch_conv_simt(Stream stream, const ConvProblem& p) {
  const SimtGather s = gather(p);
  with_conv_storage(p, [&](auto tag) {
    using T = typename decltype(tag)::type;
    constexpr int64_t rows = kGatherRows<T>;
    const int64_t blocks =
        (p.gemm.m + rows - 1) / rows * ((p.k + kGatherColumns - 1) / kGatherColumns) * p.groups;
    for_each_grid(blocks, [&](int64_t first, unsigned grid) {
      launch(conv_simt_gather<T>, grid, kGatherThreads, 0, stream, s, first);
    });
  });
}

int64_t conv_simt_wgrad_workspace(const ConvProblem& p) {
  return wgrad(p).splits * conv_filter_size(p) * conv_sum_size(p);
}

void launch_conv_simt_wgrad(Stream stream, const ConvProblem& p, void* workspace) {
  const SimtWgrad s = wgrad(p);
  with_conv_storage(p, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for_each_grid(wgrad_tiles(p) * s.splits, [&](int64_t first, unsigned grid) {
      launch(conv_simt_wgrad<T>, grid, kWgradThreads, 0, stream, s,
             static_cast<ConvSum<T>*>(workspace), first);
    });
  });
  launch_conv_filter_sum(stream, p, workspace, s.splits);
}

}  // namespace gg
