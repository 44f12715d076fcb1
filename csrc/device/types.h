// The 16- and 8-bit floating types, and the conversions between all dtypes. Used by kernels and,
// without any CUDA or simulator header, by host-only files.
//
// Rounding: to nearest even, once; a double is never rounded to float on its way to a half type.
// float16 overflows to infinity at 65520; NaN stays NaN (payload not kept); subnormals are exact.
//
// convert<To>(x): floating to integer truncates toward zero, saturates at the limits of To, and NaN
// becomes 0, so every input is defined. Integer to integer wraps (two's complement). Anything to
// bool is != 0 (NaN is true).
#pragma once

#include <bit>
#include <concepts>
#include <cstdint>
#include <type_traits>

#include "device/qualifiers.h"

#if defined(__F16C__) && !defined(__CUDACC__)
#include <immintrin.h>
#endif

namespace gg {

/// IEEE binary16: 1 sign, 5 exponent, 10 fraction bits. Storage only: arithmetic is done in float.
struct f16 {
  uint16_t bits;
};

/// The upper half of a float: 1 sign, 8 exponent, 7 fraction bits. Storage only.
struct bf16 {
  uint16_t bits;
};

/// 8-bit floats (Micikevicius et al. 2022, OCP 8-bit Floating Point Specification). Storage only:
/// operands of tensor cores. e4m3 ("e4m3fn"): 1 sign, 4 exponent, 3 fraction bits; largest 448; no
/// infinity; 0x7f and 0xff are NaN.
struct f8e4m3 {
  uint8_t bits;
};

/// 1 sign, 5 exponent, 2 fraction bits, as float16's upper byte; largest finite number 57344.
struct f8e5m2 {
  uint8_t bits;
};

template <class T>
constexpr bool is_f8 = std::is_same_v<T, f8e4m3> || std::is_same_v<T, f8e5m2>;

template <class T>
constexpr bool is_half = std::is_same_v<T, f16> || std::is_same_v<T, bf16>;

template <class T>
constexpr bool is_float = is_half<T> || std::is_floating_point_v<T>;

namespace detail {
template <class T>
struct Accumulator {
  using type = std::conditional_t<is_half<T> || std::is_same_v<T, float>, float,
                                  std::conditional_t<std::is_same_v<T, double>, double, int64_t>>;
};
}  // namespace detail

/// The type sums are formed in: float for f16, bf16, float; double for double; else int64_t.
template <class T>
using Acc = typename detail::Accumulator<T>::type;

GG_HD uint32_t float_bits(float f) {
#if defined(__CUDA_ARCH__)
  return __float_as_uint(f);
#else
  return std::bit_cast<uint32_t>(f);
#endif
}

GG_HD float bits_float(uint32_t u) {
#if defined(__CUDA_ARCH__)
  return __uint_as_float(u);
#else
  return std::bit_cast<float>(u);
#endif
}

namespace detail {

/// float16 to float in integers: a multiplication by 2^112 rebiases, subnormals included.
GG_HD float f16_to_float(uint16_t h) {
  const uint32_t sign = (h & 0x8000u) << 16, magnitude = (h & 0x7fffu) << 13;
  if (magnitude >= 0x0f800000u) return bits_float(sign | 0x70000000u | magnitude);  // inf, NaN
  return bits_float(float_bits(bits_float(magnitude) * 0x1p112f) | sign);
}

/// float to float16 in integers.
GG_HD uint16_t float_to_f16(float f) {
  const uint32_t u = float_bits(f), sign = u >> 16 & 0x8000u, x = u & 0x7fffffffu;
  if (x > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u);
  if (x >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);  // 65520 and up
  if (x < 0x38800000u) {  // below 2^-14: let the adder round to a multiple of 2^-24
    return static_cast<uint16_t>(sign | (float_bits(bits_float(x) + 0.5f) - 0x3f000000u));
  }
  const uint32_t rounded = x + 0xfffu + (x >> 13 & 1);  // carries into the exponent
  return static_cast<uint16_t>(sign | (rounded - 0x38000000u) >> 13);
}

/// float to bfloat16 in integers.
GG_HD uint16_t float_to_bf16(float f) {
  const uint32_t u = float_bits(f);
  if ((u & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>(u >> 16 | 0x40u);
  return static_cast<uint16_t>((u + 0x7fffu + (u >> 16 & 1)) >> 16);
}

/// float to an 8-bit float in integers. What overflows, infinity too, becomes `largest`; NaN
/// becomes 0x7f, with its sign.
template <int fraction, int min_exponent, uint32_t largest>
GG_HD uint8_t float_to_f8(float f) {
  const uint32_t u = float_bits(f), sign = u >> 24 & 0x80u, x = u & 0x7fffffffu;
  if (x > 0x7f800000u) return static_cast<uint8_t>(sign | 0x7f);
  uint32_t code;
  if (x < static_cast<uint32_t>(min_exponent + 127) << 23) {
    // Let the adder round to a multiple of 2^(min_exponent - fraction).
    const uint32_t adder = static_cast<uint32_t>(min_exponent - fraction + 23 + 127) << 23;
    code = float_bits(bits_float(x) + bits_float(adder)) - adder;
  } else {
    constexpr int dropped = 23 - fraction;
    const uint32_t rounded = x + ((1u << (dropped - 1)) - 1) + (x >> dropped & 1);
    code = (rounded - (static_cast<uint32_t>(min_exponent + 126) << 23)) >> dropped;
  }
  return static_cast<uint8_t>(sign | (code < largest ? code : largest));
}

/// double to float, rounded to odd: an inexact result gets its last bit set, so rounding it again
/// to a type narrower by two bits or more equals rounding once (Boldo & Melquiond 2008).
GG_HD float round_to_odd(double d) {
  const float f = static_cast<float>(d);
  const double back = static_cast<double>(f);
  if (back == d || d != d) return f;
  uint32_t u = float_bits(f);
  if ((back < 0 ? -back : back) > (d < 0 ? -d : d)) u -= 1;  // toward zero; infinity to the largest
  return bits_float(u | 1);
}

/// The same trick for integers beyond 2^53, where a double is inexact.
GG_HD double integer_to_double(int64_t i) {
  constexpr int64_t exact = int64_t{1} << 53;
  if (i > exact || i < -exact) i = (i & ~int64_t{0x7ff}) | ((i & 0x7ff) != 0 ? 0x800 : 0);
  return static_cast<double>(i);
}

}  // namespace detail

GG_HD float to_float(float x) {
  return x;
}

GG_HD float to_float(bf16 x) {
  return bits_float(static_cast<uint32_t>(x.bits) << 16);
}

GG_HD float to_float(f16 x) {
#if defined(__CUDA_ARCH__)
  float f;
  asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(x.bits));
  return f;
#elif defined(__F16C__) && !defined(__CUDACC__)
  return _cvtsh_ss(x.bits);
#else
  return detail::f16_to_float(x.bits);
#endif
}

GG_HD float to_float(f8e4m3 x) {
  const uint32_t sign = (x.bits & 0x80u) << 24, magnitude = x.bits & 0x7fu;
  if (magnitude == 0x7f) return bits_float(sign | 0x7fc00000u);
  return bits_float(sign | float_bits(bits_float(magnitude << 20) * 0x1p120f));
}

GG_HD float to_float(f8e5m2 x) {
  return to_float(f16{static_cast<uint16_t>(x.bits << 8)});
}

/// A float rounded to T, to nearest even. T is f16, bf16, float, double, or an 8-bit float, which
/// overflows as PyTorch 2.13's: f8e4m3 to 448, even from infinity, f8e5m2 to infinity.
template <class T>
GG_HD T from_float(float f) {
  if constexpr (std::is_same_v<T, f8e4m3>) {
    return {detail::float_to_f8<3, -6, 0x7e>(f)};
  } else if constexpr (std::is_same_v<T, f8e5m2>) {
    return {detail::float_to_f8<2, -14, 0x7c>(f)};
  } else if constexpr (!is_half<T>) {
    return static_cast<T>(f);
  } else if constexpr (std::is_same_v<T, bf16>) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    uint16_t bits;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(f));
    return bf16{bits};
#else
    return bf16{detail::float_to_bf16(f)};
#endif
  } else {
#if defined(__CUDA_ARCH__)
    uint16_t bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(f));
    return f16{bits};
#elif defined(__F16C__) && !defined(__CUDACC__)
    return f16{_cvtss_sh(f, _MM_FROUND_TO_NEAREST_INT)};
#else
    return f16{detail::float_to_f16(f)};
#endif
  }
}

