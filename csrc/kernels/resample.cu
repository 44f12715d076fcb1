// Moving pixels: resampling along one axis, crops of a batch, windows as columns (im2col) and back.
//
//   resample: y[.., o, ..] = sum over j in [offsets[o], offsets[o + 1]) of
//             weight[j] x[.., index[j], ..]: a sparse matrix, by rows, times every line of x
//   crop:     y[n, c, i, j] = x[n, c, r(top[n] + i), s(left[n] + j)], j from the right where
//   flip[n] unfold:   y[n, (c, t), l] = x[n, c, o(l) stride - padding + t dilation], zero outside x
//   fold:     x[n, c, i] = sum of y[n, (c, t), l] over the (t, l) that meet i, l ascending
//
// Any strides. resample and fold take every floating dtype, chosen at run time, and sum in float32
// (float64); a thread computes one result, of resample also four neighbours along another axis
// where x and y hold those side by side. crop and unfold move bytes: one kernel for each size of
// element. Threads follow the memory of what they write, so that what they read comes from the
// first cache where it is shared. All =; no two threads meet, fold is a gather: deterministic, no
// atomics.
//
// Bytes: what is read and what is written, once each. Bound: memory bandwidth. Reached: not
// measured.
#include "core/positions.h"
#include "core/resample_checks.h"
#include "core/rows.h"
#include "kernels/pool.cuh"

namespace gg {
namespace {

// ---- resample ----------------------------------------------------------------------------------

/// results [rows / inner, n, inner]: `inner` are the neighbours in y that share o.
struct Resampling {
  Layout<2> rows;  ///< y, x: the other axes
  int64_t size;    ///< threads
  int64_t inner, n;
  bool wide;
  FastDivision by_inner, by_n;
  WideDivision wide_by_inner, wide_by_n;
  int64_t y_step, x_step;
  DType x_dtype, y_dtype;

  __device__ int64_t over_inner(int64_t i) const {
    if (wide) return wide_by_inner.quotient(i, inner);
    return by_inner.quotient(static_cast<uint32_t>(i));
  }
  __device__ int64_t over_n(int64_t i) const {
    if (wide) return wide_by_n.quotient(i, n);
    return by_n.quotient(static_cast<uint32_t>(i));
  }
};

template <class S>
__global__ void __launch_bounds__(kWindowThreads, 2)
    resample_kernel(const Resampling r, const int32_t* offsets, const int32_t* index,
                    const typename S::A* weight, const void* x, void* y) {
  using A = typename S::A;
  constexpr int V = S::V;
  const int64_t i = window_thread();
  if (i >= r.size) return;
  const int64_t line = r.over_inner(i), group = r.over_n(line);
  const int64_t o = line - group * r.n;
  const int64_t row = (group * r.inner + (i - line * r.inner)) * V;
  const int64_t from = r.rows.offset(1, row), to = r.rows.offset(0, row) + o * r.y_step;
  A sum[V] = {};
  const int32_t end = offsets[o + 1];
#pragma unroll 1
  for (int32_t j = offsets[o]; j < end; j++) {
    A values[V];
    S::load(x, from + index[j] * r.x_step, r.x_dtype, values);
    const A w = weight[j];
#pragma unroll
    for (int v = 0; v < V; v++) sum[v] += w * values[v];
  }
  S::store(y, to, r.y_dtype, sum);
}

/// Four neighbours: of the innermost of the other axes, where no thread's four straddle its end.
bool takes_vectors(const RowLayout<2>& rows, const Array& x, const Array& y) {
  if (rows.near || y.dtype == DType::f64) return false;
  const Array* const arrays[2] = {&y, &x};
  for (int k = 0; k < 2; k++) {
    const int size = dtype_size(arrays[k]->dtype);
    if (!walks_in_vectors(rows.outer, k, arrays[k]->data, 4, size)) return false;
    if (rows.stride[k] % 4 != 0) return false;
  }
  return rows.outer.length[rows.outer.ndim - 1] % 4 == 0;
}

Resampling plan(const RowLayout<2>& rows, const Array& x, const Array& y, int vector) {
  Resampling r;
  r.rows = rows.outer;
  r.n = rows.n;
  r.inner = rows.near ? 1 : rows.outer.length[rows.outer.ndim - 1] / vector;
  r.size = rows.outer.size / vector * r.n;
  r.wide = r.size > kMaxFastIndex;
  r.wide_by_inner.reciprocal = 1 / static_cast<double>(r.inner);
  r.wide_by_n.reciprocal = 1 / static_cast<double>(r.n);
  if (!r.wide) {
    r.by_inner = FastDivision(static_cast<uint32_t>(r.inner));
    r.by_n = FastDivision(static_cast<uint32_t>(r.n));
  }
  r.y_step = rows.stride[0];
  r.x_step = rows.stride[1];
  r.x_dtype = x.dtype;
  r.y_dtype = y.dtype;
  return r;
}

// ---- crop --------------------------------------------------------------------------------------

struct Crop {
  Image x, y;
  PlaceWalk walk;
  int64_t height, width;    ///< of x
  int64_t out_width;        ///< of y
  int64_t top, left, flip;  ///< strides
  Border border;
};

template <class T>
__global__ void __launch_bounds__(kWindowThreads, 2)
    crop_kernel(const Crop p, const int64_t* top, const int64_t* left, const bool* flip, const T* x,
                T* y) {
  const int64_t i = window_thread();
  if (i >= p.walk.size) return;
  const DevicePlace at = p.walk.place(i);
  const int64_t column = flip[at.n * p.flip] ? p.out_width - 1 - at.x : at.x;
  const int64_t row = bordered(top[at.n * p.top] + at.y, p.height, p.border);
  const int64_t from = bordered(left[at.n * p.left] + column, p.width, p.border);
  T value = 0;
  if (row >= 0 && from >= 0) {
    value = x[at.n * p.x.n + at.c * p.x.c + row * p.x.axis[1] + from * p.x.axis[2]];
  }
  y[at.offset(p.y)] = value;
}

// ---- unfold, fold ------------------------------------------------------------------------------

/// y's elements: windows innermost, then taps, channels, images.
struct Columns {
  DeviceAxis z, y, x;
  Image image;
  int64_t size, windows;
  WideDivision by_windows;
  FastDivision by_out[2], by_kernel[3], by_channels;  ///< height, width; depth, height, width
  int channels;
  int64_t stride[3];  ///< of y

