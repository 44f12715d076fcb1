// The tiles of int_tile.h for AVX-512 with VNNI: 32 registers, four products of 8 bits or two of 16
// in a lane, and products of 64 bits. int_tile.cpp asks the machine before it calls one.
#include "cpu/int_tile.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#include <immintrin.h>

#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512vnni")

namespace gg {
namespace {

template <class G>
struct Vector;

template <class G>
struct Words {
  using Register = __m512i;
  static constexpr int lanes = 16, rows = 12;

  static Register zero() { return _mm512_setzero_si512(); }
  static Register load(const G* x) { return _mm512_loadu_si512(x); }
  static Register set(G x) { return _mm512_set1_epi32(static_cast<int>(x)); }
  static Register add(Register a, Register b) { return _mm512_add_epi32(a, b); }
  static void store(G* y, Register x) { _mm512_storeu_si512(y, x); }
};

template <>
struct Vector<Quads> : Words<Quads> {
  static Register fma(Register a, Register b, Register c) { return _mm512_dpbusd_epi32(c, a, b); }
};

template <>
struct Vector<Pairs> : Words<Pairs> {
  static Register fma(Register a, Register b, Register c) { return _mm512_dpwssd_epi32(c, a, b); }
};

template <>
struct Vector<int32_t> : Words<int32_t> {
  static Register fma(Register a, Register b, Register c) {
    return _mm512_add_epi32(c, _mm512_mullo_epi32(a, b));
  }
};

template <>
struct Vector<int64_t> : Words<int64_t> {
  static constexpr int lanes = 8;

  static Register set(int64_t x) { return _mm512_set1_epi64(x); }
  static Register fma(Register a, Register b, Register c) {
    return _mm512_add_epi64(c, _mm512_mullo_epi64(a, b));
  }
  static Register add(Register a, Register b) { return _mm512_add_epi64(a, b); }
};

}  // namespace
}  // namespace gg

#include "cpu/int_tile_body.h"

#pragma GCC pop_options

namespace gg {

template <class G>
const IntTiles<G>* int_tiles_avx512() {
  static constexpr IntTiles<G> tiles = all_int_tiles<G>();
  return &tiles;
}

}  // namespace gg

#else

namespace gg {

template <class G>
const IntTiles<G>* int_tiles_avx512() {
  return nullptr;
}

}  // namespace gg

#endif

namespace gg {

template const IntTiles<Quads>* int_tiles_avx512<Quads>();
template const IntTiles<Pairs>* int_tiles_avx512<Pairs>();
template const IntTiles<int32_t>* int_tiles_avx512<int32_t>();
template const IntTiles<int64_t>* int_tiles_avx512<int64_t>();

}  // namespace gg
