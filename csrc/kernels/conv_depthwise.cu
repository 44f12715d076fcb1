// Depthwise convolution, and others with few channels in a group, by direct sums.
//
//   fprop, dgrad   y = act(alpha scale sum + bias + residual + beta y), the gather that
//                  conv_problem.cuh describes
//   wgrad          dw = sums over images and positions
//
// Any strides. Where each group is one channel, and channels are contiguous and aligned, they are
// read 16 bytes at a time; otherwise one by one, lanes along the faster of channels and positions.
//
// Accumulates in float32 (float64: float64). y = unless beta != 0. Deterministic: each sum is one
// thread's; wgrad's meet in a fixed tree, its splits' in index order.
//
// Reads x once (again for each tap, from L1) and writes y once; wgrad reads x and dy once for each
// nine weights. 2 * taps * c FLOP for each y. Bound: bandwidth. Reached: not measured.

#include <algorithm>

#include "kernels/conv_depthwise_wgrad.cuh"
#include "kernels/gemm_launch.cuh"

namespace gg {
namespace {

constexpr int64_t kMost = 0x7fffffff;
constexpr int kFew = 8;
constexpr int kWgradWidth = 4;  ///< channels that wgrad reads at once

/// Channels that are read at once where they are contiguous.
int vector_width(const ConvProblem& p) {
  return p.dtype == DType::f64 ? 1 : 16 / dtype_size(p.dtype);
}

bool takes(const ConvProblem& p) {
  const bool few = p.c == 1 || p.k == 1 || (p.c <= kFew && p.k <= kFew);
  return p.groups > 1 && few && p.groups * p.k <= kMost / 2 && p.taps() * p.c <= kMost / 2;
}

/// Are neighbouring channels of x groups of their own, and each V of them one aligned access?
bool reads_vectors(const ConvProblem& p) {
  return p.c == 1 && p.k == 1 && p.groups % vector_width(p) == 0 && channels_align(p, p.x, true);
}

bool residual_aligns(const ConvProblem& p) {
  const GemmOutput& out = p.gemm.out;
  int64_t offsets = reinterpret_cast<intptr_t>(out.residual);
  for (int i = 0; i < p.pixels.ndim; i++) offsets |= p.pixels.stride[1][i] * dtype_size(p.dtype);
  return out.residual_n == 1 && offsets % 16 == 0;
}

int lanes(const Depthwise& s, int width) {
  int count = 1;
  const int most = std::min(kDepthwiseChannels / width, kWarp);
  while (s.by_channel && count < most && count * width < s.channels) count *= 2;
  return count;
}

/// All groups' channels become the columns of one matrix.
Depthwise ungrouped(const ConvProblem& p, int width) {
  Depthwise s{p, ConvPositions(p), static_cast<int>(p.groups * p.k), 1, false};
  s.by_channel = by_channel(p.x, p.groups * p.c, p.axis[2].step, p.axis[2].out);
  s.lanes = lanes(s, width);
  GemmProblem& g = s.p.gemm;
  g.n = s.channels, g.batch = {};
  g.out.y_vector = width > 1 && channels_align(p, p.y, false);
  g.out.residual_vector = width > 1 && residual_aligns(p);
  return s;
}

template <class T, int V>
void launch_gather(Stream stream, const Depthwise& s) {
  const int64_t width = s.lanes * V, rows = DepthwisePlace::rows(s);
  const int64_t blocks = (s.channels + width - 1) / width * ((s.p.gemm.m + rows - 1) / rows);
  for_each_grid(blocks, [&](int64_t first, unsigned grid) {
    launch(conv_depthwise<T, V>, grid, kDepthwiseThreads, 0, stream, s, first);
  });
}

bool wgrad_reads_vectors(const ConvProblem& p) {
  return p.dtype != DType::f64 && reads_vectors(p) && channels_align(p, p.y, false);
}

int64_t wgrad_blocks(const Depthwise& s, int width) {
  const int64_t channels = s.lanes * width, terms = s.p.taps() * s.p.c;
  return (s.channels + channels - 1) / channels * ((terms + kWeights - 1) / kWeights);
}

Depthwise wgrad(const ConvProblem& p) {
  const int width = wgrad_reads_vectors(p) ? kWgradWidth : 1;
  Depthwise s = ungrouped(p, width);
  const int64_t all = p.n * p.positions(), step = kDepthwiseThreads / s.lanes;
  const int64_t splits = conv_wgrad_splits(p, wgrad_blocks(s, width), 8 * step);
  s.rows = std::max<int64_t>((all + splits - 1) / splits, 1);
  s.splits = std::max<int64_t>((all + s.rows - 1) / s.rows, 1);
  return s;
}

template <class T, int V>
void launch_wgrad(Stream stream, const Depthwise& s, void* partial) {
  for_each_grid(wgrad_blocks(s, V) * s.splits, [&](int64_t first, unsigned grid) {
    launch(conv_depthwise_wgrad<T, V>, grid, kDepthwiseThreads, 0, stream, s,
           static_cast<ConvSum<T>*>(partial), first);
  });
}

}  // namespace

bool conv_depthwise_takes(const ConvProblem& p) {
  return takes(p);
}

void launch_conv_depthwise(Stream stream, const ConvProblem& p) {
  if (reads_vectors(p)) {
    const Depthwise s = ungrouped(p, vector_width(p));
    if (p.dtype == DType::f16) return launch_gather<f16, 8>(stream, s);
    if (p.dtype == DType::bf16) return launch_gather<bf16, 8>(stream, s);
    if (p.dtype == DType::f32) return launch_gather<float, 4>(stream, s);
  }
  with_conv_storage(p, [&](auto tag) {
    launch_gather<typename decltype(tag)::type, 1>(stream, ungrouped(p, 1));
  });
}

bool conv_depthwise_wgrad_takes(const ConvProblem& p) {
  return takes(p);
}

int64_t conv_depthwise_wgrad_workspace(const ConvProblem& p) {
  return wgrad(p).splits * conv_filter_size(p) * conv_sum_size(p);
}

void launch_conv_depthwise_wgrad(Stream stream, const ConvProblem& p, void* workspace) {
  const Depthwise s = wgrad(p);
  const bool vectors = wgrad_reads_vectors(p);
  if (vectors && p.dtype == DType::f16) {
    launch_wgrad<f16, kWgradWidth>(stream, s, workspace);
  } else if (vectors && p.dtype == DType::bf16) {
    launch_wgrad<bf16, kWgradWidth>(stream, s, workspace);
  } else if (vectors && p.dtype == DType::f32) {
    launch_wgrad<float, kWgradWidth>(stream, s, workspace);
  } else {
    with_conv_storage(
        p, [&](auto tag) { launch_wgrad<typename decltype(tag)::type, 1>(stream, s, workspace); });
  }
  launch_conv_filter_sum(stream, p, workspace, s.splits);
}

}  // namespace gg
