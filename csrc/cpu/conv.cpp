// conv_fprop and conv_dgrad of ops.h on CPU threads: implicit matrix products.
//
// y [K, q] = w [K, (c, t)] x [(c, t), q] for a tile of windows q: the tile of x is copied once,
// padded (conv_plan.h), and the inner loop (conv_tile.h) reads it at one offset for each (c, t), so
// the matrix of all windows (im2col) is never formed. Where rows are short, windows of a few
// vectors are copied together first (conv_columns.h). w is packed once a call, in the workspace.
// dgrad is the same over dy, for each remainder of dx's positions modulo the stride: those meet the
// same taps, and no others are read.
//
// Accumulation: float32, float64 for float64; c, then taps, ascending, in parts of a length that
// follows from the shape of w alone, so nothing depends on tiles or threads. Outputs: =, or += with
// beta.
// 2 K C taps FLOP for each position, bound by the fused multiply-adds (AVX-512: 64 FLOP a cycle,
// 183 GFLOP/s on one core of the Xeon it was tuned on). Reached there, one thread, 64
// channels of 32x32, 3x3: 113-135 GFLOP/s, wgrad 150; with AVX2 98 and 111.
#include <utility>

#include "core/conv_checks.h"
#include "cpu/conv_gather.h"

namespace gg {
namespace {

ConvGather fprop_gather(const Array& x, const Array& w, const Array& y, const ConvWindow& window) {
  ConvGather f{x,
               y,
               {w, w.shape[0] / window.groups * w.stride[0], w.stride[0], w.stride[1]},
               {},
               window.groups};
  fprop_axes(x, w, y, window, f.axes);
  return f;
}

/// f(gather) for every remainder of dx's positions modulo the stride.
template <class F>
void for_each_remainder(const Array& dy, const Array& w, const Array& dx, const ConvWindow& window,
                        F f) {
  const int spatial = dx.ndim - 2;
  int64_t remainders = 1;
  for (int i = 0; i < spatial; i++) remainders *= std::min(window.stride[i], dx.shape[2 + i]);
  for (int64_t r = 0; r < remainders; r++) {
    ConvGather g{dy,
                 dx,
                 {w, w.shape[0] / window.groups * w.stride[0], w.stride[1], w.stride[0]},
                 {},
                 window.groups};
    int64_t rest = r;
    for (ConvAxis& axis : g.axes) axis.finish();
    for (int i = spatial - 1; i >= 0; i--) {
      const int64_t several = std::min(window.stride[i], dx.shape[2 + i]);
      g.axes[3 - spatial + i] =
          dgrad_axis(dy.shape[2 + i], w.shape[2 + i], dx.shape[2 + i], rest % several,
                     window.stride[i], window.padding[i], window.dilation[i]);
      rest /= several;
    }
    f(std::as_const(g));
  }
}

int64_t packed_bytes(const ConvGather& f) {
  if (!f.writes_anything()) return 0;
  if (f.x.dtype == DType::f64) return Convolution<double>::packed_elements(f) * 8;
  return Convolution<float>::packed_elements(f) * 4;
}

void run(const ConvGather& f, const GemmEpilogue& epilogue, const Array& workspace) {
  if (!f.writes_anything()) return;
  dispatch_floating(f.x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    Convolution<T>(f, epilogue, static_cast<Wide<T>*>(workspace.data)).run();
  });
}

ConvArguments fprop_arguments(const Array& x, const Array& w, const Array& y) {
  return {"conv_fprop", x, w, y, "x", "w", "y"};
}

ConvArguments dgrad_arguments(const Array& dy, const Array& w, const Array& dx) {
  return {"conv_dgrad", dx, w, dy, "dx", "w", "dy"};
}

}  // namespace

int64_t conv_fprop_workspace(const Array& x, const Array& w, const Array& y,
                             const ConvWindow& window, MatmulPrecision) {
  check_conv(fprop_arguments(x, w, y), window);
  return packed_bytes(fprop_gather(x, w, y, window));
}

void conv_fprop(Stream, const Array& x, const Array& w, const Array& y, const ConvWindow& window,
                const GemmEpilogue& epilogue, MatmulPrecision, const Array& workspace) {
  check_conv(fprop_arguments(x, w, y), window);
  check_conv_epilogue("conv_fprop", "y", y, epilogue);
  const ConvGather f = fprop_gather(x, w, y, window);
  check_workspace("conv_fprop", workspace, packed_bytes(f));
  run(f, epilogue, workspace);
}

int64_t conv_dgrad_workspace(const Array& dy, const Array& w, const Array& dx,
                             const ConvWindow& window, MatmulPrecision) {
  check_conv(dgrad_arguments(dy, w, dx), window);
  int64_t bytes = 0;  // one remainder after another, in the same memory
  for_each_remainder(dy, w, dx, window,
                     [&](const ConvGather& f) { bytes = std::max(bytes, packed_bytes(f)); });
  return bytes;
}

void conv_dgrad(Stream, const Array& dy, const Array& w, const Array& dx, const ConvWindow& window,
                const GemmEpilogue& epilogue, MatmulPrecision precision, const Array& workspace) {
  check_workspace("conv_dgrad", workspace, conv_dgrad_workspace(dy, w, dx, window, precision));
  check_conv_epilogue("conv_dgrad", "dx", dx, epilogue);
  for_each_remainder(dy, w, dx, window, [&](const ConvGather& f) { run(f, epilogue, workspace); });
}

}  // namespace gg
