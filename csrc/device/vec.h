// Vectors of values that move between memory and registers in one instruction.
#pragma once

#include <cstring>

#include "device/platform.h"

namespace gg {

/// N values of T. Aligned to its size, at most 16 bytes.
template <class T, int N>
struct alignas(sizeof(T) * N < 16 ? sizeof(T) * N : 16) Vec {
  static_assert((N & (N - 1)) == 0, "a vector's length is a power of two");
  T v[N];

  GG_HD T& operator[](int i) { return v[i]; }
  GG_HD const T& operator[](int i) const { return v[i]; }
};

/// How many T fit the widest access, 16 bytes.
template <class T>
GG_HD constexpr int max_vec() {
  return 16 / static_cast<int>(sizeof(T));
}

namespace detail {

// One machine access of 1, 2, 4, 8 or 16 bytes. For the simulator they are vector types that may
// alias anything, so that sanitizers see one access of the full width.
#if GG_SIMULATOR
template <int Bytes>
struct Word {
  typedef unsigned char type __attribute__((vector_size(Bytes), may_alias));
};
template <>
struct Word<1> {
  typedef unsigned char type;
};
#else
template <int Bytes>
struct Word;
template <>
struct Word<1> {
  using type = unsigned char;
};
template <>
struct Word<2> {
  using type = unsigned short;
};
template <>
struct Word<4> {
  using type = unsigned int;
};
template <>
struct Word<8> {
  using type = uint2;
};
template <>
struct Word<16> {
  using type = uint4;
};
#endif

}  // namespace detail

/// N values from p, which is aligned to N * sizeof(T) (to 16 if that is more).
template <int N, class T>
GG_DEVICE Vec<T, N> load_vec(const T* p GG_WHERE) {
  using V = Vec<T, N>;
  using Word = typename detail::Word<alignof(V)>::type;
#if GG_SIMULATOR
  sim::check_alignment(p, alignof(V), "load_vec", where);
#endif
  V result;
  const Word* source = reinterpret_cast<const Word*>(p);
#pragma unroll
  for (size_t i = 0; i < sizeof(V) / sizeof(Word); i++) {
    const Word word = source[i];
    memcpy(reinterpret_cast<char*>(&result) + i * sizeof(Word), &word, sizeof(Word));
  }
  return result;
}

/// Writes N values to p, aligned as for load_vec.
template <class T, int N>
GG_DEVICE void store_vec(T* p, const Vec<T, N>& value GG_WHERE) {
  using V = Vec<T, N>;
  using Word = typename detail::Word<alignof(V)>::type;
#if GG_SIMULATOR
  sim::check_alignment(p, alignof(V), "store_vec", where);
#endif
  Word* target = reinterpret_cast<Word*>(p);
#pragma unroll
  for (size_t i = 0; i < sizeof(V) / sizeof(Word); i++) {
    Word word;
    memcpy(&word, reinterpret_cast<const char*>(&value) + i * sizeof(Word), sizeof(Word));
    target[i] = word;
  }
}

}  // namespace gg
