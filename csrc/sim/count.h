// What the simulator tells the access counters (csrc/sim/counters); nothing in other builds.
//
// Plain loads and stores of kernels are counted by themselves, because the counters' flavour of
// tests/sim/build.py compiles kernels with -fsanitize=thread. A primitive whose body is in the
// simulator's own files (ldmatrix, cp.async, TMA) reports what it touches here.
#pragma once

#include <cstddef>

#include "sim/runtime.h"

namespace gg::sim {

struct Block;

#if defined(GG_COUNTERS)

/// The running lane's own share of a warp-wide access: up to 16 bytes, as for a plain load.
void count_access(const void* p, size_t bytes, bool write, Where where);

/// Contiguous bytes that a copy engine moves for the running lane: no lanes, no conflicts.
void count_bulk(const void* p, size_t bytes, bool write, Where where);

void count_launch(const Launch& launch);
void count_block_end(const Block& block);

#else

inline void count_access(const void*, size_t, bool, Where) {}
inline void count_bulk(const void*, size_t, bool, Where) {}
inline void count_launch(const Launch&) {}
inline void count_block_end(const Block&) {}

#endif

}  // namespace gg::sim
