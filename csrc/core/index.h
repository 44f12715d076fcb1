// From a linear index to the addresses of several strided arrays: fast division, broadcasting,
// merging of axes. Built on the host, walked on the device.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <utility>

#include "core/array.h"
#include "core/checks.h"
#include "device/qualifiers.h"

namespace gg {

/// Up to here an index divides in 32-bit integers; beyond, with the help of double.
constexpr int64_t kMaxFastIndex = (int64_t{1} << 31) - 1;

/// n / d for 0 <= n < 2^31 by a multiplication and a shift (Granlund & Montgomery 1994).
struct FastDivision {
  uint32_t multiplier = 1;
  uint32_t shift = 0;

  FastDivision() = default;
  explicit FastDivision(uint32_t divisor) {
    while ((uint64_t{1} << shift) < divisor) shift++;
    uint64_t excess = (uint64_t{1} << shift) - divisor;
    multiplier = static_cast<uint32_t>((excess << 32) / divisor + 1);
  }

  GG_HD uint32_t quotient(uint32_t n) const {
    uint32_t high = static_cast<uint32_t>((static_cast<uint64_t>(n) * multiplier) >> 32);
    return (high + n) >> shift;
  }
};

/// n / d for 0 <= n < 2^52: the double quotient is off by one at most. (Integer division of 64 bits
/// would be a call, for which kernels spill registers.)
struct WideDivision {
  double reciprocal = 1;

  GG_HD int64_t quotient(int64_t n, int64_t divisor) const {
    int64_t q = static_cast<int64_t>(static_cast<double>(n) * reciprocal);
    const int64_t rest = n - q * divisor;
    if (rest < 0) q--;
    if (rest >= divisor) q++;
    return q;
  }
};

/// K arrays walked together over one shape, row-major, axis 0 outermost.
template <int K>
struct Layout {
  int ndim = 0;
  bool wide = false;  ///< size > kMaxFastIndex
  int64_t size = 1;
  int64_t length[kMaxDims] = {};
  FastDivision division[kMaxDims];
  WideDivision wide_division[kMaxDims];
  int64_t stride[K][kMaxDims] = {};  ///< in elements

  GG_HD int64_t divide(int64_t index, int axis) const {
    if (wide) return wide_division[axis].quotient(index, length[axis]);
    return division[axis].quotient(static_cast<uint32_t>(index));
  }

  /// Where element `index` of the shape lies in array k, in elements.
  GG_HD int64_t offset(int k, int64_t index) const {
    int64_t at = 0;
    for (int axis = ndim - 1; axis > 0; axis--) {
      int64_t rest = divide(index, axis);
      at += (index - rest * length[axis]) * stride[k][axis];
      index = rest;
    }
    return ndim > 0 ? at + index * stride[k][0] : 0;
  }

  /// Stride of the innermost axis.
  GG_HD int64_t inner(int k) const { return stride[k][ndim - 1]; }

  /// Adds an axis inside the ones there are.
  void push(int64_t axis_length, const int64_t (&strides)[K]) {
    length[ndim] = axis_length;
    for (int k = 0; k < K; k++) stride[k][ndim] = strides[k];
    size *= axis_length;
    ndim++;
  }

  void swap_axes(int a, int b) {
    std::swap(length[a], length[b]);
    for (int k = 0; k < K; k++) std::swap(stride[k][a], stride[k][b]);
  }

  /// Orders axes so that array 0's strides fall, then array 1's: for operations that do not care
  /// in which order elements are visited, this makes any memory order look row-major.
  void sort() {
    for (int i = 1; i < ndim; i++) {
      for (int j = i; j > 0 && belongs_outside(j, j - 1); j--) swap_axes(j, j - 1);
    }
  }

  /// Joins neighbouring axes that every array walks as one, and prepares the divisions. Leaves at
  /// least one axis.
  void finish() {
    int kept = 0;
    for (int axis = 0; axis < ndim; axis++) {
      if (length[axis] == 1) continue;
      if (kept > 0 && joins(kept - 1, axis)) {
        length[kept - 1] *= length[axis];
        for (int k = 0; k < K; k++) stride[k][kept - 1] = stride[k][axis];
        continue;
      }
      move_axis(axis, kept++);
    }
    if (kept == 0) {
      length[0] = 1;
      for (int k = 0; k < K; k++) stride[k][0] = 1;
      kept = 1;
    }
    ndim = kept;
    wide = size > kMaxFastIndex;
    if (size == 0) return;
    for (int axis = 0; axis < ndim; axis++) {
      wide_division[axis].reciprocal = 1 / static_cast<double>(length[axis]);
      if (!wide) division[axis] = FastDivision(static_cast<uint32_t>(length[axis]));
    }
  }

 private:
  bool belongs_outside(int a, int b) const {
    for (int k = 0; k < K; k++) {
      int64_t sa = std::abs(stride[k][a]), sb = std::abs(stride[k][b]);
      if (sa != sb) return sa > sb;
    }
    return false;
  }

  bool joins(int outer, int inner) const {
    for (int k = 0; k < K; k++) {
      if (stride[k][outer] != stride[k][inner] * length[inner]) return false;
    }
    return true;
  }

  void move_axis(int from, int to) {
    length[to] = length[from];
    for (int k = 0; k < K; k++) stride[k][to] = stride[k][from];
  }
};

/// Stride of `a` along axis `axis` of y's shape, to which it broadcasts: 0 where it repeats.
inline int64_t broadcast_stride(const Array& a, const Array& y, int axis) {
  int own = axis - (y.ndim - a.ndim);
  return own < 0 || a.shape[own] == 1 ? 0 : a.stride[own];
}

/// arrays[0] gives the shape; the others broadcast to it. Absent arrays (numbers) get stride 0.
/// Axes are sorted and merged.
template <int K>
Layout<K> elementwise_layout(const Array* const (&arrays)[K]) {
  const Array& y = *arrays[0];
  Layout<K> layout;
  for (int axis = 0; axis < y.ndim; axis++) {
    int64_t strides[K];
    for (int k = 0; k < K; k++) {
      strides[k] = *arrays[k] ? broadcast_stride(*arrays[k], y, axis) : 0;
    }
    if (y.shape[axis] != 1) layout.push(y.shape[axis], strides);
  }
  layout.sort();
  layout.finish();
  return layout;
}

/// Can array k be walked `width` elements at a time: unit stride inside, each row's start aligned?
template <int K>
bool walks_in_vectors(const Layout<K>& layout, int k, const void* data, int width, int itemsize) {
  if (layout.inner(k) != 1) return false;
  const int bytes = width * itemsize < 16 ? width * itemsize : 16;
  if (reinterpret_cast<uintptr_t>(data) % static_cast<uintptr_t>(bytes) != 0) return false;
  for (int axis = 0; axis + 1 < layout.ndim; axis++) {
    if (layout.stride[k][axis] % width != 0) return false;
  }
  return layout.ndim == 1 || layout.length[layout.ndim - 1] % width == 0;
}

}  // namespace gg
