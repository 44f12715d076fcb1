// How the simulator orders what a GPU leaves open. Plain types only: bind.cpp includes it.
#pragma once

#include <cstdint>

namespace gg::sim {

/// order:      "forward", "reverse" or "random" order of threads, warps and blocks.
/// async_mode: when asynchronous copies and matrix operations complete: "eager" (at once), "lazy"
///             (at their wait) or "random".
/// seed:       of both random choices; the same seed gives the same schedule.
/// workers:    CPU threads that run blocks; 0 means one for each core, at most 8.
/// Null or empty text keeps the present setting. The environment variables GPUGRAD_SIM_ORDER,
/// GPUGRAD_SIM_ASYNC, GPUGRAD_SIM_SEED and GPUGRAD_SIM_WORKERS give the first setting; without them
/// it is forward, eager, 0 and 0. Throws std::invalid_argument, with what is allowed.
void set_schedule(const char* order, const char* async_mode, uint64_t seed, int workers);

/// What architecture() says to the launches that follow: 75, 80, 86, 89, 90, 100 or 120, else
/// std::invalid_argument. First GPUGRAD_SIM_ARCHITECTURE, or 80. A primitive that needs a later one
/// is then an error.
void set_architecture(int architecture);
int architecture();

}  // namespace gg::sim
