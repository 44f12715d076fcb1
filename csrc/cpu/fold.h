// Sums, products and extremes of runs: what reductions are made of. T is float, double, int64_t, or
// uint8_t for truth (0 or 1), which takes max (any) and min (all) alone.
#pragma once

#include <limits>
#include <type_traits>

#include "core/math.h"
#include "cpu/lanes.h"
#include "cpu/rows.h"

namespace gg {

/// The larger of two vectors or numbers, or the smaller; NaN wins.
template <bool least, class V>
[[gnu::always_inline]] inline V extreme(V a, V b) {
  if constexpr (least) return (a <= b) | (a != a) ? a : b;
  return (a >= b) | (a != a) ? a : b;
}

/// What joins nothing: f(start, x) = x.
template <class T>
constexpr T fold_start(Reduce op) {
  using L = std::numeric_limits<T>;
  constexpr bool infinite = std::is_floating_point_v<T>;
  switch (op) {
    case Reduce::prod:
      return T(1);
    case Reduce::max:
      return std::is_same_v<T, uint8_t> ? T(0) : infinite ? -L::infinity() : L::lowest();
    case Reduce::min:
      return std::is_same_v<T, uint8_t> ? T(1) : infinite ? L::infinity() : L::max();
    default:
      return T(0);
  }
}

/// Of at least one element, from four vectors at a time.
template <bool least, class T>
T fold_extreme(const T* x, int64_t n) {
  using L = Lanes<T>;
  constexpr int side = 4;
  T best = x[0];
  int64_t i = 0;
  if (n >= side * L::n) {
    typename L::Values v[side];
    for (int k = 0; k < side; k++) v[k] = L::load(x + k * L::n);
    for (i = side * L::n; i + side * L::n <= n; i += side * L::n) {
      for (int k = 0; k < side; k++) v[k] = extreme<least>(v[k], L::load(x + i + k * L::n));
    }
    v[0] = extreme<least>(extreme<least>(v[0], v[1]), extreme<least>(v[2], v[3]));
    for (int k = 0; k < L::n; k++) best = extreme<least>(best, static_cast<T>(v[0][k]));
  }
  for (; i < n; i++) best = extreme<least>(best, x[i]);
  return best;
}

template <class T>
T fold_product(const T* x, int64_t n) {
  T partial[kPartial<T>];
  for (T& p : partial) p = T(1);
  for_each_partial<T>(n,
                      [&](int p, int64_t i) { partial[p] = BinaryMath<T>::mul(partial[p], x[i]); });
  for (int half = kPartial<T> / 2; half > 0; half /= 2) {
    for (int p = 0; p < half; p++) partial[p] = BinaryMath<T>::mul(partial[p], partial[p + half]);
  }
  return partial[0];
}

/// x[0] o ... o x[n - 1], n > 0, in a fixed tree.
template <class T>
T fold_run(Reduce op, const T* x, int64_t n) {
  if constexpr (std::is_same_v<T, uint8_t>) {
    uint8_t some = 0, every = 1;
    if (op == Reduce::max) {
      for (int64_t i = 0; i < n; i++) some |= x[i];
      return some;
    }
    for (int64_t i = 0; i < n; i++) every &= x[i];
    return every;
  } else {
    if (op == Reduce::max) return fold_extreme<false>(x, n);
    if (op == Reduce::min) return fold_extreme<true>(x, n);
    if (op == Reduce::prod) return fold_product(x, n);
    return row_sum<T>(n, [&](int64_t i) { return x[i]; });
  }
}

template <bool least, class T>
void fold_extremes(T* best, const T* x, int64_t n) {
  using L = Lanes<T>;
  int64_t i = 0;
  for (; i + L::n <= n; i += L::n) {
    L::store(best + i, extreme<least>(L::load(best + i), L::load(x + i)));
  }
  for (; i < n; i++) best[i] = extreme<least>(best[i], x[i]);
}

/// y[i] = y[i] o x[i]
template <class T>
void fold_columns(Reduce op, T* __restrict y, const T* __restrict x, int64_t n) {
  if constexpr (std::is_same_v<T, uint8_t>) {
    if (op == Reduce::max) {
      for (int64_t i = 0; i < n; i++) y[i] |= x[i];
    } else {
      for (int64_t i = 0; i < n; i++) y[i] &= x[i];
    }
  } else if (op == Reduce::max) {
    fold_extremes<false>(y, x, n);
  } else if (op == Reduce::min) {
    fold_extremes<true>(y, x, n);
  } else if (op == Reduce::prod) {
    for (int64_t i = 0; i < n; i++) y[i] = BinaryMath<T>::mul(y[i], x[i]);
  } else {
    for (int64_t i = 0; i < n; i++) y[i] = BinaryMath<T>::add(y[i], x[i]);
  }
}

// ---- where the extreme is --------------------------------------------------------------------

/// Is a before b in the order that is looked for? NaN is before all numbers.
template <bool least, class T>
bool beats(T a, T b) {
  if (a != a) return b == b;
  return least ? a < b : a > b;
}

/// The first i with x[i] = value, or NaN if that is; there is one.
template <class T>
int64_t find_first(const T* x, int64_t n, T value) {
  constexpr int64_t side = 64;
  const bool nan = value != value;
  int64_t i = 0;
  for (; i + side < n; i += side) {
    int hits = 0;
    for (int64_t k = 0; k < side; k++) hits |= nan ? x[i + k] != x[i + k] : x[i + k] == value;
    if (hits != 0) break;
  }
  while (nan ? x[i] == x[i] : x[i] != value) i++;
  return i;
}

/// best[i], at[i] = x[i], number where x[i] beats it.
template <bool least, class T>
void pick_columns(T* best, typename Lanes<T>::Index* at, const T* x,
                  typename Lanes<T>::Index number, int64_t n) {
  using L = Lanes<T>;
  using I = Lanes<typename L::Index>;
  const typename I::Values numbers = number - typename I::Values{};
  int64_t i = 0;
  for (; i + L::n <= n; i += L::n) {
    const auto v = L::load(x + i), b = L::load(best + i);
    const auto wins = (least ? v < b : v > b) | ((v != v) & (b == b));
    L::store(best + i, wins ? v : b);
    I::store(at + i, wins ? numbers : I::load(at + i));
  }
  for (; i < n; i++) {
    if (!beats<least>(x[i], best[i])) continue;
    best[i] = x[i];
    at[i] = number;
  }
}

}  // namespace gg
