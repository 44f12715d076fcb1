// Sums, products and extremes of runs: what reductions are made of. T is float, double, int64_t, or
// uint8_t for truth (0 or 1), which takes max (any) and min (all) alone.
#pragma once

#include <algorithm>
#include <cstring>
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

/// What joins two vectors or numbers: `of`, and `fast` where a NaN among what is joined is looked
/// for beside it (`nan`), which takes fewer instructions than `of`.
template <Reduce op, class T>
struct Join {
  static constexpr bool extremes = op == Reduce::max || op == Reduce::min;
  static constexpr bool nan = extremes && std::is_floating_point_v<T>;

  template <class V>
  [[gnu::always_inline]] static V of(V a, V b) {
    if constexpr (op == Reduce::sum) return a + b;
    if constexpr (op == Reduce::prod) return a * b;
    if constexpr (extremes) return extreme<op == Reduce::min>(a, b);
  }

  template <class V>
  [[gnu::always_inline]] static V fast(V a, V b) {
    if constexpr (!nan) return of(a, b);
    if constexpr (op == Reduce::min) return b < a ? b : a;
    return b > a ? b : a;
  }
};

/// x[0] o ... o x[n - 1] in one vector, from eight at a time; n is at least a vector.
template <class J, Reduce op, class T>
[[gnu::always_inline]] inline typename Lanes<T>::Values fold_vector(const T* x, int64_t n) {
  using L = Lanes<T>;
  constexpr int side = 8;
  typename L::Values v[side];
  typename L::Numbers nan = {};
  const auto join = [&](typename L::Values& y, typename L::Values z) {
    y = J::fast(y, z);
    if constexpr (J::nan) nan |= z != z;
  };
  int64_t i = L::n;
  if (n < side * L::n) {
    v[0] = L::load(x);
    if constexpr (J::nan) nan = v[0] != v[0];
  } else {
    for (int k = 0; k < side; k++) v[k] = L::load(x + k * L::n);
    for (int k = 0; J::nan && k < side; k++) nan |= v[k] != v[k];
    for (i = side * L::n; i + side * L::n <= n; i += side * L::n) {
      for (int k = 0; k < side; k++) join(v[k], L::load(x + i + k * L::n));
    }
    for (int half = side / 2; half > 0; half /= 2) {
      for (int k = 0; k < half; k++) v[k] = J::fast(v[k], v[k + half]);
    }
  }
  for (; i + L::n <= n; i += L::n) join(v[0], L::load(x + i));
  if (i < n) {  // the last vector again, without what was joined already
    const auto fresh = L::count() >= static_cast<typename L::Index>(L::n - (n - i));
    const typename L::Values start = fold_start<T>(op) - typename L::Values{};
    join(v[0], fresh ? L::load(x + n - L::n) : start);
  }
  if constexpr (J::nan) {
    return nan ? std::numeric_limits<T>::quiet_NaN() - typename L::Values{} : v[0];
  }
  return v[0];
}

/// y[r] = x[r pitch] o ... o x[r pitch + n - 1], in a fixed tree: a vector of each row, and of as
/// many rows as a vector has lanes the next ones together. n is at least a vector.
template <Reduce op, class T>
void fold_rows_by(const T* x, int64_t pitch, int64_t rows, int64_t n, T* y) {
  using L = Lanes<T>;
  using J = Join<op, T>;
  for (int64_t row = 0; row < rows; row += L::n) {
    const int64_t count = std::min(L::n, rows - row);
    typename L::Values v[L::n];
    for (int64_t r = 0; r < count; r++) {
      v[r] = fold_vector<J, op>(x + (row + r) * pitch, n);
    }
    for (int64_t r = count; r < L::n; r++) v[r] = v[0];
    for (int64_t half = L::n / 2; half > 0; half /= 2) {
      for (int64_t r = 0; r < half; r++) {
        v[r] = J::of(L::evens(v[2 * r], v[2 * r + 1]), L::odds(v[2 * r], v[2 * r + 1]));
      }
    }
    std::memcpy(y + row, &v[0], static_cast<size_t>(count) * sizeof(T));
  }
}

template <class T>
void fold_rows(Reduce op, const T* x, int64_t pitch, int64_t rows, int64_t n, T* y) {
  if (op == Reduce::max) return fold_rows_by<Reduce::max>(x, pitch, rows, n, y);
  if (op == Reduce::min) return fold_rows_by<Reduce::min>(x, pitch, rows, n, y);
  if constexpr (std::is_integral_v<T>) {  // sums and products wrap
    using U = std::make_unsigned_t<T>;
    const U* const from = reinterpret_cast<const U*>(x);
    U* const to = reinterpret_cast<U*>(y);
    if (op == Reduce::prod) return fold_rows_by<Reduce::prod>(from, pitch, rows, n, to);
    fold_rows_by<Reduce::sum>(from, pitch, rows, n, to);
  } else {
    if (op == Reduce::prod) return fold_rows_by<Reduce::prod>(x, pitch, rows, n, y);
    fold_rows_by<Reduce::sum>(x, pitch, rows, n, y);
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

/// x[0] o ... o x[n - 1], n > 0, in a fixed tree.
template <class T>
T fold_run(Reduce op, const T* x, int64_t n) {
  T y = x[0];
  if constexpr (std::is_same_v<T, uint8_t>) {
    if (op == Reduce::max) {
      for (int64_t i = 0; i < n; i++) y |= x[i];
    } else {
      for (int64_t i = 0; i < n; i++) y &= x[i];
    }
  } else if (n >= Lanes<T>::n) {
    fold_rows(op, x, n, 1, n, &y);
  } else {
    for (int64_t i = 1; i < n; i++) fold_columns(op, &y, x + i, 1);
  }
  return y;
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
