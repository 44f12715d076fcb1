// Exclusive prefix sums over a warp and over a block.
#pragma once

#include "device/device.h"

namespace gg {

template <class T>
struct PrefixSum {
  T before;  ///< sum over the threads of lower rank
  T total;   ///< sum over all threads
};

/// All lanes call.
template <class T>
GG_DEVICE PrefixSum<T> warp_exclusive_sum(T value) {
  T inclusive = value;
#pragma unroll
  for (int offset = 1; offset < kWarp; offset *= 2) {
    const T other = __shfl_up_sync(kFullMask, inclusive, offset);
    if (lane_id() >= offset) inclusive += other;
  }
  return {inclusive - value, __shfl_sync(kFullMask, inclusive, kWarp - 1)};
}

/// For one-dimensional blocks of whole warps. All threads call; ends with a barrier.
template <class T>
GG_DEVICE PrefixSum<T> block_exclusive_sum(T value) {
  GG_SHARED(warp_total, T[kWarp]);
  const int warp = warp_id(), warps = static_cast<int>(blockDim.x) / kWarp;
  const PrefixSum<T> in_warp = warp_exclusive_sum(value);
  if (lane_id() == 0) warp_total[warp] = in_warp.total;
  __syncthreads();
  T before = in_warp.before, total = 0;
  for (int w = 0; w < warps; w++) {
    if (w == warp) before += total;
    total += warp_total[w];
  }
  __syncthreads();
  return {before, total};
}

}  // namespace gg
