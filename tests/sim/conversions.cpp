// float16 and bfloat16 against their definition, and convert<To>(from) on the host.
//
// The definition used here is independent of the code under test: a number's neighbours are the
// multiples of its binade's spacing, and the C library rounds to nearest even.

#include "device/types.h"

#include <cfloat>
#include <cmath>
#include <random>
#include <type_traits>

#include "check.h"

using namespace gg;

template <class H>
struct Format;
template <>
struct Format<f16> {
  static constexpr int fraction = 10, min_exponent = -14;
  static constexpr double overflow = 65520;  // halfway from the largest to 2^16
};
template <>
struct Format<bf16> {
  static constexpr int fraction = 7, min_exponent = -126;
  static constexpr double overflow = 0x1.ffp127;
};

/// x rounded once to H, as a number.
template <class H>
static long double rounded(long double x) {
  using F = Format<H>;
  if (x == 0 || std::isnan(x) || std::isinf(x)) return x;
  const int exponent = std::max(std::ilogb(x), F::min_exponent);
  const long double unit = std::ldexp(1.0L, exponent - F::fraction);
  const long double y = std::nearbyint(x / unit) * unit;
  return std::fabs(x) >= F::overflow ? std::copysign(static_cast<long double>(INFINITY), x) : y;
}

template <class H>
static bool is(H h, long double wanted) {
  const float f = to_float(h);
  if (std::isnan(wanted)) return std::isnan(f);
  return f == wanted && std::signbit(f) == std::signbit(wanted);
}

template <class H>
static void check_every_value() {
  using F = Format<H>;
  constexpr int bias = 1 - F::min_exponent;
  for (unsigned bits = 0; bits < 65536; bits++) {
    const int exponent = bits >> F::fraction & (0x7fff >> F::fraction);
    const double fraction = bits & ((1 << F::fraction) - 1);
    double value = std::ldexp(fraction, 1 - bias - F::fraction);
    if (exponent > 0) value = std::ldexp(1 + std::ldexp(fraction, -F::fraction), exponent - bias);
    if (exponent == 0x7fff >> F::fraction) value = fraction == 0 ? INFINITY : NAN;
    if (bits & 0x8000) value = -value;
    const H h{static_cast<uint16_t>(bits)};
    CHECK(is(h, value));
    if (std::isnan(value)) continue;
    CHECK_EQ(from_float<H>(to_float(h)).bits, h.bits);
    CHECK_EQ(from_double<H>(value).bits, h.bits);
  }
}

CASE(every_half_value) {
  check_every_value<f16>();
  check_every_value<bf16>();
  for (unsigned bits = 0; bits < 65536; bits++) {  // the path without F16C
    const float a = detail::f16_to_float(static_cast<uint16_t>(bits));
    const float b = to_float(f16{static_cast<uint16_t>(bits)});
    CHECK(std::isnan(a) ? std::isnan(b) : float_bits(a) == float_bits(b));
  }
}

template <class H>
static void check_float(float f) {
  CHECK(is(from_float<H>(f), rounded<H>(f)));
  const uint16_t software =
      std::is_same_v<H, f16> ? detail::float_to_f16(f) : detail::float_to_bf16(f);
  CHECK(is(H{software}, rounded<H>(f)));
}

CASE(floats_round_to_nearest_even) {
  for (uint64_t bits = 0; bits < uint64_t{1} << 32; bits += 4093) {
    check_float<f16>(bits_float(static_cast<uint32_t>(bits)));
    check_float<bf16>(bits_float(static_cast<uint32_t>(bits)));
  }
  for (float f : {65504.0f, 65519.99f, 65520.0f, 65536.0f, 0x1p-24f, 0x1p-25f, 0x1.000002p-25f,
                  0x1.8p-24f, 0x1.ffcp-15f, FLT_MAX, FLT_TRUE_MIN, 0x1.fep127f, 0x1.ffp127f}) {
    for (float g : {f, -f}) {
      check_float<f16>(g);
      check_float<bf16>(g);
    }
  }
}

// Numbers just above, at and just below the middle between two halves: a double that is rounded to
// float first gets these wrong.
template <class H>
static void check_doubles() {
  std::mt19937_64 random(1);
  for (int i = 0; i < 100000; i++) {
    const float low = to_float(H{static_cast<uint16_t>(random())});
    const float high = to_float(from_float<H>(low * 1.01f));
    if (!std::isfinite(low) || !std::isfinite(high)) continue;
    const double middle = (static_cast<double>(low) + high) / 2;
    for (double d : {middle, std::nextafter(middle, INFINITY), std::nextafter(middle, -INFINITY),
                     middle * (1 + 0x1p-40), middle * (1 - 0x1p-40), low * 1e-8, low * 1e300}) {
      CHECK(is(from_double<H>(d), rounded<H>(d)));
    }
  }
}

