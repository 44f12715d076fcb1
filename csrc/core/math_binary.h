// The functors of two arguments listed in core/functors.h, each under its name. See core/math.h.
#pragma once

#include <cmath>
#include <type_traits>

#include "core/math_unary.h"

namespace gg {

/// Division toward minus infinity, exact where a / b is an integer (as Python and NumPy do it).
template <class T>
GG_HD T floating_floor_divide(T a, T b) {
  if (b == T(0)) return a / b;
  T rest = std::fmod(a, b);
  T quotient = (a - rest) / b;
  if (rest != T(0) && negative(b) != negative(rest)) quotient -= T(1);
  if (quotient == T(0)) return std::copysign(T(0), a / b);
  T whole = std::floor(quotient);
  return quotient - whole > T(0.5) ? whole + T(1) : whole;
}

template <class T>
GG_HD T floating_remainder(T a, T b) {
  T rest = std::fmod(a, b);
  if (rest == T(0)) return std::copysign(T(0), b);
  return negative(b) != negative(rest) ? rest + b : rest;
}

/// Zero for b == 0; the one overflow (smallest / -1) wraps.
template <class T>
GG_HD T integer_floor_divide(T a, T b) {
  if (b == T(0)) return T(0);
  if (std::is_signed_v<T> && b == static_cast<T>(-1)) return wrapping_neg(a);
  T quotient = static_cast<T>(a / b);
  bool inexact = static_cast<T>(a % b) != T(0);
  return inexact && negative(a) != negative(b) ? static_cast<T>(quotient - 1) : quotient;
}

template <class T>
GG_HD T integer_remainder(T a, T b) {
  if (b == T(0) || (std::is_signed_v<T> && b == static_cast<T>(-1))) return T(0);
  T rest = static_cast<T>(a % b);
  return rest != T(0) && negative(rest) != negative(b) ? static_cast<T>(rest + b) : rest;
}

/// a^b by squaring, wrapping. A negative exponent gives 1 / a^|b| truncated: 0 but for a = 1, -1.
template <class T>
GG_HD T integer_pow(T a, T b) {
  if (negative(b)) {
    if (a == T(1)) return T(1);
    if (a != static_cast<T>(-1)) return T(0);
    return b % 2 != 0 ? static_cast<T>(-1) : T(1);
  }
  T y = T(1);
  for (Wrapping<T> e = static_cast<Wrapping<T>>(b); e != 0; e >>= 1) {
    if (e & 1) y = wrapping_mul(y, a);
    a = wrapping_mul(a, a);
  }
  return y;
}

/// |a|, as the unsigned type of at least an int's width.
template <class T>
GG_HD Wrapping<T> magnitude(T a) {
  const Wrapping<T> bits = static_cast<Wrapping<T>>(a);
  return negative(a) ? Wrapping<T>(0) - bits : bits;
}

template <class T>
GG_HD T greatest_common_divisor(T a, T b) {
  Wrapping<T> x = magnitude(a), y = magnitude(b);
  while (y != 0) {
    const Wrapping<T> rest = x % y;
    x = y;
    y = rest;
  }
  return static_cast<T>(x);
}

/// Is b a shift that leaves some bits of T?
template <class T>
GG_HD bool shifts(T b) {
  return !negative(b) && static_cast<Wrapping<T>>(b) < 8 * sizeof(T);
}

template <class T>
struct BinaryMath {
  static constexpr bool kFloating = std::is_floating_point_v<T>;
  static constexpr bool kBool = std::is_same_v<T, bool>;

