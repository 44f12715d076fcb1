// y[j..., r...] = x[indices[0][j...], ..., indices[k-1][j...], r...] on CPU threads.
//
// In the order in which y lies in memory, up to 1024 rows at a time: indices to places in x, then
// the elements, moved as integers of their size. An index out of range counts as 0; afterwards
// the first one, of the first array that has one, is flagged.
//
// Bytes: indices once, y once, as much of x. Bound: memory, latency where rows are short.
#include <algorithm>
#include <atomic>
#include <cstring>

#include "core/checks.h"
#include "core/parallel.h"
#include "cpu/places.h"
#include "ops/arrays.h"

namespace gg {
namespace {

/// One element of each row.
template <class W>
void move_elements(const Run& run, const W* x, W* __restrict y) {
  if (run.x_step == 0 && run.other_step == 1) {
#pragma GCC unroll 4
    for (int64_t i = 0; i < run.n; i++) y[i] = x[run.index[i] * run.index_step];
  } else {
    for (int64_t i = 0; i < run.n; i++) {
      y[i * run.other_step] = x[i * run.x_step + run.index[i] * run.index_step];
    }
  }
}

template <class W>
void move_rows(const Run& run, const W* x, W* __restrict y) {
  for (int64_t i = 0; i < run.n; i++) {
    const W* const from = x + i * run.x_step + run.index[i] * run.index_step;
    W* const to = y + i * run.other_step;
    if (run.row_x == 1 && run.row_other == 1) {
      std::memcpy(to, from, static_cast<size_t>(run.row) * sizeof(W));
    } else {
      for (int64_t k = 0; k < run.row; k++) to[k * run.row_other] = from[k * run.row_x];
    }
  }
}

template <class W>
bool move_all(const IndexWalk& walk, const W* x, W* y) {
  std::atomic<bool> legal{true};
  const int64_t grain = std::max<int64_t>(1, 2 * kGrain / walk.row());
  parallel_for(walk.rows(), grain, [&](int64_t begin, int64_t end) {
    const bool all = walk.for_runs(begin, end, [&](const Run& run) {
      const W* const from = x + run.x;
      W* const to = y + run.other;
      if (run.has_long_rows()) return move_rows(run, from, to);
      for (int64_t k = 0; k < run.row; k++) {
        move_elements(run, from + k * run.row_x, to + k * run.row_other);
      }
    });
    if (!all) legal = false;
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
  if (rows.rest.size > 0 && x.size() > 0) {
    IndexWalk walk(indices, x, y);
    walk.order_by_memory();
    dispatch_width(x.dtype, [&](auto tag) {
      using W = typename decltype(tag)::type;
      legal = move_all(walk, x.as<const W>(), y.as<W>());
    });
  }
  if (!legal) flag_first(list, FlagCode::gather, flag.as<int64_t>());
}

}  // namespace gg
