// What the convolution kernels without tensor cores share: positions, storage, sums of wgrad.
#pragma once

#include <cstdlib>
#include <initializer_list>

#include "core/checks.h"
#include "kernels/conv_problem.cuh"

namespace gg {

/// From a row of the matrix product to its image and position.
struct ConvPositions {
  bool wide;  ///< more rows than a FastDivision takes
  int length[kConvAxes];
  FastDivision fast[kConvAxes];
  WideDivision slow[kConvAxes];

  explicit ConvPositions(const ConvProblem& p) : wide(p.n * p.positions() > kMaxFastIndex) {
    for (int i = 0; i < kConvAxes; i++) {
      length[i] = p.axis[i].out;
      fast[i] = FastDivision(static_cast<uint32_t>(length[i]));
      slow[i].reciprocal = 1 / static_cast<double>(length[i]);
    }
  }

  /// Returns n.
  __device__ __forceinline__ int64_t find(int64_t row, int (&o)[kConvAxes]) const {
#pragma unroll
    for (int i = kConvAxes - 1; i >= 0; i--) {
      const int64_t rest = wide ? slow[i].quotient(row, length[i])
                                : int64_t{fast[i].quotient(static_cast<uint32_t>(row))};
      o[i] = static_cast<int>(row - rest * length[i]);
      row = rest;
    }
    return row;
  }
};

/// uint16_t is either half type: which one is asked at each element, where that costs less than a
/// second kernel does to build.
template <class T>
using ConvSum = std::conditional_t<std::is_same_v<T, double>, double, float>;

/// T of conv_epilogue.
template <class T>
using ConvStored = std::conditional_t<std::is_same_v<T, uint16_t>, void, T>;

template <class T>
GG_DEVICE ConvSum<T> conv_value(T stored, [[maybe_unused]] bool is_bf16) {
  if constexpr (std::is_same_v<T, uint16_t>) {
    return is_bf16 ? to_float(bf16{stored}) : to_float(f16{stored});
  } else {
    return convert<ConvSum<T>>(stored);
  }
}

/// N stored values `step` apart; `vector`: they are one aligned access.
template <int N, class T>
GG_DEVICE void read_values(const T* from, int64_t step, bool vector, bool is_bf16,
                           ConvSum<T> (&values)[N]) {
  constexpr int W = N * sizeof(T) > 16 ? 16 / sizeof(T) : N;
  if (vector) {
#pragma unroll
    for (int i = 0; i < N; i += W) {
      const Vec<T, W> v = load_vec<W>(from + i);
#pragma unroll
      for (int e = 0; e < W; e++) values[i + e] = conv_value(v[e], is_bf16);
    }
  } else {
#pragma unroll
    for (int i = 0; i < N; i++, from += step) values[i] = conv_value(*from, is_bf16);
  }
}

/// Where x holds what a tap reads; null outside.
template <class T>
GG_DEVICE const T* conv_tap(const ConvProblem& p, const T* base, const int (&at)[kConvAxes],
                            const int (&q)[kConvAxes]) {
#pragma unroll
  for (int i = 0; i < kConvAxes; i++) {
    const int place = at[i] + q[i] * p.axis[i].tap_step;
    if (static_cast<unsigned>(place) >= static_cast<unsigned>(p.axis[i].in)) return nullptr;
    base += place * p.x.at[i];
  }
  return base;
}

/// Calls f with a tag of the type kernels store p's elements in.
template <class F>
void with_conv_storage(const ConvProblem& p, F f) {
  if (p.dtype == DType::f64) return f(Tag<double>{});
  if (p.dtype == DType::f32) return f(Tag<float>{});
  f(Tag<uint16_t>{});
}

inline int conv_sum_size(const ConvProblem& p) {
  return p.dtype == DType::f64 ? 8 : 4;
}

/// The stride of an axis, for questions of access: 0 if it is never taken.
inline int64_t taken(int64_t stride, int64_t length) {
  return length > 1 ? std::abs(stride) : 0;
}

/// Every address that begins a group of channels is a multiple of 16 bytes, groups aside.
inline bool channels_align(const void* data, int64_t c, std::initializer_list<int64_t> rest,
                           int element) {
  if (c != 1 || reinterpret_cast<uintptr_t>(data) % 16 != 0) return false;
  for (const int64_t stride : rest) {
    if (stride * element % 16 != 0) return false;
  }
  return true;
}

inline bool channels_align(const ConvProblem& p, const ConvImage& image, bool is_x) {
  const auto length = [&](int i) { return is_x ? p.axis[i].in : p.axis[i].out; };
  return channels_align(image.data, image.c,
                        {taken(image.n, p.n), taken(image.at[0], length(0)),
                         taken(image.at[1], length(1)), taken(image.at[2], length(2))},
                        dtype_size(p.dtype));
}

/// Are channels faster in memory than positions, of which there are `length`, `step` apart?
inline bool by_channel(const ConvImage& image, int64_t channels, int64_t step, int64_t length) {
  return channels > 1 && (length == 1 || std::abs(image.c) <= std::abs(image.at[2] * step));
}

/// Elements of dw, which partial sums of wgrad hold as [group][k][tap][c].
inline int64_t conv_filter_size(const ConvProblem& p) {
  return p.groups * p.k * p.taps() * p.c;
}

/// How many parts n and positions are cut into so that `blocks` blocks for each fill the machine;
/// at least `least` rows to a part, and partial sums of at most 128 MiB.
int64_t conv_wgrad_splits(const ConvProblem& p, int64_t blocks, int64_t least);

/// dw = partial[0] + partial[1] + ..., in that order. conv_simt.cu.
void launch_conv_filter_sum(Stream stream, const ConvProblem& p, const void* partial,
                            int64_t splits);

}  // namespace gg
