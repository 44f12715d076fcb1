// Tiles of a convolution's image for tensor cores: what MatrixView (mma_tile.cuh) is to a matrix.
//
//   WindowView   [position of y][k], k = (tap, channel): the left operand of fprop and dgrad
//   PixelView    [position of y][(tap, channel)], summed over positions: the right one of wgrad
//
// Channels of a group are contiguous and begin at multiples of 16 bytes; each tap's are padded with
// zeros to whole chunks of 16 bytes. Places are counted in chunks, in 32 bits (the host checks).
#pragma once

#include "kernels/conv_problem.cuh"
#include "kernels/mma_tile.cuh"

namespace gg {

/// How threads walk over x. Strides are in chunks.
struct ConvWalk {
  int n, group, at[kConvAxes];
  int tap[kConvAxes];           ///< from a tap to the next
  int chunks, bytes;            ///< of one tap, without padding
  FastDivision out[kConvAxes];  ///< by the length of y's axes

  // wgrad: from one position to another.
  int step[kConvAxes];   ///< to the next along an axis
  int carry[kConvAxes];  ///< ... when an axis returns to 0 and the one before advances
  int line[kConvAxes];   ///< to a thread's next: so far along each axis (and to other images),
  int line_stride;       ///< and in chunks
};

/// What tensor-core kernels are told: a problem whose x and w lie as these want them.
struct ConvMma {
  ConvProblem p;
  ConvWalk walk;
};

/// A position of y: n and the place along each axis.
struct ConvPosition {
  int n, o[kConvAxes];

  __device__ __forceinline__ ConvPosition(const ConvMma& c, int64_t row) {
    uint32_t rest = static_cast<uint32_t>(row);
#pragma unroll
    for (int a = kConvAxes - 1; a >= 0; a--) {
      const uint32_t q = c.walk.out[a].quotient(rest);
      o[a] = static_cast<int>(rest - q * static_cast<uint32_t>(c.p.axis[a].out));
      rest = q;
    }
    n = static_cast<int>(rest);
  }
};

/// A tap's place along each axis.
struct ConvTap {
  int q[kConvAxes];

  __device__ __forceinline__ ConvTap(const ConvProblem& p, int tap) {
    const int x = p.axis[2].taps, y = p.axis[1].taps;
    q[2] = tap % x, q[1] = tap / x % y, q[0] = tap / x / y;
  }
};

GG_DEVICE bool inside(int i, int length) {
  return static_cast<unsigned>(i) < static_cast<unsigned>(length);
}

/// Where in x a position of y meets a tap: elements from the group's first channel of image n.
struct ConvPlace {
  int64_t offset = 0;
  bool inside = true;

  __device__ __forceinline__ ConvPlace(const ConvProblem& p, const ConvPosition& at,
                                       const ConvTap& tap) {
#pragma unroll
    for (int a = 0; a < kConvAxes; a++) {
      const ConvAxis& axis = p.axis[a];
      const int i = at.o[a] * axis.step + axis.offset + tap.q[a] * axis.tap_step;
      inside &= gg::inside(i, axis.in);
      offset += i * p.x.at[a];
    }
  }
};

/// Bytes of chunk `chunk` of a tap that hold channels.
GG_DEVICE int channel_bytes(const ConvWalk& walk, int chunk) {
  const int left = walk.bytes - chunk * kChunk;
  return left < kChunk ? left : kChunk;
}

/// Rows m0 .. of a gather, one tile of (tap, channel) after another. For each of its rows a thread
/// keeps where the window begins and which taps are inside: a bit for each place along each axis,
/// the last axis lowest. The present tap is three such bits, one for each axis.
template <class T, int Rows, int Threads>
class WindowView {
 public:
  using Chunks = TileChunks<T, Rows, Threads>;
  static constexpr int kCount = Chunks::kCount;

  /// first: chunk of k to begin with.
  __device__ __forceinline__ WindowView(const ConvMma& c, int64_t group, int64_t m0, int first)
      : c_(c) {
    const Chunks mine(true);
#pragma unroll
    for (int i = 0; i < kCount; i++) {
      set_row(i, group, static_cast<int>(m0) + mine.line + i * mine.line_step);
    }
    const int index = first + mine.chunk, tap = index / c.walk.chunks;
    const ConvTap at(c.p, tap);
    chunk_ = index - tap * c.walk.chunks;
    at_ = chunk_ + at.q[2] * c.walk.tap[2] + at.q[1] * c.walk.tap[1] + at.q[0] * c.walk.tap[0];
    tap_ = 1u << at.q[2] | x_end() << at.q[1] | y_end() << at.q[0];
  }

  __device__ __forceinline__ const char* address(int i) const {
    return static_cast<const char*>(c_.p.x.data) + (int64_t{begin_[i]} + at_) * kChunk;
  }
  __device__ __forceinline__ int bytes(int i) const {
    return (inside_[i] & tap_) == tap_ ? channel_bytes(c_.walk, chunk_) : 0;
  }

  __device__ __forceinline__ void advance() {
    constexpr int step = kTileBytes / kChunk;
    chunk_ += step, at_ += step;
    while (chunk_ >= c_.walk.chunks && tap_ < y_end() << c_.p.axis[0].taps) next_tap();
  }

