// From accesses of lanes to requests of warps, and what these cost.
#pragma once

#include <cstddef>
#include <cstdint>

#include "sim/team.h"

namespace gg::sim {

enum class Access : uint8_t { load, store, atomic };

/// The instruction: its address (line 0), or a primitive's file and line.
struct Place {
  const void* code = nullptr;  ///< or the file's name
  uint32_t line = 0;
  uint32_t part = 0;  ///< of an access wider than 16 bytes

  bool operator==(const Place&) const = default;
};

/// The running lane's access of up to 16 bytes. Does nothing outside kernels.
void record(const Place& place, const void* p, size_t bytes, Access access);

/// Any number of bytes, in pieces of 16.
void record_range(Place place, const void* p, size_t bytes, Access access);

/// The lanes that execute an instruction together, and where each goes.
struct Request {
  uint32_t lanes = 0;
  uintptr_t address[kLanes];
};

struct Cost {
  uint64_t cost, ideal, bytes;
};

/// Sectors of a request in which each lane moves `bytes`.
Cost global_cost(const Request& request, unsigned bytes);
/// Wavefronts of it.
Cost shared_cost(const Request& request, unsigned bytes);

}  // namespace gg::sim
