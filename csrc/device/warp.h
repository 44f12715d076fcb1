// Lanes and reductions over a warp and a block. All are deterministic: partial results meet in a
// fixed tree, lower index on the left, whatever order threads run in.
#pragma once

#include <cstring>

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
