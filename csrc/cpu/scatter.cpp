// Scatter on the CPU: x[indices..., r...] = or += values[j..., r...], in the order of j.
//
// Threads share rows by columns: each goes through all j for its own columns, so duplicates need no
// locks and the result does not depend on the number of threads. float16 and bfloat16 add in
// float32: their positions are sorted first (stable), each place is added up and rounded once.
#include <algorithm>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/parallel.h"
#include "core/scatter.h"
#include "cpu/convert.h"
#include "ops/arrays.h"

namespace gg {
namespace {

/// Values moved that make it worth waking a thread.
constexpr int64_t kGrain = 1 << 15;

/// A position's number of its place, and the position.
using Entry = std::pair<int64_t, int64_t>;

/// Writes {code, index, limit, axis} unless something is flagged already.
void flag_illegal(const ScatterProblem& p, const Located& found, int64_t* flag) {
  if (flag[0] != 0) return;
  flag[0] = static_cast<int64_t>(FlagCode::scatter);
  flag[1] = found.index;
  flag[2] = p.indices.limit[found.bad_axis];
  flag[3] = found.bad_axis;
}

/// Calls f(place, j) for every legal index.
template <class F>
void for_legal(const ScatterProblem& p, F f) {
  for (int64_t j = 0; j < p.count; j++) {
    const Located found = p.indices.locate(j);
    if (found.bad_axis < 0) f(found.offset, j);
  }
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
  if (p.count * p.row < 2 * kGrain) return p.row;
  return std::max<int64_t>(64, (p.row + num_threads() - 1) / num_threads());
}

template <class T>
T added(T a, T b) {
  if constexpr (std::is_same_v<T, bool>) {
    return a || b;
  } else if constexpr (std::is_integral_v<T>) {
    return static_cast<T>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
  } else {
    return a + b;
  }
}

/// One row: x[at] = or += values[from], the elements [begin, end) of it.
template <bool Add, class T>
void write_row(const Layout<2>& rest, const T* values, T* x, int64_t begin, int64_t end) {
  const int64_t step_v = rest.inner(0), step_x = rest.inner(1);
  for_stretches(rest, begin, end, [&](int64_t at_v, int64_t at_x, int64_t n) {
    const T* const v = values + at_v;
    T* const y = x + at_x;
    if (step_v == 1 && step_x == 1) {
      for (int64_t i = 0; i < n; i++) y[i] = Add ? added(y[i], v[i]) : v[i];
    } else {
      for (int64_t i = 0; i < n; i++) {
        y[i * step_x] = Add ? added(y[i * step_x], v[i * step_v]) : v[i * step_v];
      }
    }
  });
}

/// In the order of j; T needs no wider type to add in.
template <bool Add, class T>
void write_in_order(const ScatterProblem& p, const T* values, T* x) {
  const int64_t columns = columns_of_thread(p);
  parallel_for(p.row, columns, [&](int64_t begin, int64_t end) {
    for_legal(p, [&](int64_t place, int64_t j) {
      write_row<Add>(p.rows.rest, values + p.rows.outer.offset(0, j), x + p.places.offset(0, place),
                     begin, end);
    });
  });
}

/// x += the rows of one place, entries [first, last), for n elements of a row, in float32.
template <class T>
void add_place(const ScatterProblem& p, const Entry* first, const Entry* last, const T* values,
               T* x, int64_t begin, int64_t end) {
  const int64_t step_v = p.rows.rest.inner(0), step_x = p.rows.rest.inner(1);
  float sum[kRun];
  for_stretches(p.rows.rest, begin, end, [&](int64_t at_v, int64_t at_x, int64_t n) {
    T* const y = x + p.places.offset(0, first->first) + at_x;
    for (int64_t i = 0; i < n; i++) sum[i] = to_float(y[i * step_x]);
    for (const Entry* entry = first; entry != last; entry++) {
      const T* const v = values + p.rows.outer.offset(0, entry->second) + at_v;
      for (int64_t i = 0; i < n; i++) sum[i] += to_float(v[i * step_v]);
    }
    for (int64_t i = 0; i < n; i++) y[i * step_x] = from_float<T>(sum[i]);
  });
}

template <class T>
void add_halves(const ScatterProblem& p, const T* values, T* x, Entry* entries) {
  Entry* end = entries;
  for_legal(p, [&](int64_t place, int64_t j) { *end++ = {place, j}; });
  std::sort(entries, end);  // by place, then by j
  const int64_t columns = columns_of_thread(p);
  parallel_for(p.row, columns, [&](int64_t begin_column, int64_t end_column) {
    for (Entry* first = entries; first != end;) {
      Entry* last = first;
      while (last != end && last->first == first->first) last++;
      add_place(p, first, last, values, x, begin_column, end_column);
      first = last;
    }
  });
}

}  // namespace

void scatter(Stream, const Array& values, const Arrays& indices, const Array& x, bool accumulate,
             const Array& workspace, const Array& flag) {
  const ScatterProblem p = scatter_problem(values, indices, x, flag);
  check_workspace("scatter", workspace, scatter_workspace(indices, x));
  for (int64_t j = 0; j < p.count; j++) {
    const Located found = p.indices.locate(j);
    if (found.bad_axis >= 0) flag_illegal(p, found, flag.as<int64_t>());
  }
  if (p.count == 0 || p.row == 0) return;
  if (!accumulate) {
    return dispatch_width(x.dtype, [&](auto tag) {
      using W = typename decltype(tag)::type;
      write_in_order<false>(p, values.as<W>(), x.as<W>());
    });
  }
  dispatch_all(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if constexpr (is_half<T>) {
      add_halves(p, values.as<T>(), x.as<T>(), workspace.as<Entry>());
    } else {
      write_in_order<true>(p, values.as<T>(), x.as<T>());
    }
  });
}

int64_t scatter_workspace(const Arrays& indices, const Array& x) {
  const IndexList list = index_list("scatter", indices, x, true);
  if (dtype_size(x.dtype) != 2 || !is_floating(x.dtype)) return 0;
  return list.layout.size * static_cast<int64_t>(sizeof(Entry));
}

}  // namespace gg
