// Operations of a warp. Each lane arrives with a pointer to its operands and waits; the last of the
// mask to arrive computes for all.

#include "sim/team.h"

namespace gg::sim {
namespace {

constexpr unsigned kWarpTags = 8;  // tags 0 and 1 belong to the block's barrier

void finish(Warp& warp, Meeting& meeting, uint32_t running) {
  if (meeting.compute) meeting.compute(meeting);
  wake(*warp.block->team, warp.number, meeting.arrived & ~running);
  meeting.arrived = 0;
  warp.open_meetings &= ~(1u << (&meeting - warp.meetings));
}

[[noreturn]] void fail_mismatch(const Meeting& m, uint32_t mask, const char* name, Where where) {
  fail(where, "%s with mask 0x%08x meets %s with mask 0x%08x at %s:%u: they wait for each other",
       name, mask, m.name, m.mask, m.where.file_name(), static_cast<unsigned>(m.where.line()));
}

// Lanes of a warp may be in several operations at once, as long as no two wait for each other.
Meeting& find_meeting(Warp& warp, uint32_t bit, uint32_t mask, const char* name, Where where) {
  Meeting* found = nullptr;
  for_each_lane(warp.open_meetings, [&](unsigned i) {
    Meeting& m = warp.meetings[i];
    if (m.mask == mask && same_text(m.name, name)) {
      found = &m;
    } else if ((m.mask & bit) && (m.arrived & mask)) {
      fail_mismatch(m, mask, name, where);
    }
  });
  if (found) return *found;
  const unsigned i = static_cast<unsigned>(std::countr_one(warp.open_meetings));
  warp.open_meetings |= 1u << i;  // each holds a lane, so 32 suffice
  Meeting& m = warp.meetings[i];
  m.mask = mask;
  m.name = name;
  m.where = where;
  return m;
}

}  // namespace

void meet(uint32_t mask, const char* name, void* argument, void (*compute)(Meeting&), bool strict,
          Where where) {
  Lane& lane = *current();
  Warp& warp = *lane.warp;
  const uint32_t bit = 1u << lane.lane;
  if (!(mask & bit)) {
    fail(where, "%s: lane %u is not in its own mask 0x%08x", name, lane.lane, mask);
  }
  if (strict && (mask & ~warp.live)) {
    fail(where, "%s: mask 0x%08x names lane %d, which has exited or never existed", name, mask,
         std::countr_zero(mask & ~warp.live));
  }
  Meeting& meeting = find_meeting(warp, bit, mask, name, where);
  meeting.compute = compute;
  meeting.strict = strict;
  meeting.argument[lane.lane] = argument;
  meeting.arrived |= bit;
  if ((meeting.arrived & warp.live) == (mask & warp.live)) {
    finish(warp, meeting, bit);
    maybe_switch();
  } else {
    wait(name, where);
  }
}

void meet_aligned(const char* name, void* argument, void (*compute)(Meeting&), Where where) {
  const Warp& warp = *current()->warp;
  for_each_lane(warp.open_meetings, [&](unsigned i) {
    const Meeting& m = warp.meetings[i];
    if (!same_text(m.name, name) || same_place(m.where, where)) return;
    fail(where, "%s meets the one at %s:%u: all lanes of a warp must run the same one", name,
         m.where.file_name(), static_cast<unsigned>(m.where.line()));
  });
  meet(~0u, name, argument, compute, true, where);
}

// To name an exited lane in a shuffle is an error, whether it left before the others came or after;
// votes and __syncwarp wait only for lanes that are still there, as CUDA has it.
void lane_left_meetings(Lane& lane) {
  Warp& warp = *lane.warp;
  for_each_lane(warp.open_meetings, [&](unsigned i) {
    Meeting& m = warp.meetings[i];
    if (!(m.mask >> lane.lane & 1)) return;
    if (m.strict) {
      fail(m.where, "%s: mask 0x%08x names lane %u, which has exited", m.name, m.mask, lane.lane);
    }
    if ((m.arrived & warp.live) == (m.mask & warp.live)) finish(warp, m, 0);
  });
}

// ---- __syncwarp --------------------------------------------------------------------------------

void sync_warp(unsigned mask, Where where) {
  Lane& lane = *current();
  char* tag = lane.block->tag(kWarpTags + static_cast<unsigned>(lane.warp - lane.block->warps));
  release(tag);
  meet(mask, "__syncwarp", nullptr, nullptr, false, where);
  acquire(tag);
}

// ---- shuffles ----------------------------------------------------------------------------------

namespace {

struct Shuffle {
  const uint64_t* value;
  uint64_t* result;
  unsigned words;
  int source;
};

void compute_shuffle(Meeting& m) {
  for_each_lane(m.arrived, [&](unsigned i) {
    const Shuffle& mine = *static_cast<Shuffle*>(m.argument[i]);
    if (mine.source < 0 || !(m.arrived >> mine.source & 1)) return;
    const Shuffle& other = *static_cast<Shuffle*>(m.argument[mine.source]);
    const volatile uint64_t* from = other.value;  // volatile: no call of memcpy (sanitizer.h)
    for (unsigned w = 0; w < mine.words; w++) mine.result[w] = from[w];
  });
}

}  // namespace

void shuffle_words(unsigned mask, uint64_t* value, unsigned words, int source, const char* name,
                   Where where) {
  uint64_t result[8];
  const int lane = static_cast<int>(current()->lane);
  if (source < 0) source = lane;
  for (unsigned w = 0; w < words; w++) result[w] = ~uint64_t{0};
  Shuffle shuffle{value, result, words, source};
  meet(mask, name, &shuffle, compute_shuffle, true, where);
  for (unsigned w = 0; w < words; w++) value[w] = result[w];
}

// ---- redux -------------------------------------------------------------------------------------

namespace {

struct Reduction {
  Redux op;
  uint32_t value;  ///< order-preserving for min and max
};

uint32_t combine(Redux op, uint32_t a, uint32_t b) {
  switch (op) {
    case Redux::add:
      return a + b;
    case Redux::min:
      return a < b ? a : b;
    case Redux::max:
      return a > b ? a : b;
    case Redux::bit_and:
      return a & b;
    case Redux::bit_or:
      return a | b;
    default:
      return a ^ b;
  }
}

void compute_redux(Meeting& m) {
  Reduction& first = *static_cast<Reduction*>(m.argument[0]);
  for_each_lane(~1u, [&](unsigned i) {
    first.value = combine(first.op, first.value, static_cast<Reduction*>(m.argument[i])->value);
  });
  for_each_lane(~1u,
                [&](unsigned i) { static_cast<Reduction*>(m.argument[i])->value = first.value; });
}

constexpr const char* kReduxNames[] = {"warp_redux_add", "warp_redux_min", "warp_redux_max",
                                       "warp_redux_and", "warp_redux_or",  "warp_redux_xor"};

}  // namespace

uint32_t redux(Redux op, uint32_t value, bool is_signed, Where where) {
  const bool compares = op == Redux::min || op == Redux::max;
  const uint32_t flip = is_signed && compares ? 0x80000000u : 0;
  Reduction reduction{op, value ^ flip};
  meet_aligned(kReduxNames[static_cast<int>(op)], &reduction, compute_redux, where);
  return reduction.value ^ flip;
}

// ---- votes -------------------------------------------------------------------------------------

namespace {

struct Vote {
  uint64_t value;
  unsigned result;
};

Vote& vote_of(Meeting& m, unsigned lane) {
  return *static_cast<Vote*>(m.argument[lane]);
}

void compute_ballot(Meeting& m) {
  unsigned result = 0;
  for_each_lane(m.arrived, [&](unsigned i) { result |= vote_of(m, i).value ? 1u << i : 0; });
  for_each_lane(m.arrived, [&](unsigned i) { vote_of(m, i).result = result; });
}

void compute_match(Meeting& m) {
  for_each_lane(m.arrived, [&](unsigned i) {
    for_each_lane(m.arrived, [&](unsigned j) {
      if (vote_of(m, i).value == vote_of(m, j).value) vote_of(m, i).result |= 1u << j;
    });
  });
}

}  // namespace

unsigned ballot(unsigned mask, bool predicate, const char* name, Where where) {
  Vote vote{predicate, 0};
  meet(mask, name, &vote, compute_ballot, false, where);
  return vote.result;
}

unsigned match(unsigned mask, uint64_t value, const char* name, Where where) {
  Vote vote{value, 0};
  meet(mask, name, &vote, compute_match, false, where);
  return vote.result;
}

}  // namespace gg::sim
