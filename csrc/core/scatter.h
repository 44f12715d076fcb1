// What scatter is asked, checked: shared by csrc/kernels/scatter.cu and csrc/cpu/scatter.cpp.
#pragma once

#include "core/indexing.h"

namespace gg {

struct ScatterProblem {
  IndexList indices;   ///< places are row-major numbers of the indexed axes
  RowsOfIndices rows;  ///< values over J; values and x over the rest
  Layout<1> places;    ///< x over the indexed axes: from a number to elements
  int64_t count;       ///< positions in J
  int64_t row;         ///< elements of a row
  int64_t limit;       ///< numbers are below this; illegal indices take it
};

inline ScatterProblem scatter_problem(const Array& values, const Arrays& indices, const Array& x,
                                      const Array& flag) {
  ScatterProblem p{};
  p.indices = index_list("scatter", indices, x, true);
  check_same_dtype("scatter", "values", values, "x", x);
  check_dtype("scatter", "flag", flag, DType::i64);
  p.rows = rows_of_indices("scatter", "values", values, indices[0], x, p.indices.count);
  p.limit = 1;
  for (int a = 0; a < p.indices.count; a++) {
    p.places.push(x.shape[a], {x.stride[a]});
    p.limit *= x.shape[a];
  }
  p.places.finish();
  p.count = p.rows.outer.size;
  p.row = p.rows.rest.size;
  GG_CHECK(p.count < int64_t{1} << 31, "scatter", p.count,
           " positions; at most 2^31 - 1 at a time");
  return p;
}

}  // namespace gg
