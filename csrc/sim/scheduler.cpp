// Who runs next. Lanes are cooperative: one runs until it waits or exits.

#include <bit>
#include <chrono>
#include <cstdarg>
#include <cstdio>
#include <thread>

#include "sim/team.h"

namespace gg::sim {

thread_local constinit Thread* self = nullptr;

__attribute__((noinline)) Lane* current() {
  return static_cast<Lane*>(self);
}
__attribute__((noinline)) void set_current(Lane* lane) {
  self = lane;
}

// ---- errors ------------------------------------------------------------------------------------

void append(char* text, size_t size, const char* format, ...) {
  const size_t used = strnlen(text, size);
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text + used, size - used, format, arguments);
  va_end(arguments);
}

bool same_text(const char* a, const char* b) {
  return a == b || strcmp(a, b) == 0;
}

bool same_place(const Where& a, const Where& b) {
  return a.line() == b.line() && same_text(a.file_name(), b.file_name());
}

static void append_name(char* text, size_t size, const Thread& t) {
  const uint3 b = t.geometry->block_index, i = t.thread_index;
  append(text, size, "block (%u, %u, %u) thread (%u, %u, %u)", b.x, b.y, b.z, i.x, i.y, i.z);
}

void fail_in(Team& team, const char* text) {
  team.error[0] = '\0';
  append(team.error, sizeof team.error, "%s", text);
  team.failed = true;
  Lane* lane = current();
  release(&team.end_tag);
  abandon_fiber(*lane->fiber, team.thread);
}

void fail(Where where, const char* format, ...) {
  Lane* lane = current();
  char text[1024];
  text[0] = '\0';
  append(text, sizeof text, "%s:%u: ", where.file_name(), static_cast<unsigned>(where.line()));
  const size_t used = strlen(text);
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text + used, sizeof text - used, format, arguments);
  va_end(arguments);
  append(text, sizeof text, " [");
  append_name(text, sizeof text, *lane);
  append(text, sizeof text, "]");
  fail_in(*lane->block->team, text);
}

// ---- deadlock ----------------------------------------------------------------------------------

