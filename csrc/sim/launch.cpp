// launch(): checks, sets up teams, hands blocks out to CPU threads.

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <numeric>
#include <string>

#include "sim/count.h"
#include "sim/team.h"
#include "sim/workers.h"

namespace gg::sim {
namespace {

// ---- checks ------------------------------------------------------------------------------------

[[noreturn]] void refuse(const Launch& l, const std::string& what) {
  throw Error(std::string(l.where.file_name()) + ":" + std::to_string(l.where.line()) +
              ": launch: " + what);
}

std::string text(dim3 d) {
  char buffer[64];
  snprintf(buffer, sizeof buffer, "(%u, %u, %u)", d.x, d.y, d.z);
  return buffer;
}

uint64_t volume(dim3 d) {
  return uint64_t{d.x} * d.y * d.z;
}

bool divides(dim3 cluster, dim3 grid) {
  return grid.x % cluster.x == 0 && grid.y % cluster.y == 0 && grid.z % cluster.z == 0;
}

void check_cluster(const Launch& l) {
  const uint64_t blocks = volume(l.cluster);
  if (blocks == 0 || blocks > kMaxCluster) {
    refuse(l, "cluster " + text(l.cluster) + " must have 1 to 8 blocks");
  }
  if (!divides(l.cluster, l.grid)) {
    refuse(l, "grid " + text(l.grid) + " is not a multiple of the cluster " + text(l.cluster));
  }
  if (blocks > 1 && architecture() < 90) {
    refuse(l, "clusters need architecture 90, and the simulated GPU is " +
                  std::to_string(architecture()));
  }
}

void check(const Launch& l) {
  if (volume(l.block) == 0 || volume(l.block) > 1024 || l.block.z > 64) {
    refuse(l, "block " + text(l.block) + " must have 1 to 1024 threads, at most 64 in z");
  }
  if (l.grid.x > 0x7fffffffu || l.grid.y > 65535 || l.grid.z > 65535 ||
      volume(l.grid) > 0xffffffffu) {
    refuse(l, "grid " + text(l.grid) + " must be at most (2147483647, 65535, 65535)");
  }
  if (l.shared_bytes > max_shared()) {
    refuse(l, std::to_string(l.shared_bytes) + " bytes of dynamic shared memory; the limit of sm_" +
                  std::to_string(architecture()) + " is " + std::to_string(max_shared()));
  }
  check_cluster(l);
  if (l.cooperative && volume(l.grid) * volume(l.block) > 8192) {
    refuse(l, "a cooperative grid " + text(l.grid) + " of blocks " + text(l.block) +
                  " does not fit: at most 8192 threads run at once");
  }
}

// ---- a team's blocks ---------------------------------------------------------------------------

void shape_lanes(Team& team, const Launch& l, unsigned per_block) {
  const unsigned wpb = team.warps_per_block;
  for (unsigned b = 0; b < team.blocks.size(); b++) {
    Block& block = team.blocks[b];
    block.team = &team;
    block.warps = &team.warps[b * wpb];
    for (unsigned i = 0; i < per_block; i++) {
      Lane& lane = team.lanes[b * per_block + i];
      lane.thread_index = {i % l.block.x, i / l.block.x % l.block.y, i / l.block.x / l.block.y};
      lane.lane = i % kLanes;
      lane.linear = i;
      lane.number = b * per_block + i;
      lane.geometry = &block.geometry;
      lane.block = &block;
      lane.warp = &team.warps[b * wpb + i / kLanes];
    }
    for (unsigned w = 0; w < wpb; w++) {
      Warp& warp = team.warps[b * wpb + w];
      warp.block = &block;
      warp.number = b * wpb + w;
      warp.lanes = &team.lanes[b * per_block + w * kLanes];
    }
  }
}

/// Makes blocks, warps and lanes for this launch; keeps those of the last one where they fit.
void shape(Team& team, const Launch& l) {
  const unsigned per_block = static_cast<unsigned>(volume(l.block));
  const size_t blocks = l.cooperative ? volume(l.grid) : volume(l.cluster);
  const dim3 last = team.block_shape;
  if (blocks != team.blocks.size() || l.block.x != last.x || l.block.y != last.y ||
      l.block.z != last.z) {
    for (size_t b = blocks; b < team.blocks.size(); b++) free(team.blocks[b].arena);
    team.warps_per_block = (per_block + kLanes - 1) / kLanes;
    team.blocks.resize(blocks);
    team.warps.resize(blocks * team.warps_per_block);
    team.lanes.resize(blocks * per_block);
    shape_lanes(team, l, per_block);
    team.block_shape = l.block;
  }
  team.ready.assign(team.warps.size(), 0);
  team.spinning.assign(team.warps.size(), 0);
  team.grid_waiting.assign(team.warps.size(), 0);
  team.slots.clear();
  team.shared_bytes = l.shared_bytes;
  team.slots_end = kReservedShared + l.shared_bytes;
  team.static_bytes = 0;
}

uint3 unravel(uint64_t i, dim3 shape) {
  return {static_cast<unsigned>(i % shape.x), static_cast<unsigned>(i / shape.x % shape.y),
          static_cast<unsigned>(i / shape.x / shape.y)};
}

/// Of a block whose number counts clusters first, and blocks in a cluster after.
uint3 block_index(const Launch& l, uint64_t number) {
  const dim3 c = l.cluster;
  const uint3 outer =
      unravel(number / volume(c), dim3(l.grid.x / c.x, l.grid.y / c.y, l.grid.z / c.z));
  const uint3 inner = unravel(number % volume(c), c);
  return {outer.x * c.x + inner.x, outer.y * c.y + inner.y, outer.z * c.z + inner.z};
}

void begin_block(Team& team, Block& block, const Launch& l, uint64_t number) {
  const unsigned per_block = static_cast<unsigned>(volume(l.block));
  block.geometry.block_index = block_index(l, number);
  block.geometry.block = l.block;
  block.geometry.grid = l.grid;
  block.live = per_block;
  block.barrier = Barrier{};
  for (NamedBarrier& named : block.named) named = NamedBarrier{};
  for (unsigned w = 0; w < team.warps_per_block; w++) {
    Warp& warp = block.warps[w];
    const unsigned lanes = per_block - w * kLanes;
    warp.live = lanes >= kLanes ? ~0u : (1u << lanes) - 1;
    team.ready[warp.number] = warp.live;
    block.waiting[w] = 0;
  }
  begin_shared(block);
}

/// TSan: blocks that follow one another use different fibers, or they would be ordered.
void prepare_tsan(Team& team) {
  const unsigned sets = team.lanes.size() <= 128 ? 4 : 2;  // some 0.8 MB for each fiber
  team.tsan_set = (team.tsan_set + 1) % sets;
  if (team.fibers.at(sets * team.lanes.size() - 1) == nullptr) throw std::bad_alloc();
}

/// After a failure. What suspended lanes did lies before whatever comes next, though they will
/// never say so themselves.
void forget_lanes(Team& team) {
  for (Lane& lane : team.lanes) {
    if (lane.fiber == nullptr) continue;
    if (kTsan) {
      tsan_switch(lane.fiber->tsan);
      release(&team.end_tag);
      tsan_switch(team.thread.tsan);
    }
    team.fibers.restart(lane.fiber);
    lane.fiber = nullptr;
  }
  forget_copies(team);
  for (Warp& warp : team.warps) {
    for (Meeting& m : warp.meetings) m.arrived = 0;
    warp.open_meetings = 0;
  }
  acquire(&team.end_tag);
}

void run_team(Team& team, Run& run, uint64_t first_block) {
  team.live = static_cast<unsigned>(team.lanes.size());
  team.rounds_spun = 0;
  team.grid_barrier = Barrier{};
  team.random = (run.seed + first_block * 0xa0761d6478bd642fu) | 1;
  for (int i = 0; i < 4; i++) team.next_random();
  if (kTsan) prepare_tsan(team);
  begin_engine(team);
  for (size_t b = 0; b < team.blocks.size(); b++) {
    begin_block(team, team.blocks[b], *run.launch, first_block + b);
    begin_block_async(team, team.blocks[b], static_cast<unsigned>(b));
  }
  run_lanes(team);
  end_engine(team);
  for (Block& block : team.blocks) {
    count_block_end(block);
    end_shared(block);
  }
  run.blocks_done.fetch_add(1, std::memory_order_relaxed);
}

// ---- the simulator -----------------------------------------------------------------------------

struct Simulator {
  std::mutex launch;  ///< one launch at a time, whichever CPU threads ask
  std::mutex error_mutex;
  std::string error;
  std::vector<std::unique_ptr<Team>> teams;
  Workers workers;
};

// Never destroyed: workers may not be joined while the process or library goes away. After fork()
// the child has none of its parent's threads, so it starts anew and leaves the old one be.
Simulator* the_simulator = nullptr;

Simulator& simulator() {
  static std::once_flag once;
  std::call_once(once, [] {
    the_simulator = new Simulator;
    pthread_atfork(nullptr, nullptr, [] { the_simulator = new Simulator; });
  });
  return *the_simulator;
}

/// The i-th team to run: first to last, last to first, or a permutation by a random stride.
uint64_t block_order(const Run& run, uint64_t i) {
  if (run.schedule.order == Order::forward) return i;
  if (run.schedule.order == Order::reverse) return run.teams - 1 - i;
  uint64_t stride = run.seed % run.teams | 1;
  while (std::gcd(stride, uint64_t{run.teams}) != 1) stride += 2;
  return (i * stride + (run.seed >> 32)) % run.teams;
}

bool run_next(Simulator& s, Run& run, Team& team) {
  const unsigned i = run.next.fetch_add(1);
  if (i >= run.teams || run.failed) return false;
  run_team(team, run, block_order(run, i) * volume(run.launch->cluster));
  if (!team.failed) return true;
  forget_lanes(team);
  team.failed = false;
  std::lock_guard guard(s.error_mutex);
  if (!run.failed.exchange(true)) s.error = team.error;
  return false;
}

void prepare_team(Simulator& s, Run& run, unsigned i) {
  while (s.teams.size() <= i) s.teams.push_back(std::make_unique<Team>());
  Team& team = *s.teams[i];
  team.run = &run;
  shape(team, *run.launch);
}

/// Helpers are woken only if the first block shows that there is more than 0.1 ms of work.
void run_teams(Simulator& s, Run& run) {
  using Clock = std::chrono::steady_clock;
  prepare_team(s, run, 0);
  const unsigned workers = std::min<unsigned>(run.teams, run.schedule.workers);
  const auto start = Clock::now();
  if (!run_next(s, run, *s.teams[0])) return;
  unsigned helpers = workers - 1;
  const auto first = Clock::now() - start;
  if (first * (run.teams - 1) < std::chrono::microseconds(100)) helpers = 0;
  run.workers = helpers + 1;
  for (unsigned i = 1; i <= helpers; i++) prepare_team(s, run, i);
  if (helpers) {
    s.workers.start(helpers, [&](unsigned i) {
      while (run_next(s, run, *s.teams[i])) {
      }
    });
  }
  while (run_next(s, run, *s.teams[0])) {
  }
  if (helpers) s.workers.wait();
}

}  // namespace

Team::Team() : fibers(fiber_main) {
  slots.reserve(64);
}

Team::~Team() {
  for (Block& block : blocks) free(block.arena);
}

void launch(const Launch& l, void (*body)(const void*), const void* argument) {
  if (self != nullptr) fail(l.where, "a kernel launched a kernel");
  check(l);
  Simulator& s = simulator();
  std::lock_guard guard(s.launch);
  count_launch(l);
  Run run{.launch = &l, .body = body, .argument = argument, .schedule = {}, .seed = 0, .teams = 0};
  run.schedule = next_schedule(run.seed);
  run.teams = l.cooperative ? 1 : static_cast<unsigned>(volume(l.grid) / volume(l.cluster));
  run_teams(s, run);
  if (kTsan) acquire(&s.teams[0]->end_tag);
  if (!run.failed) return;
  throw Error(s.error + "\n  launched at " + l.where.file_name() + ":" +
              std::to_string(l.where.line()));
}

}  // namespace gg::sim
