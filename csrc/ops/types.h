// What the declarations of the kernel contract are made of.
#pragma once

#include <cstdint>
#include <vector>

#include "core/array.h"
#include "core/functors.h"

namespace gg {

using Stream = void*;  // cudaStream_t; _sim and _cpu run at once and ignore it
using Arrays = std::vector<Array>;
using Sizes = std::vector<int64_t>;  // one number for each spatial axis

enum class FlagCode : int64_t {
  none = 0,
  gather = 1,
  scatter = 2,
  cross_entropy = 3,
  embedding = 4
};

/// What follows the sums of gemm and of convolutions. Every array may be none. `scale` is float32
/// [1] or [n], on the device, and gemm's `row_scale` float32 [1] or [m]; `bias` is [n]; `residual`
/// broadcasts to y. bias and residual have y's dtype.
struct GemmEpilogue {
  Array scale, bias, residual;
  double alpha = 1, beta = 0;
  Activation act = Activation::none;
  Array row_scale;
};

}  // namespace gg
