// fprop and dgrad as a matrix product on ordinary CUDA cores, the matrix of x never written.
//
// A block of 128 threads computes S output positions x 64 channels of a group, 8 of k = (channel,
// tap) at a time: 8 channels at a tap, then the same channels at the next tap, so that x and w stay
// in L1 from tap to tap. Channels that do not fill eight are walked tap by tap without gaps.
//
// A thread loads neighbouring channels of one position: with channels last that is one wide access,
// with rows last lanes are neighbours. It writes the same position, through shared memory.
#pragma once

#include "kernels/conv_simt.cuh"
#include "kernels/gemm_simt_tile.cuh"

namespace gg {

constexpr int kGatherThreads = 128;
constexpr int kGatherColumns = 64;
constexpr int kGatherSlice = 8;

/// Squares of 4 x 4 sums to a thread; a warp is 4 x 8 threads.
template <class T>
constexpr int kGatherQN = sizeof(T) == 8 ? 1 : 2;
template <class T>
constexpr int kGatherRows = sizeof(T) == 8 ? 64 : 128;

struct SimtGather {
  ConvProblem p;
  ConvPositions positions;
  bool x_vector, w_vector;  ///< groups of 4 channels are one aligned access
  bool w_along_c;           ///< w is faster along c than along k
};

/// Where slices of k begin.
struct SliceWalk {
  int64_t c = 0;  ///< of eight channels
  int q[kConvAxes] = {};
  int in_tap = 0;  ///< where channels are fewer: which of them

  __device__ __forceinline__ void next_tap(const ConvProblem& p) {
#pragma unroll
    for (int i = kConvAxes - 1; i >= 0; i--) {
      if (++q[i] < p.axis[i].taps) return;
      q[i] = 0;
    }
    c += kGatherSlice;
  }
  /// Are there fewer than eight channels?
  __device__ __forceinline__ bool few(const ConvProblem& p) const { return c + kGatherSlice > p.c; }
  /// Then: to the next k.
  __device__ __forceinline__ void next(const ConvProblem& p) {
    if (c + ++in_tap < p.c) return;
    in_tap = 0;
    next_tap(p);
  }
  __device__ __forceinline__ void next_slice(const ConvProblem& p) {
    if (!few(p)) return next_tap(p);
    for (int i = 0; i < kGatherSlice; i++) next(p);
  }
};

/// One output position's view of x.
template <class T>
struct PositionOfX {
  const T* base;
  int at[kConvAxes];

  __device__ PositionOfX(const SimtGather& s, int64_t group, int64_t row) : base(nullptr) {
    const ConvProblem& p = s.p;
    int o[kConvAxes];
    const int64_t n = s.positions.find(row < p.gemm.m ? row : 0, o);
#pragma unroll
    for (int i = 0; i < kConvAxes; i++) at[i] = o[i] * p.axis[i].step + p.axis[i].offset;
    if (row < p.gemm.m) base = static_cast<const T*>(p.x.data) + n * p.x.n + group * p.x.group;
  }
  __device__ __forceinline__ const T* tap(const ConvProblem& p, const int (&q)[kConvAxes]) const {
    return base ? conv_tap(p, base, at, q) : nullptr;
  }
};

/// One output channel's view of w.
template <class T>
struct ChannelOfW {
  const T* base;

  __device__ ChannelOfW(const ConvProblem& p, int64_t group, int64_t k)
      : base(k < p.k ? static_cast<const T*>(p.w.data) + group * p.w.group + k * p.w.k : nullptr) {}
  __device__ __forceinline__ const T* tap(const ConvProblem& p, const int (&q)[kConvAxes]) const {
    if (!base) return nullptr;
    return base + q[0] * p.w.tap[0] + q[1] * p.w.tap[1] + q[2] * p.w.tap[2];
  }
};

/// A thread's N neighbouring k of each slice, for one row of an operand.
template <class T, int N, class Row>
struct SliceLoader {
  Row row;
  int first;  ///< in the slice
  ConvSum<T> values[N];

  __device__ SliceLoader(Row row, int first) : row(row), first(first) {}

  /// step: from channel to channel. k_left: from this slice's beginning to the end of k.
  __device__ void load(const ConvProblem& p, const SliceWalk& walk, int64_t step, bool vector,
                       int64_t k_left) {
    if (walk.few(p)) return load_few(p, walk, step, k_left);
    const T* const from = row.tap(p, walk.q);
    if (from) {
      read_values(from + (walk.c + first) * step, step, vector, p.dtype == DType::bf16, values);
    } else {
#pragma unroll
      for (int i = 0; i < N; i++) values[i] = 0;
    }
  }

  __device__ void load_few(const ConvProblem& p, SliceWalk walk, int64_t step, int64_t k_left) {
    for (int i = 0; i < first; i++) walk.next(p);
#pragma unroll
    for (int i = 0; i < N; i++, walk.next(p)) {
      const T* const from = first + i < k_left ? row.tap(p, walk.q) : nullptr;
      values[i] = 0;
      if (from) values[i] = conv_value(from[(walk.c + walk.in_tap) * step], p.dtype == DType::bf16);
    }
  }

