// mbarriers. Their state is kept beside the block; the word in shared memory names it.

#include "sim/team.h"

namespace gg::sim {
namespace {

constexpr uint64_t kMagic = 0x6d62617272696572u;  // + place in Block::mbarriers
constexpr unsigned kMaxCount = (1u << 20) - 1;

using Word = volatile uint64_t;

MbarrierState* lookup(Block& block, uint64_t* barrier) {
  const uint64_t place = *static_cast<Word*>(barrier) - kMagic;
  if (place >= block.async.mbarrier_count) return nullptr;
  MbarrierState& state = block.async.mbarriers[place];
  return state.address == barrier ? &state : nullptr;
}

/// Set up at this address, whatever the word says now.
MbarrierState* lookup_address(Block& block, const uint64_t* barrier) {
  for (unsigned i = 0; i < block.async.mbarrier_count; i++) {
    if (block.async.mbarriers[i].address == barrier) return &block.async.mbarriers[i];
  }
  return nullptr;
}

bool is_idle(const MbarrierState& state) {
  return state.pending == state.expected && state.bytes == 0;
}

bool is_over(const MbarrierState& state, unsigned parity) {
  return (state.phase & 1) != parity;
}

void wake_waiters(Block& block, const MbarrierState& state) {
  Team& team = *block.team;
  for (unsigned w = 0; w < team.warps_per_block; w++) {
    Warp& warp = block.warps[w];
    uint32_t& waiting = block.async.in_mbarrier_wait[w];
    for_each_lane(waiting, [&](unsigned i) {
      const LaneAsync& lane = warp.lanes[i].async;
      if (lane.waits_for != &state || !is_over(state, lane.parity)) return;
      waiting &= ~(1u << i);
      wake(team, warp.number, 1u << i);
    });
  }
}

void end_phase_if_complete(Block& block, MbarrierState& state) {
  if (state.pending != 0 || state.bytes != 0) return;
  state.phase++;
  state.pending = state.expected;
  wake_waiters(block, state);
}

void arrive(Block& block, uint64_t* barrier, unsigned bytes, unsigned arrivals, const char* name,
            Where where) {
  MbarrierState& state = find_mbarrier(block, barrier, name, where);
  if (state.pending < arrivals) {
    fail(where,
         "%s: more arrivals than the %u expected in this phase, which still waits for %lld bytes",
         name, state.expected, static_cast<long long>(state.bytes));
  }
  state.bytes += bytes;
  if (state.bytes > kMaxCount) {
    fail(where, "%s: %lld bytes expected in a phase; the limit is %u", name,
         static_cast<long long>(state.bytes), kMaxCount);
  }
  if (arrivals) release(barrier);
  state.pending -= arrivals;
  end_phase_if_complete(block, state);
}

}  // namespace

MbarrierState& find_mbarrier(Block& block, uint64_t* barrier, const char* name, Where where) {
  if (MbarrierState* state = lookup(block, barrier)) return *state;
  const MbarrierState* gone = lookup_address(block, barrier);
  const size_t address = static_cast<size_t>(reinterpret_cast<char*>(barrier) - block.arena);
  if (gone == nullptr) fail(where, "%s: no mbarrier_init at shared address 0x%zx", name, address);
  const Where when = gone->invalidated ? gone->where_invalidated : gone->where;
  fail(where, "%s: the mbarrier at shared address 0x%zx was %s at %s:%u", name, address,
       gone->invalidated ? "invalidated" : "overwritten; set up", when.file_name(),
       static_cast<unsigned>(when.line()));
}

void check_mbarrier_fenced(const MbarrierState& state, const char* name, Where where) {
  if (state.fenced) return;
  fail(where, "%s: no fence_mbarrier_init after the mbarrier_init at %s:%u", name,
       state.where.file_name(), static_cast<unsigned>(state.where.line()));
}

void mbarrier_init(uint64_t* barrier, unsigned count, Where where) {
  need_hopper("mbarrier_init", where);
  check_shared(barrier, sizeof *barrier, sizeof *barrier, "mbarrier_init", where);
  if (count == 0 || count > kMaxCount) {
    fail(where, "mbarrier_init: count is %u; it must be 1 to %u", count, kMaxCount);
  }
  Lane& lane = *current();
  Block& block = *lane.block;
  BlockAsync& a = block.async;
  MbarrierState* state = lookup_address(block, barrier);
  if (state && lookup(block, barrier) == state) {
    fail(where, "mbarrier_init: already set up at %s:%u%s; mbarrier_invalidate comes first",
         state->where.file_name(), static_cast<unsigned>(state->where.line()),
         is_idle(*state) ? "" : " and in use");
  }
  if (state == nullptr) {
    if (a.mbarrier_count == kMaxMbarriers) {
      fail(where, "mbarrier_init: more than %u mbarriers in a block", kMaxMbarriers);
    }
    state = &a.mbarriers[a.mbarrier_count++];
  }
  *state = MbarrierState{};
  state->address = barrier;
  state->expected = state->pending = count;
  state->owner = &lane;
  state->where = where;
  *static_cast<Word*>(barrier) = kMagic + static_cast<uint64_t>(state - a.mbarriers);
}

void mbarrier_invalidate(uint64_t* barrier, Where where) {
  need_hopper("mbarrier_invalidate", where);
  check_shared(barrier, sizeof *barrier, sizeof *barrier, "mbarrier_invalidate", where);
  Block& block = *current()->block;
  MbarrierState& state = find_mbarrier(block, barrier, "mbarrier_invalidate", where);
  if (!is_idle(state)) {
    fail(where, "mbarrier_invalidate: in use: %u of %u arrivals and %lld bytes are missing",
         state.pending, state.expected, static_cast<long long>(state.bytes));
  }
  *static_cast<Word*>(barrier) = ~uint64_t{0};
  state.owner = nullptr;
  state.invalidated = true;
  state.where_invalidated = where;
}

void fence_mbarrier_init(Where where) {
  need_hopper("fence_mbarrier_init", where);
  const Lane* lane = current();
  BlockAsync& a = lane->block->async;
  for (unsigned i = 0; i < a.mbarrier_count; i++)
    a.mbarriers[i].fenced |= a.mbarriers[i].owner == lane;
}

void mbarrier_arrive(uint64_t* barrier, unsigned bytes, unsigned arrivals, Where where) {
  const char* name = bytes == 0 ? "mbarrier_arrive" : "mbarrier_expect_tx";
  need_hopper(name, where);
  check_shared(barrier, sizeof *barrier, sizeof *barrier, name, where);
  arrive(*current()->block, barrier, bytes, arrivals, name, where);
  maybe_switch();
}

void mbarrier_arrive_remote(uint64_t* barrier, unsigned rank, Where where) {
  constexpr const char* name = "mbarrier_arrive_remote";
  need_hopper(name, where);
  check_shared(barrier, sizeof *barrier, sizeof *barrier, name, where);
  Block& own = *current()->block;
  Block& block = block_of_rank(own, rank, name, where);
  const ptrdiff_t place = reinterpret_cast<char*>(barrier) - own.arena;
  uint64_t* remote = reinterpret_cast<uint64_t*>(block.arena + place);
  const MbarrierState& state = find_mbarrier(block, remote, name, where);
  if (&block != &own) check_mbarrier_fenced(state, name, where);
  arrive(block, remote, 0, 1, name, where);
  maybe_switch();
}

bool mbarrier_test(uint64_t* barrier, unsigned parity, Where where) {
  need_hopper("mbarrier_test", where);
  check_shared(barrier, sizeof *barrier, sizeof *barrier, "mbarrier_test", where);
  const MbarrierState& state = find_mbarrier(*current()->block, barrier, "mbarrier_test", where);
  if (is_over(state, parity)) {
    acquire(barrier);
    return true;
  }
  watch_spin(barrier, "mbarrier_test", where);
  return false;
}

void mbarrier_wait(uint64_t* barrier, unsigned parity, Where where) {
  need_hopper("mbarrier_wait", where);
  check_shared(barrier, sizeof *barrier, sizeof *barrier, "mbarrier_wait", where);
  if (parity > 1) fail(where, "mbarrier_wait: parity is %u; it must be 0 or 1", parity);
  Lane& lane = *current();
  Block& block = *lane.block;
  const MbarrierState& state = find_mbarrier(block, barrier, "mbarrier_wait", where);
  while (!is_over(state, parity)) {
    lane.async.waits_for = &state;
    lane.async.parity = parity;
    block.async.in_mbarrier_wait[lane.warp - block.warps] |= 1u << lane.lane;
    wait("mbarrier_wait", where);
  }
  lane.async.waits_for = nullptr;
  acquire(barrier);
}

void complete_bytes(Block& block, uint64_t* barrier, unsigned bytes, const Job& job) {
  MbarrierState* state = lookup(block, barrier);
  if (state == nullptr) fail_job(job, "TMA: the mbarrier was overwritten or invalidated meanwhile");
  state->bytes -= bytes;
  end_phase_if_complete(block, *state);
}

// ---- reports -----------------------------------------------------------------------------------

static void describe_mbarrier(const Block& block, const MbarrierState& m, unsigned parity,
                              char* text, size_t size) {
  append(text, size,
         "\n  mbarrier at shared address 0x%zx of block (%u, %u, %u), set up at %s:%u, waited for "
         "with parity %u: %u phases are over; the next misses %u of %u arrivals and %lld bytes",
         static_cast<size_t>(reinterpret_cast<char*>(m.address) - block.arena),
         block.geometry.block_index.x, block.geometry.block_index.y, block.geometry.block_index.z,
         m.where.file_name(), static_cast<unsigned>(m.where.line()), parity, m.phase, m.pending,
         m.expected, static_cast<long long>(m.bytes));
}

static void describe_warpgroups(const Block& block, char* text, size_t size) {
  for (const Warpgroup& g : block.async.warpgroups) {
    if (g.done == g.issued) continue;
    const Product& p = *g.products[g.done % kMaxProducts];
    if (p.issued == kWarpgroup) continue;
    append(text, size, "\n  wgmma at %s:%u was issued by %u of the warpgroup's 128 threads",
           p.where.file_name(), static_cast<unsigned>(p.where.line()), p.issued);
  }
}

void describe_async(Team& team, char* text, size_t size) {
  for (const Block& block : team.blocks) {
    const BlockAsync& a = block.async;
    for (unsigned i = 0; i < a.mbarrier_count; i++) {
      bool seen[2] = {};
      for (unsigned w = 0; w < team.warps_per_block; w++) {
        for_each_lane(a.in_mbarrier_wait[w], [&](unsigned l) {
          const LaneAsync& lane = block.warps[w].lanes[l].async;
          if (lane.waits_for != &a.mbarriers[i] || seen[lane.parity]) return;
          seen[lane.parity] = true;
          describe_mbarrier(block, a.mbarriers[i], lane.parity, text, size);
        });
      }
    }
    describe_warpgroups(block, text, size);
  }
}

}  // namespace gg::sim
