// The index flag: how a kernel tells the host of an index out of range without stopping.
#pragma once

#include "device/platform.h"

namespace gg {

enum class FlagCode : int64_t;  // csrc/ops.h

/// Writes {code, index, limit, axis} to flag (int64[4], zero at rest) unless another thread was
/// first. The host reads it after synchronising.
GG_DEVICE void flag_index_error(int64_t* flag, FlagCode code, int64_t index, int64_t limit,
                                int64_t axis) {
  using Word = unsigned long long;
  const Word mine = static_cast<Word>(code);
  if (atomicCAS(reinterpret_cast<Word*>(flag), Word{0}, mine) != 0) return;
  flag[1] = index;
  flag[2] = limit;
  flag[3] = axis;
}

}  // namespace gg
