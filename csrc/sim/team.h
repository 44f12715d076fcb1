// The simulator's state: lanes in warps in blocks in a team, which one CPU thread runs.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "sim/config.h"
#include "sim/fiber.h"
#include "sim/runtime.h"

namespace gg::sim {

constexpr unsigned kLanes = 32;
constexpr unsigned kMaxWarps = 32;     // of a block
constexpr unsigned kMaxMeetings = 32;  // of a warp

struct Warp;
struct Block;
struct Team;

/// A GPU thread.
struct Lane : Thread {
  Warp* warp;
  Block* block;
  unsigned number;         ///< in the team
  Fiber* fiber = nullptr;  ///< null until it first runs
  const char* waits_in = "";
  Where where;
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

/// A static shared variable; its place is the same in every block of a launch.
struct SharedSlot {
  const void* key;
  const char* name;
  size_t offset, bytes;
};

constexpr size_t kArenaBytes = 256 << 10;
constexpr size_t kReservedShared = 1024;  // as on the GPU; here it holds TSan's tags
constexpr size_t kMaxShared = 227 << 10;
constexpr size_t kMaxStaticShared = 48 << 10;

struct Block {
  Team* team;
  Warp* warps;
  Geometry geometry;
  unsigned live = 0;
  Barrier barrier;
  uint32_t waiting[kMaxWarps];  ///< lanes of each warp in `barrier`
  char* arena = nullptr;        ///< shared memory
  unsigned filled_slots = 0;    ///< slots this block has touched

  char* tag(unsigned i) const { return arena + 8 * i; }  ///< below kReservedShared
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

// ---- barrier.cpp, warp_ops.cpp: what an exiting lane means to those who wait ------------------

void lane_left_barriers(Lane& lane);
void lane_left_meetings(Lane& lane);

// ---- shared.cpp ------------------------------------------------------------------------------

void begin_shared(Block& block);
void end_shared(Block& block);

// ---- text ------------------------------------------------------------------------------------

/// Appends to a buffer of `size` bytes, printf-style; cuts what does not fit.
void append(char* text, size_t size, const char* format, ...) __attribute__((format(printf, 3, 4)));
bool same_text(const char* a, const char* b);
bool same_place(const Where& a, const Where& b);

}  // namespace gg::sim
