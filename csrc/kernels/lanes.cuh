// How element-wise kernels visit elements: which ones a thread holds, and how it loads and stores
// them.
//
// A block takes a tile of kBlock * N consecutive elements (row-major over the merged axes), a
// thread N of them. Where every array allows it, they are groups of W neighbours, moved as one
// vector of up to 16 bytes; otherwise they lie kBlock apart, so that neighbouring threads still
// touch neighbouring addresses. Vectors are loaded raw and converted later, so that the loads of
// all operands are in flight together. Where arrays lie is worked out apart from what is stored in
// them: it is long code, and there are many types.
#pragma once

#include <algorithm>
#include <cstring>

#include "core/checks.h"
#include "core/float8.h"
#include "core/index.h"
#include "device/device.h"

namespace gg {

constexpr int kBlock = 256;

/// Elements a thread holds, by the size of an element: 32 bytes at most.
GG_HD constexpr int lanes_of(int itemsize) {
  return itemsize == 8 ? 4 : 8;
}

/// Neighbours that move as one vector.
GG_HD constexpr int width_of(int itemsize) {
  return itemsize == 1 ? 8 : 16 / itemsize;
}

template <class T>
constexpr int kLanes = lanes_of(sizeof(T));

/// Calls f with a value of the type that dtype stores, one of those whose sums T holds: float for
/// float16, bfloat16, float32; double; int64 for integers and bool.
template <class T, class F>
GG_DEVICE void with_storage(DType dtype, F f) {
  if constexpr (std::is_same_v<T, double>) {
    f(0.0);
  } else if constexpr (std::is_same_v<T, float>) {
    if (dtype == DType::f16) return f(f16{});
    if (dtype == DType::bf16) return f(bf16{});
    f(0.0f);
  } else {
    switch (dtype) {
      case DType::i8:
        return f(int8_t{});
      case DType::i16:
        return f(int16_t{});
      case DType::i32:
        return f(int32_t{});
      case DType::i64:
        return f(int64_t{});
      default:
        return f(uint8_t{});  // and bool
    }
  }
}

/// K arrays walked together; width > 1 says that groups of so many neighbours move as one.
template <int K>
struct Walk {
  Layout<K> layout;
  int width = 1;
};

template <class M, int W, int N>
struct Raw {
  Vec<M, W> group[N / W];
};

/// One tile, as a thread sees it. The last, ragged tile is visited element by element.
template <int N>
struct Tile {
  int64_t base;
  bool vectors;

  template <int K>
  __device__ Tile(const Walk<K>& walk, int64_t first)
      : base(first), vectors(walk.width > 1 && first + kBlock * N <= walk.layout.size) {}

