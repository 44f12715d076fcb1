// The draws of a generator, four elements at a time, shared by csrc/kernels/random.cu and
// csrc/cpu/random.cpp. core/philox.h defines the numbers; this file says which words an element
// gets and checks arguments.
//
// A draw is called with the stream and a group: elements 4 group .. 4 group + 3 (those beyond the
// end are drawn, not stored). second.fetch(base, values) reads these elements of a second array at
// base (probabilities, x); values beyond the end stay as they were.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <type_traits>

#include "core/array.h"
#include "core/checks.h"
#include "core/index.h"
#include "core/philox.h"
#include "device/types.h"

namespace gg {

constexpr int kGroup = 4;

/// float64 to T; halves by way of float, as NumPy does.
template <class T>
GG_HD T round_draw(double x) {
  if constexpr (is_half<T>) {
    return from_float<T>(static_cast<float>(x));
  } else {
    return static_cast<T>(x);
  }
}

/// Bits of a uniform number that comes from one word.
template <class T>
constexpr int kUnitBits = std::is_same_v<T, f16>    ? 11
                          : std::is_same_v<T, bf16> ? 8
                                                    : 24;

/// y = low + (high - low) u for floating T.
template <class T>
struct UniformDraw {
  using Stored = T;

  double low, high, limit;

  template <class Second>
  GG_HD void operator()(PhiloxStream stream, uint64_t group, const Second&, T (&y)[kGroup]) const {
    if constexpr (std::is_same_v<T, double>) {
      for (int half = 0; half < 2; half++) {
        const PhiloxWords words = philox(stream, 2 * group + half);
        for (int k = 0; k < 2; k++) {
          y[2 * half + k] = uniform_value(unit_from_pair(philox_pair(words, k)), low, high, limit);
        }
      }
    } else {
      const PhiloxWords words = philox(stream, group);
      for (int k = 0; k < kGroup; k++) {
        const double u = unit_from_word(words.w[k], kUnitBits<T>);
        y[k] = round_draw<T>(uniform_value(u, low, high, limit));
      }
    }
  }
};

/// Integers low .. low + span - 1. U is the unsigned type of y's width.
template <class U>
struct IntegerDraw {
  using Stored = U;

  int64_t low;
  uint64_t span;

  template <class Second>
  GG_HD void operator()(PhiloxStream stream, uint64_t group, const Second&, U (&y)[kGroup]) const {
    const PhiloxWords words = philox(stream, group);
    for (int k = 0; k < kGroup; k++) y[k] = static_cast<U>(uniform_integer(words.w[k], low, span));
  }
};

template <class T>
struct NormalDraw {
  using Stored = T;

  double mean, std;

  GG_HD T value(double z) const { return round_draw<T>(mean + std * z); }

  template <class Second>
  GG_HD void operator()(PhiloxStream stream, uint64_t group, const Second&, T (&y)[kGroup]) const {
    for (int half = 0; half < 2; half++) {
      const Pair z = philox_normal(philox(stream, 2 * group + half));
      y[2 * half] = value(z.first);
      y[2 * half + 1] = value(z.second);
    }
  }
};

/// Ones and zeros of any dtype: U is the unsigned type of y's width, one its bits for 1. p is an
/// array of a floating dtype, or absent: then `threshold` holds for all.
template <class U>
struct BernoulliDraw {
  using Stored = U;

  const void* p;
  DType dtype;
  uint32_t threshold;
  U one;

  template <class P, class Second>
  GG_HD void compare(const PhiloxWords& words, const Second& second, U (&y)[kGroup]) const {
    P values[kGroup] = {};
    second.fetch(static_cast<const P*>(p), values);
    for (int k = 0; k < kGroup; k++) {
      y[k] = unit_below(words.w[k], convert<Acc<P>>(values[k])) ? one : U(0);
    }
  }

  template <class Second>
  GG_HD void operator()(PhiloxStream stream, uint64_t group, const Second& second,
                        U (&y)[kGroup]) const {
    const PhiloxWords words = philox(stream, group);
    if (!p) {
      for (int k = 0; k < kGroup; k++) y[k] = words.w[k] >> 8 < threshold ? one : U(0);
      return;
    }
    if (dtype == DType::f64) return compare<double>(words, second, y);
    if (dtype == DType::f32) return compare<float>(words, second, y);
    if (dtype == DType::f16) return compare<f16>(words, second, y);
    compare<bf16>(words, second, y);
  }
};

/// y = x / keep where the element is kept (u >= p), else 0; keep = 1 - p, rounded to the
/// accumulation dtype.
template <class T>
struct DropoutDraw {
  using Stored = T;

  const T* x;
  uint32_t threshold;
  Acc<T> keep;

