// Scatter on the CPU: x[indices..., r...] = or o= values[j..., r...], o being +, *, max or min, in
// the order of j.
//
// Threads share rows by columns: each goes through all j for its own columns, so duplicates need no
// locks and the result does not depend on the number of threads. float16 and bfloat16 are joined in
// float32: their positions are sorted first (stable), each place is joined and rounded once.
// Integers wrap; of bool + and max are `or`, * and min `and`. Where an index is out of range, x
// stays as it is.
#include <algorithm>
#include <atomic>
#include <type_traits>
#include <utility>

#include "core/math.h"
#include "core/parallel.h"
#include "core/scatter.h"
#include "cpu/convert.h"
#include "cpu/places.h"
#include "cpu/runs.h"
#include "ops/arrays.h"

namespace gg {
namespace {

/// A position's number of its place, and the position.
using Entry = std::pair<int64_t, int64_t>;

/// Are all indices legal?
bool all_legal(const IndexList& list) {
  std::atomic<bool> legal{true};
  parallel_for(list.layout.size, kGrain, [&](int64_t begin, int64_t end) {
    int64_t place[kRun];
    for_runs(list.layout, begin, end, [&](int64_t first, int64_t n) {
      if (!locate_run(list, first, n, place)) legal = false;
    });
  });
  return legal;
}

/// Calls f(number of the place, j) for every j, and soon(number) some places before.
template <class F, class Soon>
void for_places(const ScatterProblem& p, F f, Soon soon) {
  constexpr int64_t ahead = 24;
  int64_t place[kRun];
  for_runs(p.indices.layout, 0, p.count, [&](int64_t first, int64_t n) {
    locate_run(p.indices, first, n, place);
    for (int64_t i = 0; i < n; i++) {
      if (i + ahead < n) soon(place[i + ahead]);
      f(place[i], first + i);
    }
  });
}

/// layout.offset(0, i), without a division where that is one step.
int64_t offset_in(const Layout<1>& layout, int64_t i) {
  return layout.ndim == 1 ? i * layout.inner(0) : layout.offset(0, i);
}

/// Calls f(offset of values, offset of x, n) for the stretches of a row's elements [begin, end),
/// along the innermost axis.
template <class F>
void for_stretches(const Layout<2>& rest, int64_t begin, int64_t end, F f) {
  const int64_t length = rest.length[rest.ndim - 1];
  while (begin < end) {
    const int64_t n = std::min({length - begin % length, end - begin, kRun});
    f(rest.offset(0, begin), rest.offset(1, begin), n);
    begin += n;
  }
}

/// Columns that a thread takes: all of a small scatter, else an equal share of whole cache lines.
int64_t columns_of_thread(const ScatterProblem& p) {
  if (p.count * p.row < 4 * kGrain) return p.row;
  return std::max<int64_t>(64, (p.row + num_threads() - 1) / num_threads());
}

/// Calls f(join), join(a, b) being what `op` makes of an element of x and a value.
template <class T, class F>
auto with_join(Scatter op, F f) {
  switch (op) {
    case Scatter::set:
      return f([](T, T b) { return b; });
    case Scatter::add:
      return f([](T a, T b) { return BinaryMath<T>::add(a, b); });
    case Scatter::mul:
      return f([](T a, T b) { return BinaryMath<T>::mul(a, b); });
    case Scatter::max:
      return f([](T a, T b) { return larger(a, b); });
    default:
      return f([](T a, T b) { return smaller(a, b); });
  }
}

/// n elements of a row: y = join(y, v). Steps of v and y.
template <class T>
using JoinElements = void (*)(const T* v, int64_t step_v, T* y, int64_t step_y, int64_t n);

template <class T>
JoinElements<T> join_elements(Scatter op) {
  return with_join<T>(op, [](auto join) -> JoinElements<T> {
    return [](const T* v, int64_t step_v, T* y, int64_t step_y, int64_t n) {
      constexpr decltype(join) joined;
      if (step_v == 1 && step_y == 1) {
#pragma GCC ivdep
        for (int64_t i = 0; i < n; i++) y[i] = joined(y[i], v[i]);
      } else {
        for (int64_t i = 0; i < n; i++) y[i * step_y] = joined(y[i * step_y], v[i * step_v]);
      }
    };
  });
}

/// Every row in the order of j; T needs no wider type to be joined in.
template <class T>
void join_in_order(const ScatterProblem& p, Scatter op, const T* values, T* x) {
  const JoinElements<T> join = join_elements<T>(op);
  const int64_t step_v = p.rows.rest.inner(0), step_x = p.rows.rest.inner(1);
  parallel_for(p.row, columns_of_thread(p), [&](int64_t begin, int64_t end) {
    const auto fetch = [&](int64_t place) {
      __builtin_prefetch(x + offset_in(p.places, place), 1);
    };
    for_places(
        p,
        [&](int64_t place, int64_t j) {
          const T* const from = values + offset_in(p.rows.outer, j);
          T* const to = x + offset_in(p.places, place);
          if (p.row == 1) return join(from, 1, to, 1, 1);
          for_stretches(p.rows.rest, begin, end, [&](int64_t at_v, int64_t at_x, int64_t n) {
            join(from + at_v, step_v, to + at_x, step_x, n);
          });
        },
        fetch);
  });
}

/// x o= the rows of one place, entries [first, last), for n elements of a row, in float32.
template <class T>
void join_place(const ScatterProblem& p, Scatter op, const Entry* first, const Entry* last,
                const T* values, T* x, int64_t begin, int64_t end) {
  const int64_t step_v = p.rows.rest.inner(0), step_x = p.rows.rest.inner(1);
  float joined[kRun];
  for_stretches(p.rows.rest, begin, end, [&](int64_t at_v, int64_t at_x, int64_t n) {
    T* const y = x + p.places.offset(0, first->first) + at_x;
    for (int64_t i = 0; i < n; i++) joined[i] = to_float(y[i * step_x]);
    with_join<float>(op, [&](auto join) {
      for (const Entry* entry = first; entry != last; entry++) {
        const T* const v = values + p.rows.outer.offset(0, entry->second) + at_v;
        for (int64_t i = 0; i < n; i++) joined[i] = join(joined[i], to_float(v[i * step_v]));
      }
    });
    for (int64_t i = 0; i < n; i++) y[i * step_x] = from_float<T>(joined[i]);
  });
}

template <class T>
void join_halves(const ScatterProblem& p, Scatter op, const T* values, T* x, Entry* entries) {
  Entry* end = entries;
  for_places(p, [&](int64_t place, int64_t j) { *end++ = {place, j}; }, [](int64_t) {});
  std::sort(entries, end);  // by place, then by j
  const int64_t columns = columns_of_thread(p);
  parallel_for(p.row, columns, [&](int64_t begin_column, int64_t end_column) {
    for (Entry* first = entries; first != end;) {
      Entry* last = first;
      while (last != end && last->first == first->first) last++;
      join_place(p, op, first, last, values, x, begin_column, end_column);
      first = last;
    }
  });
}

}  // namespace

void scatter(Stream, Scatter op, const Array& values, const Arrays& indices, const Array& x,
             const Array& workspace, const Array& flag) {
  const ScatterProblem p = scatter_problem(values, indices, x, flag);
  check_workspace("scatter", workspace, scatter_workspace(indices, x));
  if (p.count == 0) return;
  if (!all_legal(p.indices)) {
    return flag_first(p.indices, FlagCode::scatter, flag.as<int64_t>());
  }
  if (p.row == 0) return;
  if (op == Scatter::set) {
    return dispatch_width(x.dtype, [&](auto tag) {
      using W = typename decltype(tag)::type;
      join_in_order(p, op, values.as<W>(), x.as<W>());
    });
  }
  dispatch_all(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if constexpr (is_half<T>) {
      join_halves(p, op, values.as<T>(), x.as<T>(), workspace.as<Entry>());
    } else {
      join_in_order(p, op, values.as<T>(), x.as<T>());
    }
  });
}

int64_t scatter_workspace(const Arrays& indices, const Array& x) {
  const IndexList list = index_list("scatter", indices, x, true);
  if (dtype_size(x.dtype) != 2 || !is_floating(x.dtype)) return 0;
  return list.layout.size * static_cast<int64_t>(sizeof(Entry));
}

}  // namespace gg
