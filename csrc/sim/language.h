// The CUDA language on a host compiler: qualifiers, vector types, threadIdx and friends.
#pragma once

#include "sim/runtime.h"

#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(n) alignas(n)

#define threadIdx (::gg::sim::self->thread_index)
#define blockIdx (::gg::sim::self->geometry->block_index)
#define blockDim (::gg::sim::self->geometry->block)
#define gridDim (::gg::sim::self->geometry->grid)

constexpr int warpSize = 32;

// clang-format off
#define GG_VECTOR_TYPES(name, T, size)                                                         \
  struct name##1 { T x; };                                                                     \
  struct alignas(2 * size) name##2 { T x, y; };                                                \
  struct name##3 { T x, y, z; };                                                               \
  struct alignas(4 * size < 16 ? 4 * size : 16) name##4 { T x, y, z, w; };                     \
  constexpr name##1 make_##name##1(T x) { return {x}; }                                        \
  constexpr name##2 make_##name##2(T x, T y) { return {x, y}; }                                \
  constexpr name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; }                        \
  constexpr name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
GG_VECTOR_TYPES(char, signed char, 1)
GG_VECTOR_TYPES(uchar, unsigned char, 1)
GG_VECTOR_TYPES(short, short, 2)
GG_VECTOR_TYPES(ushort, unsigned short, 2)
GG_VECTOR_TYPES(int, int, 4)
GG_VECTOR_TYPES(longlong, long long, 8)
GG_VECTOR_TYPES(ulonglong, unsigned long long, 8)
GG_VECTOR_TYPES(float, float, 4)
GG_VECTOR_TYPES(double, double, 8)
#undef GG_VECTOR_TYPES
// clang-format on

// uint3 and dim3 come with the runtime.
struct uint1 {
  unsigned x;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
constexpr uint1 make_uint1(unsigned x) {
  return {x};
}
constexpr uint2 make_uint2(unsigned x, unsigned y) {
  return {x, y};
}
constexpr uint3 make_uint3(unsigned x, unsigned y, unsigned z) {
  return {x, y, z};
}
constexpr uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) {
  return {x, y, z, w};
}
