// Element-wise functions of one array on CPU threads.
//
// Elements are worked on a run of up to 1024 at a time, in the type they are computed in: one
// choice of the functor a run, then a plain loop, which vectorises where the functor has no library
// call; unary_float.cpp and cpu/math.h have forms without one.
#include <type_traits>

#include "core/checks.h"
#include "core/parallel.h"
#include "cpu/math.h"
#include "cpu/runs.h"
#include "cpu/unary_float.h"
#include "ops/arrays.h"

namespace gg {
namespace {

#define GG_RUN_same(name) RunUnary<T>::name(x[i], p0, p1)
#define GG_RUN_boolean(name) static_cast<T>(RunUnary<T>::name(x[i]))
#define GG_RUN_CASE(name, domain, result)                           \
  case Unary::name:                                                 \
    if constexpr (accepts<T>(Domain::domain)) {                     \
      for (int64_t i = 0; i < n; i++) y[i] = GG_RUN_##result(name); \
    }                                                               \
    break;

/// y[i] = f(x[i]; p0, p1), y may be x. The host has checked that f accepts T.
template <class T>
void map_run(Unary op, const T* x, T* y, int64_t n, [[maybe_unused]] T p0, [[maybe_unused]] T p1) {
  if constexpr (std::is_same_v<T, float>) {
    if (map_float_run(op, x, y, n, p0, p1)) return;
  }
  switch (op) { GG_UNARY_LIST(GG_RUN_CASE) }
}

#undef GG_RUN_same
#undef GG_RUN_boolean
#undef GG_RUN_CASE

/// x has dtype S; y has R, which is S or bool.
template <class S, class R>
void map_arrays(Unary op, const Array& x, const Array& y, double p0, double p1) {
  using T = Wide<S>;
  const Array* const arrays[2] = {&y, &x};
  const Layout<2> layout = elementwise_layout(arrays);
  const T a = convert<T>(p0), b = convert<T>(p1);
  const int64_t step_y = layout.inner(0), step_x = layout.inner(1);
  const bool in_place = std::is_same_v<S, T> && std::is_same_v<R, T> && step_x == 1 && step_y == 1;
  parallel_for(layout.size, kGrain, [&](int64_t begin, int64_t end) {
    T run[kRun];
    for_runs(layout, begin, end, [&](int64_t first, int64_t n) {
      const S* const from = x.as<S>() + layout.offset(1, first);
      R* const to = y.as<R>() + layout.offset(0, first);
      if constexpr (std::is_same_v<S, T> && std::is_same_v<R, T>) {
        if (in_place) return map_run<T>(op, from, to, n, a, b);
      }
      read_run(from, step_x, run, n);
      map_run<T>(op, run, run, n, a, b);
      write_run(run, to, step_y, n);
    });
  });
}

bool accepts(Domain domain, DType t) {
  switch (domain) {
    case Domain::floating:
      return is_floating(t);
    case Domain::number:
      return t != DType::boolean;
    case Domain::integer:
      return !is_floating(t);
    default:
      return true;
  }
}

}  // namespace

void unary(Stream, Unary op, const Array& x, const Array& y, double p0, double p1) {
  const Functor& functor = kUnary[static_cast<int>(op)];
  check_present(functor.name, "x", x);
  GG_CHECK(accepts(functor.domain, x.dtype), functor.name, "not defined for ", x.dtype);
  const bool predicate = functor.result == Result::boolean;
  check_dtype(functor.name, "y", y, predicate ? DType::boolean : x.dtype);
  check_same_shape(functor.name, "x", x, "y", y);
  if (x.size() == 0) return;
  dispatch_all(x.dtype, [&](auto tag) {
    using S = typename decltype(tag)::type;
    if (predicate) {
      map_arrays<S, bool>(op, x, y, p0, p1);
    } else {
      map_arrays<S, S>(op, x, y, p0, p1);
    }
  });
}

}  // namespace gg
