// What conv_wgrad sums, for conv_wgrad.cpp and conv_wgrad_depthwise.h.
#pragma once

#include "cpu/conv_plan.h"

namespace gg {

struct ConvWgrad {
  const Array &x, &dy, &dw;
  ConvAxis axes[3];
  int64_t groups;

  ConvWgrad(const Array& x, const Array& dy, const Array& dw, const ConvWindow& window)
      : x(x), dy(dy), dw(dw), groups(window.groups) {
    fprop_axes(x, dw, dy, window, axes);
  }

  int64_t inputs() const { return x.shape[1] / groups; }
  int64_t outputs() const { return dy.shape[1] / groups; }
  bool sums_anything() const { return dy.size() > 0 && dw.size() > 0; }

  /// Where each tap is in a row of dw, for one channel.
  std::vector<int64_t> tap_places() const {
    const ConvStrides stride(dw);
    std::vector<int64_t> places;
    for (const ConvTap& t0 : axes[0].taps) {
      for (const ConvTap& t1 : axes[1].taps) {
        for (const ConvTap& t2 : axes[2].taps) {
          places.push_back(t0.tap * stride.axis[0] + t1.tap * stride.axis[1] +
                           t2.tap * stride.axis[2]);
        }
      }
    }
    return places;
  }
};

}  // namespace gg
