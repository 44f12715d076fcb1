// The simulator's state: lanes in warps in blocks in a team, which one CPU thread runs.
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "sim/config.h"
#include "sim/engine.h"
#include "sim/fiber.h"
#include "sim/primitives.h"
#include "sim/runtime.h"

namespace gg::sim {

constexpr unsigned kLanes = 32;
constexpr unsigned kMaxWarps = 32;     // of a block
constexpr unsigned kMaxMeetings = 32;  // of a warp

struct Warp;
struct Block;
struct Team;

/// A thread's copies that it has not waited for, oldest first, by place in Team::copies.
struct CopyQueue {
  uint32_t first = 0, last = 0;  ///< 0: none
  uint32_t commits = 0;          ///< groups closed so far
};

/// A GPU thread.
struct Lane : Thread {
  Warp* warp;
  Block* block;
  unsigned number;         ///< in the team
  Fiber* fiber = nullptr;  ///< null until it first runs
  const char* waits_in = "";
  Where where;
  CopyQueue copies;
  LaneAsync async;
  bool waited_for_grid = false;  ///< grid_dependency_wait
};

/// Lanes of a warp that have met in one operation and wait for the rest of the mask.
struct Meeting {
  uint32_t mask = 0, arrived = 0;
  const char* name = nullptr;
  Where where;
  void (*compute)(Meeting&);  ///< from all lanes' arguments, their results
  bool strict;                ///< reads other lanes' values, so none may have exited
  void* argument[kLanes];
};

struct Warp {
  Block* block;
  Lane* lanes;
  unsigned number;             ///< in the team: index of Team::ready and Team::spinning
  uint32_t live = 0;           ///< lanes that have not exited
  uint32_t open_meetings = 0;  ///< which of `meetings` are in use
  Meeting meetings[kMaxMeetings];
};

/// A barrier of a block or of the grid.
struct Barrier {
  unsigned arrived = 0, votes = 0, result = 0, phase = 0;
  const char* name = nullptr;
  Where where;
};

constexpr int kNamedBarriers = 16;  // of a block; number 0 is Block::barrier

/// One of barriers 1 to 15.
struct NamedBarrier {
  int threads = 0;  ///< to arrive; 0 while none has
  int arrived = 0;
  unsigned phase = 0;
  Where where;                        ///< of the first to arrive
  uint32_t arrivals[kMaxWarps] = {};  ///< lanes of each warp
  uint32_t waiting[kMaxWarps] = {};   ///< those that wait
};

/// A static shared variable; its place is the same in every block of a launch.
struct SharedSlot {
  const void* key;
  const char* name;
  size_t offset, bytes;
};

constexpr size_t kArenaBytes = 256 << 10;
constexpr size_t kReservedShared = 1024;  // as on the GPU; here it holds TSan's tags
constexpr size_t kMaxStaticShared = 48 << 10;

struct Block {
  Team* team;
  Warp* warps;
  Geometry geometry;
  unsigned live = 0;
  Barrier barrier;
  uint32_t waiting[kMaxWarps];  ///< lanes of each warp in `barrier`
  NamedBarrier named[kNamedBarriers];
  char* arena = nullptr;      ///< shared memory
  unsigned filled_slots = 0;  ///< slots this block has touched
  BlockAsync async;

  char* tag(unsigned i) const { return arena + 8 * i; }  ///< below kReservedShared
};

/// Asynchronous copies in flight. Made once, because lanes may not call new (sanitizer.h); pages
/// that are not used cost nothing.
struct QueuedCopy {
  Copy copy;
  Where where;
  uint32_t group;  ///< CopyQueue::commits when it was issued
  uint32_t next;
  bool done;
};

struct CopyPool {
  static constexpr uint32_t kMax = 1 << 16;
  QueuedCopy* queued = static_cast<QueuedCopy*>(malloc(kMax * sizeof(QueuedCopy)));
  uint32_t used = 0, unused = 0;  ///< highest place ever used; list of those given back

