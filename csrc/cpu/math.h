// The functors of core/math.h for loops on the CPU: where a library call would keep a loop scalar,
// a form of the training path's functions without one. Inlined always, as fast_exp is.
//
// The polynomials are least-squares fits of the relative error at Chebyshev nodes, reweighted until
// it is even. They are evaluated in double, so that a float result is right but for its rounding.
#pragma once

#include <cmath>
#include <concepts>

#include "core/math.h"
#include "cpu/exp_forms.h"
#include "cpu/float_math.h"

namespace gg {

/// first x^n + ... + last, n the number of the rest
template <class... Rest>
[[gnu::always_inline]] inline double polynomial(double x, double first, Rest... rest) {
  double y = first;
  ((y = std::fma(y, x, rest)), ...);
  return y;
}

/// erfc z for z >= 0: with t = 2 / (2 + z), exp(-z^2) t P(t), P fitted on z in [0, 10.2], beyond
/// which the result is no float (relative error below 2e-11).
[[gnu::always_inline]] inline double fast_erfc_positive(double z) {
  const double t = 2 / (2 + z);
  return fast_exp(-z * z) * t *
         polynomial(t, 0.03037431018089992, -0.23529587508285874, 0.7926732089752958,
                    -1.4915462173092267, 1.6620289425689616, -1.074848573473968,
                    0.42824827000258747, -0.2051477107100103, 0.02594079130500266,
                    0.08007928466027836, 0.17644878275187104, 0.24685888896856223,
                    0.28209094241415045, 0.28209495476586743);
}

[[gnu::always_inline]] inline double fast_erfc(double x) {
  const double tail = fast_erfc_positive(std::fabs(x));
  return x < 0 ? 2 - tail : tail;
}

/// log(1 + exp x) = max(x, 0) + log(1 + e), e = exp -|x|; log(1 + e) = e P(e) on [0, 1] (relative
/// error below 2e-11).
[[gnu::always_inline]] inline double fast_softplus(double x) {
  const double e = fast_exp(-std::fabs(x));
  return (x > 0 ? x : 0) +
         e * polynomial(e, 0.0008130683148525483, -0.006163539985095459, 0.021911732316495746,
                        -0.049542217004372786, 0.08255310678955843, -0.11297273249998438,
                        0.13921449778200412, -0.16590357372460304, 0.19989518039186788,
                        -0.2499913026315321, 0.33333295429923426, -0.4999999934565937,
                        0.9999999999811631);
}

/// exp x - 1 for x <= 0; near 0, where the difference cancels, its series.
[[gnu::always_inline]] inline double fast_expm1(double x) {
  const double series = x * std::fma(x, std::fma(x, 1.0 / 6, 0.5), 1.0);
  const double difference = fast_exp(x) - 1;
  return x > -1.0 / 1024 ? series : difference;
}

/// The standard normal's distribution function and its density times sqrt(2 pi).
struct Normal {
  float cdf, bell;
};

/// In float32, off by at most 6 units in the last place: by erfc z = exp(-z^2) scaled_erfc,
/// z = |x| / sqrt 2.
[[gnu::always_inline]] inline Normal fast_normal(float x) {
  const float size = std::fabs(x), z = size > 20.0f ? 20.0f : size;  // from 15 on it is 0 or 1
  const float square = z * z, rest = std::fma(z, z, -square);        // exp would magnify the rest
  const float e = exp_below(-0.5f * square), bell = std::fma(-0.5f * rest, e, e);
  const float tail = 0.5f * bell * scaled_erfc(2.0f / (2.0f + 0.70710678f * z));
  const float body = 1.0f - tail;
  return {x < 0 ? tail : body, bell};
}

/// Comparisons of the bounds alone leave the loop.
template <class T>
[[gnu::always_inline]] inline T run_clamp(T x, T low, T high) {
  T y = x < low ? low : x;
  y = high < y ? high : y;
  return low != low ? low : high != high ? high : y;
}

/// The functors of one argument; of double, exp by fast_exp where that is the whole cost. (float's
/// forms are in cpu/unary_float.cpp.)
template <class T>
struct RunUnary : UnaryMath<T> {};

template <>
struct RunUnary<float> : UnaryMath<float> {
  static float clamp(float x, float low, float high) { return run_clamp(x, low, high); }
};

template <>
struct RunUnary<double> : UnaryMath<double> {
  using T = double;
  static T exp(T x, T, T) { return fast_exp(x); }
  static T sigmoid(T x, T, T) { return 1 / (1 + fast_exp(-x)); }
  static T silu(T x, T, T) { return x / (1 + fast_exp(-x)); }
  // (1 + tanh u) / 2 = sigmoid 2u
  static T gelu_tanh(T x, T, T) { return x / (1 + fast_exp(-2 * gelu_tanh_argument(x))); }
  // tanh(log(1 + e)) = e (e + 2) / (e (e + 2) + 2), e = exp x; 1 from x = 20.
  static T mish(T x, T, T) {
    const T e = fast_exp(x > 20 ? T(20) : x), a = e * (e + 2);
    return x * (x > 20 ? T(1) : a / (a + 2));
  }
  static T clamp(T x, T low, T high) { return run_clamp(x, low, high); }
};

/// The functors of two arguments; the derivatives with exp by fast_exp.
template <std::floating_point T>
struct RunBinary : BinaryMath<T> {
  static T sigmoid(T x) { return T(1) / (T(1) + fast_exp(-x)); }
  static T gelu_grad(T dy, T x) {
    if constexpr (std::same_as<T, float>) {
      const Normal normal = fast_normal(x);
      return dy * (normal.cdf + x * (0.39894228040143267794f * normal.bell));
    } else {
      return BinaryMath<T>::gelu_grad(dy, x);
    }
  }
  static T gelu_tanh_grad(T dy, T x) {
    const T s = sigmoid(T(2) * gelu_tanh_argument(x));
    const T slope = T(0.79788456080286535588) * (T(1) + T(3 * 0.044715) * x * x);
    return dy * (s + T(2) * x * s * (T(1) - s) * slope);
  }
  static T silu_grad(T dy, T x) {
    const T s = sigmoid(x);
    return dy * s * (T(1) + x * (T(1) - s));
  }
};

}  // namespace gg
