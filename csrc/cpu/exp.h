// exp for loops that the compiler vectorises: no branches, no tables, no library calls. Inlined
// always, because a call in a loop keeps it scalar.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <type_traits>

namespace gg {

constexpr double inverse_factorial(int k) {
  double f = 1;
  for (int i = 2; i <= k; i++) f *= i;
  return 1 / f;
}

/// sum over k = K..Terms of r^(k-K) / k!
template <int K, int Terms, class A>
[[gnu::always_inline]] inline A exp_series(A r) {
  constexpr A coefficient = static_cast<A>(inverse_factorial(K));
  if constexpr (K == Terms) {
    return coefficient;
  } else {
    return std::fma(exp_series<K + 1, Terms>(r), r, coefficient);
  }
}

/// exp x, off by at most 1 unit in the last place. x = n ln 2 + r with |r| <= ln(2) / 2; exp r by
/// its Taylor series, whose rest is below a tenth of a unit; 2^n in two factors, so that results
/// underflow gradually and overflow to infinity. NaN stays.
template <class A>
[[gnu::always_inline]] inline A fast_exp(A x) {
  constexpr bool single = std::is_same_v<A, float>;
  using Bits = std::conditional_t<single, uint32_t, uint64_t>;
  constexpr int fraction = single ? 23 : 52, terms = single ? 7 : 13;
  constexpr Bits bias = single ? 127 : 1023;
  constexpr A lowest = single ? A(-104) : A(-746), highest = single ? A(89) : A(710);
  constexpr A round = A(1.5) * static_cast<A>(Bits{1} << fraction);  // x + round - round is rint x
  constexpr A log2e = A(1.4426950408889634074);
  // ln 2 in two parts; n times the first, which ends in zeros, is exact.
  constexpr A ln2_high = single ? A(0.693359375) : A(0.693147180369123816490);
  constexpr A ln2_low = single ? A(-2.12194440054690583e-4) : A(1.90821492927058770002e-10);

  x = lowest > x ? lowest : x;  // in this order NaN stays
  x = highest < x ? highest : x;
  const A shifted = std::fma(x, log2e, round), half = std::fma(x, log2e / 2, round);
  const A n = shifted - round;
  const A r = std::fma(n, -ln2_low, std::fma(n, -ln2_high, x));
  const A p = exp_series<0, terms>(r);
  const Bits n1 = std::bit_cast<Bits>(half) - std::bit_cast<Bits>(round);
  const Bits n2 = std::bit_cast<Bits>(shifted) - std::bit_cast<Bits>(half);
  return p * std::bit_cast<A>((n1 + bias) << fraction) * std::bit_cast<A>((n2 + bias) << fraction);
}

}  // namespace gg
