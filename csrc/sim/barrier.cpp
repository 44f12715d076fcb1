// __syncthreads and the grid barrier, which count threads that have not exited; named barriers,
// which count to the number they are given; waiting for the grid before.

#include "sim/team.h"

namespace gg::sim {

static void release_block(Block& block) {
  Barrier& b = block.barrier;
  Team& team = *block.team;
  for (unsigned w = 0; w < team.warps_per_block; w++) {
    if (block.waiting[w]) wake(team, block.warps[w].number, block.waiting[w]);
    block.waiting[w] = 0;
  }
  b.result = b.votes;
  b.arrived = b.votes = 0;
  b.phase++;
}

static void check_meeting(const Barrier& b, const char* name, Where where) {
  if (b.arrived == 0 || (same_place(b.where, where) && same_text(b.name, name))) return;
  fail(where, "%s meets %s at %s:%u: threads of one block are at different barriers", name, b.name,
       b.where.file_name(), static_cast<unsigned>(b.where.line()));
}

int barrier(bool predicate, const char* name, Where where) {
  Lane& lane = *current();
  Block& block = *lane.block;
  Barrier& b = block.barrier;
  check_meeting(b, name, where);
  b.name = name;
  b.where = where;
  b.votes += predicate;
  char* tag = block.tag(b.phase & 1);
  release(tag);
  if (++b.arrived == block.live) {
    release_block(block);
    maybe_switch();
  } else {
    block.waiting[lane.warp - block.warps] |= 1u << lane.lane;
    wait(name, where);
  }
  acquire(tag);
  return static_cast<int>(b.result);
}

static void release_grid(Team& team) {
  Barrier& b = team.grid_barrier;
  for (size_t w = 0; w < team.warps.size(); w++) {
    if (team.grid_waiting[w]) wake(team, static_cast<unsigned>(w), team.grid_waiting[w]);
    team.grid_waiting[w] = 0;
  }
  b.arrived = 0;
  b.phase++;
}

void grid_sync(Where where) {
  Lane& lane = *current();
  Team& team = *lane.block->team;
  if (!team.run->launch->cooperative) {
    fail(where, "grid_sync in a kernel not started by launch_cooperative");
  }
  Barrier& b = team.grid_barrier;
  check_meeting(b, "grid_sync", where);
  b.name = "grid_sync";
  b.where = where;
  char* tag = &team.grid_tags[b.phase & 1];
  release(tag);
  if (++b.arrived == team.live) {
    release_grid(team);
    maybe_switch();
  } else {
    team.grid_waiting[lane.warp->number] |= 1u << lane.lane;
    wait("grid_sync", where);
  }
  acquire(tag);
}

// ---- named barriers ----------------------------------------------------------------------------

namespace {

constexpr const char* kNames[2][kNamedBarriers] = {
    {"", "barrier_arrive(1)", "barrier_arrive(2)", "barrier_arrive(3)", "barrier_arrive(4)",
     "barrier_arrive(5)", "barrier_arrive(6)", "barrier_arrive(7)", "barrier_arrive(8)",
     "barrier_arrive(9)", "barrier_arrive(10)", "barrier_arrive(11)", "barrier_arrive(12)",
     "barrier_arrive(13)", "barrier_arrive(14)", "barrier_arrive(15)"},
    {"", "barrier_sync(1)", "barrier_sync(2)", "barrier_sync(3)", "barrier_sync(4)",
     "barrier_sync(5)", "barrier_sync(6)", "barrier_sync(7)", "barrier_sync(8)", "barrier_sync(9)",
     "barrier_sync(10)", "barrier_sync(11)", "barrier_sync(12)", "barrier_sync(13)",
     "barrier_sync(14)", "barrier_sync(15)"}};
constexpr unsigned kNamedTags = 48;  // and those that follow; two for each barrier

const char* name_of(int id, int threads, bool waits, Where where) {
  const char* call = waits ? "barrier_sync" : "barrier_arrive";
  if (id == 0) fail(where, "%s: barrier 0 is that of __syncthreads; use 1 to 15", call);
  if (id < 0 || id >= kNamedBarriers) fail(where, "%s: no barrier %d; use 1 to 15", call, id);
  const char* name = kNames[waits][id];
  const dim3 block = current()->geometry->block;
  if (threads <= 0 || threads % 32 != 0) {
    fail(where, "%s: %d threads; it must be a multiple of 32", name, threads);
  }
  if (static_cast<unsigned>(threads) > block.x * block.y * block.z) {
    fail(where, "%s: %d threads; the block has %u", name, threads, block.x * block.y * block.z);
  }
  return name;
}

void check_named(const NamedBarrier& b, const Lane& lane, const char* name, int threads,
                 Where where) {
  if (b.arrived == 0) return;
  if (b.threads != threads) {
    fail(where, "%s: %d threads, but %d at %s:%u", name, threads, b.threads, b.where.file_name(),
         static_cast<unsigned>(b.where.line()));
  }
  if (b.arrivals[lane.warp - lane.block->warps] >> lane.lane & 1) {
    fail(where, "%s: this thread arrives again before the barrier is complete (%d of %d threads)",
         name, b.arrived, b.threads);
  }
}

void release_named(Block& block, NamedBarrier& b) {
  Team& team = *block.team;
  for (unsigned w = 0; w < team.warps_per_block; w++) {
    if (b.waiting[w]) wake(team, block.warps[w].number, b.waiting[w]);
    b.waiting[w] = b.arrivals[w] = 0;
  }
  b.arrived = 0;
  b.phase++;
}

}  // namespace

void named_barrier(int id, int threads, bool waits, Where where) {
  Lane& lane = *current();
  Block& block = *lane.block;
  const char* name = name_of(id, threads, waits, where);
  NamedBarrier& b = block.named[id];
  check_named(b, lane, name, threads, where);
  const unsigned warp = static_cast<unsigned>(lane.warp - block.warps);
  if (b.arrived == 0) {
    b.threads = threads;
    b.where = where;
  }
  b.arrivals[warp] |= 1u << lane.lane;
  char* tag = block.tag(kNamedTags + 2 * static_cast<unsigned>(id) + (b.phase & 1));
  release(tag);
  if (++b.arrived == threads) {
    release_named(block, b);
    maybe_switch();
  } else if (waits) {
    b.waiting[warp] |= 1u << lane.lane;
    wait(name, where);
  } else {
    maybe_switch();
  }
  if (waits) acquire(tag);
}

void describe_barriers(Team& team, char* text, size_t size) {
  for (const Block& block : team.blocks) {
    for (int id = 1; id < kNamedBarriers; id++) {
      const NamedBarrier& b = block.named[id];
      if (b.arrived == 0) continue;
      const uint3 i = block.geometry.block_index;
      append(text, size, "\n  barrier %d of block (%u, %u, %u): %d of %d threads have arrived", id,
             i.x, i.y, i.z, b.arrived, b.threads);
    }
  }
}

// ---- the grid before ---------------------------------------------------------------------------

void grid_dependency_wait() {
  current()->waited_for_grid = true;
}

// Without the wait the kernel would be complete before its predecessor, and what that wrote need
// not be visible to the next one.
void lane_left_grid(Lane& lane) {
  const Launch& launch = *lane.block->team->run->launch;
  const bool waited = lane.waited_for_grid;
  lane.waited_for_grid = false;
  if (!launch.dependent || waited) return;
  fail(launch.where, "launch_dependent: a thread has exited without grid_dependency_wait");
}

// ---- exits, fences -----------------------------------------------------------------------------

void lane_left_barriers(Lane& lane) {
  Block& block = *lane.block;
  Team& team = *block.team;
  if (block.barrier.arrived && block.barrier.arrived == block.live) release_block(block);
  if (team.grid_barrier.arrived && team.grid_barrier.arrived == team.live) release_grid(team);
}

void fence() {
  static char tag;
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  release(&tag);
  acquire(&tag);
}

}  // namespace gg::sim
