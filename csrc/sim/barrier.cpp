// __syncthreads and the grid barrier. Both count threads that have not exited.

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
