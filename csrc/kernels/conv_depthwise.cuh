// Direct sums for convolutions with few channels in a group: fprop and dgrad.
//
// A block of 256 threads has `lanes` groups of V neighbouring channels and 256 / lanes times 4
// positions. With channels last, lanes are neighbouring channels; with rows last there is one
// channel, and lanes are neighbouring positions. Weights lie in shared memory, 32 taps of all the
// block's channels at a time; x is read from tap to tap through L1.
#pragma once

#include "kernels/conv_simt.cuh"

namespace gg {

constexpr int kDepthwiseThreads = 256;
constexpr int kDepthwisePositions = 4;  ///< to a thread
constexpr int kDepthwiseTaps = 32;      ///< whose weights are at hand
constexpr int kDepthwiseChannels = 64;  ///< to a block, at most

/// A position outside of every x.
constexpr int kNowhere = -(1 << 30);

struct Depthwise {
  ConvProblem p;  ///< its `gemm`: all groups in one matrix
  ConvPositions positions;
  int channels;  ///< of y
  int lanes;
  bool by_channel;               ///< blocks of one position follow one another
  int64_t rows = 0, splits = 1;  ///< wgrad: positions that one split adds up
};

/// Where a thread works. An output channel is a group and a channel of that group.
struct DepthwisePlace {
  int block_channel, channel, lane;
  int64_t row;  ///< its first position; the others are 256 / lanes apart

  template <int V>
  __device__ static DepthwisePlace find(const Depthwise& s, int64_t block) {
    DepthwisePlace at;
    const int width = s.lanes * V;
    const int64_t channel_blocks = (s.channels + width - 1) / width;
    const int64_t row_blocks = (s.p.gemm.m + rows(s) - 1) / rows(s);
    const int64_t others = block / (s.by_channel ? channel_blocks : row_blocks);
    const int64_t fast = block - others * (s.by_channel ? channel_blocks : row_blocks);
    at.lane = threadIdx.x % s.lanes;
    at.block_channel = static_cast<int>(s.by_channel ? fast : others) * width;
    at.channel = at.block_channel + at.lane * V;
    at.row = (s.by_channel ? others : fast) * rows(s) + threadIdx.x / s.lanes;
    return at;
  }
  static GG_HD int rows(const Depthwise& s) {
    return kDepthwiseThreads / s.lanes * kDepthwisePositions;
  }
};

/// Which weight a block is at: a channel of the group, and a tap.
struct DepthwiseWalk {
  int64_t c = 0;
  int q[kConvAxes] = {};

  __device__ __forceinline__ void next(const ConvProblem& p) {
#pragma unroll
    for (int i = kConvAxes - 1; i >= 0; i--) {
      if (++q[i] < p.axis[i].taps) return;
      q[i] = 0;
    }
    c++;
  }
};

/// A thread's positions of y, as they lie in x.
template <class T>
struct DepthwiseRows {
  const T* base[kDepthwisePositions];  ///< a tap at 0, the group's first channel
  int at[kDepthwisePositions][kConvAxes];

  __device__ DepthwiseRows(const Depthwise& s, int group, int64_t row, int step) {
    const ConvProblem& p = s.p;
#pragma unroll
    for (int i = 0; i < kDepthwisePositions; i++, row += step) {
      const bool exists = row < p.gemm.m;
      int o[kConvAxes];
      const int64_t n = s.positions.find(exists ? row : 0, o);
      base[i] = static_cast<const T*>(p.x.data) + n * p.x.n + group * p.x.group;
#pragma unroll
      for (int a = 0; a < kConvAxes; a++) {
        at[i][a] = exists ? o[a] * p.axis[a].step + p.axis[a].offset : kNowhere;
      }
    }
  }

