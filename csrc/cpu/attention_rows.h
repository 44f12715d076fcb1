// Rows of scores: what attention does to them between its products, on vectors as wide as the
// machine has them (wide.h).
#pragma once

#include <cstdint>

namespace gg {

/// Rows are walked in whole stripes; what a query does not see is -infinity.
constexpr int64_t kStripe = 16;

/// A row's softmax so far: its largest score, and the sum of exp(score - top).
template <class A>
struct RowSoftmax {
  A top, total;
};

template <class A>
struct AttentionRowLoops {
  /// s = exp(s - top) with the new top, for n scores more; what has been summed with the old top
  /// must be multiplied by the result.
  A (*softmax)(A* s, int64_t n, RowSoftmax<A>& row);
  /// p = exp(s - lse);  s = p z;  dp = p (dp z - delta). z may be null: 1.
  void (*gradient)(A* s, A* dp, const A* z, int64_t n, A lse, A delta);
  void (*multiply)(A* s, const A* z, int64_t n);
  void (*scale)(A* s, A by, int64_t n);
  A (*dot)(const A* x, const A* y, int64_t n);
};

template <class A>
const AttentionRowLoops<A>& attention_row_loops();

}  // namespace gg
