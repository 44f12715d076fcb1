// The functors of one argument listed in core/functors.h, each under its name, and what they share
// with those of two. See core/math.h.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "device/qualifiers.h"

namespace gg {

/// x < 0, which compilers warn about where T has no sign.
template <class T>
GG_HD bool negative(T x) {
  if constexpr (std::is_signed_v<T>) {
    return x < T(0);
  } else {
    return false;
  }
}

/// Unsigned and at least as wide as int: arithmetic on it wraps instead of overflowing.
template <class T>
using Wrapping = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;

template <class T>
GG_HD T wrapping_neg(T x) {
  return static_cast<T>(Wrapping<T>(0) - static_cast<Wrapping<T>>(x));
}

template <class T>
GG_HD T wrapping_mul(T a, T b) {
  return static_cast<T>(static_cast<Wrapping<T>>(a) * static_cast<Wrapping<T>>(b));
}

/// The standard normal's distribution function, without cancellation in its lower tail.
template <class T>
GG_HD T normal_cdf(T x) {
  return T(0.5) * std::erfc(T(-0.70710678118654752440) * x);
}

template <class T>
GG_HD T logistic(T x) {
  return T(1) / (T(1) + std::exp(-x));
}

/// sqrt(2 / pi) (x + 0.044715 x^3), Hendrycks & Gimpel 2016.
template <class T>
GG_HD T gelu_tanh_argument(T x) {
  return T(0.79788456080286535588) * (x + T(0.044715) * x * x * x);
}

/// The larger; NaN wins.
template <class T>
GG_HD T larger(T a, T b) {
  return a > b || a != a ? a : b;
}

/// The smaller; NaN wins.
template <class T>
GG_HD T smaller(T a, T b) {
  return a < b || a != a ? a : b;
}

/// erfinv x for |x| < 1: Giles 2010's polynomials for float (nearer to 1 than floats come,
/// Winitzki's formula), then Halley steps on erf, or on erfc where 1 - |x| is exact.
template <class T>
GG_HD T inverse_erf(T x) {
  const T a = std::fabs(x), rest = T(1) - a;
  const T z = -std::log(rest * (T(1) + a));
  T w = z, p;
  if (w < T(5)) {
    constexpr double c[] = {2.81022636e-08,  3.43273939e-07, -3.5233877e-06,
                            -4.39150654e-06, 0.00021858087,  -0.00125372503,
                            -0.00417768164,  0.246640727,    1.50140941};
    w -= T(2.5);
    p = T(c[0]);
    for (int i = 1; i < 9; i++) p = p * w + T(c[i]);
  } else {
    constexpr double c[] = {-0.000200214257, 0.000100950558, 0.00134934322,
                            -0.00367342844,  0.00573950773,  -0.0076224613,
                            0.00943887047,   1.00167406,     2.83297682};
    w = std::sqrt(w) - T(3);
    p = T(c[0]);
    for (int i = 1; i < 9; i++) p = p * w + T(c[i]);
  }
  T y = p * a;
  int steps = sizeof(T) == 8 ? 2 : 1;
  if constexpr (sizeof(T) == 8) {
    if (rest < T(1e-7)) {
      const T s = T(4.33075) - z / T(2);
      y = std::sqrt(std::sqrt(s * s + z / T(0.147)) - s);
      steps = 3;
    }
  }
  for (int step = 0; step < steps; step++) {
    const T error = a > T(0.5) ? rest - std::erfc(y) : std::erf(y) - a;
    const T newton = error / (T(1.12837916709551257390) * std::exp(-y * y));
    y -= newton / (T(1) + y * newton);
  }
  return std::copysign(y, x);
}

/// 6 s of hardsigmoid s: x + 3 held to [0, 6]; NaN stays.
template <class T>
GG_HD T hard_gate(T x) {
  return smaller(larger(x + T(3), T(0)), T(6));
}

template <class T>
struct UnaryMath {
  static constexpr bool kFloating = std::is_floating_point_v<T>;
  static constexpr T kInfinity = std::numeric_limits<T>::infinity();
  static constexpr T kNan = std::numeric_limits<T>::quiet_NaN();

