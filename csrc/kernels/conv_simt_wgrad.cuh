// wgrad as a matrix product on ordinary CUDA cores: the sum runs over images and positions.
//
// A block of 128 threads computes 64 output channels x 64 (tap, channel) of a group, over the
// positions of its split, 8 at a time. Where positions lie in x and y is worked out once for 128 of
// them, by all threads, and kept in shared memory.
//
// Operands are read along the faster of channels and positions, a lane an element.
#pragma once

#include "kernels/conv_simt.cuh"
#include "kernels/gemm_simt_tile.cuh"

namespace gg {

constexpr int kWgradThreads = 128;
constexpr int kWgradTile = 64;
constexpr int kWgradSlice = 8;
constexpr int kWgradPitch = kWgradTile + 4;

struct SimtWgrad {
  ConvProblem p;
  ConvPositions positions;
  bool x_by_channel, y_by_channel;  ///< channels are faster than positions
  int64_t rows, splits;             ///< positions that one split adds up; how many splits
};

/// One row of the sum: an image and a position of y.
struct WgradPosition {
  int64_t x, y;  ///< where it lies in each; in x, for a tap at 0
  int at[kConvAxes];

  __device__ static WgradPosition find(const SimtWgrad& s, int64_t row) {
    const ConvProblem& p = s.p;
    WgradPosition r;
    int o[kConvAxes];
    const int64_t n = s.positions.find(row, o);
    r.x = n * p.x.n, r.y = n * p.y.n;
#pragma unroll
    for (int i = 0; i < kConvAxes; i++) {
      r.at[i] = o[i] * p.axis[i].step + p.axis[i].offset;
      r.x += r.at[i] * p.x.at[i];
      r.y += o[i] * p.y.at[i];
    }
    return r;
  }
};

/// One column of dw: a tap of a channel, as distances from a position in x.
struct WgradColumn {
  int64_t x;
  int at[kConvAxes];

  __device__ static WgradColumn find(const ConvProblem& p, int64_t column) {
    WgradColumn r;
    const bool exists = column < p.taps() * p.c;
    if (!exists) column = 0;
    int tap = static_cast<int>(column / p.c);
    r.x = (column - tap * p.c) * p.x.c;
#pragma unroll
    for (int i = kConvAxes - 1; i >= 0; i--) {
      r.at[i] = tap % p.axis[i].taps * p.axis[i].tap_step;
      r.x += r.at[i] * p.x.at[i];
      tap /= p.axis[i].taps;
    }
    if (!exists) r.at[0] = -(1 << 30);  // outside of every x
    return r;
  }
};

/// Which four elements of a tile of 64 x 8 positions a thread loads.
struct WgradShare {
  bool by_channel;
  __device__ WgradShare(bool by_channel) : by_channel(by_channel) {}

  __device__ __forceinline__ int channel(int i) const {
    return by_channel ? threadIdx.x % kWgradTile : threadIdx.x / kWgradSlice + 16 * i;
  }
  __device__ __forceinline__ int position(int i) const {
    return by_channel ? threadIdx.x / kWgradTile * 4 + i : threadIdx.x % kWgradSlice;
  }
  template <class A>
  __device__ __forceinline__ void store(const A (&values)[4], A (*tile)[kWgradPitch]) const {
#pragma unroll
    for (int i = 0; i < 4; i++) tile[position(i)][channel(i)] = values[i];
  }
};

template <class T>
struct WgradLoader {
  const ConvProblem& p;
  const T *x, *y;  ///< y: of this thread's first channel
  WgradShare x_share, y_share;
  WgradColumn column[4];
  int64_t k_left;  ///< from that channel to the last
  bool is_bf16;
  ConvSum<T> x_values[4], y_values[4];

  __device__ WgradLoader(const SimtWgrad& s, int64_t group, int64_t k0, int64_t column0)
      : p(s.p),
        x(static_cast<const T*>(p.x.data) + group * p.x.group),
        y(static_cast<const T*>(p.y.data) + group * p.y.group),
        x_share(s.x_by_channel),
        y_share(s.y_by_channel),
        is_bf16(p.dtype == DType::bf16) {
#pragma unroll
    for (int i = 0; i < 4; i++) column[i] = WgradColumn::find(p, column0 + x_share.channel(i));
    k_left = p.k - k0 - y_share.channel(0);
    y += (k0 + y_share.channel(0)) * p.y.c;
  }

