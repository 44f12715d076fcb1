// Array: what every raw operation takes. A pointer, a dtype, a shape and strides; owns nothing.
#pragma once

#include <cstdint>

#include "device/qualifiers.h"

namespace gg {

enum class DType : int8_t { boolean, u8, i8, i16, i32, i64, f16, bf16, f32, f64, f8e4m3, f8e5m2 };

constexpr int kDTypes = 12;

constexpr const char* dtype_name(DType t) {
  constexpr const char* names[kDTypes] = {"bool",    "uint8",   "int8",          "int16",
                                          "int32",   "int64",   "float16",       "bfloat16",
                                          "float32", "float64", "float8_e4m3fn", "float8_e5m2"};
  return names[static_cast<int>(t)];
}

constexpr int dtype_size(DType t) {
  constexpr int sizes[kDTypes] = {1, 1, 1, 2, 4, 8, 2, 2, 4, 8, 1, 1};
  return sizes[static_cast<int>(t)];
}

/// What arithmetic is done in: float16, bfloat16, float32, float64.
constexpr bool is_floating(DType t) {
  return t >= DType::f16 && t <= DType::f64;
}

/// Storage: copied, cast, and multiplied by gemm; nothing else computes with them.
GG_HD constexpr bool is_float8(DType t) {
  return t >= DType::f8e4m3;
}

/// NumPy's own limit is 64. Axes that can be walked as one are merged before a kernel sees them.
constexpr int kMaxDims = 16;

struct Array {
  void* data = nullptr;
  DType dtype = DType::f32;
  int ndim = -1;  ///< -1: no array was passed (None)
  int64_t shape[kMaxDims] = {};
  int64_t stride[kMaxDims] = {};  ///< in elements; 0 repeats, negative walks backwards

  explicit operator bool() const { return ndim >= 0; }

  int64_t size() const {
    int64_t n = 1;
    for (int i = 0; i < ndim; i++) n *= shape[i];
    return n;
  }

  /// Row-major without gaps. Strides of axes of length 1 do not matter; size 0 is contiguous.
  bool contiguous() const {
    if (size() == 0) return true;
    int64_t expected = 1;
    for (int i = ndim - 1; i >= 0; i--) {
      if (shape[i] != 1 && stride[i] != expected) return false;
      expected *= shape[i];
    }
    return true;
  }

  template <class T>
  T* as() const {
    return static_cast<T*>(data);
  }
};

/// A Python number on its way into a kernel: no device memory, no dtype of its own.
struct Scalar {
  double f = 0;
  int64_t i = 0;
  bool integral = false;

  template <class T>
  T as() const {
    return integral ? static_cast<T>(i) : static_cast<T>(f);
  }
};

/// An array or a Python number.
struct Operand {
  Array array;
  Scalar scalar;

  bool is_scalar() const { return !array; }
};

}  // namespace gg
