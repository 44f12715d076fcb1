// Windows of a tile side by side: [step][window], for the inner loop of conv_tile.h.
//
// Between the rows of a padded tile lie places that are no windows. Where these are many and the
// rows of w too, copying the windows together (8 elements an instruction) costs less than computing
// what lies between them.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "cpu/conv_plan.h"

namespace gg {

template <class A>
class ConvColumns {
 public:
  /// Rows first .. last - 1 of a tile, counted over its images and planes.
  struct Rows {
    int64_t first, last;
  };

  /// `gathered`: windows are counted alone, else with what lies between them.
  ConvColumns(const ConvTiling& tiling, const ConvPart& part, bool gathered)
      : g_(tiling), part_(part), gathered_(gathered) {
    for (int i = 0; i < 3; i++) count_[i] = g_.axes[i].windows;
    count_[g_.axis] = part.end - part.begin;
  }

  int64_t rows() const { return part_.images * count_[0] * count_[1]; }

  /// Places of some rows.
  int64_t width(Rows rows) const { return offset(rows, rows.last - 1) + count_[2]; }

  /// Where a row begins in the padded tile.
  int64_t place(int64_t row) const {
    const int64_t plane = row / count_[1], o1 = row % count_[1];
    return ((plane / count_[0] * g_.extent[0] + plane % count_[0]) * g_.extent[1] + o1) *
           g_.extent[2];
  }

  /// Windows that are neighbours in the padded tile.
  struct Piece {
    int64_t place, count;
  };

  /// Those of `rows` whose offsets are q .. q + columns - 1.
  void pieces(Rows rows, int64_t q, int64_t columns, std::vector<Piece>& pieces) const {
    pieces.clear();
    const int64_t end = std::min(q + columns, (rows.last - rows.first) * count_[2]);
    for (int64_t n; q < end; q += n) {
      const int64_t o2 = q % count_[2];
      n = std::min(count_[2] - o2, end - q);
      pieces.push_back({place(rows.first + q / count_[2]) + o2, n});
    }
  }

  /// to[k][..] = the pieces one after another, for `steps` steps. Writes up to kSlack elements
  /// more.
  static constexpr int64_t kSlack = 16;
  static void gather(const A* x, const int64_t* at, int64_t steps, const std::vector<Piece>& pieces,
                     int64_t columns, A* to) {
    constexpr int64_t kVector = 8;
    for (int64_t k = 0; k < steps; k++) {
      const A* from = x + at[k];
      A* row = to + k * columns;
      for (const Piece& piece : pieces) {
        for (int64_t i = 0; i < piece.count; i += kVector) {
          std::memcpy(row + i, from + piece.place + i, kVector * sizeof(A));
        }
        row += piece.count;
      }
    }
  }

  /// f(image, origin, count, extent, offset) for the stretches of rows that lie in one plane;
  /// offset is that of their first window among the places of all rows.
  template <class F>
  void for_each_stretch(Rows rows, F f) const {
    const int64_t extent[3] = {0, 0, gathered_ ? count_[2] : g_.extent[2]};
    for (int64_t r = rows.first, n; r < rows.last; r += n) {
      const int64_t o1 = r % count_[1], plane = r / count_[1];
      n = std::min(count_[1] - o1, rows.last - r);
      int64_t origin[3] = {plane % count_[0], o1, 0};
      origin[g_.axis] += part_.begin;
      const int64_t count[3] = {1, n, count_[2]};
      f(part_.image + plane / count_[0], origin, count, extent, offset(rows, r));
    }
  }

 private:
  int64_t offset(Rows rows, int64_t row) const {
    return gathered_ ? (row - rows.first) * count_[2] : place(row) - place(rows.first);
  }

  const ConvTiling& g_;
  const ConvPart part_;
  const bool gathered_;
  int64_t count_[3];
};

/// Rows to compute at once: about as many windows as `most`, with the least left over in the last
/// of the blocks of `columns`.
inline int64_t rows_at_once(int64_t width, int64_t columns, int64_t most) {
  int64_t best = 1;
  double least = 0;
  for (int64_t rows = 1; rows == 1 || rows * width <= most; rows++) {
    const int64_t computed = (rows * width + columns - 1) / columns * columns;
    const double cost = static_cast<double>(computed) / static_cast<double>(rows * width);
    if (rows == 1 || cost <= least) least = cost, best = rows;
  }
  return best;
}

}  // namespace gg