  ~CopyPool() { free(queued); }
};

/// What all teams of one launch share.
struct Run {
  const Launch* launch;
  void (*body)(const void*);
  const void* argument;
  Schedule schedule;
  uint64_t seed;
  unsigned teams;
  unsigned workers = 1;
  std::atomic<unsigned> next{0};
  std::atomic<bool> failed{false};
  std::atomic<unsigned> blocks_done{0};
};

/// Blocks that run together on one CPU thread: one, or for a cooperative launch all.
struct Team {
  Team();
  ~Team();

  Run* run = nullptr;
  uint64_t random = 1;
  unsigned live = 0;
  std::vector<Block> blocks;
  std::vector<Warp> warps;
  std::vector<Lane> lanes;
  std::vector<uint32_t> ready, spinning, grid_waiting;
  Barrier grid_barrier;
  unsigned warps_per_block = 0;
  dim3 block_shape{0, 0, 0};  ///< what lanes are set up for

  FiberPool fibers;
  Fiber thread;              ///< the CPU thread itself
  unsigned rounds_spun = 0;  ///< times all lanes were found spinning, since the last progress
  unsigned blocks_seen = 0;  ///< Run::blocks_done when that was last looked at
  const void* spin_address = nullptr;
  unsigned spin_reads = 0;
  unsigned tsan_set = 0;  ///< TSan: which fibers this block uses

  CopyPool copies;
  Engine engine;
  std::vector<SharedSlot> slots;
  size_t slots_end = 0;     ///< first free byte of the arena
  size_t static_bytes = 0;  ///< without red zones
  size_t shared_bytes = 0;  ///< dynamic

  bool failed = false;
  char error[4096];  ///< not a std::string: see sanitizer.h
  char start_tag, end_tag, grid_tags[2];

  uint32_t next_random() {
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    return static_cast<uint32_t>(random >> 32);
  }
};

/// The GPU thread running here. Not inlined: a fiber may go on on another CPU thread, and the
/// address of a thread-local must not be remembered across that.
Lane* current();
void set_current(Lane* lane);

// ---- scheduler.cpp ---------------------------------------------------------------------------

/// The lane to run next, of `prefer`'s warp if it may be; null when all have exited.
Lane* pick(Team& team, const Warp* prefer);
/// Waits until wake() names this lane.
void wait(const char* what, Where where);
/// In random order, lets another lane run now and then.
void maybe_switch();
void wake(Team& team, unsigned warp, uint32_t lanes);
/// Runs all lanes of the team, which are ready, to their end.
void run_lanes(Team& team);
void fiber_main();
[[noreturn]] void fail_in(Team& team, const char* text);

// ---- warp_ops.cpp ----------------------------------------------------------------------------

/// f(i) for each bit i.
template <class F>
void for_each_lane(uint32_t lanes, F f) {
  for (; lanes; lanes &= lanes - 1) f(static_cast<unsigned>(std::countr_zero(lanes)));
}

/// Waits until all lanes of mask have met here; the last computes for all. strict: exited lanes may
/// not be named, because their values would be read.
void meet(uint32_t mask, const char* name, void* argument, void (*compute)(Meeting&), bool strict,
          Where where);
/// The same for an instruction that all 32 lanes must run together, at one place in the program.
void meet_aligned(const char* name, void* argument, void (*compute)(Meeting&), Where where);

// ---- what an exiting lane means to those who wait, and what it may not leave behind -----------

void lane_left_copies(Lane& lane);
void forget_copies(Team& team);
void lane_left_grid(Lane& lane);
/// Appends who is missing in named barriers.
void describe_barriers(Team& team, char* text, size_t size);

void lane_left_barriers(Lane& lane);
void lane_left_meetings(Lane& lane);

// ---- shared.cpp ------------------------------------------------------------------------------

void begin_shared(Block& block);
void end_shared(Block& block);
/// Sets up the first `slots` static variables of a block, as far as it has not been done.
void ready_shared(Block& block, unsigned slots);

// ---- text ------------------------------------------------------------------------------------

/// Appends to a buffer of `size` bytes, printf-style; cuts what does not fit.
void append(char* text, size_t size, const char* format, ...) __attribute__((format(printf, 3, 4)));
bool same_text(const char* a, const char* b);
bool same_place(const Where& a, const Where& b);

}  // namespace gg::sim
