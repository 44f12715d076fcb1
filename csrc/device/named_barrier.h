// Barriers of some of a block's warps, numbers 1 to 15; number 0 is __syncthreads.
//
// A barrier completes when `threads` threads, a multiple of 32, have arrived, by either call; then
// it may be used again. All lanes of a warp call together, and no warp arrives twice before the
// barrier completes. What a thread wrote before it arrived is visible to those that synchronise.
//
// PTX ISA, "Parallel synchronization and communication instructions: bar, barrier".
#pragma once

#include "device/platform.h"

namespace gg {

/// Arrives and waits for the rest.
GG_DEVICE void barrier_sync(int id, int threads GG_WHERE) {
#if GG_SIMULATOR
  sim::named_barrier(id, threads, true, where);
#else
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
#endif
}

/// Arrives and goes on: for a producer of what others will read after barrier_sync.
GG_DEVICE void barrier_arrive(int id, int threads GG_WHERE) {
#if GG_SIMULATOR
  sim::named_barrier(id, threads, false, where);
#else
  asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
#endif
}

}  // namespace gg
