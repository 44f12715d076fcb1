// The rules of tensor maps, and their encoding by the driver or for the simulator. Part of
// tensor_map.h.
#pragma once

#include "device/tensor_map.h"

namespace gg::detail {

// ---- rules -------------------------------------------------------------------------------------

/// All numbers of a map, for errors.
struct TensorMapText {
  std::string text;

  TensorMapText(const char* kind, const TensorMapTensor& t, Swizzle swizzle)
      : text(std::string(kind) + ": type " + std::to_string(static_cast<int>(t.type)) + " of " +
             std::to_string(tensor_type_bytes(t.type)) + " bytes, rank " + std::to_string(t.rank) +
             ", data " + std::to_string(reinterpret_cast<uintptr_t>(t.data)) + ", swizzle " +
             std::to_string(static_cast<int>(swizzle))) {
    if (t.rank < 1 || t.rank > 5) return;
    list("dims", t.dims, t.rank);
    list("strides", t.strides, t.rank - 1);
  }

  template <class T>
  void list(const char* name, const T* values, int n) {
    text += std::string(", ") + name + " (";
    for (int i = 0; i < n; i++) text += (i ? ", " : "") + std::to_string(values[i]);
    text += ")";
  }

  void require(bool rule, const std::string& what) const {
    if (!rule) throw std::invalid_argument(text + ": " + what);
  }
};

inline void check_tensor(const TensorMapText& text, const TensorMapTensor& t) {
  text.require(reinterpret_cast<uintptr_t>(t.data) % 16 == 0, "data must be aligned to 16 bytes");
  for (int i = 0; i < t.rank; i++) {
    text.require(t.dims[i] >= 1 && t.dims[i] <= int64_t{1} << 32,
                 "dims[" + std::to_string(i) + "] must be 1 to 2^32");
  }
  for (int i = 0; i + 1 < t.rank; i++) {
    text.require(t.strides[i] > 0 && t.strides[i] % 16 == 0 && t.strides[i] < int64_t{1} << 40,
                 "strides[" + std::to_string(i) +
                     "] must be a positive multiple of 16 bytes below 2^40; pad the rows, or use a "
                     "kernel without TMA");
  }
}

/// The contiguous run of a box in bytes, against the unit of 16 bytes and the swizzle.
inline void check_row(const TensorMapText& text, int bytes, Swizzle swizzle) {
  const int span = static_cast<int>(swizzle);
  const std::string row = "the box's row is " + std::to_string(bytes) + " bytes; it must be ";
  text.require(bytes % 16 == 0, row + "a multiple of 16");
  text.require(span == 0 || bytes == span, row + "as long as the swizzle");
}

inline void check_tiled(const TensorMapTensor& t, const int* box, Swizzle swizzle) {
  TensorMapText text("tensor_map_tiled", t, swizzle);
  text.require(t.rank >= 1 && t.rank <= 5, "rank must be 1 to 5");
  text.list("box", box, t.rank);
  check_tensor(text, t);
  for (int i = 0; i < t.rank; i++) {
    text.require(box[i] >= 1 && box[i] <= 256, "box[" + std::to_string(i) + "] must be 1 to 256");
  }
  check_row(text, box[0] * tensor_type_bytes(t.type), swizzle);
}

inline void check_im2col(const TensorMapTensor& t, const TensorMapPixels& p, Swizzle swizzle) {
  TensorMapText text("tensor_map_im2col", t, swizzle);
  text.require(t.rank >= 3 && t.rank <= 5, "rank must be 3 to 5");
  const int spatial = t.rank - 2;
  text.list("lower", p.lower, spatial);
  text.list("upper", p.upper, spatial);
  text.list("step", p.step, spatial);
  text.text += ", channels " + std::to_string(p.channels) + ", pixels " + std::to_string(p.pixels);
  check_tensor(text, t);
  const int limit = spatial == 1 ? 1 << 15 : spatial == 2 ? 1 << 7 : 1 << 4;
  for (int i = 0; i < spatial; i++) {
    std::string at = "[";
    at += std::to_string(i) + "] must be ";
    const std::string range = std::to_string(-limit) + " to " + std::to_string(limit - 1);
    text.require(p.lower[i] >= -limit && p.lower[i] < limit, "lower" + at + range);
    text.require(p.upper[i] >= -limit && p.upper[i] < limit, "upper" + at + range);
    text.require(p.step[i] >= 1 && p.step[i] <= 8, "step" + at + "1 to 8");
    text.require(p.lower[i] < t.dims[i + 1] + p.upper[i],
                 "no pixel lies between lower" + at + "below dims + upper");
  }
  text.require(p.channels >= 1 && p.channels <= 256, "channels must be 1 to 256");
  text.require(p.pixels >= 1 && p.pixels <= 1024, "pixels must be 1 to 1024");
  check_row(text, p.channels * tensor_type_bytes(t.type), swizzle);
}

// ---- encoding ----------------------------------------------------------------------------------

#if GG_SIMULATOR

inline sim::TensorMapData simulator_tensor(const TensorMapTensor& t, Swizzle swizzle) {
  sim::TensorMapData map{};
  map.base = static_cast<char*>(const_cast<void*>(t.data));
  map.type = static_cast<int>(t.type);
  map.rank = t.rank;
  map.element_bytes = tensor_type_bytes(t.type);
  map.swizzle_bytes = static_cast<int>(swizzle);
  map.valid = sim::kTensorMapValid;
  for (int i = 0; i < t.rank; i++) {
    map.dim[i] = t.dims[i];
    map.stride[i] = i == 0 ? map.element_bytes : t.strides[i - 1];
  }
  return map;
}

inline TensorMap encode_tiled(const TensorMapTensor& t, const int* box, Swizzle swizzle) {
  TensorMap map{simulator_tensor(t, swizzle)};
  for (int i = 0; i < t.rank; i++) map.data.box[i] = box[i];
  return map;
}

inline TensorMap encode_im2col(const TensorMapTensor& t, const TensorMapPixels& p,
                               Swizzle swizzle) {
  TensorMap map{simulator_tensor(t, swizzle)};
  map.data.im2col = 1;
  for (int i = 0; i < t.rank - 2; i++) {
    map.data.lower[i] = p.lower[i];
    map.data.upper[i] = p.upper[i];
    map.data.step[i] = p.step[i];
  }
  map.data.channels = p.channels;
  map.data.pixels = p.pixels;
  return map;
}

#else

/// A driver function by name, so that nothing links to libcuda. Needs toolkit 12.5 or up, the first
/// with cudaGetDriverEntryPointByVersion.
template <class F>
F driver_function(const char* name) {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult result{};
  check_cuda(cudaGetDriverEntryPointByVersion(name, &function, 12000, cudaEnableDefault, &result),
             name);
  if (result != cudaDriverEntryPointSuccess || function == nullptr) {
    throw CudaError(name, "the NVIDIA driver does not have it", "it needs 525 or up");
  }
  return reinterpret_cast<F>(function);
}

/// The driver encodes only where a context is current. The runtime binds one to a thread when the
/// thread first needs it, which may be after this: a new thread whose memory comes from a pool has
/// called nothing yet. Asked first, because cudaFree would break a stream's capture.
inline void need_context() {
  static const auto current = driver_function<decltype(&cuCtxGetCurrent)>("cuCtxGetCurrent");
  CUcontext context = nullptr;
  if (current(&context) == CUDA_SUCCESS && context != nullptr) return;
  check_cuda(cudaFree(nullptr), "cudaFree, to bind a context to the thread");
}

inline CUtensorMapDataType driver_type(TensorType type) {
  constexpr CUtensorMapDataType types[] = {
      CU_TENSOR_MAP_DATA_TYPE_UINT8,    CU_TENSOR_MAP_DATA_TYPE_UINT16,
      CU_TENSOR_MAP_DATA_TYPE_INT32,    CU_TENSOR_MAP_DATA_TYPE_UINT32,
      CU_TENSOR_MAP_DATA_TYPE_INT64,    CU_TENSOR_MAP_DATA_TYPE_UINT64,
      CU_TENSOR_MAP_DATA_TYPE_FLOAT16,  CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
      CU_TENSOR_MAP_DATA_TYPE_FLOAT32,  CU_TENSOR_MAP_DATA_TYPE_FLOAT64,
      CU_TENSOR_MAP_DATA_TYPE_TFLOAT32,
  };
  return types[static_cast<int>(type)];
}

inline CUtensorMapSwizzle driver_swizzle(Swizzle swizzle) {
  switch (swizzle) {
    case Swizzle::k32:
      return CU_TENSOR_MAP_SWIZZLE_32B;
    case Swizzle::k64:
      return CU_TENSOR_MAP_SWIZZLE_64B;
    case Swizzle::k128:
      return CU_TENSOR_MAP_SWIZZLE_128B;
    default:
      return CU_TENSOR_MAP_SWIZZLE_NONE;
  }
}

/// The driver's forms of a tensor's numbers. Element strides are 1 where nothing else is said.
struct DriverTensor {
  cuuint64_t dims[5] = {}, strides[4] = {};
  cuuint32_t box[5] = {}, steps[5] = {1, 1, 1, 1, 1};

