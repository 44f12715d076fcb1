// Binary search: y[..., j] = how many elements of the sorted rows[..., :] are below x[..., j], or
// below and equal.
//
// A thread takes an element of x. Any dtype, by keys of the elements' order (sort_keys.cuh): NaN is
// above all numbers and equal to NaN, -0 equals 0. Any strides. y is overwritten; no element
// depends on another.
//
// Bytes: x and y once, for each element log2(n) elements of its row, of which the caches keep the
// first. Bound: latency of those reads. Reached: not measured.
#include "core/checks.h"
#include "kernels/lanes.cuh"
#include "kernels/sort_keys.cuh"
#include "ops/arrays.h"

namespace gg {
namespace {

struct Search {
  Layout<3> elements;      ///< x, y, and where in `rows` an element's row begins
  int64_t length, stride;  ///< of a row
  KeyForm form;
  bool right;
  const void* rows;
  const void* x;
  int64_t* y;
};

__global__ void __launch_bounds__(kBlock) search_rows(const Search s) {
  int64_t e = int64_t{kBlock} * blockIdx.x + threadIdx.x;
  for (; e < s.elements.size; e += int64_t{kBlock} * gridDim.x) {
    const uint64_t key = s.form.load<uint64_t>(s.x, s.elements.offset(0, e));
    const int64_t row = s.elements.offset(2, e);
    int64_t low = 0, high = s.length;
    while (low < high) {
      const int64_t middle = low + (high - low) / 2;
      const uint64_t other = s.form.load<uint64_t>(s.rows, row + middle * s.stride);
      if (other < key || (s.right && other == key)) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    s.y[s.elements.offset(1, e)] = low;
  }
}

void check_search(const Array& rows, const Array& x, const Array& y) {
  const char* const op = "search_sorted";
  check_same_dtype(op, "rows", rows, "x", x);
  check_not_float8(op, "x", x);
  check_dtype(op, "y", y, DType::i64);
  check_same_shape(op, "x", x, "y", y);
  bool fits = rows.ndim == 1 || (rows.ndim > 1 && rows.ndim == x.ndim);
  for (int axis = 0; fits && axis + 1 < rows.ndim; axis++) {
    fits = rows.shape[axis] == x.shape[axis];
  }
  GG_CHECK(fits, op,
           "rows must have one axis, or x's axes but for the last one's length, got rows ", rows,
           ", x ", x);
}

}  // namespace

void search_sorted(Stream stream, const Array& rows, const Array& x, bool right, const Array& y) {
  check_search(rows, x, y);
  if (x.size() == 0) return;
  Search s{};
  const int last = rows.ndim - 1;
  for (int axis = 0; axis < x.ndim; axis++) {
    s.elements.push(x.shape[axis],
                    {x.stride[axis], y.stride[axis], axis < last ? rows.stride[axis] : 0});
  }
  s.elements.finish();
  s.length = rows.shape[last];
  s.stride = rows.stride[last];
  s.form = KeyForm::of(x.dtype);
  s.right = right;
  s.rows = rows.data;
  s.x = x.data;
  s.y = y.as<int64_t>();
  launch(search_rows, grid_for(s.elements.size, kBlock), kBlock, 0, stream, s);
}

}  // namespace gg
