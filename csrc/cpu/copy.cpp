// y = x, cast to y's dtype and broadcast, on CPU threads.
//
// Elements of one dtype are moved as integers of their size: runs that lie alike as memory, and
// transposes in tiles, of 8 by 8 in registers where an element has 4 bytes. Casts read a run in the
// type that holds it exactly and write it from there, which rounds once; to 8-bit floats by way of
// float, as PyTorch rounds them.
//
// Bytes: x once, y once. Bound: memory.
#include <algorithm>
#include <cstring>

#include "core/checks.h"
#include "core/parallel.h"
#include "cpu/lanes.h"
#include "cpu/runs.h"
#include "cpu/typed_runs.h"
#include "ops/arrays.h"

namespace gg {
namespace {

constexpr int64_t kTile = 64;  // side of the tiles of a transpose

// ---- transposes ------------------------------------------------------------------------------

/// y[j][i] = x[i][j] for i, j below 8.
void transpose_8(const uint32_t* x, int64_t step_x, uint32_t* y, int64_t step_y) {
  using L = Lanes<int32_t>;
  using V = L::Values;
  V a[8], b[8];
  for (int i = 0; i < 8; i++) std::memcpy(&a[i], x + i * step_x, sizeof(V));
  for (int i = 0; i < 8; i += 2) {  // pairs of rows
    b[i] = __builtin_shufflevector(a[i], a[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
    b[i + 1] = __builtin_shufflevector(a[i], a[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
  }
  for (int i = 0; i < 8; i += 4) {  // fours
    a[i] = __builtin_shufflevector(b[i], b[i + 2], 0, 1, 8, 9, 4, 5, 12, 13);
    a[i + 1] = __builtin_shufflevector(b[i], b[i + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    a[i + 2] = __builtin_shufflevector(b[i + 1], b[i + 3], 0, 1, 8, 9, 4, 5, 12, 13);
    a[i + 3] = __builtin_shufflevector(b[i + 1], b[i + 3], 2, 3, 10, 11, 6, 7, 14, 15);
  }
  for (int i = 0; i < 4; i++) {  // halves
    const V low = __builtin_shufflevector(a[i], a[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    const V high = __builtin_shufflevector(a[i], a[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    std::memcpy(y + i * step_y, &low, sizeof(V));
    std::memcpy(y + (i + 4) * step_y, &high, sizeof(V));
  }
}

/// y[j][i] = x[i][j] for i < rows, j < columns; a line of x is `columns` neighbours.
template <class W>
void transpose_tile(const W* x, int64_t step_x, int64_t rows, int64_t columns, W* y,
                    int64_t step_y) {
  int64_t i = 0;
  if constexpr (sizeof(W) == 4) {
    for (; i + 8 <= rows; i += 8) {
      int64_t j = 0;
      for (; j + 8 <= columns; j += 8) {
        transpose_8(x + i * step_x + j, step_x, y + j * step_y + i, step_y);
      }
      for (; j < columns; j++) {
        for (int64_t k = i; k < i + 8; k++) y[j * step_y + k] = x[k * step_x + j];
      }
    }
  }
  for (; i < rows; i++) {
    for (int64_t j = 0; j < columns; j++) y[j * step_y + i] = x[i * step_x + j];
  }
}

/// The axis along which x's elements are neighbours, while y's are along the innermost; -1: none.
int transposed_axis(const Layout<2>& layout) {
  const int inner = layout.ndim - 1;
  if (layout.inner(0) != 1 || layout.inner(1) == 1 || layout.length[inner] < 4) return -1;
  for (int axis = 0; axis < inner; axis++) {
    if (layout.stride[1][axis] == 1 && layout.length[axis] >= 4) return axis;
  }
  return -1;
}

template <class W>
void copy_transposed(const Layout<2>& layout, int axis, const W* x, W* y) {
  const int inner = layout.ndim - 1;
  const int64_t rows = layout.length[inner], columns = layout.length[axis];
  const int64_t step_x = layout.inner(1), step_y = layout.stride[0][axis];
  Layout<2> rest;  // the other axes, around two of tiles
  for (int i = 0; i < inner; i++) {
    if (i != axis) rest.push(layout.length[i], {layout.stride[0][i], layout.stride[1][i]});
  }
  rest.finish();
  const int64_t tall = (rows + kTile - 1) / kTile, wide = (columns + kTile - 1) / kTile;
  parallel_for(
      rest.size * wide * tall, 2 * kGrain / (kTile * kTile), [&](int64_t begin, int64_t end) {
        W lines[kTile * kTile];  // whole lines go to y: its rows may be far apart
        for (int64_t tile = begin; tile < end; tile++) {
          const int64_t i = tile % tall * kTile, j = tile / tall % wide * kTile,
                        at = tile / tall / wide;
          const int64_t n = std::min(kTile, rows - i), m = std::min(kTile, columns - j);
          transpose_tile(x + rest.offset(1, at) + i * step_x + j, step_x, n, m, lines, kTile);
          W* const to = y + rest.offset(0, at) + j * step_y + i;
          for (int64_t k = 0; k < m; k++) {
            std::memcpy(to + k * step_y, lines + k * kTile, static_cast<size_t>(n) * sizeof(W));
          }
        }
      });
}

// ---- all others ------------------------------------------------------------------------------

template <class W>
void move_run(const W* x, int64_t step_x, W* y, int64_t step_y, int64_t n) {
  if (step_y == 1 && step_x == 1) {
    std::memcpy(y, x, static_cast<size_t>(n) * sizeof(W));
  } else if (step_y == 1 && step_x == 0) {
    std::fill_n(y, n, *x);
  } else {
    for (int64_t i = 0; i < n; i++) y[i * step_y] = x[i * step_x];
  }
}

template <class W>
void move(const Layout<2>& layout, const W* x, W* y) {
  const int axis = transposed_axis(layout);
  if (axis >= 0) return copy_transposed(layout, axis, x, y);
  parallel_for(layout.size, 4 * kGrain, [&](int64_t begin, int64_t end) {
    const int64_t length = layout.length[layout.ndim - 1];
    for (int64_t i = begin, n; i < end; i += n) {
      n = std::min(length - i % length, end - i);
      move_run(x + layout.offset(1, i), layout.inner(1), y + layout.offset(0, i), layout.inner(0),
               n);
    }
  });
}

template <class T>
void cast(const Layout<2>& layout, const Array& x, const Array& y) {
  const RunReader<T> read(x.dtype);
  const RunWriter<T> write(y.dtype);
  parallel_for(layout.size, 2 * kGrain, [&](int64_t begin, int64_t end) {
    T run[kRun];
    for_runs(layout, begin, end, [&](int64_t first, int64_t n) {
      const T* const from = read(x.data, layout.offset(1, first), layout.inner(1), run, n);
      write(from, y.data, layout.offset(0, first), layout.inner(0), n);
    });
  });
}

}  // namespace

void copy(Stream, const Array& x, const Array& y) {
  check_present("copy", "y", y);
  check_broadcasts("copy", "x", x, y);
  if (y.size() == 0) return;
  const Array* const arrays[2] = {&y, &x};
  const Layout<2> layout = elementwise_layout(arrays);
  if (x.dtype == y.dtype) {
    return dispatch_width(x.dtype, [&](auto tag) {
      using W = typename decltype(tag)::type;
      move(layout, x.as<W>(), y.as<W>());
    });
  }
  if (x.dtype == DType::f64) return cast<double>(layout, x, y);
  if (is_floating(x.dtype) || is_float8(x.dtype)) return cast<float>(layout, x, y);
  if (x.dtype == DType::i64) return cast<int64_t>(layout, x, y);
  cast<int32_t>(layout, x, y);
}

}  // namespace gg
