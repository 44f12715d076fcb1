// Boxes of windows: conv_wgrad's sum is cut into these.
#pragma once

#include <algorithm>
#include <cstdint>

#include "cpu/conv_plan.h"

namespace gg {

/// Windows origin[i] .. origin[i] + count[i] - 1 along each axis, of several images.
struct ConvBox {
  int64_t image, images, origin[3], count[3];

  int64_t windows() const { return images * count[0] * count[1] * count[2]; }
};

/// All windows cut into boxes of at most `most` windows: whole rows, planes and images where they
/// fit, in parts of about equal size.
class ConvBoxes {
 public:
  ConvBoxes(const ConvAxis* axes, int64_t images, int64_t most) : images_(images) {
    for (int i = 2; i >= 0; i--) {
      windows_[i] = axes[i].windows;
      fit(windows_[i], most, length_[i], parts_[i]);
      most /= length_[i];
    }
    fit(images, most, box_images_, image_parts_);
  }

  int64_t count() const { return image_parts_ * parts_[0] * parts_[1] * parts_[2]; }
  int64_t images() const { return box_images_; }
  int64_t length(int axis) const { return length_[axis]; }

  ConvBox operator[](int64_t i) const {
    ConvBox box;
    for (int axis = 2; axis >= 0; axis--) {
      box.origin[axis] = i % parts_[axis] * length_[axis];
      box.count[axis] = std::min(length_[axis], windows_[axis] - box.origin[axis]);
      i /= parts_[axis];
    }
    box.image = i * box_images_;
    box.images = std::min(box_images_, images_ - box.image);
    return box;
  }

 private:
  static void fit(int64_t all, int64_t most, int64_t& length, int64_t& parts) {
    most = std::max<int64_t>(1, most);
    parts = (all + most - 1) / most;
    length = std::max<int64_t>(1, (all + parts - 1) / std::max<int64_t>(1, parts));
    parts = (all + length - 1) / length;
  }

  int64_t images_, box_images_, image_parts_;
  int64_t windows_[3], length_[3], parts_[3];
};

}  // namespace gg