  static GG_HD T add(T a, T b) {
    if constexpr (kBool) {
      return a || b;
    } else if constexpr (kFloating) {
      return a + b;
    } else {
      return static_cast<T>(static_cast<Wrapping<T>>(a) + static_cast<Wrapping<T>>(b));
    }
  }
  static GG_HD T sub(T a, T b) {
    if constexpr (kFloating) {
      return a - b;
    } else {
      return static_cast<T>(static_cast<Wrapping<T>>(a) - static_cast<Wrapping<T>>(b));
    }
  }
  static GG_HD T mul(T a, T b) {
    if constexpr (kBool) {
      return a && b;
    } else if constexpr (kFloating) {
      return a * b;
    } else {
      return wrapping_mul(a, b);
    }
  }
  static GG_HD T div(T a, T b) { return a / b; }
  static GG_HD T floor_divide(T a, T b) {
    if constexpr (kFloating) {
      return floating_floor_divide(a, b);
    } else {
      return integer_floor_divide(a, b);
    }
  }
  static GG_HD T remainder(T a, T b) {
    if constexpr (kFloating) {
      return floating_remainder(a, b);
    } else {
      return integer_remainder(a, b);
    }
  }
  static GG_HD T pow(T a, T b) {
    if constexpr (kFloating) {
      return std::pow(a, b);
    } else {
      return integer_pow(a, b);
    }
  }
  static GG_HD T maximum(T a, T b) { return larger(a, b); }
  static GG_HD T minimum(T a, T b) { return smaller(a, b); }
  static GG_HD T fmod(T a, T b) {
    if constexpr (kFloating) {
      return std::fmod(a, b);
    } else {
      if (b == T(0) || (std::is_signed_v<T> && b == static_cast<T>(-1))) return T(0);
      return static_cast<T>(a % b);
    }
  }
  static GG_HD T atan2(T a, T b) { return std::atan2(a, b); }
  static GG_HD T hypot(T a, T b) { return std::hypot(a, b); }
  static GG_HD T copysign(T a, T b) { return std::copysign(a, b); }
  static GG_HD T gcd(T a, T b) { return greatest_common_divisor(a, b); }
  static GG_HD T shift_left(T a, T b) {
    return shifts(b) ? static_cast<T>(static_cast<Wrapping<T>>(a) << b) : T(0);
  }
  static GG_HD T shift_right(T a, T b) {
    if (shifts(b)) return static_cast<T>(a >> b);
    return negative(a) ? static_cast<T>(-1) : T(0);
  }
  static GG_HD T bitwise_and(T a, T b) { return static_cast<T>(a & b); }
  static GG_HD T bitwise_or(T a, T b) { return static_cast<T>(a | b); }
  static GG_HD T bitwise_xor(T a, T b) { return static_cast<T>(a ^ b); }

  static GG_HD bool eq(T a, T b) { return a == b; }
  static GG_HD bool ne(T a, T b) { return a != b; }
  static GG_HD bool lt(T a, T b) { return a < b; }
  static GG_HD bool le(T a, T b) { return a <= b; }
  static GG_HD bool gt(T a, T b) { return a > b; }
  static GG_HD bool ge(T a, T b) { return a >= b; }
  static GG_HD bool logical_and(T a, T b) { return a != T(0) && b != T(0); }
  static GG_HD bool logical_or(T a, T b) { return a != T(0) || b != T(0); }
  static GG_HD bool logical_xor(T a, T b) { return (a != T(0)) != (b != T(0)); }

  static GG_HD T relu_grad(T dy, T y) { return y > T(0) ? dy : T(0); }
  static GG_HD T sigmoid_grad(T dy, T y) { return dy * y * (T(1) - y); }
  static GG_HD T tanh_grad(T dy, T y) { return dy * (T(1) - y * y); }
  static GG_HD T gelu_grad(T dy, T x) {
    T density = T(0.39894228040143267794) * std::exp(T(-0.5) * x * x);
    return dy * (normal_cdf(x) + x * density);
  }
  static GG_HD T gelu_tanh_grad(T dy, T x) {
    T s = logistic(T(2) * gelu_tanh_argument(x));
    T slope = T(0.79788456080286535588) * (T(1) + T(3 * 0.044715) * x * x);
    return dy * (s + T(2) * x * s * (T(1) - s) * slope);
  }
  static GG_HD T silu_grad(T dy, T x) {
    T s = logistic(x);
    return dy * s * (T(1) + x * (T(1) - s));
  }
};

}  // namespace gg
