// Operations along one axis see their arrays as rows: lines of n elements along that axis, one for
// each position of the other axes. Host only.
#pragma once

#include <cstdlib>

#include "core/array.h"
#include "core/index.h"

namespace gg {

template <int K>
struct RowLayout {
  Layout<K> outer;         ///< the other axes, sorted and merged; its linear index is the row
  int64_t n = 0;           ///< length of a row
  int64_t stride[K] = {};  ///< along it
  bool near = true;        ///< neighbours in a row are nearer in memory than neighbouring rows
};

/// Rows along `axis` of arrays of one shape.
template <int K>
RowLayout<K> row_layout(const Array (&arrays)[K], int axis) {
  RowLayout<K> rows;
  rows.n = arrays[0].shape[axis];
  for (int k = 0; k < K; k++) rows.stride[k] = arrays[k].stride[axis];
  for (int i = 0; i < arrays[0].ndim; i++) {
    int64_t strides[K];
    for (int k = 0; k < K; k++) strides[k] = arrays[k].stride[i];
    if (i != axis && arrays[0].shape[i] != 1) rows.outer.push(arrays[0].shape[i], strides);
  }
  rows.outer.sort();
  rows.outer.finish();
  rows.near = rows.outer.size <= 1 || rows.n == 1 ||
              std::abs(rows.stride[0]) <= std::abs(rows.outer.inner(0));
  return rows;
}

/// a in y's shape, to which it broadcasts.
inline Array broadcast_to(const Array& a, const Array& y) {
  Array wide = y;
  wide.data = a.data;
  wide.dtype = a.dtype;
  for (int i = 0; i < y.ndim; i++) wide.stride[i] = broadcast_stride(a, y, i);
  return wide;
}

/// [N, L] seen as [N, n, L] (axis 1), every element n times.
inline Array with_axis(const Array& a, int axis, int64_t n) {
  Array wide = a;
  wide.ndim++;
  for (int i = wide.ndim - 1; i > axis; i--) {
    wide.shape[i] = a.shape[i - 1];
    wide.stride[i] = a.stride[i - 1];
  }
  wide.shape[axis] = n;
  wide.stride[axis] = 0;
  return wide;
}

}  // namespace gg
