// Index arrays on the CPU: the walk that gather and scatter share. See core/indexing.h.
//
// The axes of the positions J and those of a row are walked together, in whatever order suits
// memory. If the innermost axis is one of x, and no index changes along it, then it is a row of
// neighbours and a run of rows goes along the next axis; else rows have one element.
// An index array that counts evenly along one axis (the own position, as `gather` along an axis has
// it for all others) is not read again: it is a stride of x.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/indexing.h"
#include "cpu/runs.h"

namespace gg {

/// Up to kRun rows. Row i begins at other + i * other_step (of y, or the values) and in x at
/// x + i * x_step + index[i] * index_step.
struct Run {
  int64_t n;
  int64_t other, other_step;
  int64_t x, x_step;
  const int64_t* index;
  int64_t index_step;
  int64_t row, row_other, row_x;  ///< elements of a row, and their steps

  /// Elements [from, from + length) of each row.
  Run columns(int64_t from, int64_t length) const {
    Run part = *this;
    part.other += from * row_other;
    part.x += from * row_x;
    part.row = length;
    return part;
  }

  /// Are rows worth a loop of their own? Else one goes along the run, for each of their elements.
  bool has_long_rows() const { return row > 4; }
};

/// x by index beside an array of the result's shape (y of gather, the values of scatter).
class IndexWalk {
 public:
  /// `other` has the shape of the indices followed by x's axes that are not indexed, or broadcasts
  /// to it. All sizes > 0.
  IndexWalk(const Arrays& indices, const Array& x, const Array& other);

  /// Orders the axes as `other` lies in memory: for results that do not depend on the order.
  void order_by_memory();

  /// Orders them so that positions that may meet keep their order: free axes, along which all
  /// places differ, then the others as they are; inside, what lies nearest in memory.
  void order_for_joins();

  /// Are all indices legal? If so, runs are not checked again.
  bool legal();

  const Layout<2 + kMaxIndices>& layout() const { return layout_; }

  /// Do places along this axis of the layout all differ?
  bool is_free(int axis) const { return layout_.stride[kX][axis] != 0; }

  int64_t row() const { return row_; }
  int64_t rows() const { return layout_.size / row_; }

  /// Calls f(run) for the rows [begin, end), in order. An illegal index counts as 0. Were all
  /// legal?
  template <class F>
  bool for_runs(int64_t begin, int64_t end, F f) const {
    int64_t buffer[kRun];
    bool legal = true;
    while (begin < end) {
      const int64_t n = std::min({line_ - begin % line_, end - begin, kRun});
      f(run(begin, n, buffer, &legal));
      begin += n;
    }
    return legal;
  }

 private:
  static constexpr int kOther = 0, kX = 1, kIndex = 2;  // arrays of the layout

  void put_inside(int axis);
  int64_t distance(int axis) const;
  bool is_row(int axis) const;
  void split();
  Run run(int64_t first, int64_t n, int64_t* buffer, bool* legal) const;

  int count_ = 0;       // index arrays that are read
  bool plain_ = false;  // all are known to be legal, and none negative
  const int64_t* data_[kMaxIndices];
  int64_t limit_[kMaxIndices], step_[kMaxIndices];
  Layout<1> lines_[kMaxIndices];  // each array without the axes along which it repeats
  int64_t first_ = 0;             // what the other arrays add to the place
  Layout<2 + kMaxIndices> layout_;
  int64_t row_ = 1, line_ = 1;  // elements of a row, rows along one axis
  int line_axis_ = -1;          // -1: there is one row
};

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