  template <class Second>
  GG_HD void operator()(PhiloxStream stream, uint64_t group, const Second& second,
                        T (&y)[kGroup]) const {
    const PhiloxWords words = philox(stream, group);
    T values[kGroup] = {};
    second.fetch(x, values);
    for (int k = 0; k < kGroup; k++) {
      const bool kept = words.w[k] >> 8 >= threshold;
      y[k] = convert<T>(kept ? convert<Acc<T>>(values[k]) / keep : Acc<T>(0));
    }
  }
};

// ---- host side ---------------------------------------------------------------------------------

/// y and the second array (or none) in row-major order of y's elements.
inline Layout<2> draw_layout(const Array& y, const Array& second) {
  Layout<2> layout;
  for (int axis = 0; axis < y.ndim; axis++) {
    const int64_t strides[2] = {y.stride[axis], second ? broadcast_stride(second, y, axis) : 0};
    layout.push(y.shape[axis], strides);
  }
  layout.finish();
  return layout;
}

inline void check_state(const char* op, const Array& state) {
  check_dtype(op, "state", state, DType::i64);
  check_shape(op, "state", state, {2});
  check_contiguous(op, "state", state);
}

/// The largest T below high, but at least low: what `uniform` may give at most.
template <class T>
double uniform_limit(double low, double high) {
  if constexpr (std::is_same_v<T, double>) {
    return std::max(low, std::nextafter(high, -HUGE_VAL));
  } else {
    using Bits = std::conditional_t<is_half<T>, uint16_t, uint32_t>;
    constexpr Bits kSign = static_cast<Bits>(Bits(1) << (8 * sizeof(Bits) - 1));
    T top = round_draw<T>(high);
    if (static_cast<double>(to_float(top)) >= high) {  // one step down
      const Bits bits = std::bit_cast<Bits>(top);
      const bool zero = (bits & ~kSign) == 0, negative = bits & kSign;
      top = std::bit_cast<T>(static_cast<Bits>(zero ? kSign + 1 : negative ? bits + 1 : bits - 1));
    }
    return std::max(low, static_cast<double>(to_float(top)));
  }
}

/// Calls draw(UniformDraw or IntegerDraw) with the draw for y's dtype.
template <class F>
void with_uniform(double low, double high, const Array& y, F draw) {
  check_present("uniform", "y", y);
  GG_CHECK(std::isfinite(low) && std::isfinite(high) && low <= high, "uniform",
           "needs finite low <= high, got ", low, " and ", high);
  if (is_floating(y.dtype)) {
    dispatch_floating(y.dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      draw(UniformDraw<T>{low, high, uniform_limit<T>(low, high)});
    });
    return;
  }
  check_not_float8("uniform", "y", y);
  GG_CHECK(y.dtype != DType::boolean, "uniform", "y must not be bool; bernoulli draws truths");
  GG_CHECK(high - low <= 4294967296.0 && (high > low || y.size() == 0), "uniform",
           "integers need 0 < high - low <= 2^32, got ", low, " and ", high);
  const int64_t first = static_cast<int64_t>(low);
  dispatch_width(y.dtype, [&](auto tag) {
    using U = typename decltype(tag)::type;
    draw(IntegerDraw<U>{first, static_cast<uint64_t>(static_cast<int64_t>(high) - first)});
  });
}

template <class F>
void with_normal(double mean, double std, const Array& y, F draw) {
  check_floating("normal", "y", y);
  dispatch_floating(y.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    draw(NormalDraw<T>{mean, std});
  });
}

/// The bits of 1 in a dtype, widened.
inline uint64_t bits_of_one(DType t) {
  if (t == DType::f64) return std::bit_cast<uint64_t>(1.0);
  if (t == DType::f32) return std::bit_cast<uint32_t>(1.0f);
  if (t == DType::f16) return 0x3C00;
  return t == DType::bf16 ? 0x3F80 : 1;
}

template <class F>
void with_bernoulli(const Operand& p, const Array& y, F draw) {
  check_present("bernoulli", "y", y);
  check_not_float8("bernoulli", "y", y);
  uint32_t threshold = 0;
  if (p.is_scalar()) {
    const double number = p.scalar.as<double>();
    GG_CHECK(number >= 0 && number <= 1, "bernoulli", "p must be in [0, 1], got ", number);
    threshold = unit_threshold(number);
  } else {
    check_floating("bernoulli", "p", p.array);
    check_broadcasts("bernoulli", "p", p.array, y);
  }
  dispatch_width(y.dtype, [&](auto tag) {
    using U = typename decltype(tag)::type;
    draw(BernoulliDraw<U>{p.array.data, p.array.dtype, threshold,
                          static_cast<U>(bits_of_one(y.dtype))});
  });
}

template <class F>
void with_dropout(double p, const Array& x, const Array& y, F draw) {
  check_floating("dropout", "x", x);
  check_same_dtype("dropout", "x", x, "y", y);
  check_same_shape("dropout", "x", x, "y", y);
  GG_CHECK(p >= 0 && p <= 1, "dropout", "p must be in [0, 1], got ", p);
  dispatch_floating(y.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    draw(DropoutDraw<T>{x.as<T>(), unit_threshold(p), static_cast<Acc<T>>(1 - p)});
  });
}

inline void check_permutation(const Array& state, const Array& y) {
  check_state("permutation", state);
  check_dtype("permutation", "y", y, DType::i64);
  GG_CHECK(y.ndim == 1, "permutation", "y must have one axis, got ", y);
}

}  // namespace gg
