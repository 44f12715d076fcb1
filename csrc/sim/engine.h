// The asynchronous engines: TMA's copies and wgmma's products that are under way beside the GPU
// threads, and the mbarriers that they signal. Part of team.h.
//
// Async::eager runs a job when it is issued; lazy only when no GPU thread can run, newest first;
// random either then or at any switch between threads, in any order. Products of one warpgroup run
// in the order they were issued.
//
// TSan: each engine (loads, stores, products) is a fiber of its own, which a job enters. It knows
// only what the job's issuer released, and those who wait know only what it released, so that a
// missing wait is a race.
#pragma once

#include <cstdint>
#include <memory>

#include "sim/config.h"
#include "sim/hopper.h"
#include "sim/proxy.h"

namespace gg::sim {

struct Lane;
struct Block;
struct Team;

// ---- mbarriers ---------------------------------------------------------------------------------

/// The state of an mbarrier. The word in shared memory holds its place in Block::mbarriers, so that
/// one that was never set up, or was overwritten, is recognised.
struct MbarrierState {
  uint64_t* address = nullptr;  ///< null: not in use
  unsigned expected = 0, pending = 0, phase = 0;
  int64_t bytes = 0;  ///< still to come in this phase; may be early, so negative
  const Lane* owner = nullptr;
  bool fenced = false;       ///< fence_mbarrier_init has followed
  bool invalidated = false;  ///< at `where_invalidated`
  Where where;               ///< of mbarrier_init
  Where where_invalidated;
};

constexpr unsigned kMaxMbarriers = 128;  // of a block

// ---- products ----------------------------------------------------------------------------------

constexpr unsigned kWarpgroup = 128;    // threads
constexpr unsigned kMaxWarpgroups = 8;  // of a block
constexpr unsigned kMaxProducts = 64;   // of a warpgroup, under way
constexpr unsigned kMaxTeamProducts = 256;

/// A wgmma, gathered from 128 threads.
struct Product {
  WgmmaCall call;
  Where where;
  uint32_t group;
  unsigned warpgroup;
  unsigned issued;  ///< threads so far
  Product* next;    ///< of the free ones
  // Of each thread, when it issued the product:
  uint32_t* d[kWarpgroup];
  uint32_t a[kWarpgroup][4];
  uint32_t fences[kWarpgroup];  ///< LaneAsync::proxy_fences
};

struct Warpgroup {
  Product* products[kMaxProducts];  ///< number i is at i % kMaxProducts
  uint32_t done, issued;            ///< numbers of the first one not run, and not begun
  uint32_t waiting[4];              ///< lanes of each warp in wgmma_wait
};

// ---- jobs --------------------------------------------------------------------------------------

enum class JobKind : uint8_t { load, store, product };

struct Job {
  Job *next, *previous;  ///< by age
  JobKind kind;
  bool bulk;  ///< contiguous bytes, without a map
  TmaReduce reduce;
  unsigned mask;  ///< blocks of the cluster that a load goes to, by rank
  Where where;
  Lane* lane;    ///< that issued it
  char* shared;  ///< in the issuer's block
  uint64_t* barrier;
  TensorMapData map;
  TmaCoordinates at;
  char* global;
  unsigned bytes;
  uint32_t group;  ///< of the lane's stores
  unsigned warpgroup;
};

constexpr unsigned kMaxCluster = 8;  // blocks
constexpr unsigned kMaxJobs = 1024;
constexpr unsigned kEngines = 3;  // one for each JobKind

struct WgmmaTiles;
struct WgmmaTilesDeleter {
  void operator()(WgmmaTiles* tiles) const;
};
WgmmaTiles* new_wgmma_tiles();

struct Engine {
  std::unique_ptr<Job[]> jobs;
  std::unique_ptr<WgmmaTiles, WgmmaTilesDeleter> tiles;
  std::unique_ptr<Product[]> products;
  Job *oldest = nullptr, *newest = nullptr, *free = nullptr;
  Product* free_products = nullptr;
  unsigned count = 0;
  void* tsan[kEngines] = {};
  bool touched = false;  ///< since the lanes were last reset
};

// ---- what threads and blocks add ---------------------------------------------------------------

struct LaneAsync {
  const MbarrierState* waits_for = nullptr;
  unsigned parity = 0;
  uint32_t store_groups = 0, stores_waited = 0;
  bool stores_open = false;  ///< stores not committed yet
  Where store_where;
  uint32_t products = 0, product_groups = 0;  ///< issued, committed
  bool products_fenced = false, products_open = false, products_uncommitted = false;
  Where product_where;
  bool in_cluster_barrier = false;  ///< arrived, not waited
  unsigned cluster_phase = 0;       ///< in which phase
  uint32_t proxy_fences = 1;
};

/// The barrier of a cluster, kept in its first block.
struct ClusterBarrier {
  unsigned arrived = 0, phase = 0;
};

struct BlockAsync {
  unsigned rank = 0;         ///< in its cluster
  Block* cluster = nullptr;  ///< its first block
  unsigned cluster_blocks = 1;
  ClusterBarrier barrier;
  uint32_t in_cluster_wait[32];  ///< lanes of each warp in cluster_wait
  uint32_t in_mbarrier_wait[32];
  unsigned mbarrier_count = 0;
  MbarrierState mbarriers[kMaxMbarriers];
  Warpgroup warpgroups[kMaxWarpgroups];
  ProxyState proxy;
};

// ---- engine.cpp --------------------------------------------------------------------------------

void begin_engine(Team& team);
void end_engine(Team& team);
void begin_block_async(Team& team, Block& block, unsigned number);

/// A job to be filled in; then submit it.
Job& new_job(Team& team, JobKind kind, Where where);
/// Runs it at once in an eager schedule, else keeps it.
void submit(Team& team, Job& job);
/// Runs what a lane's wait needs: its stores of groups before `group`.
void run_stores(Team& team, const Lane& lane, uint32_t group);
/// Runs one job, if there is any; called when no thread can run.
bool run_idle(Team& team);
/// In a random schedule, runs a job now and then.
void run_by_chance(Team& team);
[[noreturn]] void fail_job(const Job& job, const char* format, ...)
    __attribute__((format(printf, 2, 3)));
/// Fails unless the simulated GPU is a Hopper.
void need_hopper(const char* name, Where where);

/// Errors of threads and blocks that exit with something under way.
void lane_left_async(Lane& lane);

// TSan tags of a block, for Block::tag.
constexpr unsigned kClusterTags = 96, kExitTag = 98;
constexpr unsigned kStoreTag = 99, kStoreReadTag = 100, kStoreDoneTag = 101;
constexpr unsigned kWarpgroupTags = 104;  // two each

/// The address in shared memory at which a tile of rows of `span` bytes (Swizzle) keeps `address`.
inline uint32_t swizzled(uint32_t address, int span) {
  const uint32_t mask = span ? static_cast<uint32_t>(span) / 16 - 1 : 0;
  return address ^ (address >> 7 & mask) << 4;
}

/// For TSan, what happens in this scope is done by an engine and not by the running GPU thread.
class EngineScope {
 public:
  EngineScope(Team& team, JobKind kind);
  ~EngineScope();
  EngineScope(const EngineScope&) = delete;
  EngineScope& operator=(const EngineScope&) = delete;

