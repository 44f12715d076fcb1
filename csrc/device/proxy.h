// Order between ordinary accesses and those of TMA and wgmma, which go through the async proxy.
//
// A thread that wrote shared memory with ordinary stores calls fence_proxy_async() before it
// signals (by __syncthreads, an mbarrier, ...) the thread that lets tma_store or wgmma read it.
// After an mbarrier_wait for a tma_load no fence is needed.
// PTX ISA, Parallel Synchronization and Communication Instructions: fence.proxy.async. sm_90a;
// traps elsewhere.
#pragma once

#include "device/shared_address.h"

namespace gg {

/// For shared memory.
GG_DEVICE void fence_proxy_async(GG_WHERE_ONLY) {
#if GG_SIMULATOR
  sim::fence_proxy_async(where);
#elif GG_HOPPER
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#else
  __trap();
#endif
}

/// For global memory that this thread wrote and a TMA copy is to read.
GG_DEVICE void fence_proxy_async_global() {
#if !GG_HOPPER
  __trap();
#elif !GG_SIMULATOR
  asm volatile("fence.proxy.async.global;" ::: "memory");
#endif
}

}  // namespace gg