  /// Where element i of this thread lies when elements are visited one by one.
  __device__ int64_t element(int i) const { return base + i * kBlock + threadIdx.x; }
};

/// Offsets in array k of C elements: first, first + step, ...; 0 for those from `count` on and for
/// indices that are not below `end`.
template <int C, int K>
GG_DEVICE void locate(const Layout<K>& layout, int k, int64_t first, int64_t step, int count,
                      int64_t end, int64_t (&at)[C]) {
  if (layout.ndim == 1) {
#pragma unroll
    for (int i = 0; i < C; i++) at[i] = (first + i * step) * layout.stride[k][0];
    return;
  }
#pragma unroll
  for (int i = 0; i < C; i++) at[i] = 0;
  // A loop, because its body is long; the inner one keeps `at` in registers.
#pragma unroll 1
  for (int i = 0; i < count; i++) {
    const int64_t index = first + i * step;
    const int64_t offset = index < end ? layout.offset(k, index) : 0;
#pragma unroll
    for (int j = 0; j < C; j++) at[j] = j == i ? offset : at[j];
  }
}

/// Offsets of this thread's vectors; there are one or two.
template <int N, int K>
GG_DEVICE void locate_vectors(const Walk<K>& walk, int k, const Tile<N>& tile, int64_t (&at)[2]) {
  const int64_t first = tile.base + static_cast<int64_t>(threadIdx.x) * walk.width;
  locate(walk.layout, k, first, kBlock * walk.width, N / walk.width, walk.layout.size, at);
}

/// Offsets of this thread's elements one by one.
template <int N, int K>
GG_DEVICE void locate_elements(const Walk<K>& walk, int k, const Tile<N>& tile, int64_t (&at)[N]) {
  locate(walk.layout, k, tile.element(0), kBlock, N, walk.layout.size, at);
}

template <class M, int W, int N, int K>
GG_DEVICE void load_vectors(const Walk<K>& walk, int k, const int64_t (&at)[2], const void* data,
                            Raw<M, W, N>& raw) {
  static_assert(N / W <= 2);
  const M* p = static_cast<const M*>(data);
  if (walk.layout.inner(k) == 1) {
#pragma unroll
    for (int g = 0; g < N / W; g++) raw.group[g] = load_vec<W>(p + at[g]);
  } else {  // repeats along the innermost axis
#pragma unroll
    for (int i = 0; i < N; i++) raw.group[i / W][i % W] = p[at[i / W]];
  }
}

template <int W, class M, class T, int N>
GG_DEVICE void store_vectors(const int64_t (&at)[2], void* data, const T (&values)[N]) {
  static_assert(N / W <= 2);
#pragma unroll
  for (int g = 0; g < N / W; g++) {
    Vec<M, W> v;
#pragma unroll
    for (int w = 0; w < W; w++) v[w] = convert<M>(values[g * W + w]);
    store_vec(static_cast<M*>(data) + at[g], v);
  }
}

/// Elements beyond the end are 0.
template <class M, class T, int N, int K>
GG_DEVICE void load_elements(const Walk<K>& walk, const Tile<N>& tile, const int64_t (&at)[N],
                             const void* data, T (&values)[N]) {
  M raw[N] = {};
#pragma unroll
  for (int i = 0; i < N; i++) {
    if (tile.element(i) < walk.layout.size) raw[i] = static_cast<const M*>(data)[at[i]];
  }
#pragma unroll
  for (int i = 0; i < N; i++) values[i] = convert<T>(raw[i]);
}

template <class M, class T, int N, int K>
GG_DEVICE void store_elements(const Walk<K>& walk, const Tile<N>& tile, const int64_t (&at)[N],
                              void* data, const T (&values)[N]) {
#pragma unroll
  for (int i = 0; i < N; i++) {
    if (tile.element(i) < walk.layout.size) static_cast<M*>(data)[at[i]] = convert<M>(values[i]);
  }
}

template <class T, class M, int W, int N>
GG_DEVICE void convert_raw(const Raw<M, W, N>& raw, T (&values)[N]) {
#pragma unroll
  for (int i = 0; i < N; i++) values[i] = convert<T>(raw.group[i / W][i % W]);
}

/// May all present arrays be walked W at a time? Inputs (k > 0) may also repeat along the inside.
template <int K>
bool all_walk_in_vectors(const Layout<K>& layout, const Array* const (&arrays)[K], int width) {
  for (int k = 0; k < K; k++) {
    if (!*arrays[k]) continue;
    const bool whole = layout.ndim == 1 || layout.length[layout.ndim - 1] % width == 0;
    const bool repeats = k > 0 && layout.inner(k) == 0 && whole;
    if (!repeats &&
        !walks_in_vectors(layout, k, arrays[k]->data, width, dtype_size(arrays[k]->dtype))) {
      return false;
    }
  }
  return true;
}

/// The walk of arrays[0] (the output) and its inputs, in vectors of `width` where possible.
template <int K>
Walk<K> make_walk(const Array* const (&arrays)[K], int width) {
  Walk<K> walk;
  walk.layout = elementwise_layout(arrays);
  if (walk.layout.size > 0 && all_walk_in_vectors(walk.layout, arrays, width)) walk.width = width;
  return walk;
}

/// Blocks for `size` elements, `tile` a block: enough to fill the device, the rest by stride.
inline unsigned grid_for(int64_t size, int64_t tile) {
  const int64_t blocks = (size + tile - 1) / tile;
  return static_cast<unsigned>(std::min<int64_t>(blocks, int64_t{32} * multiprocessors()));
}

/// A Python number as T; the compute type's, so that 0.1 is not first rounded to a half.
template <class T>
T number_as(const Scalar& s) {
  return s.integral ? convert<T>(s.i) : convert<T>(s.f);
}

/// A Python number as the bytes that dtype stores, in the low end of the result.
inline uint64_t number_bits(const Scalar& s, DType dtype) {
  if (is_float8(dtype)) return float_to_float8(dtype, number_as<float>(s));
  uint64_t bits = 0;
  dispatch_all(dtype, [&](auto tag) {
    const auto value = number_as<typename decltype(tag)::type>(s);
    std::memcpy(&bits, &value, sizeof value);
  });
  return bits;
}

}  // namespace gg