  template <int P>
  __device__ void store(ConvSum<T> (*slice)[P], int at_row) const {
#pragma unroll
    for (int i = 0; i < N; i++) slice[first + i][at_row] = values[i];
  }
};

/// Tiles of both operands, twice; afterwards 32 columns of sums.
template <class T>
struct GatherShared {
  static constexpr int kA = kGatherRows<T> + 4, kB = kGatherColumns + 4;
  union {
    struct {
      ConvSum<T> a[2][kGatherSlice][kA], b[2][kGatherSlice][kB];
    } tiles;
    ConvSum<T> sums[32][kA];
  };
};

/// Writes the block's sums, a position to a thread, 32 columns of the block at a time.
template <class T, int QN>
GG_DEVICE void write_gather(const ConvProblem& p, GatherShared<T>& shared, int64_t group,
                            int64_t m0, int64_t n0, int row, int col,
                            const ConvSum<T> (&acc)[8][4 * QN]) {
  constexpr int S = kGatherRows<T>, parts = kGatherThreads / S;
  const int t = threadIdx.x % S, part = threadIdx.x / S;
#pragma unroll 1
  for (int pass = 0; pass < kGatherColumns / 32; pass++) {
    __syncthreads();
#pragma unroll
    for (int j = 0; j < 4 * QN; j++) {
      if (pass != (QN == 2 ? j / 4 : col / 32)) continue;
#pragma unroll
      for (int i = 0; i < 8; i++) {
        shared.sums[col % 32 + j % 4][row + i / 4 * 16 + i % 4] = acc[i][j];
      }
    }
    __syncthreads();
    if (m0 + t >= p.gemm.m) continue;
    const auto epilogue = conv_epilogue<ConvSum<T>, ConvStored<T>>(p, group, 0);
#pragma unroll 1
    for (int c = 4 * part; c < 32 && n0 + 32 * pass + c < p.k; c += 4 * parts) {
      const ConvSum<T> sums[1][4] = {
          {shared.sums[c][t], shared.sums[c + 1][t], shared.sums[c + 2][t], shared.sums[c + 3][t]}};
      epilogue.write(m0 + t, 1, n0 + 32 * pass + c, sums);
    }
  }
}

template <class T>
__global__ void __launch_bounds__(kGatherThreads, 3)
    conv_simt_gather(const __grid_constant__ SimtGather s, int64_t first_block) {
  constexpr int S = kGatherRows<T>, QN = kGatherQN<T>, N = kGatherSlice * S / kGatherThreads;
  using A = ConvSum<T>;
  GG_SHARED(shared, GatherShared<T>);
  const ConvProblem& p = s.p;
  const int64_t n_tiles = (p.k + kGatherColumns - 1) / kGatherColumns;
  const int64_t m_tiles = (p.gemm.m + S - 1) / S;
  int64_t block = first_block + blockIdx.x;
  const int64_t n0 = block % n_tiles * kGatherColumns;
  block /= n_tiles;
  const int64_t m0 = block % m_tiles * S, group = block / m_tiles;

  const int t = threadIdx.x, warp = t / 32, lane = t % 32;
  const int w_row = s.w_along_c ? t / 2 : t % kGatherColumns;
  const int w_first = (s.w_along_c ? t % 2 : t / kGatherColumns) * 4;
  SliceLoader<T, N, PositionOfX<T>> x(PositionOfX<T>(s, group, m0 + t % S), t / S * N);
  SliceLoader<T, 4, ChannelOfW<T>> w(ChannelOfW<T>(p, group, n0 + w_row), w_first);
  SliceWalk walk;
  const auto load = [&](int64_t k_left) {
    x.load(p, walk, p.x.c, s.x_vector, k_left);
    w.load(p, walk, p.w.c, s.w_vector, k_left);
    walk.next_slice(p);
  };
  const int row = warp % (S / 32) * 32 + lane / 8 * 4, col = warp / (S / 32) * 32 + lane % 8 * 4;

  A acc[8][4 * QN] = {};
  if (p.gemm.k > 0) load(p.gemm.k);
  int buffer = 0;
  for (int64_t k_left = p.gemm.k; k_left > 0; k_left -= kGatherSlice, buffer ^= 1) {
    x.store(shared.tiles.a[buffer], t % S);
    w.store(shared.tiles.b[buffer], w_row);
    __syncthreads();
    if (k_left > kGatherSlice) load(k_left - kGatherSlice);
    multiply_slice<2, QN, 1>(shared.tiles.a[buffer], shared.tiles.b[buffer], row, col, kGatherSlice,
                             acc);
  }
  write_gather<T, QN>(p, shared, group, m0, n0, row, col, acc);
}

}  // namespace gg
