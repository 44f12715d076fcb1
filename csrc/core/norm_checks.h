// Checks of normalisation, the same for every module.
#pragma once

#include "core/checks.h"
#include "core/functors.h"

namespace gg {

/// The other arrays have x's dtype and shape; those that are none are left out.
inline void check_like(const char* op, const Array& x, std::initializer_list<const Array*> others) {
  check_floating(op, "x", x);
  for (const Array* other : others) {
    if (!*other) continue;
    check_same_dtype(op, "x", x, "another array", *other);
    check_same_shape(op, "x", x, "another array", *other);
  }
}

/// weight, bias and their gradients: [n] of x's dtype or its accumulation dtype, or none.
inline void check_scales(const char* op, const Array& x, int64_t n,
                         std::initializer_list<const Array*> vectors) {
  for (const Array* vector : vectors) {
    if (!*vector) continue;
    check_shape(op, "weight or bias", *vector, {n});
    GG_CHECK(vector->dtype == x.dtype || vector->dtype == accumulation(x.dtype), op,
             "weight and bias must be ", x.dtype, " or ", accumulation(x.dtype), ", got ", *vector);
  }
}

/// A statistic, of the accumulation dtype.
inline void check_statistic(const char* op, const char* name, const Array& a, const Array& x,
                            std::initializer_list<int64_t> shape) {
  check_dtype(op, name, a, accumulation(x.dtype));
  check_shape(op, name, a, shape);
}

/// x and others [M, D]; mean (or none) and rstd [M].
inline void check_rows(const char* op, const Array& x, const Array& mean, const Array& rstd,
                       std::initializer_list<const Array*> others,
                       std::initializer_list<const Array*> vectors) {
  check_like(op, x, others);
  GG_CHECK(x.ndim == 2, op, "x must be [M, D], got ", x);
  if (mean) check_statistic(op, "mean", mean, x, {x.shape[0]});
  check_statistic(op, "rstd", rstd, x, {x.shape[0]});
  check_scales(op, x, x.shape[1], vectors);
}

/// residual and the sum with it: both or none.
inline void check_residual(const char* op, const Array& residual, const Array& sum) {
  GG_CHECK(static_cast<bool>(residual) == static_cast<bool>(sum), op,
           "residual and sum come together, got residual ", residual, ", sum ", sum);
}

/// x and others [N, C, ...]; mean and rstd [N, G], where G divides C.
inline void check_groups(const char* op, const Array& x, const Array& mean, const Array& rstd,
                         std::initializer_list<const Array*> others,
                         std::initializer_list<const Array*> vectors) {
  check_like(op, x, others);
  GG_CHECK(x.ndim >= 2, op, "x must be [N, C, ...], got ", x);
  GG_CHECK(rstd.ndim == 2 && rstd.shape[1] > 0 && x.shape[1] % rstd.shape[1] == 0, op,
           "rstd must be [N, groups] with groups that divide the channels of ", x, ", got ", rstd);
  check_statistic(op, "mean", mean, x, {x.shape[0], rstd.shape[1]});
  check_statistic(op, "rstd", rstd, x, {x.shape[0], rstd.shape[1]});
  check_scales(op, x, x.shape[1], vectors);
}

/// x and others [N, C, ...]; mean and rstd [C].
inline void check_channels(const char* op, const Array& x, const Array& mean, const Array& rstd,
                           std::initializer_list<const Array*> others,
                           std::initializer_list<const Array*> vectors) {
  check_like(op, x, others);
  GG_CHECK(x.ndim >= 2, op, "x must be [N, C, ...], got ", x);
  check_statistic(op, "mean", mean, x, {x.shape[1]});
  check_statistic(op, "rstd", rstd, x, {x.shape[1]});
  check_scales(op, x, x.shape[1], vectors);
}

inline void check_running(const char* op, const Array& x, const Array& running_mean,
                          const Array& running_var) {
  GG_CHECK(static_cast<bool>(running_mean) == static_cast<bool>(running_var), op,
           "running_mean and running_var come together, got ", running_mean, " and ", running_var);
  if (!running_mean) return;
  check_statistic(op, "running_mean", running_mean, x, {x.shape[1]});
  check_statistic(op, "running_var", running_var, x, {x.shape[1]});
}

/// none or relu; what relu's gradient needs is there.
inline void check_activation(const char* op, Activation act, bool has_y) {
  GG_CHECK(act == Activation::none || act == Activation::relu, op, "act must be none or relu");
  GG_CHECK(act == Activation::none || has_y, op, "the gradient of relu needs y");
}

}  // namespace gg
