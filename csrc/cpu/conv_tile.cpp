// The tiles of conv_tile.h for the instructions the module is built for: AVX2, or whatever vectors
// of 16 bytes become elsewhere.
#include "cpu/conv_tile.h"

#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#endif

namespace gg {
namespace {

template <class A>
struct Vector;

#if defined(__AVX2__) && defined(__FMA__)

template <>
struct Vector<float> {
  using Register = __m256;
  static constexpr int lanes = 8, registers = 16;

  static Register zero() { return _mm256_setzero_ps(); }
  static Register load(const float* x) { return _mm256_loadu_ps(x); }
  static Register set(float x) { return _mm256_set1_ps(x); }
  static Register fma(Register a, Register b, Register c) { return _mm256_fmadd_ps(a, b, c); }
  static Register add(Register a, Register b) { return _mm256_add_ps(a, b); }
  static void store(float* y, Register x) { _mm256_storeu_ps(y, x); }
};

template <>
struct Vector<double> {
  using Register = __m256d;
  static constexpr int lanes = 4, registers = 16;

  static Register zero() { return _mm256_setzero_pd(); }
  static Register load(const double* x) { return _mm256_loadu_pd(x); }
  static Register set(double x) { return _mm256_set1_pd(x); }
  static Register fma(Register a, Register b, Register c) { return _mm256_fmadd_pd(a, b, c); }
  static Register add(Register a, Register b) { return _mm256_add_pd(a, b); }
  static void store(double* y, Register x) { _mm256_storeu_pd(y, x); }
};

#else

template <class A>
struct Vector {
  typedef A Register __attribute__((vector_size(16), aligned(alignof(A)), may_alias));
  static constexpr int lanes = 16 / sizeof(A), registers = 32;

  static Register zero() { return Register{}; }
  static Register load(const A* x) { return *reinterpret_cast<const Register*>(x); }
  static Register set(A x) { return Register{} + x; }
  static Register fma(Register a, Register b, Register c) { return a * b + c; }
  static Register add(Register a, Register b) { return a + b; }
  static void store(A* y, Register x) { *reinterpret_cast<Register*>(y) = x; }
};

#endif

}  // namespace
}  // namespace gg

#include "cpu/conv_tile_body.h"

namespace gg {
namespace {

bool machine_has_avx512() {
#if defined(__x86_64__) && defined(__GNUC__)
  return __builtin_cpu_supports("avx512f");
#else
  return false;
#endif
}

}  // namespace

template <class A>
const ConvTiles<A>& conv_tiles() {
  static constexpr ConvTiles<A> own = all_tiles<A>();
  static const ConvTiles<A>* const best = machine_has_avx512() ? conv_tiles_avx512<A>() : nullptr;
  return best ? *best : own;
}

template const ConvTiles<float>& conv_tiles<float>();
template const ConvTiles<double>& conv_tiles<double>();

}  // namespace gg
