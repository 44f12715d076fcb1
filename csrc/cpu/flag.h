// The index flag on the CPU; device/flag.h is its twin.
#pragma once

#include <atomic>
#include <cstdint>

namespace gg {

enum class FlagCode : int64_t;  // csrc/ops.h

/// Writes {code, index, limit, axis} to flag (int64[4], zero at rest) unless another thread was
/// first. Read once all threads are done.
inline void flag_index_error(int64_t* flag, FlagCode code, int64_t index, int64_t limit,
                             int64_t axis) {
  int64_t rest = 0;
  if (!std::atomic_ref(flag[0]).compare_exchange_strong(rest, static_cast<int64_t>(code))) return;
  flag[1] = index;
  flag[2] = limit;
  flag[3] = axis;
}

}  // namespace gg
