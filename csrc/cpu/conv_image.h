// A tile of a source image into the layout of conv_plan.h, in the type it is computed in.
#pragma once

#include <algorithm>
#include <cstring>

#include "cpu/conv_plan.h"
#include "cpu/convert.h"
#include "cpu/runs.h"

namespace gg {

/// The places of one row of a phase: source elements for [low, high), zeros elsewhere.
struct ConvRow {
  int64_t first, low, high, extent;  ///< `first` is the source index at `low`

  bool whole() const { return low == 0 && high == extent; }

  ConvRow(const ConvAxis& axis, int64_t phase, int64_t begin, int64_t extent) : extent(extent) {
    const int64_t from = phase - axis.pad;  // source index at place 0
    const int64_t before = from < 0 ? (-from + axis.stride - 1) / axis.stride : 0;
    const int64_t behind = axis.source > from ? (axis.source - from - 1) / axis.stride + 1 : 0;
    low = std::clamp<int64_t>(before - begin, 0, extent);
    high = std::clamp<int64_t>(behind - begin, low, extent);
    first = (begin + low) * axis.stride + from;
  }
};

template <class T>
class ConvImage {
 public:
  using A = Wide<T>;

  ConvImage(const ConvTiling& tiling, const Array& x, int64_t group_channels)
      : g_(tiling), data_(x.as<T>()), stride_(x), channels_(group_channels) {}

  int64_t size() const { return channels_ * g_.channel; }

  /// Channels of `group` of a tile.
  void load(const ConvPart& part, int64_t group, A* to) const {
    const T* x = data_ + group * channels_ * stride_.channel;
    const ConvAxis* axes = g_.axes;
    int64_t plane = 0;
    for (int64_t p0 : axes[0].phases) {
      for (int64_t p1 : axes[1].phases) {
        for (int64_t p2 : axes[2].phases) {
          load_phase(part, x, {p0, p1, p2}, to + plane++ * g_.plane);
        }
      }
    }
  }

 private:
  struct Phases {
    int64_t of[3];
  };

  void load_phase(const ConvPart& part, const T* x, const Phases& phase, A* to) const {
    const ConvAxis* axes = g_.axes;
    int64_t begin[3] = {};
    begin[g_.axis] = part.begin;
    const ConvRow r0(axes[0], phase.of[0], begin[0], g_.extent[0]);
    ConvRow r1(axes[1], phase.of[1], begin[1], g_.extent[1]);
    ConvRow r2(axes[2], phase.of[2], begin[2], g_.extent[2]);
    const bool whole = r1.whole() && r2.whole() && axes[1].stride == 1 && axes[2].stride == 1;
    if (whole && stride_.axis[1] == r2.extent * stride_.axis[2]) {  // rows that follow each other
      r2.high = r2.extent *= r1.extent;
      r1.high = r1.extent = 1;
    }
    const int64_t step0 = axes[0].stride * stride_.axis[0],
                  step1 = axes[1].stride * stride_.axis[1];
    const bool channels_inside = stride_.channel == 1 && stride_.axis[2] != 1;
    const int64_t inner = channels_inside ? channels_ : 1;
    for (int64_t c = 0; c < channels_; c += inner) {
      A* row = to + c * g_.channel;
      for (int64_t n = 0; n < part.images; n++) {
        const T* image = x + c * stride_.channel + (part.image + n) * stride_.image +
                         r0.first * stride_.axis[0] + r1.first * stride_.axis[1] +
                         r2.first * stride_.axis[2];
        for (int64_t v0 = 0; v0 < r0.extent; v0++) {
          const bool in0 = v0 >= r0.low && v0 < r0.high;
          for (int64_t v1 = 0; v1 < r1.extent; v1++, row += r2.extent) {
            const bool in = in0 && v1 >= r1.low && v1 < r1.high;
            const T* from = in ? image + (v0 - r0.low) * step0 + (v1 - r1.low) * step1 : nullptr;
            load_row(from, r2, row, inner);
          }
        }
      }
      const int64_t used = part.images * g_.image_pitch;
      for (int64_t i = 0; i < inner; i++) {
        A* tail = to + (c + i) * g_.channel + used;
        std::fill(tail, tail + g_.plane - used, A(0));
      }
    }
  }

  /// `inner` channels of a row; from nullptr: outside the image.
  void load_row(const T* from, const ConvRow& r, A* row, int64_t inner) const {
    const int64_t low = from ? r.low : r.extent, high = from ? r.high : r.extent;
    for (int64_t c = 0; c < inner; c++) {
      A* at = row + c * g_.channel;
      std::fill(at, at + low, A(0));
      std::fill(at + high, at + r.extent, A(0));
    }
    const int64_t step = g_.axes[2].stride * stride_.axis[2];
    if (inner == 1) return read_run_any(from, step, row + low, high - low);
    for (int64_t v = low; v < high; v++, from += step) {
      for (int64_t c = 0; c < inner; c++) row[c * g_.channel + v] = convert<A>(from[c]);
    }
  }

  static void read_run_any(const T* x, int64_t stride, A* run, int64_t n) {
    if (n > 0) read_run(x, stride, run, n);
  }

  const ConvTiling& g_;
  const T* data_;
  ConvStrides stride_;
  int64_t channels_;
};

}  // namespace gg
