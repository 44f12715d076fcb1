// Lanes and reductions over a warp and a block. All are deterministic: partial results meet in a
// fixed tree, lower index on the left, whatever order threads run in.
#pragma once

#include <cstring>
#include <type_traits>

#include "device/shared.h"

namespace gg {

constexpr int kWarp = 32;
constexpr unsigned kFullMask = 0xffffffffu;

/// Index of this thread in its block, x fastest.
GG_DEVICE int thread_rank() {
  return static_cast<int>(threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z));
}

GG_DEVICE int lane_id() {
  return thread_rank() % kWarp;
}

GG_DEVICE int warp_id() {
  return thread_rank() / kWarp;
}

/// The value of lane (lane ^ mask); any trivially copyable T.
template <class T>
GG_DEVICE T shuffle_xor(T value, int mask GG_WHERE) {
#if GG_SIMULATOR
  return sim::shuffle(kFullMask, value, static_cast<int>(sim::self->lane) ^ mask, "shuffle_xor",
                      where);
#else
  constexpr int words = (sizeof(T) + 3) / 4;
  unsigned raw[words] = {};
  memcpy(raw, &value, sizeof(T));
#pragma unroll
  for (int i = 0; i < words; i++) raw[i] = __shfl_xor_sync(kFullMask, raw[i], mask);
  memcpy(&value, raw, sizeof(T));
  return value;
#endif
}

/// op over the 32 lanes, in index order; every lane gets it. op need not commute. All lanes call.
template <class T, class Op>
GG_DEVICE T warp_reduce(T value, Op op GG_WHERE) {
  const int lane = lane_id();
#pragma unroll
  for (int offset = 1; offset < kWarp; offset *= 2) {
    const T other = shuffle_xor(value, offset GG_PASS_WHERE);
    value = lane & offset ? op(other, value) : op(value, other);
  }
  return value;
}

/// The larger, and NaN if either is.
struct MaxOp {
  template <class T>
  GG_HD T operator()(T a, T b) const {
    return a > b || a != a ? a : b;
  }
};

/// The smaller, and NaN if either is.
struct MinOp {
  template <class T>
  GG_HD T operator()(T a, T b) const {
    return a < b || a != a ? a : b;
  }
};

struct SumOp {
  template <class T>
  GG_HD T operator()(T a, T b) const {
    return a + b;
  }
};

/// Sum over the 32 lanes; every lane gets the same bits, because each addition commutes.
template <class T>
GG_DEVICE T warp_sum(T value GG_WHERE) {
#pragma unroll
  for (int offset = 1; offset < kWarp; offset *= 2) {
    value = value + shuffle_xor(value, offset GG_PASS_WHERE);
  }
  return value;
}

template <class T>
GG_DEVICE T warp_max(T value GG_WHERE) {
#pragma unroll
  for (int offset = 1; offset < kWarp; offset *= 2) {
    value = MaxOp()(value, shuffle_xor(value, offset GG_PASS_WHERE));
  }
  return value;
}

template <class T>
GG_DEVICE T warp_min(T value GG_WHERE) {
#pragma unroll
  for (int offset = 1; offset < kWarp; offset *= 2) {
    value = MinOp()(value, shuffle_xor(value, offset GG_PASS_WHERE));
  }
  return value;
}

namespace detail {

#if GG_SIMULATOR
template <class T>
T warp_redux(sim::Redux op, T value, sim::Where where) {
  static_assert(std::is_same_v<T, int> || std::is_same_v<T, unsigned>);
  return static_cast<T>(sim::redux(op, static_cast<uint32_t>(value), std::is_signed_v<T>, where));
}
#else
template <class T, class Op>
GG_DEVICE T warp_fold(T value, Op op) {
#pragma unroll
  for (int offset = 1; offset < kWarp; offset *= 2) value = op(value, shuffle_xor(value, offset));
  return value;
}
#endif

}  // namespace detail

// Reductions of int or unsigned over the 32 lanes, which all call and all get the result. One
// instruction on sm_80 and up (PTX ISA, "Parallel synchronization and communication instructions:
// redux.sync"); shuffles below.
#if GG_SIMULATOR
#define GG_REDUX(name, sim_op, cuda_op, Word, expression)           \
  template <class T>                                                \
  GG_DEVICE T warp_redux_##name(T value GG_WHERE) {                 \
    return detail::warp_redux<T>(sim::Redux::sim_op, value, where); \
  }
#elif GG_ARCH_AT_LEAST(80)
#define GG_REDUX(name, sim_op, cuda_op, Word, expression)                                  \
  template <class T>                                                                       \
  GG_DEVICE T warp_redux_##name(T value) {                                                 \
    static_assert(std::is_same_v<T, int> || std::is_same_v<T, unsigned>);                  \
    return static_cast<T>(__reduce_##cuda_op##_sync(kFullMask, static_cast<Word>(value))); \
  }
#else
#define GG_REDUX(name, sim_op, cuda_op, Word, expression)                 \
  template <class T>                                                      \
  GG_DEVICE T warp_redux_##name(T value) {                                \
    static_assert(std::is_same_v<T, int> || std::is_same_v<T, unsigned>); \
    return detail::warp_fold(value, [](T a, T b) { return expression; }); \
  }
#endif
GG_REDUX(add, add, add, T, static_cast<T>(static_cast<unsigned>(a) + static_cast<unsigned>(b)))
GG_REDUX(min, min, min, T, a < b ? a : b)
GG_REDUX(max, max, max, T, a > b ? a : b)
GG_REDUX(and, bit_and, and, unsigned, a& b)
GG_REDUX(or, bit_or, or, unsigned, a | b)
GG_REDUX(xor, bit_xor, xor, unsigned, a ^ b)
#undef GG_REDUX

/// op over all threads of the block, in index order; every thread gets it. identity is op's neutral
/// element. All threads call it; the block's size is a multiple of 32. T has no initialisers. Ends
/// with a barrier, so calls may follow one another.
template <class T, class Op>
GG_DEVICE T block_reduce(T value, Op op, T identity GG_WHERE) {
  GG_SHARED(block_partial, T[kWarp]);
  const int warps = static_cast<int>(blockDim.x * blockDim.y * blockDim.z) / kWarp;
  value = warp_reduce(value, op GG_PASS_WHERE);
  if (warps == 1) return value;
  if (lane_id() == 0) block_partial[warp_id()] = value;
  __syncthreads(GG_PASS_WHERE_ONLY);
  value = lane_id() < warps ? block_partial[lane_id()] : identity;
  value = warp_reduce(value, op GG_PASS_WHERE);
  __syncthreads(GG_PASS_WHERE_ONLY);
  return value;
}

}  // namespace gg
