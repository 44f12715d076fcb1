// Index arrays a run of positions at a time: what gather and scatter share. See core/indexing.h.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/indexing.h"

namespace gg {

/// Where the positions [first, first + n) lead, which lie on one innermost axis; illegal ones to 0.
/// Are all legal?
inline bool locate_run(const IndexList& list, int64_t first, int64_t n, int64_t* place) {
  int64_t wrong = 0;
  std::fill_n(place, n, int64_t{0});
  for (int a = 0; a < list.count; a++) {
    const int64_t* const index = list.data[a] + list.layout.offset(a, first);
    const int64_t inner = list.layout.inner(a), limit = list.limit[a], step = list.step[a];
    for (int64_t i = 0; i < n; i++) {
      const int64_t given = index[i * inner], at = given < 0 ? given + limit : given;
      const int64_t bad = (at < 0) | (at >= limit);
      wrong |= bad;
      place[i] += bad != 0 ? -place[i] : at * step;
    }
  }
  return wrong == 0;
}

/// Writes {code, index, limit, axis} for the first illegal index of the first array that has one.
inline void flag_first(const IndexList& list, FlagCode code, int64_t* flag) {
  for (int a = 0; a < list.count && flag[0] == 0; a++) {
    for (int64_t j = 0; j < list.layout.size; j++) {
      const int64_t index = list.data[a][list.layout.offset(a, j)];
      if (index >= -list.limit[a] && index < list.limit[a]) continue;
      flag[0] = static_cast<int64_t>(code);
      flag[1] = index;
      flag[2] = list.limit[a];
      flag[3] = a;
      break;
    }
  }
}

}  // namespace gg
