// Where the windows of pooling and unfolding lie: checks, window bounds, and which windows hold an
// input. Host only; csrc/kernels/windows.cuh is the same for kernels.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/checks.h"
#include "ops/images.h"

namespace gg {

/// Longest axis and largest window.
constexpr int64_t kMaxAxis = (int64_t{1} << 31) - 1;

/// Bound of size * (out + 1) of adaptive windows: what kernels divide exactly.
constexpr int64_t kMaxProduct = int64_t{1} << 52;

constexpr int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

/// The windows along one axis: tap t of window o lies at start(o) + t * dilation.
struct WindowAxis {
  int64_t size = 1, out = 1;  ///< inputs and windows
  int64_t kernel = 1, stride = 1, padding = 0, dilation = 1;
  int64_t taps = 1;       ///< as many taps as tap numbers leave room for; kernel or more
  bool adaptive = false;  ///< window o: floor(o size / out) up to ceil((o + 1) size / out)

  int64_t start(int64_t o) const { return adaptive ? o * size / out : o * stride - padding; }

  /// Taps [first_tap, end_tap) of window o lie inside; none if they meet.
  int64_t first_tap(int64_t o) const {
    const int64_t before = -start(o);
    return before > 0 ? std::min(kernel, ceil_div(before, dilation)) : 0;
  }
  int64_t end_tap(int64_t o) const { return std::max(first_tap(o), end_before(o, size)); }

  /// Taps of window o inside the input or its padding.
  int64_t padded_taps(int64_t o) const { return end_before(o, size + padding); }

  /// Windows [first_window, end_window) are those that can hold input i.
  int64_t first_window(int64_t i) const {
    if (adaptive) return i * out / size;
    return ceil_div(std::max<int64_t>(0, i + padding - (kernel - 1) * dilation), stride);
  }
  int64_t end_window(int64_t i) const {
    if (adaptive) return ceil_div((i + 1) * out, size);
    return std::min(out, (i + padding) / stride + 1);
  }

  /// The tap at which such a window holds input i, or -1 if i lies between two of its taps.
  int64_t tap(int64_t o, int64_t i) const {
    const int64_t distance = i - start(o);
    return distance % dilation == 0 ? distance / dilation : -1;
  }

 private:
  int64_t end_before(int64_t o, int64_t limit) const {
    const int64_t first = start(o);
    if (adaptive) return ceil_div((o + 1) * size, out) - first;
    if (first + (kernel - 1) * dilation < limit) return kernel;
    return first >= limit ? 0 : ceil_div(limit - first, dilation);
  }
};

/// An array [N, C, depth, height, width]; an axis that it lacks has length 1.
struct Image {
  int64_t images = 0, channels = 0;
  int64_t n = 0, c = 0;  ///< strides in elements, as those of `axis`
  int64_t axis[3] = {};

  Image() = default;
  explicit Image(const Array& a) : images(a.shape[0]), channels(a.shape[1]) {
    n = a.stride[0];
    c = a.stride[1];
    for (int i = 2; i < a.ndim; i++) axis[i + 3 - a.ndim] = a.stride[i];
  }

  int64_t offset(int64_t in, int64_t ic, int64_t z, int64_t y, int64_t x) const {
    return in * n + ic * c + z * axis[0] + y * axis[1] + x * axis[2];
  }
};

/// The windows along depth, height and width; an axis that x lacks has one window of one tap.
struct Windows {
  WindowAxis axis[3];