  explicit DriverTensor(const TensorMapTensor& t) {
    for (int i = 0; i < t.rank; i++) dims[i] = static_cast<cuuint64_t>(t.dims[i]);
    for (int i = 0; i + 1 < t.rank; i++) strides[i] = static_cast<cuuint64_t>(t.strides[i]);
  }
};

inline void check_driver(CUresult result, const TensorMapText& text) {
  text.require(result == CUDA_SUCCESS,
               "the driver refuses it with CUresult " + std::to_string(result));
}

inline TensorMap encode_tiled(const TensorMapTensor& t, const int* box, Swizzle swizzle) {
  using Encode = decltype(&cuTensorMapEncodeTiled);
  static const auto encode = driver_function<Encode>("cuTensorMapEncodeTiled");
  DriverTensor d(t);
  for (int i = 0; i < t.rank; i++) d.box[i] = static_cast<cuuint32_t>(box[i]);
  TensorMap map;
  need_context();
  const CUresult result = encode(
      &map.data, driver_type(t.type), static_cast<cuuint32_t>(t.rank), const_cast<void*>(t.data),
      d.dims, d.strides, d.box, d.steps, CU_TENSOR_MAP_INTERLEAVE_NONE, driver_swizzle(swizzle),
      CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  TensorMapText text("cuTensorMapEncodeTiled", t, swizzle);
  text.list("box", box, t.rank);
  check_driver(result, text);
  return map;
}

inline TensorMap encode_im2col(const TensorMapTensor& t, const TensorMapPixels& p,
                               Swizzle swizzle) {
  using Encode = decltype(&cuTensorMapEncodeIm2col);
  static const auto encode = driver_function<Encode>("cuTensorMapEncodeIm2col");
  DriverTensor d(t);
  for (int i = 0; i < t.rank - 2; i++) d.steps[i + 1] = static_cast<cuuint32_t>(p.step[i]);
  TensorMap map;
  need_context();
  const CUresult result =
      encode(&map.data, driver_type(t.type), static_cast<cuuint32_t>(t.rank),
             const_cast<void*>(t.data), d.dims, d.strides, p.lower, p.upper,
             static_cast<cuuint32_t>(p.channels), static_cast<cuuint32_t>(p.pixels), d.steps,
             CU_TENSOR_MAP_INTERLEAVE_NONE, driver_swizzle(swizzle),
             CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  TensorMapText text("cuTensorMapEncodeIm2col", t, swizzle);
  const int spatial = t.rank - 2;
  text.list("lower", p.lower, spatial);
  text.list("upper", p.upper, spatial);
  text.list("step", p.step, spatial);
  check_driver(result, text);
  return map;
}

#endif

}  // namespace gg::detail
