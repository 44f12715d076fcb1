// What the embedding operations on the CPU share.
#pragma once

#include "core/index.h"
#include "cpu/flag.h"
#include "cpu/rows.h"
#include "ops/types.h"

namespace gg {

/// Flags the first index outside [0, limit), if there is one. Not by the threads that move rows:
/// which of them is first would depend on the schedule.
template <int K>
void flag_first(const Layout<K>& positions, const int64_t* index, int64_t limit,
                const Array& flag) {
  for (int64_t j = 0; j < positions.size; j++) {
    const int64_t v = index[positions.offset(0, j)];
    if (v >= 0 && v < limit) continue;
    return flag_index_error(flag.as<int64_t>(), FlagCode::embedding, v, limit, 0);
  }
}

}  // namespace gg
