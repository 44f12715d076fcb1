// conv_wgrad for groups of one input channel: dw[k, t] is a dot product of dy's channel k with x's
// channel, shifted by tap t. There are no channels to make vectors of, so these run along rows.
//
// Boxes, slices and their order are those of conv_wgrad.cpp; within a box, lane l of a vector sums
// every kLanes-th window of each row, and lanes are added in index order.
#pragma once

#include <algorithm>
#include <cstring>

#include "core/parallel.h"
#include "cpu/conv_pixels.h"
#include "cpu/conv_scratch.h"
#include "cpu/conv_wgrad_problem.h"

namespace gg {

template <class T>
class DepthwiseGradient {
 public:
  using A = Wide<T>;

  DepthwiseGradient(const ConvWgrad& problem, A* partial)
      : f_(problem),
        boxes_(f_.axes, f_.x.shape[0], kMaxPlanarSteps),
        pixels_(f_.axes, boxes_, f_.x, 1, kLanes),
        dy_stride_(f_.dy),
        places_(f_.tap_places()),
        slices_(std::min<int64_t>(boxes_.count(), 8)),
        partial_(partial) {
    for (const ConvTap& t0 : f_.axes[0].taps) {
      for (const ConvTap& t1 : f_.axes[1].taps) {
        for (const ConvTap& t2 : f_.axes[2].taps) {
          at_.push_back(pixels_.at(0, t0.shift + f_.axes[0].pad, t1.shift + f_.axes[1].pad,
                                   t2.shift + f_.axes[2].pad));
        }
      }
    }
  }

  int64_t workspace_elements() const { return slices_ * f_.groups * f_.outputs() * taps(); }

  void run() const {
    parallel_for(f_.groups * slices_, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) sum(i / slices_, i % slices_);
    });
    for (int64_t k = 0; k < f_.dw.shape[0]; k++) store(k);
  }

 private:
  static constexpr int kLanes = 8;
  typedef A Vector __attribute__((vector_size(kLanes * sizeof(A))));

  int64_t taps() const { return static_cast<int64_t>(at_.size()); }

  /// Sums of output m of a group in a slice, one for each tap.
  A* partial(int64_t group, int64_t slice, int64_t m) const {
    return partial_ + ((group * slices_ + slice) * f_.outputs() + m) * taps();
  }

  void sum(int64_t group, int64_t slice) const {
    const int64_t outputs = f_.outputs();
    const int64_t row = ConvScratch<A>::padded(boxes_.length(2));
    ConvScratch<A> scratch(ConvScratch<A>::padded(pixels_.size()) + outputs * kTilePlane + row);
    A* const x = scratch.take(pixels_.size());
    A* const dy = scratch.take(outputs * kTilePlane);
    A* const line = scratch.take(row);
    std::fill_n(partial(group, slice, 0), outputs * taps(), A(0));
    for (int64_t i = boxes_.count() * slice / slices_; i < boxes_.count() * (slice + 1) / slices_;
         i++) {
      const ConvBox box = boxes_[i];
      pixels_.load(box, group, 0, 1, x);
      load_planes<T>(f_.dy, dy_stride_, box, group * outputs, outputs, dy);
      for (int64_t m = 0; m < outputs; m++) {
        A* const sums = partial(group, slice, m);
        for (int64_t t = 0; t < taps(); t++) {
          sums[t] += dot(box, x + at_[t], dy + m * kTilePlane, line);
        }
      }
    }
  }

  /// Sum over the windows of a box of dy and x, which is shifted by a tap.
  A dot(const ConvBox& box, const A* x, const A* dy, A* line) const {
    const int64_t stride = f_.axes[2].stride, n = box.count[2];
    Vector sums = {};
    for (int64_t image = 0; image < box.images; image++) {
      for (int64_t o0 = 0; o0 < box.count[0]; o0++) {
        for (int64_t o1 = 0; o1 < box.count[1]; o1++, dy += n) {
          const A* row = x + pixels_.at(image, o0 * f_.axes[0].stride, o1 * f_.axes[1].stride, 0);
          if (stride != 1) {
            for (int64_t i = 0; i < n; i++) line[i] = row[i * stride];
            row = line;
          }
          add_products(row, dy, n, sums);
        }
      }
    }
    A sum = 0;
    for (int l = 0; l < kLanes; l++) sum += sums[l];
    return sum;
  }

  static void add_products(const A* x, const A* dy, int64_t n, Vector& sums) {
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
      Vector a, b;
      std::memcpy(&a, x + i, sizeof(a));
      std::memcpy(&b, dy + i, sizeof(b));
      sums += a * b;
    }
    if (i == n) return;
    Vector a = {}, b = {};
    std::memcpy(&a, x + i, (n - i) * sizeof(A));
    std::memcpy(&b, dy + i, (n - i) * sizeof(A));
    sums += a * b;
  }

  void store(int64_t k) const {
    const int64_t group = k / f_.outputs(), m = k % f_.outputs();
    T* const row = f_.dw.as<T>() + k * f_.dw.stride[0];
    for (int64_t t = 0; t < taps(); t++) {
      A sum = partial(group, 0, m)[t];
      for (int64_t s = 1; s < slices_; s++) sum += partial(group, s, m)[t];
      row[places_[t]] = convert<T>(sum);
    }
  }

  const ConvWgrad& f_;
  const ConvBoxes boxes_;
  const ConvPixels<T> pixels_;
  const ConvStrides dy_stride_;
  const std::vector<int64_t> places_;
  const int64_t slices_;
  std::vector<int64_t> at_;
  A* const partial_;
};

}  // namespace gg
