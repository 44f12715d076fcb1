// What conv_wgrad reads of a box of windows, in the type it is computed in.
#pragma once

#include <cstring>

#include "cpu/conv_box.h"
#include "cpu/conv_tile.h"
#include "cpu/conv_transpose.h"
#include "cpu/convert.h"
#include "cpu/runs.h"

namespace gg {

/// The part of x that a box meets, as [block][image][axis 0][axis 1][axis 2][channel of the block],
/// padded: neighbouring channels and, in rows, neighbouring taps are a vector.
template <class T>
class ConvPixels {
 public:
  using A = Wide<T>;

  ConvPixels(const ConvAxis* axes, const ConvBoxes& boxes, const Array& x, int64_t channels,
             int lanes)
      : axes_(axes), data_(x.as<T>()), stride_(x), channels_(channels) {
    block_ = channels % lanes == 0 || channels > 3 * lanes ? lanes : channels;
    blocks_ = (channels + block_ - 1) / block_;
    plane_ = boxes.images() * block_;
    for (int i = 0; i < 3; i++) {
      extent_[i] =
          (boxes.length(i) - 1) * axes[i].stride + axes[i].taps.back().shift + axes[i].pad + 1;
      plane_ *= extent_[i];
    }
    plane_ += kMaxTileVectors * lanes;  // vectors may reach beyond the last pixel
  }

  int64_t block() const { return block_; }
  int64_t blocks() const { return blocks_; }
  int64_t plane() const { return plane_; }
  int64_t size() const { return blocks_ * plane_; }

  /// Where position (p0, p1, p2) of an image of a box is, within a block.
  int64_t at(int64_t image, int64_t p0, int64_t p1, int64_t p2) const {
    return (((image * extent_[0] + p0) * extent_[1] + p1) * extent_[2] + p2) * block_;
  }

  /// Blocks first .. last - 1 of the channels of a group.
  void load(const ConvBox& box, int64_t group, int64_t first, int64_t last, A* to) const {
    const Span s0 = span(box, 0), s1 = span(box, 1), s2 = span(box, 2);
    for (int64_t b = first; b < last; b++) {
      const int64_t channel = b * block_, count = std::min(block_, channels_ - channel);
      const T* x = data_ + (group * channels_ + channel) * stride_.channel +
                   s0.source * stride_.axis[0] + s1.source * stride_.axis[1] +
                   s2.source * stride_.axis[2];
      A* row = to + b * plane_;
      for (int64_t n = 0; n < box.images; n++) {
        const T* image = x + (box.image + n) * stride_.image;
        for (int64_t p0 = 0; p0 < extent_[0]; p0++) {
          for (int64_t p1 = 0; p1 < extent_[1]; p1++, row += extent_[2] * block_) {
            if (!s0.holds(p0) || !s1.holds(p1)) {
              std::fill(row, row + extent_[2] * block_, A(0));
              continue;
            }
            load_row(image + (p0 - s0.low) * stride_.axis[0] + (p1 - s1.low) * stride_.axis[1], s2,
                     count, row);
          }
        }
      }
    }
  }

 private:
  /// Positions [low, high) of an axis are inside x, the first of them at `source`.
  struct Span {
    int64_t low, high, source;
    bool holds(int64_t p) const { return p >= low && p < high; }
  };

  Span span(const ConvBox& box, int axis) const {
    const int64_t from = box.origin[axis] * axes_[axis].stride - axes_[axis].pad;
    const int64_t low = std::clamp<int64_t>(-from, 0, extent_[axis]);
    return {low, std::clamp<int64_t>(axes_[axis].source - from, low, extent_[axis]), from + low};
  }

  void load_row(const T* x, const Span& s, int64_t count, A* row) const {
    std::fill(row, row + s.low * block_, A(0));
    std::fill(row + s.high * block_, row + extent_[2] * block_, A(0));
    const int64_t n = s.high - s.low, step = stride_.axis[2];
    A* to = row + s.low * block_;
    if (n == 0) return;
    if (block_ == 1) return read_run(x, step, to, n);
    if (stride_.channel == 1) {
      for (int64_t p = 0; p < n; p++) widen(x + p * step, to + p * block_, count);
      return;
    }
    transpose(x, stride_.channel, step, count, n, to, block_);
  }

  const ConvAxis* axes_;
  const T* data_;
  ConvStrides stride_;
  int64_t channels_, block_, blocks_, plane_;
  int64_t extent_[3];
};

/// dy of a box, as [channel][kTilePlane].
template <class T>
void load_planes(const Array& dy, const ConvStrides& stride, const ConvBox& box, int64_t channel,
                 int64_t channels, Wide<T>* to) {
  const int64_t step = stride.axis[2];
  const bool channels_inside = stride.channel == 1 && step != 1;
  int64_t run = box.count[2], rows[2] = {box.count[0], box.count[1]};
  for (int i = 1; i >= 0; i--) {  // rows that follow each other are one run
    if (box.count[i] != 1 && stride.axis[i] != run * step) break;
    run *= rows[i], rows[i] = 1;
  }
  const T* first = dy.as<T>() + channel * stride.channel + box.origin[0] * stride.axis[0] +
                   box.origin[1] * stride.axis[1] + box.origin[2] * step;
  int64_t at = 0;
  for (int64_t n = 0; n < box.images; n++) {
    for (int64_t o0 = 0; o0 < rows[0]; o0++) {
      for (int64_t o1 = 0; o1 < rows[1]; o1++, at += run) {
        const T* from =
            first + (box.image + n) * stride.image + o0 * stride.axis[0] + o1 * stride.axis[1];
        if (channels_inside) {
          transpose(from, step, 1, run, channels, to + at, int64_t{kTilePlane});
          continue;
        }
        for (int64_t c = 0; c < channels; c++) {
          read_run(from + c * stride.channel, step, to + c * kTilePlane + at, run);
        }
      }
    }
  }
}

}  // namespace gg
