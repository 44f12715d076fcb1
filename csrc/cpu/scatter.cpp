// Scatter on the CPU: x[indices..., r...] = or o= values[j..., r...], o being +, *, max or min, in
// the order of j.
//
// Threads share what cannot meet: the elements of a row, and axes of J along which an index array
// counts evenly (those of `scatter_add` along another axis). Each goes through the rest in order,
// so duplicates need no locks and the result does not depend on the number of threads. float16 and
// bfloat16 are joined in float32, in a copy of x that is rounded once; where few of x's elements
// are joined, their positions are sorted (stable) instead and each place is rounded once. Integers
// wrap; of bool + and max are `or`, * and min `and`. Where an index is out of range, x stays as it
// is.
#include <algorithm>
#include <type_traits>
#include <utility>

#include "core/math.h"
#include "core/parallel.h"
#include "core/scatter.h"
#include "cpu/convert.h"
#include "cpu/places.h"
#include "ops/arrays.h"

namespace gg {
namespace {

// ---- one run of rows ---------------------------------------------------------------------------

/// x o= values for the rows of a run, in order.
using JoinRun = void (*)(const Run& run, const void* values, void* x);

/// One element of each row.
template <class T, class Join>
void join_elements(const Run& run, const T* v, T* y) {
  constexpr Join join;
  const auto join_at = [&](int64_t i, int64_t at) {
    T& to = y[at + run.index[i] * run.index_step];
    to = join(to, v[i * run.other_step]);
  };
  if (run.x_step == 0 && run.other_step == 1) {
#pragma GCC unroll 4
    for (int64_t i = 0; i < run.n; i++) join_at(i, 0);
  } else {
    for (int64_t i = 0; i < run.n; i++) join_at(i, i * run.x_step);
  }
}

template <class T, class Join>
void join_run(const Run& run, const void* values, void* x) {
  constexpr Join join;
  const T* const v = static_cast<const T*>(values) + run.other;
  T* const y = static_cast<T*>(x) + run.x;
  const int64_t step_v = run.row_other, step_y = run.row_x;
  if (!run.has_long_rows()) {
    for (int64_t k = 0; k < run.row; k++) {
      join_elements<T, Join>(run, v + k * step_v, y + k * step_y);
    }
    return;
  }
  for (int64_t i = 0; i < run.n; i++) {
    const T* const from = v + i * run.other_step;
    T* const to = y + i * run.x_step + run.index[i] * run.index_step;
    if (step_v == 1 && step_y == 1) {
#pragma GCC ivdep
      for (int64_t k = 0; k < run.row; k++) to[k] = join(to[k], from[k]);
    } else {
      for (int64_t k = 0; k < run.row; k++) to[k * step_y] = join(to[k * step_y], from[k * step_v]);
    }
  }
}

template <class T, class Join>
constexpr JoinRun joined_by(Join) {
  return join_run<T, Join>;
}

template <class T>
JoinRun sum_or_product(Scatter op) {
  if (op == Scatter::add) return joined_by<T>([](T a, T b) { return BinaryMath<T>::add(a, b); });
  return joined_by<T>([](T a, T b) { return BinaryMath<T>::mul(a, b); });
}

template <class T>
JoinRun extreme(Scatter op) {
  if (op == Scatter::max) return joined_by<T>([](T a, T b) { return larger(a, b); });
  return joined_by<T>([](T a, T b) { return smaller(a, b); });
}

/// Halves are joined in float32; sums and products of integers need no sign.
JoinRun join_of(Scatter op, DType dtype) {
  JoinRun join = nullptr;
  if (op == Scatter::set) {
    dispatch_width(dtype, [&](auto tag) {
      using W = typename decltype(tag)::type;
      join = joined_by<W>([](W, W b) { return b; });
    });
    return join;
  }
  if (dtype == DType::boolean) {  // bytes 0 and 1
    return extreme<uint8_t>(op == Scatter::add || op == Scatter::max ? Scatter::max : Scatter::min);
  }
  const bool ordered = op == Scatter::max || op == Scatter::min;
  if (is_floating(dtype)) {
    if (dtype == DType::f64) return ordered ? extreme<double>(op) : sum_or_product<double>(op);
    return ordered ? extreme<float>(op) : sum_or_product<float>(op);
  }
  if (!ordered) {
    dispatch_width(dtype,
                   [&](auto tag) { join = sum_or_product<typename decltype(tag)::type>(op); });
  } else {
    dispatch_integer(dtype, [&](auto tag) { join = extreme<typename decltype(tag)::type>(op); });
  }
  return join;
}

// ---- all of them, in order ---------------------------------------------------------------------

/// A walk ordered for joins: `free` outer places that may be gone through in any order, each with
/// `ordered` steps that may not, each with `inner` free elements that may be cut into pieces.
struct Order {
  int64_t free = 1, ordered = 1, inner = 1, piece;

