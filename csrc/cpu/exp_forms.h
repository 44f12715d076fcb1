// More of exp.h: functions made of exp for loops that the compiler vectorises.
#pragma once

#include "cpu/exp.h"

namespace gg {

/// x = n ln 2 + r with |r| <= ln(2) / 2; 2^n is a normal number for x in [-87, 88] (float32),
/// [-708, 709] (float64).
template <class A>
struct ExpParts {
  A power, r;
};

template <class A>
[[gnu::always_inline]] inline ExpParts<A> exp_parts(A x) {
  constexpr bool single = std::is_same_v<A, float>;
  using Bits = std::conditional_t<single, uint32_t, uint64_t>;
  constexpr int fraction = single ? 23 : 52;
  constexpr Bits bias = single ? 127 : 1023;
  constexpr A round = A(1.5) * static_cast<A>(Bits{1} << fraction);  // x + round - round is rint x
  // ln 2 in two parts; n times the first, which ends in zeros, is exact.
  constexpr A ln2_high = single ? A(0.693359375) : A(0.693147180369123816490);
  constexpr A ln2_low = single ? A(-2.12194440054690583e-4) : A(1.90821492927058770002e-10);

  const A shifted = std::fma(x, A(1.4426950408889634074), round), n = shifted - round;
  const Bits exponent = std::bit_cast<Bits>(shifted) - std::bit_cast<Bits>(round) + bias;
  return {std::bit_cast<A>(exponent << fraction), std::fma(n, -ln2_low, std::fma(n, -ln2_high, x))};
}

/// exp x for x <= 0 that is 0 where the result is no normal number: no gradual underflow, which
/// machines are slow at. Else as fast_exp. NaN stays.
template <class A>
[[gnu::always_inline]] inline A exp_below(A x) {
  constexpr bool single = std::is_same_v<A, float>;
  constexpr A lowest = single ? A(-87) : A(-708);
  const auto [power, r] = exp_parts(lowest > x ? lowest : x);
  const A y = exp_series<0, single ? 7 : 13>(r) * power;
  return lowest > x ? A(0) : y;
}

/// tanh x, off by at most 3 units in the last place, for small x too: with m = exp(2 x) - 1 formed
/// as 2^n (exp(r) - 1) + (2^n - 1), tanh x = m / (m + 2). NaN stays.
template <class A>
[[gnu::always_inline]] inline A fast_tanh(A x) {
  constexpr bool single = std::is_same_v<A, float>;
  constexpr A highest = single ? A(20) : A(40);  // from half of that on it is 1
  A y = x + x;
  y = -highest > y ? -highest : y;  // in this order NaN stays
  y = highest < y ? highest : y;
  const auto [power, r] = exp_parts(y);
  const A m = std::fma(power, r * exp_series<1, single ? 8 : 14>(r), power - 1);
  return m / (m + 2);
}

template <class A>
[[gnu::always_inline]] inline A fast_sigmoid(A x) {
  return 1 / (1 + fast_exp(-x));
}

}  // namespace gg
