// Direct sums for convolutions with few channels in a group: wgrad.
//
// A block of 256 threads has `lanes` groups of V neighbouring output channels, kWeights weights of
// each, and a split of the positions, which its threads walk 256 / lanes at a time. Their sums meet
// in a fixed tree: lanes of a warp, then warps in index order.
#pragma once

#include "kernels/conv_depthwise.cuh"

namespace gg {

constexpr int kWeights = 9;  ///< of a channel, to a block
constexpr int kDepthwiseWarps = kDepthwiseThreads / kWarp;

/// A weight: a tap of an input channel, as a distance from a position in x.
struct DepthwiseTap {
  int64_t x;
  int at[kConvAxes];

  __device__ static DepthwiseTap find(const ConvProblem& p, int number) {
    const int c = static_cast<int>(p.c);
    DepthwiseTap r;
    const bool exists = number < p.taps() * c;
    if (!exists) number = 0;
    int tap = number / c;
    r.x = number % c * p.x.c;
#pragma unroll
    for (int i = kConvAxes - 1; i >= 0; i--) {
      r.at[i] = tap % p.axis[i].taps * p.axis[i].tap_step;
      r.x += r.at[i] * p.x.at[i];
      tap /= p.axis[i].taps;
    }
    if (!exists) r.at[0] = kNowhere;
    return r;
  }
};

/// acc += dy x at one row of the sum; x, y: this thread's channels.
template <int V, class T, class A>
GG_DEVICE void add_position(const Depthwise& s, const T* x, const T* y, int64_t row,
                            const DepthwiseTap* taps, A (&acc)[kWeights][V]) {
  const ConvProblem& p = s.p;
  const bool is_bf16 = p.dtype == DType::bf16;
  int o[kConvAxes];
  const int64_t n = s.positions.find(row, o);
  x += n * p.x.n, y += n * p.y.n;
  taps +=
      row < 0;  // never; but what depends on the row is not kept in registers, which would spill
#pragma unroll
  for (int a = 0; a < kConvAxes; a++) {
    y += o[a] * p.y.at[a];
    o[a] = o[a] * p.axis[a].step + p.axis[a].offset;
    x += o[a] * p.x.at[a];
  }
  const Vec<T, V> dy = load_vec<V>(y);
#pragma unroll
  for (int first = 0; first < kWeights; first += 3) {  // loads in flight, and few registers
    Vec<T, V> values[3];
#pragma unroll
    for (int i = 0; i < 3; i++) {
      const DepthwiseTap& tap = taps[first + i];
      bool inside = true;
#pragma unroll
      for (int a = 0; a < kConvAxes; a++) {
        inside &= static_cast<unsigned>(o[a] + tap.at[a]) < static_cast<unsigned>(p.axis[a].in);
      }
      values[i] = {};
      if (inside) values[i] = load_vec<V>(x + tap.x);
    }
#pragma unroll
    for (int i = 0; i < 3; i++) {
#pragma unroll
      for (int v = 0; v < V; v++) {
        acc[first + i][v] += conv_value(dy[v], is_bf16) * conv_value(values[i][v], is_bf16);
      }
    }
  }
}

/// Which sums a block forms.
struct DepthwiseBlock {
  int64_t split;
  int first, channel;  ///< weight and output channel

  __device__ static DepthwiseBlock find(const Depthwise& s, int width, int64_t block) {
    const int64_t others = block / s.splits;
    const int terms = static_cast<int>(s.p.taps() * s.p.c);
    const int parts = (terms + kWeights - 1) / kWeights;
    return {block - others * s.splits, static_cast<int>(others % parts) * kWeights,
            static_cast<int>(others / parts) * width};
  }
};

template <class A>
using DepthwiseSums = A[kDepthwiseWarps][kWeights][kDepthwiseChannels];

/// A warp's sums of acc, over the lanes of each channel.
template <int V, class A>
GG_DEVICE void add_lanes(int lanes, A (&acc)[kWeights][V], DepthwiseSums<A>& sums) {
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
#pragma unroll
  for (int i = 0; i < kWeights; i++) {
#pragma unroll
    for (int v = 0; v < V; v++) {
      for (int offset = lanes; offset < kWarp; offset *= 2) {
        acc[i][v] += shuffle_xor(acc[i][v], offset);
      }
      if (lane < lanes) sums[warp][i][lane * V + v] = acc[i][v];
    }
  }
}

/// partial [split][group][k][tap][c] = the sums over each split's positions.
template <class T, int V>
__global__ void __launch_bounds__(kDepthwiseThreads, sizeof(T) == 8 ? 1 : 2)
    conv_depthwise_wgrad(const __grid_constant__ Depthwise s, ConvSum<T>* partial,
                         int64_t first_block) {
  GG_SHARED(taps, DepthwiseTap[kWeights]);
  GG_SHARED(sums, DepthwiseSums<ConvSum<T>>);
  GG_SHARED(kept, DepthwiseBlock);  // registers are scarce between
  const ConvProblem& p = s.p;
  const auto at = DepthwiseBlock::find(s, s.lanes * V, first_block + blockIdx.x);
  const int t = threadIdx.x, channel = at.channel + t % s.lanes * V;
  if (t == 0) kept = at;
  if (t < kWeights) taps[t] = DepthwiseTap::find(p, at.first + t);
  __syncthreads();

  const int64_t all = p.n * p.positions(), begin = at.split * s.rows;
  int64_t end = all - begin < s.rows ? all : begin + s.rows;
  if (channel >= s.channels) end = begin;
  const T* const x = static_cast<const T*>(p.x.data) + channel / static_cast<int>(p.k) * p.x.group;
  const T* const y = static_cast<const T*>(p.y.data) + channel * p.y.c;
  ConvSum<T> acc[kWeights][V] = {};
#pragma unroll 1
  for (int64_t row = begin + t / s.lanes; row < end; row += kDepthwiseThreads / s.lanes) {
    add_position(s, x, y, row, taps, acc);
  }
  add_lanes(s.lanes, acc, sums);
  __syncthreads();

  const int64_t terms = p.taps() * p.c;
  partial += kept.split * s.channels * terms + kept.channel * terms + kept.first;
  for (int e = t; e < kWeights * s.lanes * V; e += kDepthwiseThreads) {
    const int i = e % kWeights, c = e / kWeights;
    if (kept.first + i >= terms || kept.channel + c >= s.channels) continue;
    ConvSum<T> sum = sums[0][i][c];
#pragma unroll
    for (int w = 1; w < kDepthwiseWarps; w++) sum += sums[w][i][c];
    partial[c * terms + i] = sum;
  }
}

}  // namespace gg
