#include "sim/counters/requests.h"

#include <pthread.h>

#include <algorithm>
#include <cstdio>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <tuple>
#include <unordered_map>

#include "sim/count.h"
#include "sim/counters/counters.h"
#include "sim/proxy.h"

extern "C" char __executable_start, end;  // the program's image, set by the linker

namespace gg::sim {
namespace {

/// All executions of one instruction that do the same thing.
struct Site {
  Place place;
  uint8_t bytes;
  Access access;
  bool shared;

  bool operator==(const Site&) const = default;
};

struct SiteHash {
  size_t operator()(const Site& s) const {
    const size_t kind = s.bytes * 8u + static_cast<unsigned>(s.access) * 2u + s.shared;
    return std::hash<const void*>()(s.place.code) ^ (s.place.line * 40503u) ^
           (s.place.part * 977u) ^ (kind << 20);
  }
};

struct Tally {
  uint64_t requests = 0, cost = 0, ideal = 0, bytes = 0;

  void add(const Cost& c) {
    requests++;
    cost += c.cost;
    ideal += c.ideal;
    bytes += c.bytes;
  }
};

/// A warp's requests of one site that may still get lanes.
struct OpenRequests {
  Tally* tally;
  uint32_t executions[kLanes] = {};
  uint32_t closed = 0;
  std::deque<Request> open;
};

struct Kernel {
  uint64_t launches = 0;
  std::unordered_map<Site, Tally, SiteHash> tallies;
};

struct Range {
  uintptr_t begin = 0, bytes = 0;
  bool contains(const void* p) const { return reinterpret_cast<uintptr_t>(p) - begin < bytes; }
};

struct Counters {
  std::mutex mutex;  ///< blocks may run on several CPU threads
  std::map<const void*, Kernel> kernels;
  Kernel* kernel = nullptr;  ///< that runs
  Range parameters;          ///< the launching CPU thread's stack
  std::unordered_map<const Warp*, std::unordered_map<Site, OpenRequests, SiteHash>> warps;
};

Counters& counters() {
  static Counters all;
  return all;
}

template <class T>
Range range_of(const std::vector<T>& items) {
  return {reinterpret_cast<uintptr_t>(items.data()), items.size() * sizeof(T)};
}

bool is_shared(const Team& team, const void* p) {
  return std::any_of(team.blocks.begin(), team.blocks.end(), [p](const Block& block) {
    return Range{reinterpret_cast<uintptr_t>(block.arena), kArenaBytes}.contains(p);
  });
}

/// Registers, parameters, constants, and the simulator's own state (threadIdx and the like).
bool is_memory(const Lane& lane, const void* p) {
  const Team& team = *lane.block->team;
  const Range stack{reinterpret_cast<uintptr_t>(lane.fiber->stack), lane.fiber->stack_bytes};
  const auto image = reinterpret_cast<uintptr_t>(&__executable_start);
  const Range constants{image, reinterpret_cast<uintptr_t>(&end) - image};
  return !stack.contains(p) && !counters().parameters.contains(p) && !constants.contains(p) &&
         p != static_cast<const void*>(&self) && !range_of(team.lanes).contains(p) &&
         !range_of(team.blocks).contains(p);
}

void close(const Site& site, OpenRequests& requests) {
  const Request& r = requests.open.front();
  requests.tally->add(site.shared ? shared_cost(r, site.bytes) : global_cost(r, site.bytes));
  requests.open.pop_front();
  requests.closed++;
}

void add_lane(const Lane& lane, const Site& site, const void* p) {
  Counters& all = counters();
  std::lock_guard guard(all.mutex);
  OpenRequests& requests = all.warps[lane.warp][site];
  requests.tally = &all.kernel->tallies[site];
  const uint32_t at = requests.executions[lane.lane]++ - requests.closed;
  while (requests.open.size() <= at) requests.open.emplace_back();
  Request& request = requests.open[at];
  request.lanes |= 1u << lane.lane;
  request.address[lane.lane] = reinterpret_cast<uintptr_t>(p);
  while (!requests.open.empty() && requests.open.front().lanes == ~0u) close(site, requests);
}

constexpr const char* kAccess[] = {"load", "store", "atomic"};

}  // namespace

void record(const Place& place, const void* p, size_t bytes, Access access) {
  if (self == nullptr) return;
  const Lane& lane = *current();
  const bool shared = is_shared(*lane.block->team, p);
  if (!shared && !is_memory(lane, p)) return;
  add_lane(lane, {place, static_cast<uint8_t>(bytes), access, shared}, p);
  if (shared && access != Access::load) proxy_generic_write(p, bytes);
}

void record_range(Place place, const void* p, size_t bytes, Access access) {
  const char* const from = static_cast<const char*>(p);
  for (size_t i = 0; i < bytes; i += 16, place.part++) {
    record(place, from + i, std::min<size_t>(16, bytes - i), access);
  }
}

// ---- what the simulator reports ----------------------------------------------------------------

void count_access(const void* p, size_t bytes, bool write, Where where) {
  record({where.file_name(), where.line(), 0}, p, bytes, write ? Access::store : Access::load);
}

void count_bulk(const void* p, size_t bytes, bool write, Where where) {
  constexpr unsigned kWavefront = 128, kSector = 32;
  if (bytes == 0 || self == nullptr) return;
  const bool shared = is_shared(*current()->block->team, p);
  const unsigned unit = shared ? kWavefront : kSector;
  const auto begin = reinterpret_cast<uintptr_t>(p);
  const uint64_t units = (begin + bytes - 1) / unit - begin / unit + 1;
  const Site site{
      {where.file_name(), where.line(), 0}, 16, write ? Access::store : Access::load, shared};
  Counters& all = counters();
  std::lock_guard guard(all.mutex);
  all.kernel->tallies[site].add({units, (bytes + unit - 1) / unit, bytes});
}

void count_launch(const Launch& launch) {
  Counters& all = counters();
  all.kernel = &all.kernels[launch.kernel];
  all.kernel->launches++;
  pthread_attr_t attributes;
  void* stack = nullptr;
  pthread_getattr_np(pthread_self(), &attributes);
  pthread_attr_getstack(&attributes, &stack, &all.parameters.bytes);
  pthread_attr_destroy(&attributes);
  all.parameters.begin = reinterpret_cast<uintptr_t>(stack);
}

void count_block_end(const Block& block) {
  Counters& all = counters();
  std::lock_guard guard(all.mutex);
  for (unsigned w = 0; w < block.team->warps_per_block; w++) {
    const auto found = all.warps.find(&block.warps[w]);
    if (found == all.warps.end()) continue;
    for (auto& [site, requests] : found->second) {
      while (!requests.open.empty()) close(site, requests);
    }
    all.warps.erase(found);
  }
}

// ---- what tests ask for ------------------------------------------------------------------------

void reset_counters() {
  counters().kernels.clear();
  counters().warps.clear();
}

void print_counters() {
  for (const auto& [address, kernel] : counters().kernels) {
    printf("KERNEL %p %lu\n", address, kernel.launches);
    for (const auto& [site, t] : kernel.tallies) {
      printf("LINE %p ", address);
      if (site.place.line == 0) printf("%p", site.place.code);
      if (site.place.line != 0) {
        printf("%s:%u", static_cast<const char*>(site.place.code), site.place.line);
      }
      printf(" %s %s %u %lu %lu %lu %lu\n", kAccess[static_cast<int>(site.access)],
             site.shared ? "shared" : "global", site.bytes, t.requests, t.cost, t.ideal, t.bytes);
    }
  }
}

}  // namespace gg::sim
