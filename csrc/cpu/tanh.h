// tanh for loops that the compiler vectorises, as exp.h.
#pragma once

#include "cpu/exp.h"

namespace gg {

/// tanh x, off by at most 3 units in the last place, for small x too: with m = exp(2 x) - 1 formed
/// as 2^n (exp(r) - 1) + (2^n - 1), tanh x = m / (m + 2). NaN stays.
template <class A>
[[gnu::always_inline]] inline A fast_tanh(A x) {
  constexpr bool single = std::is_same_v<A, float>;
  using Bits = std::conditional_t<single, uint32_t, uint64_t>;
  constexpr int fraction = single ? 23 : 52, terms = single ? 8 : 14;
  constexpr Bits bias = single ? 127 : 1023;
  constexpr A highest = single ? A(20) : A(40);                      // from half of that on it is 1
  constexpr A round = A(1.5) * static_cast<A>(Bits{1} << fraction);  // x + round - round is rint x
  constexpr A log2e = A(1.4426950408889634074);
  // ln 2 in two parts; n times the first, which ends in zeros, is exact.
  constexpr A ln2_high = single ? A(0.693359375) : A(0.693147180369123816490);
  constexpr A ln2_low = single ? A(-2.12194440054690583e-4) : A(1.90821492927058770002e-10);

  A y = x + x;
  y = -highest > y ? -highest : y;  // in this order NaN stays
  y = highest < y ? highest : y;
  const A shifted = std::fma(y, log2e, round), n = shifted - round;
  const A r = std::fma(n, -ln2_low, std::fma(n, -ln2_high, y));
  const Bits exponent = std::bit_cast<Bits>(shifted) - std::bit_cast<Bits>(round) + bias;
  const A power = std::bit_cast<A>(exponent << fraction);
  const A m = std::fma(power, r * exp_series<1, terms>(r), power - 1);
  return m / (m + 2);
}

template <class A>
[[gnu::always_inline]] inline A fast_sigmoid(A x) {
  return 1 / (1 + fast_exp(-x));
}

}  // namespace gg
