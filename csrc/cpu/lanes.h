// Vectors of 32 bytes by the compiler's own type, for loops that choose between values: left to
// themselves compilers turn such choices into branches.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

namespace gg {

/// float, double, int32_t, int64_t or uint64_t.
template <class A>
struct Lanes {
  static constexpr int64_t n = 32 / sizeof(A);
  using Index = std::conditional_t<sizeof(A) == 8, int64_t, int32_t>;
  typedef A Values __attribute__((vector_size(32)));
  typedef Index Numbers __attribute__((vector_size(32)));  ///< and what comparisons give

  static Values load(const A* from) {
    Values v;
    std::memcpy(&v, from, sizeof(v));
    return v;
  }
  static void store(A* to, Values v) { std::memcpy(to, &v, sizeof(v)); }

  /// 0, 1, ... n - 1
  static Numbers count() {
    if constexpr (n == 8)
      return Numbers{0, 1, 2, 3, 4, 5, 6, 7};
    else
      return Numbers{0, 1, 2, 3};
  }

  /// Lanes 0, 2, 4, ... of a and b in turn; and 1, 3, 5, ...
  static Values evens(Values a, Values b) {
    if constexpr (n == 8)
      return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14);
    else
      return __builtin_shufflevector(a, b, 0, 2, 4, 6);
  }
  static Values odds(Values a, Values b) {
    if constexpr (n == 8)
      return __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15);
    else
      return __builtin_shufflevector(a, b, 1, 3, 5, 7);
  }

  /// n small integers as Numbers.
  template <class I>
  static Numbers load_numbers(const I* from) {
    typedef I Small __attribute__((vector_size(n * sizeof(I))));
    Small v;
    std::memcpy(&v, from, sizeof(v));
    return __builtin_convertvector(v, Numbers);
  }
  template <class I>
  static void store_numbers(I* to, Numbers v) {
    typedef I Small __attribute__((vector_size(n * sizeof(I))));
    const Small small = __builtin_convertvector(v, Small);
    std::memcpy(to, &small, sizeof(small));
  }
};

/// even[j] = x[2 j] and odd[j] = x[2 j + 1], n elements of x in all.
template <class A>
inline void deal_in_two(const A* x, A* even, A* odd, int64_t n) {
  int64_t i = 0;
  if constexpr (sizeof(A) == 4) {
    using L = Lanes<A>;
    for (; i + 16 <= n; i += 16) {
      const auto a = L::load(x + i), b = L::load(x + i + 8);
      L::store(even + i / 2, L::evens(a, b));
      L::store(odd + i / 2, L::odds(a, b));
    }
  }
  for (; i + 2 <= n; i += 2) {
    even[i / 2] = x[i];
    odd[i / 2] = x[i + 1];
  }
  if (i < n) even[i / 2] = x[i];
}

/// The way back.
template <class A>
inline void join_two(const A* even, const A* odd, A* x, int64_t n) {
  int64_t i = 0;
  if constexpr (sizeof(A) == 4) {
    using L = Lanes<A>;
    for (; i + 16 <= n; i += 16) {
      const auto a = L::load(even + i / 2), b = L::load(odd + i / 2);
      L::store(x + i, __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11));
      L::store(x + i + 8, __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15));
    }
  }
  for (; i + 2 <= n; i += 2) {
    x[i] = even[i / 2];
    x[i + 1] = odd[i / 2];
  }
  if (i < n) x[i] = even[i / 2];
}

}  // namespace gg
