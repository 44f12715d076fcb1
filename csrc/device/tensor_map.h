// Tensor maps: what TMA must know of a tensor in global memory. Made on the host, given to a kernel
// as `const __grid_constant__ TensorMap map`.
//
// Tiled: TMA moves boxes of up to 5 dimensions at any position; elements outside the tensor read as
// zero and are not written. Im2col: it gathers the pixels that one position of a convolution's
// filter sees, for a tensor in channels-last order.
//
// Dimension 0 is the contiguous one. Rules are checked here, alike on CUDA and in the simulator;
// an error holds all numbers. CUDA Driver API, Tensor Map Object Management.
#pragma once

#include <stdexcept>
#include <string>

#include "device/shared_address.h"
#include "device/types.h"

#if !GG_SIMULATOR
#include <cuda.h>

#include "device/cuda_error.h"
#endif

namespace gg {

/// Element types, for reductions and for their size. tf32 is float that a load rounds to 10
/// fraction bits, to nearest with ties to even.
enum class TensorType { u8, u16, i32, u32, i64, u64, f16, bf16, f32, f64, tf32 };

constexpr int tensor_type_bytes(TensorType type) {
  constexpr int bytes[] = {1, 2, 4, 4, 8, 8, 2, 2, 4, 8, 4};
  return bytes[static_cast<int>(type)];
}

#if GG_SIMULATOR
struct alignas(64) TensorMap {
  sim::TensorMapData data;
};
#else
struct TensorMap {
  CUtensorMap data;
};
#endif

/// What a map describes. Strides are in bytes, one for each dimension but 0, whose elements touch.
struct TensorMapTensor {
  TensorType type;
  int rank;
  const void* data;
  const int64_t* dims;
  const int64_t* strides;
};

/// The pixels of an im2col map: for a filter of size f, dilation d, padding p and stride s along a
/// spatial dimension, lower = -p, upper = p - (f - 1) d, step = s. Innermost dimension (W) first.
struct TensorMapPixels {
  const int* lower;
  const int* upper;
  const int* step;
  int channels;  ///< channels of a box
  int pixels;    ///< pixels of a box
};

}  // namespace gg

#include "device/tensor_map_encode.h"

namespace gg {

/// A map of boxes box[0] x ... x box[rank - 1] (at most 256 each). With a swizzle, a box's row
/// (box[0] elements) is as long as the swizzle. Throws std::invalid_argument.
inline TensorMap tensor_map_tiled(TensorType type, int rank, const void* data, const int64_t* dims,
                                  const int64_t* strides_bytes, const int* box, Swizzle swizzle) {
  const TensorMapTensor tensor{type, rank, data, dims, strides_bytes};
  detail::check_tiled(tensor, box, swizzle);
  return detail::encode_tiled(tensor, box, swizzle);
}

/// A map for tma_load_im2col; the tensor is [N, (D, (H,)) W, C], so dims[0] is C. With a swizzle,
/// pixels.channels elements are as long as the swizzle. Throws std::invalid_argument.
inline TensorMap tensor_map_im2col(TensorType type, int rank, const void* data, const int64_t* dims,
                                   const int64_t* strides_bytes, const TensorMapPixels& pixels,
                                   Swizzle swizzle) {
  const TensorMapTensor tensor{type, rank, data, dims, strides_bytes};
  detail::check_im2col(tensor, pixels, swizzle);
  return detail::encode_im2col(tensor, pixels, swizzle);
}

}  // namespace gg
