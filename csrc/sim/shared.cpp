// Shared memory: an arena for each block, filled with NaN, with red zones that ASan watches.
//
//   [ 1 KiB reserved ][ dynamic, at 1024 ][ red zone ][ static slot ][ red zone ][ slot ] ...
//
// Offsets in the arena serve as shared-memory addresses, so that swizzles and descriptors see
// real address bits.

#include <algorithm>
#include <cstdlib>

#include "sim/team.h"

namespace gg::sim {

constexpr size_t kRedZone = 64;
constexpr int kNaN = 0xff;  // every byte: a NaN in each floating type, -1 in each integer

static size_t round_up(size_t n, size_t to) {
  return (n + to - 1) / to * to;
}

// TSan: a fresh arena for each block, because another block's accesses are no race with this one's.
void begin_shared(Block& block) {
  const size_t dynamic = block.team->shared_bytes;
  if (kTsan) {
    free(block.arena);
    block.arena = nullptr;
  }
  if (block.arena == nullptr) block.arena = static_cast<char*>(aligned_alloc(1024, kArenaBytes));
  unpoison(block.arena, kArenaBytes);
  memset(block.arena + kReservedShared, kNaN, kTsan ? kArenaBytes - kReservedShared : dynamic);
  poison(block.arena, kArenaBytes);
  unpoison(block.arena + kReservedShared, dynamic);
  block.filled_slots = 0;
}

void end_shared(Block& block) {
  unpoison(block.arena, kArenaBytes);
}

// The first thread of a block to reach a declaration prepares it, and those known before it.
static void fill_slots(Block& block, unsigned count) {
  for (; block.filled_slots < count; block.filled_slots++) {
    const SharedSlot& slot = block.team->slots[block.filled_slots];
    unpoison(block.arena + slot.offset, slot.bytes);
    if (!kTsan) memset(block.arena + slot.offset, kNaN, slot.bytes);
  }
}

[[noreturn]] static void fail_too_large(const Team& team, Where where) {
  char names[512];
  names[0] = '\0';
  for (const SharedSlot& slot : team.slots) {
    append(names, sizeof names, "%s%s %zu", names[0] ? ", " : "", slot.name, slot.bytes);
  }
  const bool is_static = team.static_bytes > kMaxStaticShared;
  fail(where, "%zu bytes of static%s shared memory; the limit is %zu (%s)",
       team.static_bytes + (is_static ? 0 : team.shared_bytes), is_static ? "" : " and dynamic",
       is_static ? kMaxStaticShared : max_shared(), names);
}

static void add_slot(Team& team, const void* key, const char* name, size_t bytes, size_t alignment,
                     Where where) {
  if (team.slots.size() == team.slots.capacity()) {
    fail(where, "GG_SHARED: a kernel has more than %zu declarations", team.slots.size());
  }
  const size_t offset = round_up(team.slots_end + kRedZone, std::max(alignment, size_t{16}));
  team.slots.push_back({key, name, offset, bytes});  // within its capacity: allocates nothing
  team.slots_end = offset + bytes;
  team.static_bytes += round_up(bytes, 16);
  if (team.static_bytes > kMaxStaticShared ||
      team.static_bytes + team.shared_bytes > max_shared() ||
      team.slots_end + kRedZone > kArenaBytes) {
    fail_too_large(team, where);
  }
}

void ready_shared(Block& block, unsigned slots) {
  if (slots > block.filled_slots) fill_slots(block, slots);
}

void* shared_static(const void* key, const char* name, size_t bytes, size_t alignment,
                    Where where) {
  Block& block = *current()->block;
  Team& team = *block.team;
  unsigned i = 0;
  const unsigned known = static_cast<unsigned>(team.slots.size());
  while (i < known && team.slots[i].key != key) i++;
  if (i == known) add_slot(team, key, name, bytes, alignment, where);
  ready_shared(block, i + 1);
  return block.arena + team.slots[i].offset;
}

void check_shared(const void* p, size_t bytes, size_t alignment, const char* name, Where where) {
  const Block& block = *current()->block;
  const size_t offset =
      reinterpret_cast<uintptr_t>(p) - reinterpret_cast<uintptr_t>(block.arena + kReservedShared);
  if (offset > kArenaBytes - kReservedShared - bytes) {
    fail(where, "%s: address %p is not in this block's shared memory", name, p);
  }
  check_alignment(p, alignment, name, where);
}

void* shared_dynamic() {
  return current()->block->arena + kReservedShared;
}

}  // namespace gg::sim
