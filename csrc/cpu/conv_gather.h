// One gather: conv_fprop, or conv_dgrad for one remainder of the positions modulo the stride.
#pragma once

#include <algorithm>
#include <vector>

#include "core/parallel.h"
#include "cpu/conv_columns.h"
#include "cpu/conv_image.h"
#include "cpu/conv_output.h"
#include "cpu/conv_plan.h"
#include "cpu/conv_scratch.h"
#include "cpu/conv_tile.h"
#include "cpu/conv_transpose.h"
#include "cpu/conv_weights.h"

namespace gg {

/// w as a matrix: [groups][outputs of a group][inputs of a group][taps].
struct ConvFilter {
  const Array& w;
  int64_t group, output, input;  ///< strides
};

struct ConvGather {
  const Array &x, &y;  ///< read and written: x and y, or dy and dx
  ConvFilter filter;
  ConvAxis axes[3];
  int64_t groups;

  int64_t inputs() const { return x.shape[1] / groups; }
  int64_t outputs() const { return y.shape[1] / groups; }
  int tiled() const { return 5 - x.ndim; }
  int64_t steps() const {  ///< of the sum
    int64_t k = inputs();
    for (const ConvAxis& axis : axes) k *= static_cast<int64_t>(axis.taps.size());
    return k;
  }
  bool writes_anything() const {
    if (y.size() == 0) return false;
    for (const ConvAxis& axis : axes) {
      if (axis.windows <= 0) return false;
    }
    return true;
  }
};

template <class T>
class Convolution {
 public:
  using A = Wide<T>;

  Convolution(const ConvGather& gather, const GemmEpilogue& epilogue, A* packed)
      : f_(gather),
        tiles_(conv_tiles<A>()),
        blocks_(gather.outputs(), tiles_.max_rows),
        steps_(gather.steps()),
        columns_(tiles_.columns(blocks_.height)),
        tiling_(f_.axes, f_.tiled(), f_.x.shape[0], f_.inputs(), f_.groups, columns_),
        image_(tiling_, f_.x, f_.inputs()),
        output_(f_.y, epilogue),
        at_(tiling_.offsets(f_.inputs())),
        packed_(packed) {
    choose_form();
  }

  static int64_t packed_elements(const ConvGather& f) {
    return RowBlocks(f.outputs(), conv_tiles<A>().max_rows).elements(f.steps()) * f.groups;
  }