 private:
  Team& team_;
  void* thread_ = nullptr;  ///< TSan's fiber of the thread
};

// ---- tma_copy.cpp, wgmma_product.cpp, mbarrier.cpp, cluster.cpp ---------------------------------

void run_load(Team& team, Job& job);
void run_store(Team& team, Job& job);
void run_product(Team& team, Job& job);
/// Fails if an operand was written and not fenced when its product was issued; a fence that follows
/// would be too late, though it may come before the product runs.
void check_product_proxy(const Block& block, const Product& product);
/// ASan reports whoever touches an accumulator of a product that is still to run.
void hide_accumulators(const Warpgroup& warpgroup);
/// `bytes` have arrived at the barrier, which is in `block`.
void complete_bytes(Block& block, uint64_t* barrier, unsigned bytes, const Job& job);
/// The barrier's state; an error if it is none, or nobody fenced its set-up.
MbarrierState& find_mbarrier(Block& block, uint64_t* barrier, const char* name, Where where);
void check_mbarrier_fenced(const MbarrierState& state, const char* name, Where where);
void lane_left_cluster(Lane& lane);
/// Appends what mbarriers and warpgroups wait for.
void describe_async(Team& team, char* text, size_t size);
Block& block_of_rank(Block& block, unsigned rank, const char* name, Where where);

}  // namespace gg::sim
