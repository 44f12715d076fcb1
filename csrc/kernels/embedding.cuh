// What the kernels of embedding tables share on the host: block size, grids, whether rows move in
// 16-byte vectors.
#pragma once

#include <algorithm>

#include "core/array.h"
#include "device/device.h"

namespace gg {

constexpr int kTableThreads = 256;

/// Blocks for so many threads: enough to fill the device, the rest by stride.
inline unsigned table_grid(int64_t threads) {
  const int64_t blocks = (threads + kTableThreads - 1) / kTableThreads;
  return static_cast<unsigned>(std::min<int64_t>(blocks, int64_t{64} * multiprocessors()));
}

/// Is every row of the matrix a run of whole, aligned 16-byte vectors?
inline bool moves_in_vectors(const Array& a) {
  const int64_t width = 16 / dtype_size(a.dtype);
  return reinterpret_cast<uintptr_t>(a.data) % 16 == 0 && a.stride[1] == 1 &&
         a.shape[1] % width == 0 && (a.shape[0] == 1 || a.stride[0] % width == 0);
}

}  // namespace gg
