// Checks of resample, crop and unfold, the same for every module. Host only.
#pragma once

#include "core/windows.h"

namespace gg {

inline void check_resample(const Array& x, const Array& offsets, const Array& index,
                           const Array& weight, const Array& y, int axis) {
  const char* const op = "resample";
  check_floating(op, "x", x);
  check_floating(op, "y", y);
  GG_CHECK(accumulation(x.dtype) == accumulation(y.dtype), op,
           "x and y must have one dtype, or one of them the accumulation dtype, got ", x, " and ",
           y);
  GG_CHECK(axis >= 0 && axis < x.ndim && y.ndim == x.ndim, op, "axis ", axis,
           " is not one of both x ", x, " and y ", y);
  for (int i = 0; i < x.ndim; i++) {
    GG_CHECK(i == axis || x.shape[i] == y.shape[i], op, "x ", x, " and y ", y,
             " may differ along axis ", axis, " alone");
  }
  check_dtype(op, "offsets", offsets, DType::i32);
  check_shape(op, "offsets", offsets, {y.shape[axis] + 1});
  check_contiguous(op, "offsets", offsets);
  check_dtype(op, "index", index, DType::i32);
  check_contiguous(op, "index", index);
  check_dtype(op, "weight", weight, accumulation(x.dtype));
  check_same_shape(op, "index", index, "weight", weight);
  check_contiguous(op, "weight", weight);
  GG_CHECK(index.ndim == 1, op, "index must have one axis, got ", index);
}

inline void check_crop(const Array& x, const Array& top, const Array& left, const Array& flip,
                       const Array& y, Border border) {
  const char* const op = "crop";
  check_same_dtype(op, "x", x, "y", y);
  GG_CHECK(x.ndim == 4 && y.ndim == 4 && x.shape[0] == y.shape[0] && x.shape[1] == y.shape[1], op,
           "x must be [N, C, H, W] and y [N, C, h, w], got ", x, " and ", y);
  const int64_t images = x.shape[0];
  check_dtype(op, "top", top, DType::i64);
  check_shape(op, "top", top, {images});
  check_dtype(op, "left", left, DType::i64);
  check_shape(op, "left", left, {images});
  check_dtype(op, "flip", flip, DType::boolean);
  check_shape(op, "flip", flip, {images});
  GG_CHECK(border == Border::zeros || y.size() == 0 || x.size() > 0, op,
           "images of size 0 have no edge: ", x);
  for (int i = 2; i < 4; i++) {
    GG_CHECK(x.shape[i] <= kMaxAxis && y.shape[i] <= kMaxAxis, op, "axes are too long: ", x,
             " and ", y);
  }
}

/// The windows of unfold (x to y) and its adjoint.
inline Windows unfold_windows(const char* op, const Array& x, const Array& y, const PoolWindow& w,
                              const Sizes& out) {
  check_same_dtype(op, "x", x, "y", y);
  GG_CHECK(x.ndim >= 3 && static_cast<int>(out.size()) == x.ndim - 2 && !w.kernel.empty(), op,
           "kernel and out must have one number for each spatial axis of ", x);
  const Windows windows = make_windows(op, w, x, out.data());
  check_shape(op, "y", y, {x.shape[0], x.shape[1] * windows.taps(), windows.outputs()});
  return windows;
}

}  // namespace gg
