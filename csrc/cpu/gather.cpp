// y[j..., r...] = x[indices[0][j...], ..., indices[k-1][j...], r...] on CPU threads.
//
// Up to 1024 positions at a time: all indices to places in x first, one index array after the
// other, then row by row, moved as integers of an element's size. An index out of range leads to
// place 0; afterwards the first one, of the first array that has one, is flagged.
//
// Bytes: indices once, y once, as much of x. Bound: memory, latency where rows are short.
#include <algorithm>
#include <atomic>
#include <cstring>

#include "core/checks.h"
#include "core/parallel.h"
#include "cpu/places.h"
#include "cpu/runs.h"
#include "ops/arrays.h"

namespace gg {
namespace {

template <class W>
void move_row(const Layout<2>& rest, const W* x, W* y) {
  const int64_t length = rest.length[rest.ndim - 1], step_y = rest.inner(0), step_x = rest.inner(1);
  for (int64_t i = 0; i < rest.size; i += length) {
    const W* const from = x + rest.offset(1, i);
    W* const to = y + rest.offset(0, i);
    if (step_x == 1 && step_y == 1) {
      std::memcpy(to, from, static_cast<size_t>(length) * sizeof(W));
    } else {
      for (int64_t k = 0; k < length; k++) to[k * step_y] = from[k * step_x];
    }
  }
}

template <class W>
bool gather_rows(const IndexList& list, const RowsOfIndices& rows, const W* x, W* y) {
  std::atomic<bool> legal{true};
  const int64_t row = rows.rest.size, grain = std::max<int64_t>(1, 2 * kGrain / (row + 4));
  const bool empty = std::any_of(list.limit, list.limit + list.count, [](int64_t n) { return !n; });
  parallel_for(list.layout.size, grain, [&](int64_t begin, int64_t end) {
    int64_t place[kRun];
    for_runs(list.layout, begin, end, [&](int64_t first, int64_t n) {
      if (!locate_run(list, first, n, place)) legal = false;
      if (empty) return;  // no place is legal
      for (int64_t done = 0, m; done < n; done += m) {
        const int64_t inside = rows.outer.length[rows.outer.ndim - 1];
        m = std::min(n - done, inside - (first + done) % inside);
        W* const to = y + rows.outer.offset(0, first + done);
        const int64_t step = rows.outer.inner(0);
        if (row == 1) {
          for (int64_t i = 0; i < m; i++) to[i * step] = x[place[done + i]];
        } else {
          for (int64_t i = 0; i < m; i++) move_row(rows.rest, x + place[done + i], to + i * step);
        }
      }
    });
  });
  return legal;
}

}  // namespace

void gather(Stream, const Array& x, const Arrays& indices, const Array& y, const Array& flag) {
  const IndexList list = index_list("gather", indices, x, false);
  check_same_dtype("gather", "x", x, "y", y);
  check_dtype("gather", "flag", flag, DType::i64);
  const RowsOfIndices rows = rows_of_indices("gather", "y", y, indices[0], x, list.count);
  GG_CHECK(y.size() == rows.outer.size * rows.rest.size, "gather", "y ", y,
           " has not the shape of the indices and the rest of x ", x);
  if (list.layout.size == 0) return;
  bool legal = false;  // of empty rows not known
  if (rows.rest.size > 0) {
    dispatch_width(x.dtype, [&](auto tag) {
      using W = typename decltype(tag)::type;
      legal = gather_rows(list, rows, x.as<W>(), y.as<W>());
    });
  }
  if (!legal) flag_first(list, FlagCode::gather, flag.as<int64_t>());
}

}  // namespace gg
