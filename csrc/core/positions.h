// Positions outside an image, brought inside.
#pragma once

#include <cstdint>

#include "core/functors.h"
#include "device/qualifiers.h"

namespace gg {

/// The position among 0 .. size - 1 that stands for `at`, or -1 for a zero.
GG_HD int64_t bordered(int64_t at, int64_t size, Border border) {
  if (at >= 0 && at < size) return at;
  if (border == Border::zeros) return -1;
  if (border == Border::reflect) {
    if (at < 0) at = -at;
    if (at >= size) at = 2 * (size - 1) - at;
  }
  if (at < 0) return 0;
  return at < size ? at : size - 1;
}

}  // namespace gg