  explicit Order(const IndexWalk& walk) {
    const auto& layout = walk.layout();
    const int last = layout.ndim - 1;
    for (int axis = 0; axis < last; axis++) {
      (walk.is_free(axis) ? free : ordered) *= layout.length[axis];
    }
    (walk.is_free(last) ? inner : ordered) *= layout.length[last];
    piece = inner;
    if (layout.size >= 2 * kGrain) {
      piece = std::clamp(inner / num_threads(), std::min<int64_t>(inner, 64), kRun);
    }
  }

  int64_t pieces() const { return (inner + piece - 1) / piece; }
};

/// Calls f(run) for all runs of values; those that may meet in order.
template <class F>
void for_joins(const IndexWalk& walk, F f) {
  const Order order(walk);
  const int64_t pieces = order.pieces(), grain = kGrain / (order.ordered * order.piece) + 1;
  parallel_for(order.free * pieces, grain, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; task++) {
      const int64_t first = task / pieces * order.ordered, last = first + order.ordered;
      const int64_t from = task % pieces * order.piece;
      const int64_t n = std::min(order.inner - from, order.piece);
      if (walk.row() == order.inner) {
        walk.for_runs(first, last, [&](const Run& run) { f(run.columns(from, n)); });
      } else {
        for (int64_t i = first; i < last; i++) {
          walk.for_runs(i * order.inner + from, i * order.inner + from + n, f);
        }
      }
    }
  });
}

void join_all(const IndexWalk& walk, Scatter op, const Array& values, const Array& x) {
  const JoinRun join = join_of(op, x.dtype);
  for_joins(walk, [&](const Run& run) { join(run, values.data, x.data); });
}

// ---- halves ------------------------------------------------------------------------------------

/// Are so few elements of x joined that a copy of it costs more than sorting them?
bool is_sparse(const IndexList& list) {
  int64_t places = 1;
  for (int a = 0; a < list.count; a++) places *= list.limit[a];
  return places / 8 > list.layout.size;
}

/// A run of halves into floats.
template <class T>
void join_widened(const Run& run, JoinRun join, const T* values, float* x) {
  float terms[kRun];
  if (!run.has_long_rows()) {
    for (int64_t k = 0; k < run.row; k++) {
      Run line = run.columns(k, 1);
      read_run(values + line.other, line.other_step, terms, line.n);
      line.other = 0;
      line.other_step = 1;
      join(line, terms, x);
    }
    return;
  }
  for (int64_t i = 0; i < run.n; i++) {
    for (int64_t from = 0; from < run.row; from += kRun) {
      Run line = run.columns(from, std::min(kRun, run.row - from));
      read_run(values + line.other + i * run.other_step, run.row_other, terms, line.row);
      line.n = 1;
      line.x += i * run.x_step;
      line.index += i;
      line.other = 0;
      line.row_other = 1;
      join(line, terms, x);
    }
  }
}

