// Checks of the arguments of convolutions, for csrc/cpu and csrc/kernels. Host only.
#pragma once

#include <cstddef>

#include "core/checks.h"
#include "ops/images.h"

namespace gg {

/// Of conv_fprop (x, w, y), conv_dgrad (x = dx, y = dy) and conv_wgrad (w = dw, y = dy); the names
/// are those of the operation's arguments.
struct ConvArguments {
  const char* op;
  const Array &x, &w, &y;
  const char *x_name, *w_name, *y_name;
};

inline void check_conv_window(const ConvArguments& a, const ConvWindow& window) {
  const std::size_t spatial = static_cast<std::size_t>(a.x.ndim - 2);
  GG_CHECK(window.stride.size() == spatial && window.padding.size() == spatial &&
               window.dilation.size() == spatial,
           a.op, "stride, padding and dilation must have ", spatial, " numbers each, as ", a.x_name,
           " ", a.x, ", got ", window.stride.size(), ", ", window.padding.size(), " and ",
           window.dilation.size());
  for (std::size_t i = 0; i < spatial; i++) {
    GG_CHECK(window.stride[i] > 0 && window.dilation[i] > 0 && window.padding[i] >= 0, a.op,
             "stride and dilation must be positive and padding not negative, got ",
             window.stride[i], ", ", window.dilation[i], " and ", window.padding[i]);
  }
}

inline void check_conv_shapes(const ConvArguments& a, const ConvWindow& window) {
  GG_CHECK(a.x.ndim >= 3 && a.x.ndim <= 5, a.op, a.x_name,
           " must be [N, C, spatial...] with one to three spatial axes, got ", a.x);
  GG_CHECK(a.w.ndim == a.x.ndim && a.y.ndim == a.x.ndim, a.op, a.x_name, ", ", a.w_name, " and ",
           a.y_name, " must have as many axes each, got ", a.x, ", ", a.w, " and ", a.y);
  check_conv_window(a, window);
  const int64_t groups = window.groups;
  GG_CHECK(groups > 0 && a.x.shape[1] % groups == 0 && a.w.shape[0] % groups == 0, a.op,
           "groups must divide the channels of ", a.x_name, " and of ", a.y_name, ", got ", groups,
           " groups, ", a.x_name, " ", a.x, ", ", a.y_name, " ", a.y);
  GG_CHECK(a.w.shape[1] == a.x.shape[1] / groups, a.op, a.w_name, " must have ",
           a.x.shape[1] / groups, " input channels (", a.x_name, " ", a.x, " in ", groups,
           " groups), got ", a.w);
  GG_CHECK(a.y.shape[0] == a.x.shape[0] && a.y.shape[1] == a.w.shape[0], a.op, a.y_name,
           " must begin with (", a.x.shape[0], ", ", a.w.shape[0], "), as ", a.x_name, " ", a.x,
           " and ", a.w_name, " ", a.w, ", got ", a.y);
}

inline void check_conv_epilogue(const char* op, const char* name, const Array& y,
                                const GemmEpilogue& e) {
  const int64_t n = y.shape[1];
  GG_CHECK(!e.bias || (e.bias.ndim == 1 && e.bias.shape[0] == n && e.bias.dtype == y.dtype), op,
           "bias must be ", y.dtype, " (", n, ",), as ", name, " ", y, ", got ", e.bias);
  GG_CHECK(!e.scale || (e.scale.ndim == 1 && e.scale.dtype == DType::f32 &&
                        (e.scale.shape[0] == n || e.scale.shape[0] == 1)),
           op, "scale must be float32 (1,) or (", n, ",), got ", e.scale);
  GG_CHECK(!e.row_scale, op, "row_scale is for gemm, got ", e.row_scale);
  GG_CHECK(!e.residual || (e.residual.dtype == y.dtype && broadcasts_to(e.residual, y)), op,
           "residual must have the dtype of ", name, " and broadcast to ", name, " ", y, ", got ",
           e.residual);
}

inline void check_conv(const ConvArguments& a, const ConvWindow& window) {
  check_floating(a.op, a.x_name, a.x);
  check_same_dtype(a.op, a.x_name, a.x, a.w_name, a.w);
  check_same_dtype(a.op, a.x_name, a.x, a.y_name, a.y);
  check_conv_shapes(a, window);
}

}  // namespace gg
