// The schedule in force; for the simulator's own files.
#pragma once

#include <cstdint>

namespace gg::sim {

enum class Order { forward, reverse, random };
enum class Async { eager, lazy, random };

struct Schedule {
  Order order = Order::forward;
  Async async = Async::eager;
  uint64_t seed = 0;
  int workers = 1;
};

/// The schedule of the next launch, and a seed that differs from launch to launch but is the same
/// again after the same set_schedule. The caller holds the simulator's lock.
Schedule next_schedule(uint64_t& launch_seed);

}  // namespace gg::sim
