// A ring of stages in shared memory between a thread that fills them by TMA and the warps that
// compute on them.
//
//   GG_SHARED(barriers, RingBarriers<4>);
//   run_pipeline<256, 240, 24>(barriers, [&] { consume(...); }, [&] { produce(...); });
//
//   producer, one thread:                      consumers, whole warps:
//     RingPosition<4> at;                        RingPosition<4> at;
//     for (...; at.advance()) {                  for (...; at.advance()) {
//       Mbarrier* full =                           ring_wait(barriers, at);
//           ring_acquire(barriers, at, bytes);     ... compute on stage at.stage ...
//       tma_load(stage(at.stage), ..., full);      ring_release(barriers, at);
//     }                                          }
//
// A stage goes round: empty -> acquired -> full (all its bytes have arrived) -> released by every
// consumer warp -> empty. Both sides walk the ring on their own; the parity of a position tells
// which round it is in. Nobody waits at the end: TMA's last bytes are waited for by the consumers,
// and a release that nobody acquires is only counted.
#pragma once

#include "device/device.h"
#include "device/hopper.h"

namespace gg {

template <int Stages>
struct RingBarriers {
  Mbarrier full[Stages];   ///< one arrival (the producer's) and the stage's bytes
  Mbarrier empty[Stages];  ///< one arrival for each consumer warp, of all blocks that share it
};

/// A stage, and the parity of the round that this side is in.
template <int Stages>
struct RingPosition {
  int stage = 0;
  unsigned parity = 0;

  GG_HD void advance() {
    stage++;
    if (stage == Stages) {
      stage = 0;
      parity ^= 1;
    }
  }

  /// Passes over stages that others consume.
  GG_HD void skip(int64_t steps) {
    const int64_t to = stage + steps;
    stage = static_cast<int>(to % Stages);
    parity ^= static_cast<unsigned>(to / Stages) & 1;
  }

  /// The position `steps` back.
  GG_HD RingPosition back(int steps) const {
    RingPosition p = *this;
    p.stage -= steps;
    if (p.stage < 0) {
      p.stage += Stages;
      p.parity ^= 1;
    }
    return p;
  }
};

/// By one thread, before the block's (or cluster's) barrier.
template <int Stages>
GG_DEVICE void ring_init(RingBarriers<Stages>& ring, int consumer_warps) {
  for (int i = 0; i < Stages; i++) {
    mbarrier_init(&ring.full[i], 1);
    mbarrier_init(&ring.empty[i], consumer_warps);
  }
  fence_mbarrier_init();
}

/// Waits until the stage is empty and says how many bytes will fill it. Returns the barrier that
/// those copies report to.
template <int Stages>
GG_DEVICE Mbarrier* ring_acquire(RingBarriers<Stages>& ring, RingPosition<Stages> at, int bytes) {
  // The round before this one: of a fresh barrier, waiting for parity 1 returns at once.
  mbarrier_wait(&ring.empty[at.stage], at.parity ^ 1);
  mbarrier_expect_tx(&ring.full[at.stage], bytes);
  return &ring.full[at.stage];
}

/// Waits until the stage is full.
template <int Stages>
GG_DEVICE void ring_wait(RingBarriers<Stages>& ring, RingPosition<Stages> at) {
  mbarrier_wait(&ring.full[at.stage], at.parity);
}

/// This warp has read the stage: all of its lanes, and wgmma as far as wgmma_wait has seen.
template <int Stages>
GG_DEVICE void ring_release(RingBarriers<Stages>& ring, RingPosition<Stages> at) {
  if (threadIdx.x % 32 == 0) mbarrier_arrive(&ring.empty[at.stage]);
}

/// The same, of a stage whose tiles several blocks of a cluster get: each block's producer waits
/// for the consumers of all.
template <int Stages>
GG_DEVICE void ring_release_cluster(RingBarriers<Stages>& ring, RingPosition<Stages> at,
                                    int blocks) {
  const unsigned lane = threadIdx.x % 32;
  if (lane < static_cast<unsigned>(blocks)) mbarrier_arrive_remote(&ring.empty[at.stage], lane);
}

/// A block whose first `Consumers` threads compute and one of whose others fills the ring. Both
/// sides run to their end; registers of a thread go from those to these (setmaxnreg). A stage is
/// released by `warps` warps of each of the cluster's blocks.
template <int Consumers, int ConsumerRegisters, int ProducerRegisters, int Stages, class Consume,
          class Produce>
GG_DEVICE void run_cluster_pipeline(RingBarriers<Stages>& ring, int warps, int blocks,
                                    const Consume& consume, const Produce& produce) {
  if (threadIdx.x == 0) ring_init(ring, warps * blocks);
  if (blocks == 1) {
    __syncthreads();
  } else {
    cluster_sync();
  }
  if (threadIdx.x < Consumers) {
    registers_increase<ConsumerRegisters>();
    consume();
  } else {
    registers_decrease<ProducerRegisters>();
    if (threadIdx.x == Consumers) produce();
  }
  if (blocks > 1) cluster_sync();  // others still write to this block and arrive at its barriers
}

/// The same for a block of its own, whose consumer warps release every stage.
template <int Consumers, int ConsumerRegisters, int ProducerRegisters, int Stages, class Consume,
          class Produce>
GG_DEVICE void run_pipeline(RingBarriers<Stages>& ring, const Consume& consume,
                            const Produce& produce) {
  run_cluster_pipeline<Consumers, ConsumerRegisters, ProducerRegisters>(ring, Consumers / 32, 1,
                                                                        consume, produce);
}

}  // namespace gg