 private:
  // The bits behind those of an axis.
  __device__ __forceinline__ uint32_t x_end() const { return 1u << c_.p.axis[2].taps; }
  __device__ __forceinline__ uint32_t y_end() const { return x_end() << c_.p.axis[1].taps; }

  __device__ __forceinline__ void set_row(int i, int64_t group, int row) {
    begin_[i] = 0, inside_[i] = 0;
    if (row >= static_cast<int>(c_.p.gemm.m)) return;  // below 2^30: the host checks
    const ConvPosition position(c_, row);
    uint32_t bit = 1;
    begin_[i] = position.n * c_.walk.n + static_cast<int>(group) * c_.walk.group;
#pragma unroll
    for (int a = kConvAxes - 1; a >= 0; a--) {
      const ConvAxis& axis = c_.p.axis[a];
      int at = position.o[a] * axis.step + axis.offset;
      begin_[i] += at * c_.walk.at[a];
#pragma unroll 1
      for (int q = 0; q < axis.taps; q++, at += axis.tap_step, bit <<= 1) {
        if (inside(at, axis.in)) inside_[i] |= bit;
      }
    }
  }

  /// An axis's bit moves up; from its end it returns, and the next axis's bit moves. Behind the
  /// last tap there is a bit that no row has.
  __device__ __forceinline__ void next_tap() {
    const ConvWalk& walk = c_.walk;
    chunk_ -= walk.chunks, at_ += walk.tap[2] - walk.chunks;
    const uint32_t x = tap_ & (x_end() - 1);
    tap_ += x;
    if (2 * x != x_end()) return;
    const uint32_t y = (tap_ - x_end()) & (y_end() - x_end());
    tap_ += y + 1 - x_end(), at_ += walk.tap[1] - c_.p.axis[2].taps * walk.tap[2];
    if (2 * y != y_end()) return;
    tap_ += x_end() - y_end();
    tap_ += tap_ & ~(y_end() - 1), at_ += walk.tap[0] - c_.p.axis[1].taps * walk.tap[1];
  }

  const ConvMma& c_;
  int begin_[kCount];  ///< of the window, in chunks
  uint32_t inside_[kCount];
  int chunk_, at_;  ///< chunk of the tap; of the window
  uint32_t tap_;
};

/// Columns from chunk `column0` on of wgrad's right operand, one tile of positions after another. A
/// thread's column, so its tap, stays; its positions are equally far apart, so that it counts on
/// from one to the next as one does with digits.
template <class T, int Rows, int Threads>
class PixelView {
 public:
  using Chunks = TileChunks<T, Rows, Threads>;
  static constexpr int kCount = Chunks::kCount;
  /// Positions from a thread's chunk to its next: walk.line is for this many.
  static constexpr int kLineStep = Threads * kChunk / Rows / static_cast<int>(sizeof(T));

  /// Positions first .. first + count - 1.
  __device__ __forceinline__ PixelView(const ConvMma& c, int64_t group, int column0, int64_t first,
                                       int count)
      : c_(c) {
    const Chunks mine(false);
    const ConvPosition at(c, first + mine.line);
    left_ = count - mine.line;
    const int column = column0 + mine.chunk, tap = column / c.walk.chunks;
    const int chunk = column - tap * c.walk.chunks;
    bytes_ = tap < c.p.taps() ? channel_bytes(c.walk, chunk) : 0;
    const ConvTap q(c.p, tap);
    next_ = chunk + at.n * c.walk.n + static_cast<int>(group) * c.walk.group;
#pragma unroll
    for (int a = 0; a < kConvAxes; a++) {
      o_[a] = at.o[a], low_[a] = c.p.axis[a].offset + q.q[a] * c.p.axis[a].tap_step;
      next_ += low_[a] * c.walk.at[a] + o_[a] * c.walk.step[a];
    }
    advance();
  }

  __device__ __forceinline__ const char* address(int i) const {
    return static_cast<const char*>(c_.p.x.data) + int64_t{at_[i]} * kChunk;
  }
  __device__ __forceinline__ int bytes(int i) const { return inside_ >> i & 1 ? bytes_ : 0; }

  __device__ __forceinline__ void advance() {
    inside_ = 0;
#pragma unroll
    for (int i = 0; i < kCount; i++) {
      at_[i] = next_;
      if (is_inside()) inside_ |= 1u << i;
      count_on();
    }
  }

 private:
  __device__ __forceinline__ bool is_inside() const {
    bool all = left_ > 0;
#pragma unroll
    for (int a = 0; a < kConvAxes; a++) {
      const ConvAxis& axis = c_.p.axis[a];
      all &= inside(o_[a] * axis.step + low_[a], axis.in);
    }
    return all;
  }

  __device__ __forceinline__ void count_on() {
    left_ -= kLineStep, next_ += c_.walk.line_stride;
    int carried = 0;
#pragma unroll
    for (int a = kConvAxes - 1; a >= 0; a--) {
      o_[a] += c_.walk.line[a] + carried;
      carried = o_[a] >= c_.p.axis[a].out;
      if (carried) o_[a] -= c_.p.axis[a].out, next_ += c_.walk.carry[a];
    }
  }

  const ConvMma& c_;
  int o_[kConvAxes];    ///< of the next chunk; its image is in next_
  int low_[kConvAxes];  ///< where output 0 meets x at this tap
  int next_;            ///< in chunks
  int left_, bytes_;
  int at_[kCount];
  uint32_t inside_;
};

}  // namespace gg
