// The tiles of conv_tile.h for AVX-512: 32 registers of 16 floats. Compiled for it whatever the
// module is built for; conv_tile.cpp asks the machine before it calls one.
#include "cpu/conv_tile.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#include <immintrin.h>

#pragma GCC push_options
#pragma GCC target("avx512f")

namespace gg {
namespace {

template <class A>
struct Vector;

template <>
struct Vector<float> {
  using Register = __m512;
  static constexpr int lanes = 16, registers = 32;

  static Register zero() { return _mm512_setzero_ps(); }
  static Register load(const float* x) { return _mm512_loadu_ps(x); }
  static Register set(float x) { return _mm512_set1_ps(x); }
  static Register fma(Register a, Register b, Register c) { return _mm512_fmadd_ps(a, b, c); }
  static Register add(Register a, Register b) { return _mm512_add_ps(a, b); }
  static void store(float* y, Register x) { _mm512_storeu_ps(y, x); }
};

template <>
struct Vector<double> {
  using Register = __m512d;
  static constexpr int lanes = 8, registers = 32;

  static Register zero() { return _mm512_setzero_pd(); }
  static Register load(const double* x) { return _mm512_loadu_pd(x); }
  static Register set(double x) { return _mm512_set1_pd(x); }
  static Register fma(Register a, Register b, Register c) { return _mm512_fmadd_pd(a, b, c); }
  static Register add(Register a, Register b) { return _mm512_add_pd(a, b); }
  static void store(double* y, Register x) { _mm512_storeu_pd(y, x); }
};

}  // namespace
}  // namespace gg

#include "cpu/conv_tile_body.h"

#pragma GCC pop_options

namespace gg {

template <class A>
const ConvTiles<A>* conv_tiles_avx512() {
  static constexpr ConvTiles<A> tiles = all_tiles<A>();
  return &tiles;
}

template const ConvTiles<float>* conv_tiles_avx512<float>();
template const ConvTiles<double>* conv_tiles_avx512<double>();

}  // namespace gg

#else

namespace gg {

template <>
const ConvTiles<float>* conv_tiles_avx512<float>() {
  return nullptr;
}

template <>
const ConvTiles<double>* conv_tiles_avx512<double>() {
  return nullptr;
}

}  // namespace gg

#endif