  int64_t taps() const { return axis[0].taps * axis[1].taps * axis[2].taps; }
  int64_t outputs() const { return axis[0].out * axis[1].out * axis[2].out; }
  int64_t inputs() const { return axis[0].size * axis[1].size * axis[2].size; }
  /// Row-major numbers of a tap.
  int64_t tap_number(int64_t z, int64_t y, int64_t x) const {
    return (z * axis[1].taps + y) * axis[2].taps + x;
  }
};

namespace detail {

inline WindowAxis adaptive_axis(int64_t size, int64_t out) {
  WindowAxis a;
  a.size = size;
  a.out = out;
  const int64_t longest = out == 0 ? size : ceil_div(size, out) + 1;
  a.kernel = a.taps = std::min(size, longest);
  a.adaptive = true;
  if (out > 0 && size > 0 && size % out == 0) {  // windows side by side
    a.adaptive = false;
    a.kernel = a.stride = size / out;
  }
  return a;
}

inline void check_window(const char* op, const PoolWindow& w, size_t axes) {
  GG_CHECK(w.kernel.size() == axes && w.stride.size() == axes && w.padding.size() == axes &&
               w.dilation.size() == axes,
           op, "kernel, stride, padding and dilation must have one number for each of the ", axes,
           " spatial axes, got ", w.kernel.size(), ", ", w.stride.size(), ", ", w.padding.size(),
           " and ", w.dilation.size());
  for (size_t i = 0; i < axes; i++) {
    GG_CHECK(w.kernel[i] > 0 && w.stride[i] > 0 && w.dilation[i] > 0 && w.padding[i] >= 0, op,
             "kernel, stride and dilation must be positive and padding not negative, got ",
             w.kernel[i], ", ", w.stride[i], ", ", w.dilation[i], " and ", w.padding[i]);
  }
}

}  // namespace detail

/// The windows of `out` outputs along each spatial axis of x [N, C, spatial...].
inline Windows make_windows(const char* op, const PoolWindow& w, const Array& x,
                            const int64_t* out) {
  GG_CHECK(x && x.ndim >= 3 && x.ndim <= 5, op,
           "images must be [N, C, spatial...] with one to three spatial axes, got ", x);
  const int axes = x.ndim - 2;
  const bool adaptive = w.kernel.empty();
  if (!adaptive) detail::check_window(op, w, static_cast<size_t>(axes));
  Windows windows;
  for (int i = 0; i < axes; i++) {
    WindowAxis& a = windows.axis[i + 3 - axes];
    const int64_t size = x.shape[i + 2];
    a = adaptive ? detail::adaptive_axis(size, out[i])
                 : WindowAxis{size,         out[i],        w.kernel[i], w.stride[i],
                              w.padding[i], w.dilation[i], w.kernel[i], false};
    const int64_t reach = (a.out - 1) * a.stride + (a.kernel - 1) * a.dilation + a.stride;
    GG_CHECK(a.size + a.padding <= kMaxAxis && reach <= kMaxAxis && a.out <= kMaxAxis, op,
             "windows beyond position 2^31 - 1 of ", x);
    GG_CHECK(!a.adaptive || a.size < kMaxProduct / (a.out + 2), op, "axes are too long: ", x);
  }
  GG_CHECK(windows.taps() <= kMaxAxis, op, "a window has ", windows.taps(), " taps");
  return windows;
}

/// The windows of a pool from x to y, after a check of their shapes.
inline Windows pool_windows(const char* op, const PoolWindow& w, const Array& x, const Array& y) {
  check_present(op, "input", x);
  check_present(op, "output", y);
  GG_CHECK(x.ndim == y.ndim && x.ndim >= 3 && x.shape[0] == y.shape[0] && x.shape[1] == y.shape[1],
           op, "input and output must have equal batch and channels, got ", x, " and ", y);
  return make_windows(op, w, x, y.shape + 2);
}

/// Dtypes and shapes of max_pool (x to y) and its gradient (dx from dy).
inline Windows max_pool_windows(const char* op, const PoolWindow& w, const Array& x, const Array& y,
                                const Array& index) {
  check_same_dtype(op, "input", x, "output", y);
  GG_CHECK(x.dtype != DType::boolean, op, "not defined for bool");
  check_not_float8(op, "input", x);
  const Windows windows = pool_windows(op, w, x, y);
  check_dtype(op, "index", index, windows.taps() <= 256 ? DType::u8 : DType::i32);
  check_same_shape(op, "index", index, "output", y);
  return windows;
}

/// Of avg_pool and its gradient.
inline Windows avg_pool_windows(const char* op, const PoolWindow& w, const Array& x, const Array& y,
                                int64_t divisor) {
  check_floating(op, "input", x);
  check_same_dtype(op, "input", x, "output", y);
  GG_CHECK(divisor >= 0, op, "divisor must not be negative, got ", divisor);
  return pool_windows(op, w, x, y);
}

}  // namespace gg
