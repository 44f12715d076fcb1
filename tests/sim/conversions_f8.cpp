// The 8-bit floats against their definition: every code, and every float at which rounding turns.

#include <cmath>
#include <random>

#include "check.h"

using namespace gg;

template <class T>
struct Format;
template <>
struct Format<f8e4m3> {
  static constexpr int fraction = 3, bias = 7, largest = 0x7e;
  static constexpr bool has_infinity = false;
};
template <>
struct Format<f8e5m2> {
  static constexpr int fraction = 2, bias = 15, largest = 0x7b;
  static constexpr bool has_infinity = true;
};

/// What a code without sign means.
template <class T>
static double meaning(int code) {
  using F = Format<T>;
  const int exponent = code >> F::fraction, fraction = code & ((1 << F::fraction) - 1);
  if (code > F::largest) return F::has_infinity && fraction == 0 ? INFINITY : NAN;
  if (exponent == 0) return std::ldexp(fraction, 1 - F::bias - F::fraction);
  return std::ldexp((1 << F::fraction) + fraction, exponent - F::bias - F::fraction);
}

template <class T>
static void check_codes() {
  for (int code = 0; code < 256; code++) {
    const double wanted = meaning<T>(code & 0x7f);
    const float f = to_float(T{static_cast<uint8_t>(code)});
    if (std::isnan(wanted)) {
      CHECK(std::isnan(f));
      continue;
    }
    CHECK_EQ(f, static_cast<float>(code & 0x80 ? -wanted : wanted));
    CHECK_EQ(std::signbit(f), (code & 0x80) != 0);
    if (std::isfinite(wanted)) {
      CHECK_EQ(from_float<T>(f).bits, code);
    }
  }
  CHECK_EQ(meaning<T>(Format<T>::largest), Format<T>::has_infinity ? 57344.0 : 448.0);
}

CASE(every_f8_code) {
  check_codes<f8e4m3>();
  check_codes<f8e5m2>();
}

/// The code nearest to x > 0, the even one of two; beyond the largest, as PyTorch has it, that or
/// infinity, which begins where rounding would reach the next number.
template <class T>
static int nearest(double x) {
  int best = 0;
  const double largest = meaning<T>(Format<T>::largest);
  const double step = largest - meaning<T>(Format<T>::largest - 1);
  if (Format<T>::has_infinity && x >= largest + step / 2) return Format<T>::largest + 1;
  if (x >= largest) return Format<T>::largest;
  for (int code = 1; code <= Format<T>::largest; code++) {
    const double now = std::fabs(meaning<T>(code) - x), before = std::fabs(meaning<T>(best) - x);
    if (now < before || (now == before && code % 2 == 0)) best = code;
  }
  return best;
}

template <class T>
static void check_float(float f) {
  const int code = nearest<T>(f);
  CHECK_EQ(from_float<T>(f).bits, code);
  CHECK_EQ(from_float<T>(-f).bits, code | 0x80);
}

template <class T>
static void check_rounding() {
  for (int code = 0; code < Format<T>::largest; code++) {
    const double low = meaning<T>(code), high = meaning<T>(code + 1);
    const float middle = static_cast<float>((low + high) / 2);  // exact
    for (float f : {middle, static_cast<float>(low), static_cast<float>(low * 0.7 + high * 0.3)}) {
      check_float<T>(f);
      check_float<T>(std::nextafter(f, INFINITY));
      if (f > 0) check_float<T>(std::nextafter(f, 0.0f));
    }
  }
  std::mt19937 random(1);
  for (int i = 0; i < 20000; i++) {
    const float f = std::fabs(bits_float(random()));
    if (std::isfinite(f)) check_float<T>(f);
  }
}

CASE(floats_round_to_nearest_even_f8) {
  check_rounding<f8e4m3>();
  check_rounding<f8e5m2>();
}

template <class T>
static void check_edges() {
  for (float f : {std::nextafter(INFINITY, 0.0f), INFINITY, 464.0f * 128, 1e30f}) check_float<T>(f);
  CHECK_EQ(from_float<T>(NAN).bits, 0x7f);
  CHECK_EQ(from_float<T>(-NAN).bits, 0xff);
  CHECK(std::isnan(to_float(from_float<T>(NAN))));
  CHECK_EQ(from_float<T>(0x1p-149f).bits, 0);
  CHECK_EQ(from_float<T>(-0.0f).bits, 0x80);
}

CASE(f8_overflows) {
  check_edges<f8e4m3>();
  check_edges<f8e5m2>();
  CHECK_EQ(to_float(from_float<f8e4m3>(464.0f)), 448.0f);
  CHECK_EQ(to_float(from_float<f8e4m3>(INFINITY)), 448.0f);
  CHECK_EQ(to_float(from_float<f8e5m2>(-INFINITY)), -INFINITY);
  CHECK_EQ(to_float(from_float<f8e5m2>(61440.0f)), INFINITY);
  CHECK_EQ(to_float(from_float<f8e5m2>(std::nextafter(61440.0f, 0.0f))), 57344.0f);
}

static_assert(std::is_trivial_v<f8e4m3> && sizeof(f8e5m2) == 1 && !is_float<f8e4m3>);
