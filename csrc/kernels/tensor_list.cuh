// Lists of arrays in one launch: pointers and sizes travel by value in the kernel's parameters, and
// blocks are handed out to arrays by chunks of a fixed number of elements.
#pragma once

#include <algorithm>

#include "core/array.h"
#include "device/cache.h"
#include "device/device.h"
#include "ops/updates.h"

namespace gg {

/// Arrays of one launch; two capacities, so that short lists make small parameters.
constexpr int kShortList = 64, kLongList = 256;

constexpr int kListThreads = 256;

/// Where each array's blocks begin, and its size.
template <int N>
struct ListMap {
  int count = 0;
  int first[N + 1] = {};
  int64_t size[N] = {};

  /// Adds an array of `elements`, which takes a block for each chunk.
  void add(int64_t elements, int64_t chunk) {
    size[count] = elements;
    first[count + 1] = first[count] + static_cast<int>((elements + chunk - 1) / chunk);
    count++;
  }

  unsigned blocks() const { return static_cast<unsigned>(first[count]); }
};

/// The part of an array that this block works on.
struct ListChunk {
  int array;
  int64_t begin, end;  ///< empty for a block beyond the list
};

template <int N>
GG_DEVICE ListChunk chunk_of_block(const ListMap<N>& map, int64_t chunk) {
  const int block = static_cast<int>(blockIdx.x);
  if (block >= map.first[map.count]) return {0, 0, 0};
  int low = 0, high = map.count - 1;  // the last array that begins at or before the block
  while (low < high) {
    const int middle = (low + high + 1) / 2;
    if (map.first[middle] <= block) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  const int64_t begin = (block - map.first[low]) * chunk, size = map.size[low];
  return {low, begin, begin + chunk < size ? begin + chunk : size};
}

/// Are all of these addresses (nulls included) multiples of 16?
template <class... P>
GG_DEVICE bool aligned16(const P*... p) {
  return ((reinterpret_cast<uintptr_t>(p) | ...) & 15) == 0;
}

/// N elements from p + i, as one vector where whole is true, else those before end.
template <int N, class T>
GG_DEVICE Vec<T, N> load_part(const T* p, int64_t i, int64_t end, bool whole) {
  if (whole) return load_vec<N>(p + i);
  Vec<T, N> values = {};
#pragma unroll
  for (int k = 0; k < N; k++) {
    if (i + k < end) values[k] = p[i + k];
  }
  return values;
}

/// The same of memory that this kernel reads once and does not write.
template <int N, class T>
GG_DEVICE Vec<T, N> load_part_once(const T* p, int64_t i, int64_t end, bool whole) {
  return whole ? load_vec_streaming<N>(p + i) : load_part<N>(p, i, end, false);
}

template <class T, int N>
GG_DEVICE void store_part(T* p, int64_t i, int64_t end, bool whole, const Vec<T, N>& values) {
  if (whole) return store_vec(p + i, values);
#pragma unroll
  for (int k = 0; k < N; k++) {
    if (i + k < end) p[i + k] = values[k];
  }
}

/// The same to memory that is not read again soon.
template <class T, int N>
GG_DEVICE void store_part_last(T* p, int64_t i, int64_t end, bool whole, const Vec<T, N>& values) {
  if (whole) return store_vec_streaming(p + i, values);
  store_part(p, i, end, false, values);
}

/// Calls launch_part(capacity constant, from, to) for the slices of a list of n arrays.
/// Short: the smaller capacity; kLongList compiles only one.
template <int Short = kShortList, class F>
void for_slices(size_t n, F launch_part) {
  size_t from = 0;
  do {
    const size_t to = std::min<size_t>(n, from + kLongList);
    if (Short == kLongList || to - from <= Short) {
      launch_part(std::integral_constant<int, Short>(), from, to);
    } else {
      launch_part(std::integral_constant<int, kLongList>(), from, to);
    }
    from = to;
  } while (from < n);
}

}  // namespace gg
