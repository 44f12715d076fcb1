// More functions of float32 for loops that the compiler vectorises, beside exp.h and exp_forms.h:
// no branches, no tables, no library calls; formed in float32, off by a few units in the last
// place.
//
// The polynomials are fits as those of cpu/math.h.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "cpu/exp_forms.h"

namespace gg {

/// first x^n + ... + last, n the number of the rest
template <class... Rest>
[[gnu::always_inline]] inline float float_polynomial(float x, float first, Rest... rest) {
  float y = first;
  ((y = std::fma(y, x, rest)), ...);
  return y;
}

// ---- logarithms ------------------------------------------------------------------------------

/// x = 2^exponent (1 + f) with 1 + f in [sqrt(1/2), sqrt 2), for finite x > 0, subnormals too;
/// log(1 + f) = f + rest.
struct LogParts {
  float exponent, f, rest;
};

[[gnu::always_inline]] inline LogParts log_parts(float x) {
  const bool tiny = x < 0x1p-126f;
  const uint32_t bits = std::bit_cast<uint32_t>(tiny ? x * 0x1p23f : x);
  const int32_t power = static_cast<int32_t>(bits - 0x3f3504f3u) >> 23;  // of sqrt(1/2)
  const float f = std::bit_cast<float>(bits - (static_cast<uint32_t>(power) << 23)) - 1.0f;
  const float square = f * f;
  const float p = float_polynomial(f, 0.06746597588f, -0.11675634235f, 0.11888172477f,
                                   -0.12405592948f, 0.14219550788f, -0.16667994857f, 0.20002119243f,
                                   -0.25000008941f, 0.33333313465f);
  return {static_cast<float>(power) - (tiny ? 23.0f : 0.0f), f,
          std::fma(f * square, p, -0.5f * square)};
}

/// y where log x is finite, else log x.
[[gnu::always_inline]] inline float log_or_limit(float x, float y) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  const float limit = x == 0 ? -infinity : std::numeric_limits<float>::quiet_NaN();
  return x > 0 ? (x < infinity ? y : x) : limit;
}

/// log x = exponent ln 2 + log(1 + f), ln 2 in two parts: exponent times the first is exact.
[[gnu::always_inline]] inline float log_inside(float x) {
  const auto [exponent, f, rest] = log_parts(x);
  return std::fma(exponent, 0.693359375f, f + std::fma(exponent, -2.12194440054690583e-4f, rest));
}

[[gnu::always_inline]] inline float fast_log(float x) {
  return log_or_limit(x, log_inside(x));
}

[[gnu::always_inline]] inline float fast_log2(float x) {
  const auto [exponent, f, rest] = log_parts(x);
  return log_or_limit(x, std::fma(f + rest, 1.44269504f, exponent));
}

/// log10 2 in two parts as ln 2 is.
[[gnu::always_inline]] inline float fast_log10(float x) {
  const auto [exponent, f, rest] = log_parts(x);
  const float low = std::fma(exponent, 4.60503898e-06f, (f + rest) * 0.434294482f);
  return log_or_limit(x, std::fma(exponent, 0.301025391f, low));
}

/// log(1 + x) = log u + (x - (u - 1)) / u, u = 1 + x rounded.
[[gnu::always_inline]] inline float fast_log1p(float x) {
  const float u = 1.0f + x, lost = x - (u - 1.0f);
  const float y = log_inside(u) + lost / u;
  return log_or_limit(u, u == 1.0f ? x : y);
}

// ---- circular functions ----------------------------------------------------------------------

/// Beyond this the parts of pi / 2 do not reach.
constexpr float kLargestAngle = 0x1p20f;

/// sin(x + quarters pi / 2) for |x| <= kLargestAngle: x = n pi / 2 + r with |r| <= pi / 4, pi / 2
/// in three parts; each product with n is exact inside its fma.
[[gnu::always_inline]] inline float fast_sine(float x, uint32_t quarters) {
  constexpr float round = 0x1.8p23f;  // x + round - round is rint x
  const float shifted = std::fma(x, 0.636619772f, round), n = shifted - round;
  const uint32_t quarter =
      std::bit_cast<uint32_t>(shifted) - std::bit_cast<uint32_t>(round) + quarters;
  float r = std::fma(n, -0x1.921fb6p+0f, x);
  r = std::fma(n, 0x1.777a5cp-25f, r);
  r = std::fma(n, 0x1.ee59dap-50f, r);
  const float square = r * r;
  const float sine = std::fma(
      r * square,
      float_polynomial(square, 2.71823728e-06f, -0.000198393274f, 0.00833332911f, -0.166666672f),
      r);
  const float cosine = std::fma(
      square * square, float_polynomial(square, 2.4432411e-05f, -0.00138873095f, 0.0416666456f),
      std::fma(square, -0.5f, 1.0f));
  const float y = (quarter & 1) != 0 ? cosine : sine;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(y) ^ (quarter & 2) << 30);
}

// ---- exp x - 1, erf --------------------------------------------------------------------------

/// 2^n (exp(r) - 1) + (2^n - 1) up to 1, exp x - 1 above. NaN stays.
[[gnu::always_inline]] inline float float_expm1(float x) {
  const float low = x < -87.0f ? -87.0f : x;
  const auto [power, r] = exp_parts(low > 1.0f ? 1.0f : low);
  const float below = std::fma(power, r * exp_series<1, 8>(r), power - 1.0f);
  return x > 1.0f ? fast_exp(x) - 1.0f : below;
}

/// exp(z^2) erfc z, t = 2 / (2 + z), fitted on z in [0, 11] (relative error below 5e-8).
[[gnu::always_inline]] inline float scaled_erfc(float t) {
  return float_polynomial(t, 0.03470678128597184f, -0.2488535903425355f, 0.7356759155183453f,
                          -1.099010208733502f, 0.8006373137943688f, -0.319334430835048f,
                          0.31121025013938103f, 0.21688635559891772f, 0.286315408942833f,
                          0.28175428332757524f, 1.1921038578983703e-05f);
}

/// x P(x^2) below 1, 1 - erfc |x| with x's sign above. NaN stays.
[[gnu::always_inline]] inline float float_erf(float x) {
  const float size = std::fabs(x), z = size > 5.0f ? 5.0f : size;  // from 4 on it is 1
  const float tail = exp_below(-z * z) * scaled_erfc(2.0f / (2.0f + z));
  const float square = x * x;
  const float small =
      x * float_polynomial(square, 7.85385855e-05f, -0.000801019254f, 0.00518832775f, -0.026853811f,
                           0.112835854f, -0.37612626f, 1.12837911f);
  return size < 1.0f ? small : std::copysign(1.0f - tail, x);
}

}  // namespace gg