CASE(doubles_round_once) {
  check_doubles<f16>();
  check_doubles<bf16>();
  CHECK(is(from_double<bf16>(1 + 0x1p-8 + 0x1p-40), 1 + 0x1p-7));
  CHECK(is(from_double<f16>(1 + 0x1p-11 + 0x1p-40), 1 + 0x1p-10));
  CHECK(is(from_double<f16>(NAN), NAN));
  CHECK(is(from_double<bf16>(-INFINITY), -INFINITY));
  CHECK(is(from_double<f16>(-0.0), -0.0));
}

CASE(integers_round_once) {
  std::mt19937_64 random(2);
  for (int i = 0; i < 200000; i++) {
    const int64_t x = static_cast<int64_t>(random()) >> (random() % 64);
    CHECK(is(convert<bf16>(x), rounded<bf16>(static_cast<long double>(x))));
    CHECK(is(convert<f16>(x), rounded<f16>(static_cast<long double>(x))));
    const int32_t y = static_cast<int32_t>(x);
    CHECK(is(convert<bf16>(y), rounded<bf16>(static_cast<long double>(y))));
  }
  const int64_t tie = (int64_t{1} << 60) + (int64_t{1} << 52) + 1;  // a double loses the 1
  CHECK(is(convert<bf16>(tie), rounded<bf16>(static_cast<long double>(tie))));
  for (int64_t x : {INT64_MIN, INT64_MAX, int64_t{0}}) {
    CHECK(is(convert<bf16>(x), rounded<bf16>(static_cast<long double>(x))));
  }
}

template <class To, class From>
static void check_saturation() {
  constexpr To lowest = std::numeric_limits<To>::min(), highest = std::numeric_limits<To>::max();
  CHECK_EQ(convert<To>(From(INFINITY)), highest);
  CHECK_EQ(convert<To>(From(-INFINITY)), lowest);
  CHECK_EQ(convert<To>(From(NAN)), To(0));
  CHECK_EQ(convert<To>(From(1e30)), highest);
  CHECK_EQ(convert<To>(From(-1e30)), lowest);
  CHECK_EQ(convert<To>(From(highest)), highest);
  CHECK_EQ(convert<To>(From(lowest)), lowest);
  CHECK_EQ(convert<To>(From(100.9)), To(100));
  CHECK_EQ(convert<To>(From(-0.9)), To(0));
  if (std::is_signed_v<To>) {
    CHECK_EQ(convert<To>(From(-100.9)), To(-100));
  }
}

template <class To>
static void check_integer() {
  check_saturation<To, float>();
  check_saturation<To, double>();
  CHECK_EQ(convert<To>(from_float<f16>(3.75f)), To(3));
  CHECK_EQ(convert<To>(from_float<bf16>(INFINITY)), std::numeric_limits<To>::max());
  CHECK_EQ(convert<To>(true), To(1));
  CHECK_EQ(convert<To>(int64_t{0x123456789abcdef0}), static_cast<To>(0x123456789abcdef0));
}

CASE(integers_saturate_and_wrap) {
  check_integer<uint8_t>();
  check_integer<int8_t>();
  check_integer<int16_t>();
  check_integer<int32_t>();
  check_integer<int64_t>();
}

CASE(anything_to_bool) {
  CHECK(convert<bool>(NAN) && convert<bool>(-1e-300) && convert<bool>(int64_t{1} << 40));
  CHECK(convert<bool>(f16{1}) && convert<bool>(bf16{0x7fc0}));
  CHECK(!convert<bool>(-0.0f) && !convert<bool>(f16{0x8000}) && !convert<bool>(uint8_t{0}));
  CHECK_EQ(to_float(convert<f16>(true)), 1.0f);
}

static_assert(std::is_same_v<Acc<f16>, float> && std::is_same_v<Acc<double>, double> &&
              std::is_same_v<Acc<bool>, int64_t> && std::is_same_v<Acc<int32_t>, int64_t>);
static_assert(std::is_trivial_v<f16> && sizeof(bf16) == 2);
