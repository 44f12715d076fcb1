// Exclusive prefix sums over a block.
#pragma once

#include "device/device.h"

namespace gg {

template <class T>
struct BlockSum {
  T before;  ///< sum over the threads of lower rank
  T total;   ///< sum over all threads
};

/// For one-dimensional blocks of whole warps. All threads call; ends with a barrier.
template <class T>
GG_DEVICE BlockSum<T> block_exclusive_sum(T value) {
  GG_SHARED(warp_total, T[kWarp]);
  const int lane = lane_id(), warp = warp_id(), warps = static_cast<int>(blockDim.x) / kWarp;
  T inclusive = value;
#pragma unroll
  for (int offset = 1; offset < kWarp; offset *= 2) {
    const T other = __shfl_up_sync(kFullMask, inclusive, offset);
    if (lane >= offset) inclusive += other;
  }
  if (lane == kWarp - 1) warp_total[warp] = inclusive;
  __syncthreads();
  T before = inclusive - value, total = 0;
  for (int w = 0; w < warps; w++) {
    if (w == warp) before += total;
    total += warp_total[w];
  }
  __syncthreads();
  return {before, total};
}

}  // namespace gg
