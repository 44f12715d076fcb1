// A TMA job's box, for the two files of TMA.
#pragma once

#include "sim/team.h"

namespace gg::sim {

inline int row_elements(const Job& job) {
  if (job.bulk) return static_cast<int>(job.bytes);
  return job.map.im2col ? job.map.channels : job.map.box[0];
}

inline unsigned row_bytes(const Job& job) {
  return static_cast<unsigned>(row_elements(job) * (job.bulk ? 1 : job.map.element_bytes));
}

inline unsigned rows(const Job& job) {
  if (job.bulk) return 1;
  if (job.map.im2col) return static_cast<unsigned>(job.map.pixels);
  unsigned n = 1;
  for (int i = 1; i < job.map.rank; i++) n *= static_cast<unsigned>(job.map.box[i]);
  return n;
}

inline unsigned box_bytes(const Job& job) {
  return row_bytes(job) * rows(job);
}

/// Calls f(block, box, barrier) for each block of the cluster that a load goes to.
template <class F>
void for_each_target(const Job& job, F f) {
  Block& own = *job.lane->block;
  for (unsigned rank = 0; rank < own.async.cluster_blocks; rank++) {
    if (!(job.mask >> rank & 1)) continue;
    Block& block = own.async.cluster[rank];
    uint64_t* barrier = reinterpret_cast<uint64_t*>(
        block.arena + (reinterpret_cast<char*>(job.barrier) - own.arena));
    f(block, block.arena + (job.shared - own.arena), barrier);
  }
}

/// Not memcpy, which TSan intercepts.
inline void copy_bytes(char* to, const char* from, size_t bytes) {
  volatile char* out = to;
  for (size_t i = 0; i < bytes; i++) out[i] = from[i];
}

}  // namespace gg::sim