namespace {

/// Lanes that wait in the same operation at the same place.
struct Crowd {
  const Lane* first;
  unsigned lanes;
};

constexpr unsigned kMaxCrowds = 12;

unsigned gather_crowds(Team& team, Crowd (&crowds)[kMaxCrowds]) {
  unsigned count = 0;
  for (const Lane& lane : team.lanes) {
    if (!(lane.warp->live >> lane.lane & 1)) continue;
    unsigned i = 0;
    while (i < count && !(same_text(crowds[i].first->waits_in, lane.waits_in) &&
                          same_place(crowds[i].first->where, lane.where))) {
      i++;
    }
    if (i == kMaxCrowds) continue;
    if (i == count) crowds[count++] = {&lane, 0};
    crowds[i].lanes++;
  }
  return count;
}

[[noreturn]] void report_deadlock(Team& team) {
  Crowd crowds[kMaxCrowds] = {};
  const unsigned count = gather_crowds(team, crowds);
  const Where& where = crowds[0].first->where;
  char text[4096];
  text[0] = '\0';
  append(text, sizeof text, "%s:%u: deadlock: every thread waits for another", where.file_name(),
         static_cast<unsigned>(where.line()));
  for (unsigned i = 0; i < count; i++) {
    const Lane& lane = *crowds[i].first;
    append(text, sizeof text, "\n  %u thread%s in %s at %s:%u, first ", crowds[i].lanes,
           crowds[i].lanes == 1 ? " waits" : "s wait", lane.waits_in, lane.where.file_name(),
           static_cast<unsigned>(lane.where.line()));
    append_name(text, sizeof text, lane);
  }
  describe_barriers(team, text, sizeof text);
  describe_async(team, text, sizeof text);
  const unsigned exited = static_cast<unsigned>(team.lanes.size()) - team.live;
  if (exited) append(text, sizeof text, "\n  %u thread%s exited", exited, exited == 1 ? "" : "s");
  fail_in(team, text);
}

// ---- choosing ----------------------------------------------------------------------------------

unsigned choose(Team& team, uint32_t lanes) {
  switch (team.run->schedule.order) {
    case Order::forward:
      return static_cast<unsigned>(std::countr_zero(lanes));
    case Order::reverse:
      return 31 - static_cast<unsigned>(std::countl_zero(lanes));
    default: {
      const unsigned turn = team.next_random() & 31;
      const uint32_t turned = std::rotr(lanes, static_cast<int>(turn));
      return (static_cast<unsigned>(std::countr_zero(turned)) + turn) & 31;
    }
  }
}

Lane* find_ready(Team& team) {
  const Order order = team.run->schedule.order;
  const unsigned n = static_cast<unsigned>(team.warps.size());
  const unsigned start = order == Order::random ? team.next_random() % n : 0;
  for (unsigned i = 0; i < n; i++) {
    unsigned w = start + i < n ? start + i : start + i - n;
    if (order == Order::reverse) w = n - 1 - i;
    if (team.ready[w]) return &team.warps[w].lanes[choose(team, team.ready[w])];
  }
  return nullptr;
}

constexpr unsigned kMaxRounds = 100000;

/// All lanes that can run are spinning: lets them look again. False when that has gone on so long
/// that nobody can be about to change what they look at.
bool resume_spinning(Team& team) {
  bool any = false;
  for (size_t w = 0; w < team.warps.size(); w++) {
    any |= team.spinning[w] != 0;
    team.ready[w] |= team.spinning[w];
    team.spinning[w] = 0;
  }
  if (!any) return false;
  if (team.run->workers > 1) {  // a block on another CPU thread may be what they wait for
    const unsigned done = team.run->blocks_done.load(std::memory_order_relaxed);
    if (done != team.blocks_seen) team.rounds_spun = 0;
    team.blocks_seen = done;
    if (team.rounds_spun % 64 == 63) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return team.rounds_spun++ < kMaxRounds && !team.run->failed.load(std::memory_order_relaxed);
}

}  // namespace

Lane* pick(Team& team, const Warp* prefer) {
  run_by_chance(team);
  const bool wander = team.run->schedule.order == Order::random && (team.next_random() & 15) == 0;
  if (prefer && team.ready[prefer->number] && !wander) {
    return &prefer->lanes[choose(team, team.ready[prefer->number])];
  }
  for (;;) {
    if (Lane* lane = find_ready(team)) return lane;
    if (run_idle(team)) continue;
    if (team.live == 0) return nullptr;
    if (!resume_spinning(team)) report_deadlock(team);
  }
}

// ---- switching ---------------------------------------------------------------------------------

static void give_fiber(Team& team, Lane& lane) {
  lane.fiber =
      kTsan ? team.fibers.at(team.tsan_set * team.lanes.size() + lane.number) : team.fibers.take();
  if (lane.fiber == nullptr) fail_in(team, "the simulator has no memory for another stack");
}

static void go_to(Team& team, Fiber& from, Lane& next) {
  team.spin_reads = 0;
  if (next.fiber == nullptr) give_fiber(team, next);
  set_current(&next);
  switch_fiber(from, *next.fiber);
}

void wait(const char* what, Where where) {
  Lane& lane = *current();
  Team& team = *lane.block->team;
  lane.waits_in = what;
  lane.where = where;
  team.ready[lane.warp->number] &= ~(1u << lane.lane);
  Lane* next = pick(team, lane.warp);
  if (next != &lane) go_to(team, *lane.fiber, *next);
}

void maybe_switch() {
  Lane& lane = *current();
  Team& team = *lane.block->team;
  if (team.run->schedule.order != Order::random || (team.next_random() & 3) != 0) return;
  Lane* next = pick(team, lane.warp);
  if (next != &lane) go_to(team, *lane.fiber, *next);
}

void wake(Team& team, unsigned warp, uint32_t lanes) {
  team.ready[warp] |= lanes;
  team.rounds_spun = 0;
}

void spin_pause(Where where) {
  Lane& lane = *current();
  Team& team = *lane.block->team;
  team.spinning[lane.warp->number] |= 1u << lane.lane;
  team.spin_reads = 0;
  wait("spin_pause", where);
}

void watch_spin(const void* address, const char* name, Where where) {
  Team& team = *current()->block->team;
  if (team.spin_address != address) {
    team.spin_address = address;
    team.spin_reads = 0;
  }
  if (++team.spin_reads > 1u << 20) {
    fail(where, "%s looks at the same address for ever: the loop must call spin_pause()", name);
  }
}

// ---- running -----------------------------------------------------------------------------------

static void exit_lane(Lane& lane) {
  Team& team = *lane.block->team;
  const uint32_t bit = 1u << lane.lane;
  lane.warp->live &= ~bit;
  team.ready[lane.warp->number] &= ~bit;
  lane.block->live--;
  team.live--;
  team.rounds_spun = 0;
  lane_left_copies(lane);
  lane_left_async(lane);
  lane_left_grid(lane);
  lane_left_meetings(lane);
  lane_left_barriers(lane);
}

/// Runs the current lane, and says which comes next. Not inlined: see current().
__attribute__((noinline)) static Lane* run_lane() {
  Lane& lane = *current();
  Team& team = *lane.block->team;
  acquire(&team.start_tag);
  team.run->body(team.run->argument);
  release(&team.end_tag);
  exit_lane(lane);
  return pick(team, lane.warp);
}

/// After `lane` has exited: starts `next` on the same stack, or leaves for where it waits.
__attribute__((noinline)) static void leave_lane(Lane& lane, Lane* next) {
  Team& team = *lane.block->team;
  Fiber& fiber = *lane.fiber;
  lane.fiber = nullptr;
  if (next != nullptr && next->fiber == nullptr && !kTsan) {
    next->fiber = &fiber;
    set_current(next);
    return;
  }
  if (!kTsan) team.fibers.give_back(&fiber);
  if (next != nullptr) return go_to(team, fiber, *next);
  set_current(nullptr);
  switch_fiber(fiber, team.thread);
}

// A lane that never waits costs no switch: the next one runs on the same stack, in the same loop.
void fiber_main() {
  entered_fiber();
  for (;;) {
    Lane* next = run_lane();
    leave_lane(*current(), next);
  }
}

void run_lanes(Team& team) {
  describe_thread(team.thread);
  release(&team.start_tag);
  Lane* first = pick(team, nullptr);
  go_to(team, team.thread, *first);
  set_current(nullptr);
}

}  // namespace gg::sim
