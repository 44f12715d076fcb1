// See unary_float.h. Compiled twice: for the module's instructions and for AVX-512 (wide.h).
#include "cpu/unary_float.h"

#include <algorithm>

#include "cpu/float_math.h"
#include "cpu/math.h"
#include "cpu/wide.h"

namespace gg {
namespace {

/// The forms; what cpu/math.h has in double has no more than the result's rounding.
struct Forms {
  using T = float;
#define GG_FORM [[gnu::always_inline]] static inline T
  GG_FORM exp(T x, T, T) { return fast_exp(x); }
  // In these the sign of -0 would get lost.
  GG_FORM expm1(T x, T, T) { return std::copysign(float_expm1(x), x); }
  GG_FORM tanh(T x, T, T) { return std::copysign(fast_tanh(x), x); }
  GG_FORM log(T x, T, T) { return fast_log(x); }
  GG_FORM log2(T x, T, T) { return fast_log2(x); }
  GG_FORM log10(T x, T, T) { return fast_log10(x); }
  GG_FORM log1p(T x, T, T) { return fast_log1p(x); }
  GG_FORM sin(T x, T, T) { return fast_sine(x, 0); }
  GG_FORM cos(T x, T, T) { return fast_sine(x, 1); }
  GG_FORM erf(T x, T, T) { return float_erf(x); }
  GG_FORM erfc(T x, T, T) { return static_cast<T>(fast_erfc(x)); }
  GG_FORM sigmoid(T x, T, T) { return fast_sigmoid(x); }
  GG_FORM log_sigmoid(T x, T, T) { return static_cast<T>(-fast_softplus(-x)); }
  GG_FORM softplus(T x, T beta, T threshold) {
    const T z = beta * x;
    const T y = static_cast<T>(fast_softplus(z)) / beta;
    return z > threshold ? x : y;
  }
  GG_FORM elu(T x, T alpha, T scale) {
    const T below = alpha * static_cast<T>(fast_expm1(scale * x));
    return x > 0 ? x : below;
  }
  GG_FORM gelu(T x, T, T) { return x * fast_normal(x).cdf; }
  // (1 + tanh u) / 2 = sigmoid 2u
  GG_FORM gelu_tanh(T x, T, T) { return x / (1 + fast_exp(-2 * gelu_tanh_argument(x))); }
  GG_FORM silu(T x, T, T) { return x / (1 + fast_exp(-x)); }
  // tanh(log(1 + e)) = e (e + 2) / (e (e + 2) + 2), e = exp x; 1 from x = 20.
  GG_FORM mish(T x, T, T) {
    const T e = fast_exp(x > 20 ? T(20) : x), a = e * (e + 2);
    return x * (x > 20 ? T(1) : a / (a + 2));
  }
  /// NaN stays: comparisons in this order.
  GG_FORM gate(T x) {
    const T y = x + 3 < 0 ? T(0) : x + 3;
    return y > 6 ? T(6) : y;
  }
  GG_FORM hardsigmoid(T x, T, T) { return gate(x) / 6; }
  GG_FORM hardswish(T x, T, T) { return x * gate(x) / 6; }
#undef GG_FORM
};

// clang-format off
#define GG_FORMS(X)                                                                      \
  X(exp) X(expm1) X(log) X(log2) X(log10) X(log1p) X(sin) X(cos) X(tanh) X(erf) X(erfc)  \
  X(sigmoid) X(log_sigmoid) X(softplus) X(elu) X(gelu) X(gelu_tanh) X(silu) X(mish)      \
  X(hardsigmoid) X(hardswish)
// clang-format on

#define GG_CASE(name)                                                                      \
  case Unary::name:                                                                        \
    _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++) y[i] = Forms::name(x[i], p0, p1); \
    return true;

[[gnu::always_inline]] inline bool map_forms(Unary op, const float* x, float* y, int64_t n,
                                             float p0, float p1) {
  switch (op) {
    GG_FORMS(GG_CASE)
    default:
      return false;
  }
}

bool map_plain(Unary op, const float* x, float* y, int64_t n, float p0, float p1) {
  return map_forms(op, x, y, n, p0, p1);
}

GG_WIDE bool map_wide(Unary op, const float* x, float* y, int64_t n, float p0, float p1) {
  return map_forms(op, x, y, n, p0, p1);
}

/// Are all angles in reach of fast_sine?
bool small_angles(const float* x, int64_t n) {
  int large = 0;
  for (int64_t i = 0; i < n; i++) large |= !(std::fabs(x[i]) <= kLargestAngle);
  return large == 0;
}

}  // namespace

bool map_float_run(Unary op, const float* x, float* y, int64_t n, float p0, float p1) {
  static const bool wide = machine_is_wide();
  if ((op == Unary::sin || op == Unary::cos) && !small_angles(x, n)) return false;
  return wide ? map_wide(op, x, y, n, p0, p1) : map_plain(op, x, y, n, p0, p1);
}

}  // namespace gg