  void run() const {
    const std::vector<int64_t> weight_at = weight_steps();
    parallel_for(f_.groups * blocks_.blocks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) {
        pack(i / blocks_.blocks, i % blocks_.blocks, weight_at);
      }
    });
    // Few tiles: several threads share one, by blocks of rows.
    const int64_t tiles = tiling_.tiles() * f_.groups;
    const int64_t parts = tiles >= 8 ? 1 : std::min<int64_t>(blocks_.blocks, (15 + tiles) / tiles);
    parallel_for(tiles * parts, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) compute(i / parts, i % parts, parts);
    });
  }

 private:
  using Columns = ConvColumns<A>;
  using Rows = typename Columns::Rows;

  /// Steps of the sum at once: rows of w and a vector's width of x for these stay in the first
  /// cache. Windows at once, and elements of x and of sums for these: they stay in the second.
  static constexpr int64_t kSteps = 320, kWindows = 384, kElements = 160 << 10;

  /// Windows are gathered where what that costs, about kGatherRows rows of w, is less than what
  /// computing the places that are no windows costs.
  static constexpr double kGatherRows = 12;

  /// Are windows gathered, or read in place? And how much at once?
  void choose_form() {
    const ConvAxis& inner = f_.axes[2];
    const int64_t blocks = std::max<int64_t>(1, (steps_ + kSteps - 1) / kSteps);
    steps_at_once_ = (steps_ + blocks - 1) / blocks;
    const double waste = static_cast<double>(tiling_.max_span()) /
                             static_cast<double>(std::max<int64_t>(1, tiling_.max_windows())) -
                         1;
    gathers_ = waste * static_cast<double>(f_.outputs()) > kGatherRows;
    const int64_t height = steps_at_once_ + blocks_.blocks * blocks_.height;
    const int64_t most = std::clamp(kElements / height, 2 * columns_, kWindows);
    const int64_t width = tiling_.axis == 2 ? std::min(tiling_.rows, inner.windows) : inner.windows;
    const int64_t row = gathers_ ? width : tiling_.extent[2];
    rows_ = rows_at_once(row, columns_, most);
    pitch_ = (largest_span(row) + columns_ - 1) / columns_ * columns_;
    column_at_.resize(gathers_ ? steps_at_once_ : 0);
    for (int64_t i = 0; i < std::ssize(column_at_); i++) column_at_[i] = i * columns_;
  }

  /// Places of rows_ rows, wherever in a tile they begin.
  int64_t largest_span(int64_t row) const {
    if (gathers_) return rows_ * row;
    const ConvPart whole{0, tiling_.images, 0,
                         std::min(tiling_.rows, f_.axes[tiling_.axis].windows)};
    const Columns windows(tiling_, whole, false);
    int64_t span = row;
    for (int64_t r = 0; r + 1 < windows.rows(); r++) {
      span = std::max(span, windows.width({r, std::min(r + rows_, windows.rows())}));
    }
    return span;
  }

  A* packed_block(int64_t group, int64_t block) const {
    return packed_ + (group * blocks_.blocks + block) * blocks_.height * steps_;
  }

  void pack(int64_t group, int64_t block, const std::vector<int64_t>& at) const {
    const ConvFilter& filter = f_.filter;
    const T* from =
        filter.w.as<T>() + group * filter.group + block * blocks_.height * filter.output;
    A* to = packed_block(group, block);
    const int64_t rows = blocks_.count(block), height = blocks_.height;
    if (rows < height) std::fill(to, to + steps_ * height, A(0));
    // Steps that lie at equal distances in w, many at a time.
    for (int64_t i = 0, n; i < steps_; i += n) {
      const int64_t step = i + 1 < steps_ ? at[i + 1] - at[i] : 1;
      for (n = 1; i + n < steps_ && at[i + n] - at[i + n - 1] == step; n++) continue;
      transpose(from + at[i], filter.output, step, rows, n, to + i * height, height);
    }
  }

  /// Where in w each step of the sum is.
  std::vector<int64_t> weight_steps() const {
    const ConvStrides stride(f_.filter.w);
    std::vector<int64_t> at;
    for (int64_t c = 0; c < f_.inputs(); c++) {
      for (const ConvTap& t0 : f_.axes[0].taps) {
        for (const ConvTap& t1 : f_.axes[1].taps) {
          for (const ConvTap& t2 : f_.axes[2].taps) {
            at.push_back(c * f_.filter.input + t0.tap * stride.axis[0] + t1.tap * stride.axis[1] +
                         t2.tap * stride.axis[2]);
          }
        }
      }
    }
    return at;
  }

  struct Memory {
    A *x, *columns, *sums;
  };

  /// A tile of a group: the row blocks of one of `parts` shares.
  void compute(int64_t i, int64_t share, int64_t parts) const {
    const int64_t group = i / tiling_.tiles();
    const ConvPart part = tiling_.part(i % tiling_.tiles(), f_.x.shape[0]);
    const int64_t first = blocks_.blocks * share / parts;
    const int64_t last = blocks_.blocks * (share + 1) / parts;
    const int64_t gathered = gathers_ ? steps_at_once_ * columns_ + Columns::kSlack : 0;
    const int64_t sums = (last - first) * blocks_.height * pitch_;
    ConvScratch<A> scratch(ConvScratch<A>::padded(image_.size()) +
                           ConvScratch<A>::padded(gathered) + sums);
    const Memory memory{scratch.take(image_.size()), scratch.take(gathered), scratch.take(sums)};
    image_.load(part, group, memory.x);
    const Columns windows(tiling_, part, gathers_);
    for (int64_t row = 0; row < windows.rows(); row += rows_) {
      const Rows rows{row, std::min(row + rows_, windows.rows())};
      multiply(windows, rows, group, first, last, memory);
      for (int64_t block = first; block < last; block++) {
        write(windows, rows, group, block, memory.sums + (block - first) * blocks_.height * pitch_);
      }
    }
  }

  /// Sums of the windows of some rows for blocks first .. last - 1 of w's rows.
  void multiply(const Columns& windows, Rows rows, int64_t group, int64_t first, int64_t last,
                const Memory& memory) const {
    const ConvTile<A> tile = tiles_.tile[blocks_.height];
    const int64_t width = windows.width(rows);
    std::vector<typename Columns::Piece> pieces;
    for (int64_t k = 0; k < std::max<int64_t>(1, steps_);
         k += std::max<int64_t>(1, steps_at_once_)) {
      const int64_t steps = std::min(steps_at_once_, steps_ - k);
      const int64_t* const at = gathers_ ? column_at_.data() : at_.data() + k;
      for (int64_t q = 0; q < width; q += columns_) {
        const A* x = memory.columns;
        if (gathers_) {
          windows.pieces(rows, q, columns_, pieces);
          Columns::gather(memory.x, at_.data() + k, steps, pieces, columns_, memory.columns);
        } else {
          x = memory.x + windows.place(rows.first) + q;
        }
        const A* from[kMaxTileVectors];
        for (int v = 0; v < kMaxTileVectors; v++) from[v] = x + v * tiles_.lanes;
        for (int64_t block = first; block < last; block++) {
          tile(steps, packed_block(group, block) + k * blocks_.height, at, from,
               memory.sums + (block - first) * blocks_.height * pitch_ + q, pitch_, k > 0);
        }
      }
    }
  }

  void write(const Columns& windows, Rows rows, int64_t group, int64_t block, A* sums) const {
    const int64_t channel = group * f_.outputs() + block * blocks_.height;
    windows.for_each_stretch(rows, [&](int64_t image, const int64_t* origin, const int64_t* count,
                                       const int64_t* extent, int64_t offset) {
      for (int64_t m = 0; m < blocks_.count(block); m++) {
        output_.write(f_.axes, image, channel + m, origin, count, extent,
                      sums + m * pitch_ + offset);
      }
    });
  }

  const ConvGather& f_;
  const ConvTiles<A>& tiles_;
  const RowBlocks blocks_;
  const int64_t steps_, columns_;
  const ConvTiling tiling_;
  const ConvImage<T> image_;
  const ConvOutput<T> output_;
  const std::vector<int64_t> at_;
  A* const packed_;

  bool gathers_;
  int64_t steps_at_once_, rows_;
  int64_t pitch_;  ///< of sums
  std::vector<int64_t> column_at_;
};

}  // namespace gg
