// One element of any dtype, by its size in bytes: for kernels that move or compare bits, where an
// instance for each dtype would take longer to build than it saves.
#pragma once

#include "device/platform.h"

namespace gg {

/// Element `at` of an array, in the low bits of a Word as wide as it or wider.
template <class Word>
GG_DEVICE Word load_bits(int itemsize, const void* data, int64_t at) {
  if (itemsize == 1) return static_cast<const uint8_t*>(data)[at];
  if (itemsize == 2) return static_cast<const uint16_t*>(data)[at];
  if constexpr (sizeof(Word) == 8) {
    if (itemsize == 8) return static_cast<const uint64_t*>(data)[at];
  }
  return static_cast<const uint32_t*>(data)[at];
}

/// y[to] = x[from].
GG_DEVICE void copy_element(int itemsize, const void* x, int64_t from, void* y, int64_t to) {
  switch (itemsize) {
    case 1:
      static_cast<uint8_t*>(y)[to] = static_cast<const uint8_t*>(x)[from];
      break;
    case 2:
      static_cast<uint16_t*>(y)[to] = static_cast<const uint16_t*>(x)[from];
      break;
    case 4:
      static_cast<uint32_t*>(y)[to] = static_cast<const uint32_t*>(x)[from];
      break;
    default:
      static_cast<uint64_t*>(y)[to] = static_cast<const uint64_t*>(x)[from];
      break;
  }
}

}  // namespace gg