  static GG_HD T neg(T x, T, T) {
    if constexpr (kFloating) {
      return -x;
    } else {
      return wrapping_neg(x);
    }
  }
  static GG_HD T abs(T x, T, T) {
    if constexpr (kFloating) {
      return std::fabs(x);
    } else {
      return negative(x) ? wrapping_neg(x) : x;
    }
  }
  static GG_HD T sign(T x, T, T) { return static_cast<T>((x > T(0)) - negative(x)); }
  static GG_HD T square(T x, T, T) {
    if constexpr (kFloating) {
      return x * x;
    } else {
      return wrapping_mul(x, x);
    }
  }
  static GG_HD T reciprocal(T x, T, T) { return T(1) / x; }
  static GG_HD T sqrt(T x, T, T) { return std::sqrt(x); }
  static GG_HD T rsqrt(T x, T, T) { return T(1) / std::sqrt(x); }
  static GG_HD T exp(T x, T, T) { return std::exp(x); }
  static GG_HD T exp2(T x, T, T) { return std::exp2(x); }
  static GG_HD T expm1(T x, T, T) { return std::expm1(x); }
  static GG_HD T log(T x, T, T) { return std::log(x); }
  static GG_HD T log2(T x, T, T) { return std::log2(x); }
  static GG_HD T log10(T x, T, T) { return std::log10(x); }
  static GG_HD T log1p(T x, T, T) { return std::log1p(x); }
  static GG_HD T sin(T x, T, T) { return std::sin(x); }
  static GG_HD T cos(T x, T, T) { return std::cos(x); }
  static GG_HD T tan(T x, T, T) { return std::tan(x); }
  static GG_HD T asin(T x, T, T) { return std::asin(x); }
  static GG_HD T acos(T x, T, T) { return std::acos(x); }
  static GG_HD T atan(T x, T, T) { return std::atan(x); }
  static GG_HD T sinh(T x, T, T) { return std::sinh(x); }
  static GG_HD T cosh(T x, T, T) { return std::cosh(x); }
  static GG_HD T tanh(T x, T, T) { return std::tanh(x); }
  static GG_HD T asinh(T x, T, T) { return std::asinh(x); }
  static GG_HD T acosh(T x, T, T) { return std::acosh(x); }
  static GG_HD T atanh(T x, T, T) { return std::atanh(x); }
  static GG_HD T erf(T x, T, T) { return std::erf(x); }
  static GG_HD T erfc(T x, T, T) { return std::erfc(x); }
  static GG_HD T erfinv(T x, T, T) {
    if (std::fabs(x) < T(1)) return inverse_erf(x);
    return std::fabs(x) == T(1) ? x * kInfinity : kNan;
  }
  static GG_HD T sigmoid(T x, T, T) { return logistic(x); }
  static GG_HD T log_sigmoid(T x, T, T) {
    return smaller(x, T(0)) - std::log1p(std::exp(-std::fabs(x)));
  }
  static GG_HD T relu(T x, T, T) { return x > T(0) || x != x ? x : T(0); }
  static GG_HD T leaky_relu(T x, T slope, T) { return x > T(0) ? x : slope * x; }
  static GG_HD T elu(T x, T alpha, T scale) { return x > T(0) ? x : alpha * std::expm1(scale * x); }
  static GG_HD T softplus(T x, T beta, T threshold) {
    return beta * x > threshold ? x : std::log1p(std::exp(beta * x)) / beta;
  }
  static GG_HD T gelu(T x, T, T) { return x * normal_cdf(x); }
  /// 0.5 (1 + tanh u) = sigmoid(2 u), which does not cancel.
  static GG_HD T gelu_tanh(T x, T, T) { return x * logistic(T(2) * gelu_tanh_argument(x)); }
  static GG_HD T silu(T x, T, T) { return x * logistic(x); }
  static GG_HD T mish(T x, T, T) { return x * std::tanh(softplus(x, T(1), T(20))); }
  static GG_HD T hardsigmoid(T x, T, T) { return hard_gate(x) / T(6); }
  static GG_HD T hardswish(T x, T, T) { return x * hard_gate(x) / T(6); }
  static GG_HD T clamp(T x, T low, T high) { return smaller(larger(x, low), high); }
  static GG_HD T floor(T x, T, T) { return std::floor(x); }
  static GG_HD T ceil(T x, T, T) { return std::ceil(x); }
  static GG_HD T round(T x, T, T) { return std::rint(x); }
  static GG_HD T trunc(T x, T, T) { return std::trunc(x); }
  static GG_HD T bitwise_not(T x, T, T) {
    if constexpr (std::is_same_v<T, bool>) {
      return !x;
    } else {
      return static_cast<T>(~x);
    }
  }

  static GG_HD bool isnan(T x) { return x != x; }
  static GG_HD bool isinf(T x) { return std::fabs(x) == kInfinity; }
  static GG_HD bool isfinite(T x) { return std::fabs(x) < kInfinity; }
  static GG_HD bool signbit(T x) {
    if constexpr (kFloating) {
      return std::signbit(x);
    } else {
      return negative(x);
    }
  }
  static GG_HD bool logical_not(T x) { return x == T(0); }
};

}  // namespace gg
