// cp.async: which copies are in flight, and when they are made.
//
//   eager    at once
//   lazy     at the wait that covers them; until then the destination holds NaN, and ASan reports
//            whoever touches it
//   random   either, copy by copy
//
// The copying itself is in device/cp_async.h. Whatever the mode, a copy is in flight until its
// thread has waited for it.

#include "sim/team.h"

namespace gg::sim {
namespace {

// In other modes: is this copy to be made at once?
bool at_once(Team& team) {
  switch (team.run->schedule.async) {
    case Async::eager:
      return true;
    case Async::lazy:
      return false;
    default:
      return team.next_random() & 1;
  }
}

uint32_t take_place(CopyPool& pool, Where where) {
  if (const uint32_t place = pool.unused) {
    pool.unused = pool.queued[place].next;
    return place;
  }
  if (pool.used + 1 == CopyPool::kMax) {
    fail(where, "cp_async: more than %u copies in flight", CopyPool::kMax - 1);
  }
  return ++pool.used;
}

void check_copy(const Copy& c, Where where) {
  check_shared(c.to, static_cast<size_t>(c.size), static_cast<size_t>(c.size),
               "cp_async to shared memory", where);
  if (c.bytes < 0 || c.bytes > c.size) {
    fail(where, "cp_async<%d> of %d bytes: it must be 0 to %d", c.size, c.bytes, c.size);
  }
  if (region_is_poisoned(c.to, static_cast<size_t>(c.size))) {
    fail(where, "cp_async: destination %p is outside any shared array, or has a copy in flight",
         c.to);
  }
  if (c.bytes == 0) return;
  check_alignment(c.from, static_cast<size_t>(c.size), "cp_async from global memory", where);
  const char* arena = current()->block->arena;
  if (c.from >= arena && c.from < arena + kArenaBytes) {
    fail(where, "cp_async: source %p is in shared memory", c.from);
  }
  if (region_is_poisoned(c.from, static_cast<size_t>(c.bytes))) {
    fail(where, "cp_async: the source's %d bytes at %p are out of bounds", c.bytes, c.from);
  }
}

}  // namespace

bool issue_copy(const Copy& copy, Where where) {
  need_architecture(80, "cp_async", where);
  check_copy(copy, where);
  Lane& lane = *current();
  Team& team = *lane.block->team;
  const uint32_t place = take_place(team.copies, where);
  QueuedCopy& queued = team.copies.queued[place];
  queued = {copy, where, lane.copies.commits, 0, at_once(team)};
  (lane.copies.first ? team.copies.queued[lane.copies.last].next : lane.copies.first) = place;
  lane.copies.last = place;
  return queued.done;
}

void hide_destination(void* p, int bytes) {
  poison(p, static_cast<size_t>(bytes));
}

void commit_copies(Where where) {
  need_architecture(80, "cp_async_commit", where);
  current()->copies.commits++;
}

bool next_copy(int newest, Copy& copy, Where where) {
  need_architecture(80, "cp_async_wait", where);
  Lane& lane = *current();
  CopyPool& pool = lane.block->team->copies;
  while (const uint32_t place = lane.copies.first) {
    QueuedCopy& queued = pool.queued[place];
    if (queued.group + static_cast<uint32_t>(newest) >= lane.copies.commits) return false;
    lane.copies.first = queued.next;
    queued.next = pool.unused;
    pool.unused = place;
    if (queued.done) continue;
    copy = queued.copy;
    unpoison(copy.to, static_cast<size_t>(copy.size));
    return true;
  }
  return false;
}

void lane_left_copies(Lane& lane) {
  if (lane.copies.first == 0) return;
  const QueuedCopy& queued = lane.block->team->copies.queued[lane.copies.first];
  const bool committed = queued.group < lane.copies.commits;
  fail(queued.where, "cp_async: the thread has exited without waiting for this copy%s",
       committed ? "" : ", which it did not commit either");
}

void forget_copies(Team& team) {
  for (Lane& lane : team.lanes) lane.copies = CopyQueue{};
  team.copies.used = team.copies.unused = 0;
}

}  // namespace gg::sim
