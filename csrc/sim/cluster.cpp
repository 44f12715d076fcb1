// Clusters: their barrier, and the way to another block's shared memory.

#include "sim/team.h"

namespace gg::sim {
namespace {

unsigned live_threads(const Block& cluster) {
  unsigned live = 0;
  for (unsigned i = 0; i < cluster.async.cluster_blocks; i++) live += (&cluster)[i].live;
  return live;
}

void release_cluster(Block& cluster) {
  Team& team = *cluster.team;
  for (unsigned i = 0; i < cluster.async.cluster_blocks; i++) {
    Block& block = (&cluster)[i];
    for (unsigned w = 0; w < team.warps_per_block; w++) {
      uint32_t& waiting = block.async.in_cluster_wait[w];
      if (waiting) wake(team, block.warps[w].number, waiting);
      waiting = 0;
    }
  }
  cluster.async.barrier.arrived = 0;
  cluster.async.barrier.phase++;
}

/// Whoever looks at the shared memory of a block that is gone gets NaN, a report of ASan, or a
/// race.
void close_shared(Block& block) {
  const size_t end = block.team->slots_end;
  if (kTsan) {
    acquire(block.tag(kExitTag));
    tsan_write(block.arena + kReservedShared, end - kReservedShared);
  } else if (!kAsan) {
    memset(block.arena + kReservedShared, 0xff, end - kReservedShared);
  }
  poison(block.arena, kArenaBytes);
}

}  // namespace

unsigned cluster_rank() {
  return current()->block->async.rank;
}

unsigned cluster_size() {
  return current()->block->async.cluster_blocks;
}

void cluster_arrive(Where where) {
  need_hopper("cluster_arrive", where);
  Lane& lane = *current();
  Block& cluster = *lane.block->async.cluster;
  ClusterBarrier& b = cluster.async.barrier;
  if (lane.async.in_cluster_barrier) {
    fail(where, "cluster_arrive: the thread has arrived already; cluster_wait comes first");
  }
  lane.async.in_cluster_barrier = true;
  lane.async.cluster_phase = b.phase;
  release(cluster.tag(kClusterTags + (b.phase & 1)));
  if (++b.arrived == live_threads(cluster)) release_cluster(cluster);
}

void cluster_wait(Where where) {
  need_hopper("cluster_wait", where);
  Lane& lane = *current();
  Block& block = *lane.block;
  Block& cluster = *block.async.cluster;
  if (!lane.async.in_cluster_barrier) {
    fail(where, "cluster_wait: the thread has not called cluster_arrive");
  }
  const unsigned phase = lane.async.cluster_phase;
  if (cluster.async.barrier.phase == phase) {
    block.async.in_cluster_wait[lane.warp - block.warps] |= 1u << lane.lane;
    wait("cluster_wait", where);
  } else {
    maybe_switch();
  }
  lane.async.in_cluster_barrier = false;
  acquire(cluster.tag(kClusterTags + (phase & 1)));
}

Block& block_of_rank(Block& block, unsigned rank, const char* name, Where where) {
  const BlockAsync& a = block.async;
  if (rank >= a.cluster_blocks) {
    fail(where, "%s: rank %u in a cluster of %u", name, rank, a.cluster_blocks);
  }
  Block& other = a.cluster[rank];
  if (other.live == 0) {
    fail(where, "%s: block %u of the cluster has exited; its shared memory is gone", name, rank);
  }
  return other;
}

void* cluster_map(const void* p, unsigned rank, Where where) {
  need_hopper("cluster_map", where);
  check_shared(p, 1, 1, "cluster_map", where);
  Block& own = *current()->block;
  Block& other = block_of_rank(own, rank, "cluster_map", where);
  // A static variable that the other block has not reached yet is set up there now.
  ready_shared(other, own.filled_slots);
  return other.arena + (static_cast<const char*>(p) - own.arena);
}

void lane_left_cluster(Lane& lane) {
  Block& block = *lane.block;
  Block& cluster = *block.async.cluster;
  if (lane.async.in_cluster_barrier && cluster.async.barrier.phase == lane.async.cluster_phase) {
    // An exited thread does not count, so its arrival may not stand for another's.
    cluster.async.barrier.arrived--;
  }
  const ClusterBarrier& b = cluster.async.barrier;
  if (b.arrived && b.arrived == live_threads(cluster)) release_cluster(cluster);
  if (block.async.cluster_blocks == 1) return;
  release(block.tag(kExitTag));
  if (block.live == 0) close_shared(block);
}

}  // namespace gg::sim