/// In a copy of x in float32.
template <class T>
void join_copy(const Arrays& indices, Scatter op, const Array& values, const Array& x,
               float* memory) {
  Array wide = x;
  wide.data = memory;
  wide.dtype = DType::f32;
  for (int64_t axis = x.ndim - 1, step = 1; axis >= 0; step *= x.shape[axis--]) {
    wide.stride[axis] = step;
  }
  copy(0, x, wide);
  IndexWalk walk(indices, wide, values);
  walk.order_for_joins();
  const JoinRun join = join_of(op, DType::f32);
  for_joins(walk, [&](const Run& run) { join_widened(run, join, values.as<const T>(), memory); });
  copy(0, wide, x);
}

/// A position's number of its place, and the position.
using Entry = std::pair<int64_t, int64_t>;

/// x o= the rows of one place, entries [first, last), each element rounded once.
template <class T>
void join_place(const ScatterProblem& p, JoinRun join, const Entry* first, const Entry* last,
                const T* values, T* x) {
  const Layout<2>& rest = p.rows.rest;
  constexpr int64_t zero = 0;
  float joined[kRun], terms[kRun];
  for_runs(rest, 0, rest.size, [&](int64_t begin, int64_t n) {
    T* const y = x + p.places.offset(0, first->first) + rest.offset(1, begin);
    read_run(y, rest.inner(1), joined, n);
    for (const Entry* entry = first; entry != last; entry++) {
      const T* const v = values + p.rows.outer.offset(0, entry->second) + rest.offset(0, begin);
      read_run(v, rest.inner(0), terms, n);
      join({1, 0, 0, 0, 0, &zero, 0, n, 1, 1}, terms, joined);
    }
    write_run(joined, y, rest.inner(1), n);
  });
}

template <class T>
void join_places(const ScatterProblem& p, Scatter op, const T* values, T* x, Entry* entries) {
  const JoinRun join = join_of(op, DType::f32);
  for (int64_t j = 0; j < p.count; j++) entries[j] = {p.indices.locate(j).offset, j};
  std::sort(entries, entries + p.count);  // by place, then by j
  parallel_for(p.count, kGrain / p.row + 1, [&](int64_t begin, int64_t end) {
    const auto starts = [&](int64_t i) {  // is entry i the first of its place?
      return i == 0 || entries[i].first != entries[i - 1].first;
    };
    for (int64_t i = begin; i < end; i++) {
      if (!starts(i)) continue;  // the thread of the first does it
      int64_t last = i + 1;
      while (last < p.count && !starts(last)) last++;
      join_place(p, join, entries + i, entries + last, values, x);
    }
  });
}

}  // namespace

void scatter(Stream, Scatter op, const Array& values, const Arrays& indices, const Array& x,
             const Array& workspace, const Array& flag) {
  if (op != Scatter::set) check_not_float8("scatter", "x", x);
  const ScatterProblem p = scatter_problem(values, indices, x, flag);
  check_workspace("scatter", workspace, scatter_workspace(indices, x));
  if (p.count == 0) return;
  if (p.row == 0 || p.limit == 0) {  // no element is set, but an index may be illegal
    return flag_first(p.indices, FlagCode::scatter, flag.as<int64_t>());
  }
  IndexWalk walk(indices, x, values);
  if (!walk.legal()) return flag_first(p.indices, FlagCode::scatter, flag.as<int64_t>());
  const bool half = is_floating(x.dtype) && dtype_size(x.dtype) == 2;
  if (op == Scatter::set || !half) {
    walk.order_for_joins();
    return join_all(walk, op, values, x);
  }
  const auto joined = [&](auto tag) {
    using T = decltype(tag);
    if (is_sparse(p.indices)) {
      join_places(p, op, values.as<T>(), x.as<T>(), workspace.as<Entry>());
    } else {
      join_copy<T>(indices, op, values, x, workspace.as<float>());
    }
  };
  x.dtype == DType::f16 ? joined(f16{}) : joined(bf16{});
}

int64_t scatter_workspace(const Arrays& indices, const Array& x) {
  const IndexList list = index_list("scatter", indices, x, true);
  if (dtype_size(x.dtype) != 2 || !is_floating(x.dtype)) return 0;
  if (!is_sparse(list)) return x.size() * static_cast<int64_t>(sizeof(float));
  return list.layout.size * static_cast<int64_t>(sizeof(Entry));
}

}  // namespace gg