  /// Of a row of taps: where its lines of x lie, and where they are entered along the last axis.
  __device__ __forceinline__ void find_lines(const ConvProblem& p, const DepthwiseWalk& walk,
                                             const T* (&line)[kDepthwisePositions],
                                             int (&start)[kDepthwisePositions]) const {
#pragma unroll
    for (int i = 0; i < kDepthwisePositions; i++) {
      line[i] = base[i] + walk.c * p.x.c;
      start[i] = at[i][2];
#pragma unroll
      for (int a = 0; a < 2; a++) {
        const int place = at[i][a] + walk.q[a] * p.axis[a].tap_step;
        line[i] += place * p.x.at[a];
        if (static_cast<unsigned>(place) >= static_cast<unsigned>(p.axis[a].in)) {
          start[i] = kNowhere;
        }
      }
    }
  }
};

/// Copies the weights of `count` (channel, tap) from number `first` on, for a block's channels.
template <class T>
GG_DEVICE void stage_weights(const Depthwise& s, int block_channel, int width, int first, int count,
                             ConvSum<T> (*weights)[kDepthwiseChannels]) {
  const ConvProblem& p = s.p;
  const int i = threadIdx.x % width, channel = block_channel + i, k = static_cast<int>(p.k);
  if (channel >= s.channels) return;
  const T* const w =
      static_cast<const T*>(p.w.data) + channel / k * p.w.group + channel % k * p.w.k;
  for (int t = threadIdx.x / width; t < count; t += kDepthwiseThreads / width) {
    const int c = (first + t) / p.taps();
    int tap = (first + t) % p.taps();
    int64_t at = c * p.w.c;
#pragma unroll
    for (int a = kConvAxes - 1; a >= 0; a--) {
      at += tap % p.axis[a].taps * p.w.tap[a];
      tap /= p.axis[a].taps;
    }
    weights[t][i] = conv_value(w[at], p.dtype == DType::bf16);
  }
}

/// acc += w x over `count` taps, from where `walk` is.
template <int V, class T, class A>
GG_DEVICE void add_taps(const ConvProblem& p, const DepthwiseRows<T>& rows, const A* weights,
                        int count, DepthwiseWalk& walk, A (&acc)[kDepthwisePositions][V]) {
  constexpr int P = kDepthwisePositions, N = V < 4 ? V : 4;
  const T* line[P];
  int start[P];
  const bool is_bf16 = p.dtype == DType::bf16;
#pragma unroll 1
  for (int t = 0; t < count; t++, weights += kDepthwiseChannels) {
    if (t == 0 || walk.q[2] == 0) rows.find_lines(p, walk, line, start);
    Vec<T, V> x[P];
    const int distance = walk.q[2] * p.axis[2].tap_step;
#pragma unroll
    for (int i = 0; i < P; i++) {
      x[i] = {};
      const int place = start[i] + distance;
      if (static_cast<unsigned>(place) < static_cast<unsigned>(p.axis[2].in)) {
        x[i] = load_vec<V>(line[i] + place * p.x.at[2]);
      }
    }
#pragma unroll
    for (int first = 0; first < V; first += N) {
      const Vec<A, N> w = load_vec<N>(weights + first);
#pragma unroll
      for (int i = 0; i < P; i++) {
#pragma unroll
        for (int v = 0; v < N; v++) {
          acc[i][first + v] += w[v] * conv_value(x[i][first + v], is_bf16);
        }
      }
    }
    walk.next(p);
  }
}

/// Writes a thread's sums, up to four channels of a position at a time.
template <class T, int V>
GG_DEVICE void write_positions(const Depthwise& s, const DepthwisePlace& at,
                               const ConvSum<T> (&acc)[kDepthwisePositions][V]) {
  constexpr int N = V < 4 ? V : 4, parts = V / N;
  const auto epilogue = conv_epilogue<ConvSum<T>, ConvStored<T>>(s.p, 0, 0);
  ConvSum<T> sums[kDepthwisePositions * parts][N];
#pragma unroll
  for (int i = 0; i < kDepthwisePositions * parts; i++) {
#pragma unroll
    for (int v = 0; v < N; v++) sums[i][v] = acc[i / parts][i % parts * N + v];
  }
#pragma unroll 1
  for (int i = 0; i < kDepthwisePositions * parts; i++) {
    const int64_t row = at.row + i / parts * (kDepthwiseThreads / s.lanes);
    if (row >= s.p.gemm.m) return;
    ConvSum<T> now[1][N];
#pragma unroll
    for (int v = 0; v < N; v++) now[0][v] = sums[0][v];
    epilogue.write(row, 1, at.channel + i % parts * N, now);
    shift_rows(sums);
  }
}

template <class T, int V>
__global__ void __launch_bounds__(kDepthwiseThreads, sizeof(T) == 8 ? 1 : 2)
    conv_depthwise(const __grid_constant__ Depthwise s, int64_t first_block) {
  using A = ConvSum<T>;
  GG_SHARED(weights, A[kDepthwiseTaps][kDepthwiseChannels]);
  const ConvProblem& p = s.p;
  const auto at = DepthwisePlace::find<V>(s, first_block + blockIdx.x);
  const int step = kDepthwiseThreads / s.lanes, terms = static_cast<int>(p.gemm.k);
  const bool exists = at.channel < s.channels;
  const DepthwiseRows<T> rows(s, exists ? at.channel / static_cast<int>(p.k) : 0, at.row, step);

  A acc[kDepthwisePositions][V] = {};
  DepthwiseWalk walk;
  for (int first = 0; first < terms; first += kDepthwiseTaps) {
    const int count = terms - first < kDepthwiseTaps ? terms - first : kDepthwiseTaps;
    __syncthreads();
    stage_weights<T>(s, at.block_channel, s.lanes * V, first, count, weights);
    __syncthreads();
    if (exists) add_taps(p, rows, &weights[0][at.lane * V], count, walk, acc);
  }
  if (!exists) return;
  write_positions<T>(s, at, acc);
}

}  // namespace gg
