// Index arrays: from a position j of their common shape to a place in x. Shared by gather and
// scatter on all devices.
#pragma once

#include "core/array.h"
#include "core/checks.h"
#include "core/index.h"
#include "device/qualifiers.h"
#include "ops/types.h"

namespace gg {

/// Most index arrays of one operation.
constexpr int kMaxIndices = 8;

/// Where an index leads: a place, or the array whose index is out of range.
struct Located {
  int64_t offset;
  int64_t index;      ///< the illegal one
  int bad_axis = -1;  ///< -1: all are legal
};

struct IndexList {
  int count;
  const int64_t* data[kMaxIndices];
  int64_t limit[kMaxIndices];  ///< length of the axis it indexes
  int64_t step[kMaxIndices];   ///< what one index more adds to the place
  Layout<kMaxIndices> layout;  ///< of the index arrays over their shape

  GG_HD Located locate(int64_t j) const {
    Located found{0, 0};
    for (int a = 0; a < count; a++) {
      const int64_t index = data[a][layout.offset(a, j)];
      const int64_t at = index < 0 ? index + limit[a] : index;
      if (at < 0 || at >= limit[a]) return {0, index, a};
      found.offset += at * step[a];
    }
    return found;
  }
};

/// Checks indices against x. step: x's strides, or row-major steps over the indexed axes.
inline IndexList index_list(const char* op, const Arrays& indices, const Array& x,
                            bool row_major_steps) {
  const int count = static_cast<int>(indices.size());
  check_present(op, "x", x);
  GG_CHECK(count >= 1 && count <= kMaxIndices && count <= x.ndim, op, "got ", count,
           " index arrays for x ", x, "; 1 to ", kMaxIndices,
           " and no more than x's axes are legal");
  IndexList list{};
  list.count = count;
  int64_t step = 1;
  for (int a = count - 1; a >= 0; a--) {
    check_dtype(op, "indices", indices[a], DType::i64);
    check_same_shape(op, "indices[0]", indices[0], "another index array", indices[a]);
    list.data[a] = indices[a].as<int64_t>();
    list.limit[a] = x.shape[a];
    list.step[a] = row_major_steps ? step : x.stride[a];
    step *= x.shape[a];
  }
  for (int axis = 0; axis < indices[0].ndim; axis++) {
    int64_t strides[kMaxIndices] = {};
    for (int a = 0; a < count; a++) strides[a] = indices[a].stride[axis];
    list.layout.push(indices[0].shape[axis], strides);
  }
  list.layout.finish();
  return list;
}

/// y [J..., rest] seen as rows: its axes of J (one array) and, beside x's, those of the rest.
struct RowsOfIndices {
  Layout<1> outer;  ///< y over J
  Layout<2> rest;   ///< y and x over the axes that are not indexed
};

/// y has the shape of the indices followed by x's axes that are not indexed, or broadcasts to it.
inline RowsOfIndices rows_of_indices(const char* op, const char* name, const Array& y,
                                     const Array& index, const Array& x, int count) {
  Array full = index;  // the shape y has or broadcasts to; strides are those of y
  GG_CHECK(y && index.ndim + x.ndim - count <= kMaxDims, op, name, " is missing, or has more than ",
           kMaxDims, " axes");
  for (int axis = count; axis < x.ndim; axis++) full.shape[full.ndim++] = x.shape[axis];
  check_broadcasts(op, name, y, full);
  RowsOfIndices rows;
  for (int axis = 0; axis < full.ndim; axis++) {
    const int64_t stride = broadcast_stride(y, full, axis);
    if (axis < index.ndim) {
      rows.outer.push(full.shape[axis], {stride});
    } else {
      rows.rest.push(full.shape[axis], {stride, x.stride[axis - index.ndim + count]});
    }
  }
  rows.outer.finish();
  rows.rest.finish();
  return rows;
}

/// Splits the number of an element into row and place in the row.
struct RowSplit {
  int64_t row = 1;      ///< elements of a row
  bool narrow = false;  ///< numbers fit FastDivision
  FastDivision division;

  RowSplit() = default;
  RowSplit(int64_t rows, int64_t row_length)
      : row(row_length), narrow(rows <= kMaxFastIndex / row_length) {
    if (narrow) division = FastDivision(static_cast<uint32_t>(row));
  }

  GG_HD int64_t row_of(int64_t i) const {
    return narrow ? division.quotient(static_cast<uint32_t>(i)) : i / row;
  }
};

}  // namespace gg
