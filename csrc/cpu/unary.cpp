// Element-wise functions of one array on CPU threads.
//
// Elements are worked on a run of up to 1024 at a time, in the type they are computed in: one
// choice of the functor a run, then a plain loop, which vectorises where the functor has no library
// call. Those of the training path that have one in core/math.h get a form without it here.
#include <algorithm>
#include <cmath>
#include <type_traits>

#include "core/checks.h"
#include "core/index.h"
#include "core/math.h"
#include "core/parallel.h"
#include "cpu/convert.h"
#include "cpu/exp.h"
#include "ops.h"

namespace gg {
namespace {

/// Elements that a thread takes at once.
constexpr int64_t kGrain = 1 << 14;

/// The standard normal's distribution function in float32, off by a few units in the last place:
/// with z = |x| / sqrt 2 and t = 2 / (2 + z), erfc z = exp(-z^2) P(t), P fitted on z in [0, 11]
/// (relative error below 5e-8).
[[gnu::always_inline]] inline float fast_normal_cdf(float x) {
  const float t = 2.0f / (2.0f + 0.70710678f * std::fabs(x));
  float p = 0.03470678128597184f;
  p = std::fma(p, t, -0.2488535903425355f);
  p = std::fma(p, t, 0.7356759155183453f);
  p = std::fma(p, t, -1.099010208733502f);
  p = std::fma(p, t, 0.8006373137943688f);
  p = std::fma(p, t, -0.319334430835048f);
  p = std::fma(p, t, 0.31121025013938103f);
  p = std::fma(p, t, 0.21688635559891772f);
  p = std::fma(p, t, 0.286315408942833f);
  p = std::fma(p, t, 0.28175428332757524f);
  p = std::fma(p, t, 1.1921038578983703e-05f);
  const float tail = 0.5f * fast_exp(-0.5f * x * x) * p;
  return x < 0 ? tail : 1.0f - tail;
}

/// The functors of core/math.h, with exp by fast_exp where that is the whole cost.
template <class T>
struct RunMath : UnaryMath<T> {};

template <std::floating_point T>
struct RunMath<T> : UnaryMath<T> {
  static T exp(T x, T, T) { return fast_exp(x); }
  static T sigmoid(T x, T, T) { return T(1) / (T(1) + fast_exp(-x)); }
  static T silu(T x, T, T) { return x / (T(1) + fast_exp(-x)); }
  static T gelu(T x, T, T) {
    if constexpr (std::is_same_v<T, float>) {
      return x * fast_normal_cdf(x);
    } else {
      return UnaryMath<T>::gelu(x, T(0), T(0));
    }
  }
  // (1 + tanh u) / 2 = sigmoid 2u
  static T gelu_tanh(T x, T, T) { return x / (T(1) + fast_exp(T(-2) * gelu_tanh_argument(x))); }
  // tanh(log(1 + e)) = e (e + 2) / (e (e + 2) + 2), e = exp x; 1 from x = 20.
  static T mish(T x, T, T) {
    const T e = fast_exp(x > T(20) ? T(20) : x), a = e * (e + T(2));
    return x * (x > T(20) ? T(1) : a / (a + T(2)));
  }
};

#define GG_RUN_same(name) Math::name(x[i], p0, p1)
#define GG_RUN_boolean(name) static_cast<T>(Math::name(x[i]))
#define GG_RUN_CASE(name, domain, result)                           \
  case Unary::name:                                                 \
    if constexpr (accepts<T>(Domain::domain)) {                     \
      for (int64_t i = 0; i < n; i++) y[i] = GG_RUN_##result(name); \
    }                                                               \
    break;

/// y[i] = f(x[i]; p0, p1), y may be x. The host has checked that f accepts T.
template <class T>
void map_run(Unary op, const T* x, T* y, int64_t n, [[maybe_unused]] T p0, [[maybe_unused]] T p1) {
  using Math = RunMath<T>;
  switch (op) { GG_UNARY_LIST(GG_RUN_CASE) }
}

#undef GG_RUN_same
#undef GG_RUN_boolean
#undef GG_RUN_CASE

template <class S>
void read_run(const S* x, int64_t stride, Wide<S>* run, int64_t n) {
  if (stride == 1) return widen(x, run, n);
  for (int64_t i = 0; i < n; i++) run[i] = convert<Wide<S>>(x[i * stride]);
}

template <class S, class T>
void write_run(const T* run, S* y, int64_t stride, int64_t n) {
  if constexpr (std::is_same_v<Wide<S>, T>) {
    if (stride == 1) return narrow(run, y, n);
  }
  for (int64_t i = 0; i < n; i++) y[i * stride] = convert<S>(run[i]);
}

/// Calls f(first, n) for stretches of [begin, end) along the innermost axis, at most a run long.
template <class F>
void for_runs(const Layout<2>& layout, int64_t begin, int64_t end, F f) {
  const int64_t length = layout.length[layout.ndim - 1];
  while (begin < end) {
    const int64_t n = std::min({length - begin % length, end - begin, kRun});
    f(begin, n);
    begin += n;
  }
}

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
