// Barriers in shared memory that count arrivals of threads and bytes of asynchronous copies.
//
//   one thread:  mbarrier_init(&full, 1); fence_mbarrier_init(); then __syncthreads()
//   producer:    mbarrier_expect_tx(&full, bytes); tma_load(tile, &map, &full, x, y);
//   consumer:    mbarrier_wait(&full, parity); ...; parity ^= 1;
//
// A phase is over when all expected arrivals and bytes have come; the next begins at once. Phases
// have parity 0, 1, 0, ...; waiting for parity 1 of a fresh barrier returns at once.
// PTX ISA, Parallel Synchronization and Communication Instructions: mbarrier. sm_90a; traps
// elsewhere.
#pragma once

#include "device/shared_address.h"

namespace gg {

using Mbarrier = uint64_t;

/// Sets up a barrier whose phases take `count` arrivals, by one thread. fence_mbarrier_init and a
/// barrier of the block (or cluster) come between this and anybody's use.
GG_DEVICE void mbarrier_init(Mbarrier* barrier, int count GG_WHERE) {
#if GG_SIMULATOR
  sim::mbarrier_init(barrier, static_cast<unsigned>(count), where);
#elif GG_HOPPER
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(count)
               : "memory");
#else
  __trap();
#endif
}

/// Makes the barriers this thread has set up visible to the cluster and to TMA.
GG_DEVICE void fence_mbarrier_init(GG_WHERE_ONLY) {
#if GG_SIMULATOR
  sim::fence_mbarrier_init(where);
#elif GG_HOPPER
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#else
  __trap();
#endif
}

/// Ends a barrier's life, so that its memory may be used for something else.
GG_DEVICE void mbarrier_invalidate(Mbarrier* barrier GG_WHERE) {
#if GG_SIMULATOR
  sim::mbarrier_invalidate(barrier, where);
#elif GG_HOPPER
  asm volatile("mbarrier.inval.shared::cta.b64 [%0];" ::"r"(shared_address(barrier)) : "memory");
#else
  __trap();
#endif
}

/// Arrives once: what this thread did before is visible to those who wait for the phase.
GG_DEVICE void mbarrier_arrive(Mbarrier* barrier GG_WHERE) {
#if GG_SIMULATOR
  sim::mbarrier_arrive(barrier, 0, 1, where);
#elif GG_HOPPER
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier))
               : "memory");
#else
  __trap();
#endif
}

/// Adds `bytes` to what the phase waits for, and arrives once.
GG_DEVICE void mbarrier_expect_tx(Mbarrier* barrier, int bytes GG_WHERE) {
#if GG_SIMULATOR
  sim::mbarrier_arrive(barrier, static_cast<unsigned>(bytes), 1, where);
#elif GG_HOPPER
  asm volatile(
      "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)),
      "r"(bytes)
      : "memory");
#else
  __trap();
#endif
}

/// Adds `bytes` to what the phase waits for, without arriving.
GG_DEVICE void mbarrier_expect_tx_only(Mbarrier* barrier, int bytes GG_WHERE) {
#if GG_SIMULATOR
  sim::mbarrier_arrive(barrier, static_cast<unsigned>(bytes), 0, where);
#elif GG_HOPPER
  asm volatile(
      "mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)),
      "r"(bytes)
      : "memory");
#else
  __trap();
#endif
}

/// Arrives once at the barrier at the same place in block `rank` of the cluster: says that this
/// thread is done with its own shared memory, so that the other block may have TMA overwrite it. It
/// releases to this block only (.release.cta, the default): data written to another block's memory
/// is not handed over, for which cluster_sync is there, and TSan in the simulator would not report
/// a reader that relies on it. Release in the whole cluster would cost a membar.gpu, and acquire an
/// invalidation of L1, in every arrival and wait.
GG_DEVICE void mbarrier_arrive_remote(Mbarrier* barrier, unsigned rank GG_WHERE) {
#if GG_SIMULATOR
  sim::mbarrier_arrive_remote(barrier, rank, where);
#elif GG_HOPPER
  asm volatile(
      "{\n"
      ".reg .b32 remote;\n"
      "mapa.shared::cluster.u32 remote, %0, %1;\n"
      "mbarrier.arrive.shared::cluster.b64 _, [remote];\n"
      "}" ::"r"(shared_address(barrier)),
      "r"(rank)
      : "memory");
#else
  __trap();
#endif
}

/// Whether the phase of this parity is over; does not wait. A loop around it needs spin_pause().
GG_DEVICE bool mbarrier_test(Mbarrier* barrier, unsigned parity GG_WHERE) {
#if GG_SIMULATOR
  return sim::mbarrier_test(barrier, parity, where);
#elif GG_HOPPER
  unsigned over;
  asm volatile(
      "{\n"
      ".reg .pred p;\n"
      "mbarrier.test_wait.parity.shared::cta.b64 p, [%1], %2;\n"
      "selp.u32 %0, 1, 0, p;\n"
      "}"
      : "=r"(over)
      : "r"(shared_address(barrier)), "r"(parity)
      : "memory");
  return over != 0;
#else
  __trap();
  return true;
#endif
}

/// Returns when the phase of this parity is over. What this block's threads did before they
/// arrived, and what TMA wrote, is visible after it.
GG_DEVICE void mbarrier_wait(Mbarrier* barrier, unsigned parity GG_WHERE) {
#if GG_SIMULATOR
  sim::mbarrier_wait(barrier, parity, where);
#elif GG_HOPPER
  // try_wait sleeps for a while in hardware, so the loop seldom turns. %= makes the label unique.
  asm volatile(
      "{\n"
      ".reg .pred p;\n"
      "mbarrier_wait_%=:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\n"
      "@!p bra mbarrier_wait_%=;\n"
      "}" ::"r"(shared_address(barrier)),
      "r"(parity)
      : "memory");
#else
  __trap();
#endif
}

}  // namespace gg
