// The windows of a convolution as TMA gathers them: im2col tiles for conv_hopper.cu and
// conv_hopper_wgrad.cu. sm_90a.
//
// A box is so many positions of y by 64 channels of x at one tap, in the 128-byte swizzle: what
// hopper_tiles.cuh calls a K-major tile of positions, or an MN-major slab of 64 channels. What lies
// outside of x, of its images and of its channels is read as zero.
#pragma once

#include "core/built_for.h"
#include "kernels/conv_launch.cuh"
#include "kernels/hopper_mainloop.cuh"

namespace gg {

constexpr int kWindowChannels = 64;  // of a box: 128 bytes, the swizzle's width

/// A convolution of one or two spatial axes has a map of rank 4, for which larger windows fit.
GG_HD bool is_flat(const ConvProblem& p) {
  const ConvAxis& axis = p.axis[0];
  return axis.in == 1 && axis.out == 1 && axis.taps == 1 && axis.offset == 0;
}

/// Where output 0 meets x at the tap that comes first in memory, and how far tap q is from there.
GG_HD int first_input(const ConvAxis& axis) {
  return axis.offset + (axis.tap_step < 0 ? (axis.taps - 1) * axis.tap_step : 0);
}
GG_HD int tap_offset(const ConvAxis& axis, int q) {
  return axis.tap_step < 0 ? (q - axis.taps + 1) * axis.tap_step : q * axis.tap_step;
}

/// A step of k, or of columns: a tap and 64 of its channels.
struct WindowStep {
  int q[kConvAxes], tap, channel;

  __device__ __forceinline__ WindowStep(const ConvProblem& p, int index) {
    const int chunks = (static_cast<int>(p.c) + kWindowChannels - 1) / kWindowChannels;
    tap = index / chunks, channel = index % chunks * kWindowChannels;
    const ConvTap at(p, tap);
#pragma unroll
    for (int a = 0; a < kConvAxes; a++) q[a] = at.q[a];
  }

  __device__ __forceinline__ void advance(const ConvProblem& p) {
    channel += kWindowChannels;
    if (channel < p.c) return;
    channel = 0, tap++;
    if (++q[2] < p.axis[2].taps) return;
    q[2] = 0;
    if (++q[1] < p.axis[1].taps) return;
    q[1] = 0, q[0]++;
  }
};

/// Loads the box that begins at a position of y. By one thread.
GG_DEVICE void load_window(char* box, const TensorMap* map, Mbarrier* full, const ConvProblem& p,
                           const ConvPosition& at, const WindowStep& step) {
  int i[kConvAxes];
  TmaOffsets offsets;
#pragma unroll
  for (int a = 0; a < kConvAxes; a++) {
    i[a] = at.o[a] * p.axis[a].step + first_input(p.axis[a]);
  }
  offsets.w = static_cast<uint16_t>(tap_offset(p.axis[2], step.q[2]));
  offsets.h = static_cast<uint16_t>(tap_offset(p.axis[1], step.q[1]));
  if (is_flat(p)) return tma_load_im2col(box, map, full, offsets, step.channel, i[2], i[1], at.n);
  offsets.d = static_cast<uint16_t>(tap_offset(p.axis[0], step.q[0]));
  tma_load_im2col(box, map, full, offsets, step.channel, i[2], i[1], i[0], at.n);
}

// ---- host --------------------------------------------------------------------------------------

/// The corners of the box that windows begin in, along one axis: "first" and "last minus length".
struct WindowCorners {
  int lower, upper;

  explicit WindowCorners(const ConvAxis& axis)
      : lower(first_input(axis)), upper(lower + (axis.out - 1) * axis.step - (axis.in - 1)) {}
};

/// May TMA read x's windows? Its rules: device/tensor_map_encode.h, TmaOffsets.
inline bool window_map_fits(const ConvProblem& p) {
  const bool flat = is_flat(p);
  const int corner = flat ? 128 : 16, offset = flat ? 255 : 31;
  const int64_t size = dtype_size(p.dtype);
  const auto legal = [&](int64_t length, int64_t stride) {
    return length >= 1 && (length == 1 || (stride > 0 && stride < (int64_t{1} << 40) / size));
  };
  bool fits = p.groups == 1 && size == 2 && p.c > 0 && legal(p.n, p.x.n);
  for (const ConvAxis& axis : p.axis) {
    const WindowCorners at(axis);
    fits &= at.lower >= -corner && at.lower < corner && at.upper >= -corner && at.upper < corner;
    fits &= axis.step <= 8 && tap_offset(axis, axis.tap_step < 0 ? 0 : axis.taps - 1) <= offset;
  }
  for (int a = 0; a < kConvAxes; a++) fits &= legal(p.axis[a].in, p.x.at[a]);
  return fits;
}

/// The map of load_window for boxes of `pixels` positions.
inline TensorMap window_map(const ConvProblem& p, TensorType type, int pixels) {
  const int spatial = is_flat(p) ? 2 : 3;
  int64_t dims[5] = {p.c}, strides[4];
  int lower[3], upper[3], step[3];
  for (int i = 0; i < spatial; i++) {
    const ConvAxis& axis = p.axis[kConvAxes - 1 - i];
    const WindowCorners at(axis);
    dims[i + 1] = axis.in, lower[i] = at.lower, upper[i] = at.upper, step[i] = axis.step;
    strides[i] = axis.in > 1 ? 2 * p.x.at[kConvAxes - 1 - i] : 16;  // 16: any legal one
  }
  dims[spatial + 1] = p.n, strides[spatial] = p.n > 1 ? 2 * p.x.n : 16;
  return tensor_map_im2col(type, spatial + 2, p.x.data, dims, strides,
                           {lower, upper, step, kWindowChannels, pixels}, Swizzle::k128);
}

inline TensorType tensor_type(DType dtype) {
  return dtype == DType::f16 ? TensorType::f16 : TensorType::bf16;
}

}  // namespace gg
