// 8-bit floats whose dtype is known at run time, by their codes: kernels that only move bytes and
// convert then need no instances of their own for them.
#pragma once

#include "core/array.h"
#include "device/types.h"

namespace gg {

GG_HD float float8_to_float(DType dtype, uint8_t code) {
  return dtype == DType::f8e4m3 ? to_float(f8e4m3{code}) : to_float(f8e5m2{code});
}

/// Rounded as from_float does.
GG_HD uint8_t float_to_float8(DType dtype, float f) {
  return dtype == DType::f8e4m3 ? from_float<f8e4m3>(f).bits : from_float<f8e5m2>(f).bits;
}

}  // namespace gg