/// A double rounded once to T. T is f16, bf16, float or double.
template <class T>
GG_HD T from_double(double d) {
  if constexpr (is_half<T>) {
    return from_float<T>(detail::round_to_odd(d));
  } else {
    return static_cast<T>(d);
  }
}

/// x truncated toward zero, saturating; NaN gives 0.
template <std::integral To, std::floating_point From>
GG_HD To truncate_to(From x) {
  constexpr bool is_signed = std::is_signed_v<To>;
  constexpr To highest = static_cast<To>(~uint64_t{0} >> (64 - 8 * sizeof(To) + is_signed));
  constexpr To lowest = is_signed ? static_cast<To>(-highest - 1) : To(0);
  constexpr From above = static_cast<From>(highest / 2 + 1) * 2;  // highest + 1, a power of two
  constexpr From below = is_signed ? -above : From(-1);
  if (x >= above) return highest;
  if (x > below) return static_cast<To>(x);
  return x != x ? To(0) : lowest;
}

/// x as To, for any two dtypes' C++ types but 8-bit floats; rules at the head of this file.
template <class To, class From>
GG_HD To convert(From x) {
  if constexpr (std::is_same_v<To, From>) {
    return x;
  } else if constexpr (is_half<From>) {
    return convert<To>(to_float(x));
  } else if constexpr (std::is_same_v<To, bool>) {
    return x != From(0);
  } else if constexpr (is_half<To>) {
    if constexpr (std::is_same_v<From, double>) return from_double<To>(x);
    if constexpr (std::is_same_v<From, float>) return from_float<To>(x);
    if constexpr (std::is_integral_v<From> && sizeof(From) <= 2) {
      return from_float<To>(static_cast<float>(x));  // exact
    }
    if constexpr (std::is_integral_v<From> && sizeof(From) > 2) {
      return from_double<To>(detail::integer_to_double(static_cast<int64_t>(x)));
    }
  } else if constexpr (std::is_integral_v<To> && std::is_floating_point_v<From>) {
    return truncate_to<To>(x);
  } else {
    return static_cast<To>(x);
  }
}

}  // namespace gg
