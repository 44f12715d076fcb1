// CUDA's barriers, warp operations, bit operations and fast mathematics under their own names.
#pragma once

#include <math.h>

#include <bit>
#include <cassert>
#include <cstdio>

#include "sim/runtime.h"

#define GG_AT ::gg::sim::Where where = ::gg::sim::Where::current()

// ---- barriers --------------------------------------------------------------------------------

inline void __syncthreads(GG_AT) {
  gg::sim::barrier(false, "__syncthreads", where);
}
inline int __syncthreads_count(int predicate, GG_AT) {
  return gg::sim::barrier(predicate != 0, "__syncthreads_count", where);
}
inline int __syncthreads_or(int predicate, GG_AT) {
  return gg::sim::barrier(predicate != 0, "__syncthreads_or", where) != 0;
}
inline int __syncthreads_and(int predicate, GG_AT) {
  return gg::sim::barrier(predicate == 0, "__syncthreads_and", where) == 0;
}
inline void __syncwarp(unsigned mask = 0xffffffffu, GG_AT) {
  gg::sim::sync_warp(mask, where);
}

// ---- shuffles --------------------------------------------------------------------------------

namespace gg::sim {

// The lanes of one segment of `width` (a power of two up to 32).
inline int segment_begin(int width) {
  return static_cast<int>(self->lane) & ~(width - 1);
}
inline int segment_last(int width) {
  return static_cast<int>(self->lane) | (width - 1);
}

template <class T>
constexpr bool shuffles = std::is_arithmetic_v<T> && (sizeof(T) == 4 || sizeof(T) == 8);

}  // namespace gg::sim

template <class T>
T __shfl_sync(unsigned mask, T value, int lane, int width = 32, GG_AT) {
  static_assert(gg::sim::shuffles<T>, "shuffles take 32- and 64-bit numbers");
  const int source = gg::sim::segment_begin(width) | (lane & (width - 1));
  return gg::sim::shuffle(mask, value, source, "__shfl_sync", where);
}

template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, GG_AT) {
  static_assert(gg::sim::shuffles<T>, "shuffles take 32- and 64-bit numbers");
  const int source = static_cast<int>(gg::sim::self->lane) - static_cast<int>(delta);
  return gg::sim::shuffle(mask, value, source < gg::sim::segment_begin(width) ? -1 : source,
                          "__shfl_up_sync", where);
}

template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, GG_AT) {
  static_assert(gg::sim::shuffles<T>, "shuffles take 32- and 64-bit numbers");
  const int source = static_cast<int>(gg::sim::self->lane + delta);
  return gg::sim::shuffle(mask, value, source > gg::sim::segment_last(width) ? -1 : source,
                          "__shfl_down_sync", where);
}

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32, GG_AT) {
  static_assert(gg::sim::shuffles<T>, "shuffles take 32- and 64-bit numbers");
  const int source = static_cast<int>(gg::sim::self->lane) ^ lane_mask;
  return gg::sim::shuffle(mask, value, source > gg::sim::segment_last(width) ? -1 : source,
                          "__shfl_xor_sync", where);
}

// ---- votes -----------------------------------------------------------------------------------

inline unsigned __ballot_sync(unsigned mask, int predicate, GG_AT) {
  return gg::sim::ballot(mask, predicate != 0, "__ballot_sync", where);
}
inline int __any_sync(unsigned mask, int predicate, GG_AT) {
  return gg::sim::ballot(mask, predicate != 0, "__any_sync", where) != 0;
}
inline int __all_sync(unsigned mask, int predicate, GG_AT) {
  return gg::sim::ballot(mask, predicate == 0, "__all_sync", where) == 0;
}
template <class T>
unsigned __match_any_sync(unsigned mask, T value, GG_AT) {
  static_assert(gg::sim::shuffles<T>, "__match_any_sync takes 32- and 64-bit numbers");
  uint64_t bits = 0;
  memcpy(&bits, &value, sizeof(T));
  return gg::sim::match(mask, bits, "__match_any_sync", where);
}

// ---- bits ------------------------------------------------------------------------------------

