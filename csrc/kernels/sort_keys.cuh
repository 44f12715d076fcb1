// Elements of any dtype as unsigned keys of the same order: NaN above all numbers, -0 equal to 0.
// A kernel for each width of a key serves all dtypes.
#pragma once

#include "core/array.h"
#include "kernels/element.cuh"

namespace gg {

/// How a dtype's bits become a key.
struct KeyForm {
  int itemsize;
  bool floating, descending;
  uint64_t sign;      ///< the sign's bit; 0 where there is none
  uint64_t ones;      ///< all bits of an element: the largest key
  uint64_t infinity;  ///< floating: beyond these bits, but for the sign, lie the NaNs

  static KeyForm of(DType dtype, bool descending = false) {
    const int itemsize = dtype_size(dtype);
    const uint64_t ones = ~uint64_t{0} >> (64 - 8 * itemsize);
    const bool has_sign = dtype != DType::boolean && dtype != DType::u8;
    uint64_t infinity = 0;
    if (dtype == DType::f16) infinity = 0x7c00;
    if (dtype == DType::bf16) infinity = 0x7f80;
    if (dtype == DType::f32) infinity = 0x7f800000;
    if (dtype == DType::f64) infinity = 0x7ff0000000000000;
    return {itemsize, is_floating(dtype), descending, has_sign ? ones / 2 + 1 : 0, ones, infinity};
  }

  /// Key is as wide as the element or wider.
  template <class Key>
  __device__ Key key(Key bits) const {
    const Key all = static_cast<Key>(ones), high = static_cast<Key>(sign);
    Key ordered = bits ^ high;  // integers
    if (floating) {
      const Key magnitude = bits & (all ^ high);
      if (magnitude > static_cast<Key>(infinity)) {
        ordered = all;
      } else if (magnitude == 0) {
        ordered = high;
      } else if (bits & high) {
        ordered = bits ^ all;
      }
    }
    return descending ? ordered ^ all : ordered;
  }

  /// The key of element `at` of an array.
  template <class Key>
  __device__ Key load(const void* data, int64_t at) const {
    return key(load_bits<Key>(itemsize, data, at));
  }
};

}  // namespace gg