  Columns(const Windows& w, const Array& x_array, const Array& y_array)
      : z(w.axis[0]),
        y(w.axis[1]),
        x(w.axis[2]),
        image(x_array),
        size(y_array.size()),
        windows(w.outputs()),
        channels(static_cast<int>(image.channels)) {
    GG_CHECK(y_array.shape[0] * y_array.shape[1] <= kMaxFastIndex && windows <= kMaxFastIndex,
             "unfold", "too large: ", y_array);
    by_windows.reciprocal = 1 / static_cast<double>(windows);
    for (int i = 0; i < 3; i++) {
      if (i > 0) by_out[i - 1] = FastDivision(static_cast<uint32_t>(w.axis[i].out));
      by_kernel[i] = FastDivision(static_cast<uint32_t>(w.axis[i].kernel));
      stride[i] = y_array.stride[i];
    }
    by_channels = FastDivision(static_cast<uint32_t>(channels));
  }
};

/// n becomes n / d; returns the rest.
GG_DEVICE int split(uint32_t& n, const FastDivision& division, int d) {
  const uint32_t quotient = division.quotient(n);
  const int rest = static_cast<int>(n - quotient * static_cast<uint32_t>(d));
  n = quotient;
  return rest;
}

template <class T>
__global__ void __launch_bounds__(kWindowThreads, 2)
    unfold_kernel(const Columns p, const T* x, T* y) {
  const int64_t i = window_thread();
  if (i >= p.size) return;
  const int64_t line = p.by_windows.quotient(i, p.windows), l = i - line * p.windows;
  uint32_t row = static_cast<uint32_t>(line), window = static_cast<uint32_t>(l);
  const int ox = split(window, p.by_out[1], p.x.out), oy = split(window, p.by_out[0], p.y.out);
  const int kx = split(row, p.by_kernel[2], p.x.kernel);
  const int ky = split(row, p.by_kernel[1], p.y.kernel);
  const int kz = split(row, p.by_kernel[0], p.z.kernel);
  const int c = split(row, p.by_channels, p.channels);
  const int64_t tap = ((int64_t{c} * p.z.kernel + kz) * p.y.kernel + ky) * p.x.kernel + kx;
  const int at_z = static_cast<int>(window) * p.z.stride - p.z.padding + kz * p.z.dilation;
  const int at_y = oy * p.y.stride - p.y.padding + ky * p.y.dilation;
  const int at_x = ox * p.x.stride - p.x.padding + kx * p.x.dilation;
  T value = 0;
  if (p.z.holds(at_z) && p.y.holds(at_y) && p.x.holds(at_x)) {
    value = x[DevicePlace{row, c, at_z, at_y, at_x}.offset(p.image)];
  }
  y[row * p.stride[0] + tap * p.stride[1] + l * p.stride[2]] = value;
}

template <class S>
__global__ void __launch_bounds__(kWindowThreads, 2)
    fold_kernel(const Pool p, const void* y, int64_t image, int64_t tap_stride,
                int64_t window_stride, void* x) {
  using A = typename S::A;
  const int64_t taps = int64_t{p.z.taps} * p.y.taps * p.x.taps;
  const int64_t i = window_thread();
  if (i >= p.walk.size) return;
  const DevicePlace at = p.walk.place(i);
  const int64_t channel = at.n * image + at.c * taps * tap_stride;
  A sum[1] = {};
  for_each_window(p, at, [&](const DevicePlace& w, int tap) {
    const int64_t l = (int64_t{w.z} * p.y.out + w.y) * p.x.out + w.x;
    A value[1];
    S::load(y, channel + tap * tap_stride + l * window_stride, p.dtype, value);
    sum[0] += value[0];
  });
  S::store(x, at.offset(p.input), p.dtype, sum);
}

}  // namespace

void resample(Stream stream, const Array& x, const Array& offsets, const Array& index,
              const Array& weight, const Array& y, int axis) {
  check_resample(x, offsets, index, weight, y, axis);
  if (y.size() == 0) return;
  const RowLayout<2> rows = row_layout({y, x}, axis);
  const auto run = [&](auto tag) {
    using S = typename decltype(tag)::type;
    const Resampling r = plan(rows, x, y, S::V);
    const unsigned blocks = window_blocks(r.size);
    launch(resample_kernel<S>, blocks, kWindowThreads, 0, stream, r, offsets.as<int32_t>(),
           index.as<int32_t>(), weight.as<typename S::A>(), x.data, y.data);
  };
  if (y.dtype == DType::f64) return run(Tag<Stored<double, 1>>{});
  if (takes_vectors(rows, x, y)) return run(Tag<AnyFloat<4>>{});
  run(Tag<AnyFloat<1>>{});
}

void crop(Stream stream, const Array& x, const Array& top, const Array& left, const Array& flip,
          const Array& y, Border border) {
  check_crop(x, top, left, flip, y, border);
  if (y.size() == 0) return;
  const int64_t axis[3] = {1, y.shape[2], y.shape[3]};
  const Image out(y);
  const Crop p{Image(x),
               out,
               PlaceWalk("crop", out, axis, 1),
               x.shape[2],
               x.shape[3],
               y.shape[3],
               top.stride[0],
               left.stride[0],
               flip.stride[0],
               border};
  dispatch_width(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    launch(crop_kernel<T>, window_blocks(p.walk.size), kWindowThreads, 0, stream, p,
           top.as<int64_t>(), left.as<int64_t>(), flip.as<bool>(), x.as<T>(), y.as<T>());
  });
}

void unfold(Stream stream, const Array& x, const Array& y, const PoolWindow& window,
            const Sizes& out) {
  const Windows w = unfold_windows("unfold", x, y, window, out);
  if (y.size() == 0) return;
  const Columns columns(w, x, y);
  dispatch_width(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    launch(unfold_kernel<T>, window_blocks(columns.size), kWindowThreads, 0, stream, columns,
           x.as<T>(), y.as<T>());
  });
}

void fold(Stream stream, const Array& y, const Array& x, const PoolWindow& window,
          const Sizes& out) {
  const char* const op = "fold";
  check_floating(op, "y", y);
  const Windows w = unfold_windows(op, x, y, window, out);
  if (x.size() == 0) return;
  const Pool pool = make_pool(op, w, x, x, Array(), true, 1);
  const auto run = [&](auto tag) {
    launch(fold_kernel<typename decltype(tag)::type>, window_blocks(pool.walk.size), kWindowThreads,
           0, stream, pool, y.data, y.stride[0], y.stride[1], y.stride[2], x.data);
  };
  if (x.dtype == DType::f64) return run(Tag<Stored<double, 1>>{});
  run(Tag<AnyFloat<1>>{});
}

}  // namespace gg