inline int __popc(unsigned x) {
  return std::popcount(x);
}
inline int __popcll(unsigned long long x) {
  return std::popcount(x);
}
inline int __clz(int x) {
  return std::countl_zero(static_cast<unsigned>(x));
}
inline int __clzll(long long x) {
  return std::countl_zero(static_cast<unsigned long long>(x));
}
inline int __ffs(int x) {
  return __builtin_ffs(x);
}
inline int __ffsll(long long x) {
  return __builtin_ffsll(x);
}
inline unsigned __brev(unsigned x) {
  unsigned result = 0;
  for (int i = 0; i < 32; i++) result |= (x >> i & 1) << (31 - i);
  return result;
}
inline int __mulhi(int a, int b) {
  return static_cast<int>(static_cast<int64_t>(a) * static_cast<int64_t>(b) >> 32);
}
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>(static_cast<uint64_t>(a) * b >> 32);
}
__extension__ typedef unsigned __int128 gg_uint128;
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return static_cast<unsigned long long>(static_cast<gg_uint128>(a) * b >> 64);
}
inline unsigned __float_as_uint(float x) {
  return std::bit_cast<unsigned>(x);
}
inline int __float_as_int(float x) {
  return std::bit_cast<int>(x);
}
inline float __uint_as_float(unsigned x) {
  return std::bit_cast<float>(x);
}
inline float __int_as_float(int x) {
  return std::bit_cast<float>(x);
}
inline long long __double_as_longlong(double x) {
  return std::bit_cast<long long>(x);
}
inline double __longlong_as_double(long long x) {
  return std::bit_cast<double>(x);
}

// ---- mathematics: CUDA's names that <math.h> lacks ---------------------------------------------

inline float rsqrtf(float x) {
  return 1.0f / sqrtf(x);
}
inline double rsqrt(double x) {
  return 1.0 / sqrt(x);
}
inline float rsqrt(float x) {
  return rsqrtf(x);
}
inline float __expf(float x) {
  return expf(x);
}
inline float __logf(float x) {
  return logf(x);
}
inline float __fdividef(float a, float b) {
  return a / b;
}
inline float __fmaf_rn(float a, float b, float c) {
  return fmaf(a, b, c);
}
inline double __fma_rn(double a, double b, double c) {
  return fma(a, b, c);
}
inline float __fadd_rn(float a, float b) {
  return a + b;
}
inline float __fmul_rn(float a, float b) {
  return a * b;
}
inline double __dadd_rn(double a, double b) {
  return a + b;
}
inline double __dmul_rn(double a, double b) {
  return a * b;
}

/// As CUDA's: of numbers of mixed type, and of floats the one that is not NaN.
template <class A, class B>
  requires(std::is_arithmetic_v<A> && std::is_arithmetic_v<B>)
constexpr std::common_type_t<A, B> min(A a, B b) {
  using T = std::common_type_t<A, B>;
  if constexpr (std::is_floating_point_v<T>) {
    return fmin(static_cast<T>(a), static_cast<T>(b));
  } else {
    return static_cast<T>(b) < static_cast<T>(a) ? static_cast<T>(b) : static_cast<T>(a);
  }
}
template <class A, class B>
  requires(std::is_arithmetic_v<A> && std::is_arithmetic_v<B>)
constexpr std::common_type_t<A, B> max(A a, B b) {
  using T = std::common_type_t<A, B>;
  if constexpr (std::is_floating_point_v<T>) {
    return fmax(static_cast<T>(a), static_cast<T>(b));
  } else {
    return static_cast<T>(a) < static_cast<T>(b) ? static_cast<T>(b) : static_cast<T>(a);
  }
}

// ---- loads and stores with cache hints, traps --------------------------------------------------

template <class T>
T __ldg(const T* p) {
  return *p;
}
template <class T>
T __ldcs(const T* p) {
  return *p;
}
template <class T>
void __stcs(T* p, std::type_identity_t<T> value) {
  *p = value;
}
[[noreturn]] inline void __trap(GG_AT) {
  gg::sim::fail(where, "__trap");
}

#undef GG_AT