  /// The slice at `positions`, of which `count` exist.
  __device__ void load(const WgradPosition* positions, int count) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int at = x_share.position(i);
      bool inside = at < count;
#pragma unroll
      for (int a = 0; a < kConvAxes; a++) {
        inside &= static_cast<unsigned>(positions[at].at[a] + column[i].at[a]) <
                  static_cast<unsigned>(p.axis[a].in);
      }
      x_values[i] = inside ? conv_value(x[positions[at].x + column[i].x], is_bf16) : 0;
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int at = y_share.position(i), channel = y_share.channel(i) - y_share.channel(0);
      const bool exists = at < count && channel < k_left;
      y_values[i] = exists ? conv_value(y[positions[at].y + channel * p.y.c], is_bf16) : 0;
    }
  }
};

/// Which sums a block forms.
struct WgradBlock {
  int64_t k, column, group, split;

  __device__ static WgradBlock find(const ConvProblem& p, int64_t block) {
    const int64_t k_tiles = (p.k + kWgradTile - 1) / kWgradTile;
    const int64_t column_tiles = (p.taps() * p.c + kWgradTile - 1) / kWgradTile;
    const int64_t k = block % k_tiles * kWgradTile;
    block /= k_tiles;
    const int64_t column = block % column_tiles * kWgradTile;
    block /= column_tiles;
    return {k, column, block % p.groups, block / p.groups};
  }
};

/// Writes a thread's sums of rows (output channels) and columns from `row` and `col` of the tile
/// on.
template <class A>
GG_DEVICE void write_wgrad(const ConvProblem& p, const WgradBlock& at, int row, int col,
                           const A (&acc)[8][4], A* partial) {
  const int64_t columns = p.taps() * p.c;
  partial += (at.split * p.groups + at.group) * p.k * columns;
#pragma unroll
  for (int i = 0; i < 8; i++) {
    const int64_t k = at.k + row + i / 4 * 16 + i % 4;
#pragma unroll
    for (int j = 0; j < 4; j++) {
      const int64_t column = at.column + col + j;
      if (k < p.k && column < columns) partial[k * columns + column] = acc[i][j];
    }
  }
}

/// partial [split][group][k][tap][c] = the sums over each split's positions.
template <class T>
__global__ void __launch_bounds__(kWgradThreads, sizeof(T) == 8 ? 2 : 3)
    conv_simt_wgrad(const __grid_constant__ SimtWgrad s, ConvSum<T>* partial, int64_t first_block) {
  using A = ConvSum<T>;
  constexpr int kAhead = kWgradThreads;  // positions whose places are known
  GG_SHARED(positions, WgradPosition[kAhead]);
  GG_SHARED(y_tiles, A[2][kWgradSlice][kWgradPitch]);
  GG_SHARED(x_tiles, A[2][kWgradSlice][kWgradPitch]);
  const auto block = WgradBlock::find(s.p, first_block + blockIdx.x);
  const int64_t begin = block.split * s.rows, all = s.p.n * s.p.positions();
  const int64_t end = all - begin < s.rows ? all : begin + s.rows;
  const int t = threadIdx.x, warp = t / 32, lane = t % 32;
  const int row = warp % 2 * 32 + lane / 8 * 4, col = warp / 2 * 32 + lane % 8 * 4;
  WgradLoader<T> loader(s, block.group, block.k, block.column);
  const auto load = [&](int64_t at) {
    const int in_batch = static_cast<int>(at - begin) % kAhead;
    if (in_batch == 0) {
      if (at + t < end) positions[t] = WgradPosition::find(s, at + t);
      __syncthreads();
    }
    const int64_t left = end - at;
    loader.load(positions + in_batch, left < kWgradSlice ? static_cast<int>(left) : kWgradSlice);
  };

  A acc[8][4] = {};
  if (begin < end) load(begin);
  int buffer = 0;
  for (int64_t at = begin; at < end; at += kWgradSlice, buffer ^= 1) {
    loader.y_share.store(loader.y_values, y_tiles[buffer]);
    loader.x_share.store(loader.x_values, x_tiles[buffer]);
    __syncthreads();
    if (at + kWgradSlice < end) load(at + kWgradSlice);
    multiply_slice<2, 1, 1>(y_tiles[buffer], x_tiles[buffer], row, col, kWgradSlice, acc);
  }
  write_wgrad(s.p, block, row, col, acc, partial);
}

}  // namespace gg
