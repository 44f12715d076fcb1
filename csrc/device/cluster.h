// Clusters: up to 8 neighbouring blocks that run at once and reach each other's shared memory.
// Kernels started by launch_cluster (launch.h); in any other, a block is a cluster of its own.
// PTX ISA: Special Registers %cluster_ctarank, %cluster_nctarank; Parallel Synchronization and
// Communication Instructions: barrier.cluster; Data Movement: mapa. sm_90a. Elsewhere cluster_rank
// is 0 and cluster_size 1, so that code can ask, and the others trap.
#pragma once

#include "device/shared_address.h"

namespace gg {

/// This block's index in its cluster, x fastest.
GG_DEVICE unsigned cluster_rank() {
#if GG_SIMULATOR
  return sim::cluster_rank();
#elif GG_HOPPER
  unsigned rank;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
#else
  return 0;
#endif
}

/// Blocks in the cluster.
GG_DEVICE unsigned cluster_size() {
#if GG_SIMULATOR
  return sim::cluster_size();
#elif GG_HOPPER
  unsigned size;
  asm volatile("mov.u32 %0, %%cluster_nctarank;" : "=r"(size));
  return size;
#else
  return 1;
#endif
}

/// Arrives at the cluster's barrier without waiting; every thread does so once, then waits. In a
/// launch without clusters hardware uses barrier 0 of the block for it, as __syncthreads does, so
/// none of those may come between arrival and wait; the simulator does not check this.
GG_DEVICE void cluster_arrive(GG_WHERE_ONLY) {
#if GG_SIMULATOR
  sim::cluster_arrive(where);
#elif GG_HOPPER
  asm volatile("barrier.cluster.arrive.release;" ::: "memory");
#else
  __trap();
#endif
}

/// Returns when every thread of the cluster that has not exited has arrived; what they did before
/// is visible after it.
GG_DEVICE void cluster_wait(GG_WHERE_ONLY) {
#if GG_SIMULATOR
  sim::cluster_wait(where);
#elif GG_HOPPER
  asm volatile("barrier.cluster.wait.acquire;" ::: "memory");
#else
  __trap();
#endif
}

/// A block may not exit while others still read or signal its shared memory: kernels that reach
/// into other blocks end with one of these.
GG_DEVICE void cluster_sync(GG_WHERE_ONLY) {
  cluster_arrive(GG_PASS_WHERE_ONLY);
  cluster_wait(GG_PASS_WHERE_ONLY);
}

/// The object of block `rank` at the same place in its shared memory as p in this one's; read and
/// written like any other memory.
template <class T>
GG_DEVICE T* cluster_map(T* p, unsigned rank GG_WHERE) {
#if GG_SIMULATOR
  return static_cast<T*>(sim::cluster_map(p, rank, where));
#elif GG_HOPPER
  T* mapped;
  asm volatile("mapa.u64 %0, %1, %2;" : "=l"(mapped) : "l"(p), "r"(rank));
  return mapped;
#else
  __trap();
  return p;
#endif
}

}  // namespace gg
