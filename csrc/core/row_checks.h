// Checks of softmax and cross-entropy, the same for every module.
#pragma once

#include "core/checks.h"

namespace gg {

/// x is floating and has that axis; the other arrays have its dtype and shape.
inline void check_softmax(const char* op, int axis, const Array& x,
                          std::initializer_list<const Array*> others) {
  check_floating(op, "input", x);
  for (const Array* other : others) {
    check_same_dtype(op, "input", x, "the other array", *other);
    check_same_shape(op, "input", x, "the other array", *other);
  }
  GG_CHECK(axis >= 0 && axis < x.ndim, op, "axis ", axis, " is not one of ", x);
}

/// What cross_entropy and its gradient have in common.
inline void check_classes(const char* op, const Array& x, const Array& target, const Array& weight,
                          double label_smoothing) {
  check_floating(op, "x", x);
  GG_CHECK(x.ndim == 3, op, "x must be [N, C, L], got ", x);
  check_dtype(op, "target", target, DType::i64);
  check_shape(op, "target", target, {x.shape[0], x.shape[2]});
  if (weight) {
    check_dtype(op, "weight", weight, accumulation(x.dtype));
    check_shape(op, "weight", weight, {x.shape[1]});
  }
  GG_CHECK(label_smoothing >= 0 && label_smoothing <= 1, op,
           "label_smoothing must be in [0, 1], got ", label_smoothing);
}

/// loss, lse, target_weight: [N, L] of the accumulation dtype.
inline void check_per_row(const char* op, const char* name, const Array& a, const Array& x) {
  check_dtype(op, name, a, accumulation(x.dtype));
  check_shape(op, name, a, {x.shape[0], x.shape[2]});
}

inline void check_cross_entropy(const Array& x, const Array& target, const Array& weight,
                                const Array& loss, const Array& lse, const Array& target_weight,
                                double label_smoothing, const Array& flag) {
  const char* const op = "cross_entropy";
  check_classes(op, x, target, weight, label_smoothing);
  check_per_row(op, "loss", loss, x);
  check_per_row(op, "lse", lse, x);
  check_per_row(op, "target_weight", target_weight, x);
  check_dtype(op, "flag", flag, DType::i64);
  check_shape(op, "flag", flag, {4});
  check_contiguous(op, "flag", flag);
}

inline void check_cross_entropy_grad(const Array& dloss, const Array& x, const Array& target,
                                     const Array& weight, const Array& lse, const Array& dx,
                                     double label_smoothing) {
  const char* const op = "cross_entropy_grad";
  check_classes(op, x, target, weight, label_smoothing);
  check_dtype(op, "dloss", dloss, accumulation(x.dtype));
  check_broadcasts(op, "dloss", dloss, target);
  check_per_row(op, "lse", lse, x);
  check_same_dtype(op, "x", x, "dx", dx);
  check_same_shape(op, "x", x, "dx", dx);
}

}  // namespace gg
