// y[..., i] = x[..., 0] + ... + x[..., i].
//
// Any strides. float16, bfloat16 and float32 are summed in float32 and rounded once, float64 in
// float64, integers and bool in int64 (wrapping) to an int64 y. y is overwritten.
//
// A warp (short rows) or a block scans a row, tile by tile: four neighbours in a thread, threads by
// shuffles, warps through shared memory, tiles by a carry. A long row, if there are few, is cut
// into parts: one kernel sums each part, one turns the sums into prefixes, one scans. These sums
// stay in y itself, as raw bits in the first one or two elements of each part, which the scan reads
// before it overwrites them: no workspace.
//
// Deterministic: the cut depends on the shape alone, and everything meets in a fixed order.
//
// Bytes: x once (twice if cut), y once. Bound: bandwidth. Reached: not measured.
#include "core/math.h"
#include "kernels/lanes.cuh"
#include "ops/arrays.h"

namespace gg {
namespace {

constexpr int kItems = 4;  // neighbours in a thread
constexpr int64_t kShortRow = 512, kPart = 8192, kMostParts = 1024, kEnoughRows = 512;

struct Scan {
  Layout<2> rows;  ///< x, y
  int64_t row_count, length;
  int64_t parts, part;  ///< a row's parts; elements of each but the last, which is longer
  int64_t x_stride, y_stride;
  int threads;   ///< of a row: a warp or a block
  bool vectors;  ///< four neighbours are one vector in x and y
  DType x_dtype, y_dtype;
  const void* x;
  void* y;
};

template <class T>
GG_DEVICE T add(T a, T b) {
  return BinaryMath<T>::add(a, b);
}

/// A row's part: the element it begins at in x and y, and its length.
struct Part {
  int64_t x, y, length;

  __device__ Part(const Scan& s, int64_t row, int64_t part) {
    const int64_t begin = part * s.part;
    x = s.rows.offset(0, row) + begin * s.x_stride;
    y = s.rows.offset(1, row) + begin * s.y_stride;
    length = part == s.parts - 1 ? s.length - begin : s.part;
  }
};

// A part's slot is its first element of y, or its first two, if y is float16 or bfloat16.

template <class T>
GG_DEVICE void store_slot(const Scan& s, int64_t at, T value) {
  if constexpr (std::is_same_v<T, float>) {
    if (s.y_dtype != DType::f32) {
      uint16_t* y = static_cast<uint16_t*>(s.y) + at;
      y[0] = static_cast<uint16_t>(float_bits(value));
      y[s.y_stride] = static_cast<uint16_t>(float_bits(value) >> 16);
      return;
    }
  }
  static_cast<T*>(s.y)[at] = value;
}

template <class T>
GG_DEVICE T load_slot(const Scan& s, int64_t at) {
  if constexpr (std::is_same_v<T, float>) {
    if (s.y_dtype != DType::f32) {
      const uint16_t* y = static_cast<const uint16_t*>(s.y) + at;
      return bits_float(y[0] | static_cast<uint32_t>(y[s.y_stride]) << 16);
    }
  }
  return static_cast<const T*>(s.y)[at];
}

/// Elements i .. i + 3 of a part; 0 beyond its end.
template <class T>
GG_DEVICE void load_items(const Scan& s, const Part& part, int64_t i, T (&v)[kItems]) {
  with_storage<T>(s.x_dtype, [&](auto stored) {
    using M = decltype(stored);
    const M* x = static_cast<const M*>(s.x) + part.x + i * s.x_stride;
    if (s.vectors && i + kItems <= part.length) {
      const Vec<M, kItems> raw = load_vec<kItems>(x);
#pragma unroll
      for (int j = 0; j < kItems; j++) v[j] = convert<T>(raw[j]);
    } else {
#pragma unroll
      for (int j = 0; j < kItems; j++) {
        v[j] = i + j < part.length ? convert<T>(x[j * s.x_stride]) : T(0);
      }
    }
  });
}

template <class T>
GG_DEVICE void store_items(const Scan& s, const Part& part, int64_t i, const T (&v)[kItems]) {
  with_storage<T>(s.y_dtype, [&](auto stored) {
    using M = decltype(stored);
    M* y = static_cast<M*>(s.y) + part.y + i * s.y_stride;
    if (s.vectors && i + kItems <= part.length) {
      Vec<M, kItems> raw;
#pragma unroll
      for (int j = 0; j < kItems; j++) raw[j] = convert<M>(v[j]);
      store_vec(y, raw);
    } else {
#pragma unroll
      for (int j = 0; j < kItems; j++) {
        if (i + j < part.length) y[j * s.y_stride] = convert<M>(v[j]);
      }
    }
  });
}

/// Sum of `value` over the lanes before this one; `total` over all lanes.
template <class T>
GG_DEVICE T scan_warp(T value, T& total) {
  T sum = value;
#pragma unroll
  for (int offset = 1; offset < kWarp; offset *= 2) {
    const T before = __shfl_up_sync(kFullMask, sum, offset);
    if (lane_id() >= offset) sum = add(before, sum);
  }
  total = __shfl_sync(kFullMask, sum, kWarp - 1);
  const T before = __shfl_up_sync(kFullMask, sum, 1);
  return lane_id() == 0 ? T(0) : before;
}

/// The same over the threads of a row.
template <class T>
GG_DEVICE T scan_threads(const Scan& s, T value, T& total) {
  T before = scan_warp(value, total);
  if (s.threads == kWarp) return before;
  GG_SHARED(totals, T[kBlock / kWarp]);
  if (lane_id() == 0) totals[warp_id()] = total;
  __syncthreads();
  T sum = T(0);
  for (int i = 0; i < kBlock / kWarp; i++) {
    if (i == warp_id()) before = add(sum, before);
    sum = add(sum, totals[i]);
  }
  __syncthreads();
  total = sum;
  return before;
}

/// y = prefix sums of each part, plus the slot if rows are cut.
template <class T>
__global__ void __launch_bounds__(kBlock, 3) scan_parts(Scan s) {
  const int rank = threadIdx.x % s.threads, rows = kBlock / s.threads;
  const int64_t items = s.row_count * s.parts, stride = static_cast<int64_t>(gridDim.x) * rows;
  for (int64_t first = static_cast<int64_t>(blockIdx.x) * rows; first < items; first += stride) {
    const int64_t item = first + threadIdx.x / s.threads;
    if (item >= items) return;  // a whole warp; blocks that share a row have one item
    const int64_t row = s.parts == 1 ? item : static_cast<int>(item) / static_cast<int>(s.parts);
    const Part part(s, row, item - row * s.parts);
    T carry = T(0);
    if (s.parts > 1) {
      carry = load_slot<T>(s, part.y);
      __syncthreads();  // all have read the slot
    }
    for (int64_t base = 0; base < part.length; base += s.threads * kItems) {
      const int64_t i = base + rank * kItems;
      T v[kItems], total;
      load_items(s, part, i, v);
#pragma unroll
      for (int j = 1; j < kItems; j++) v[j] = add(v[j - 1], v[j]);
      const T before = add(carry, scan_threads(s, v[kItems - 1], total));
#pragma unroll
      for (int j = 0; j < kItems; j++) v[j] = add(before, v[j]);
      store_items(s, part, i, v);
      carry = add(carry, total);
    }
  }
}

/// slot = sum of each part.
template <class T>
__global__ void __launch_bounds__(kBlock, 2) total_parts(Scan s) {
  const int items = static_cast<int>(s.row_count * s.parts);
  for (int item = blockIdx.x; item < items; item += gridDim.x) {
    const int row = item / static_cast<int>(s.parts);
    const Part part(s, row, item - row * s.parts);
    T sum = T(0);
#pragma unroll 1
    for (int64_t i = threadIdx.x * kItems; i < part.length; i += kBlock * kItems) {
      T v[kItems];
      load_items(s, part, i, v);
      sum = add(sum, add(add(v[0], v[1]), add(v[2], v[3])));
    }
    sum = block_reduce(sum, [](T a, T b) { return add(a, b); }, T(0));
    if (threadIdx.x == 0) store_slot(s, part.y, sum);
  }
}

/// slot = sum of the slots before it. A warp takes a row, a lane a run of neighbouring slots.
template <class T>
__global__ void __launch_bounds__(kWarp) prefix_parts(Scan s) {
  const int64_t run = (s.parts + kWarp - 1) / kWarp;
  const int64_t begin = run * threadIdx.x;
  const int64_t end = begin + run < s.parts ? begin + run : s.parts;
  for (int64_t row = blockIdx.x; row < s.row_count; row += gridDim.x) {
    T sum = T(0), total;
    for (int64_t i = begin; i < end; i++) sum = add(sum, load_slot<T>(s, Part(s, row, i).y));
    T before = scan_warp(sum, total);
    for (int64_t i = begin; i < end; i++) {
      const int64_t at = Part(s, row, i).y;
      const T value = load_slot<T>(s, at);
      store_slot(s, at, before);
      before = add(before, value);
    }
  }
}

bool aligned(const Scan& s, int k, const Array& a, int64_t stride) {
  const int64_t bytes = std::min(16, kItems * dtype_size(a.dtype));
  if (stride != 1 || reinterpret_cast<uintptr_t>(a.data) % bytes != 0) return false;
  for (int axis = 0; axis < s.rows.ndim; axis++) {
    if (s.rows.length[axis] > 1 && s.rows.stride[k][axis] % kItems != 0) return false;
  }
  return true;
}

Scan plan_scan(const Array& x, const Array& y) {
  Scan s{};
  const int last = x.ndim - 1;
  for (int axis = 0; axis < last; axis++) {
    s.rows.push(x.shape[axis], {x.stride[axis], y.stride[axis]});
  }
  s.rows.sort();
  s.rows.finish();
  s.row_count = s.rows.size;
  s.length = last < 0 ? 1 : x.shape[last];
  s.x_stride = last < 0 ? 1 : x.stride[last];
  s.y_stride = last < 0 ? 1 : y.stride[last];
  s.vectors = aligned(s, 0, x, s.x_stride) && aligned(s, 1, y, s.y_stride);
  s.threads = s.length <= kShortRow ? kWarp : kBlock;
  s.parts = 1;
  if (s.row_count < kEnoughRows && s.length >= 2 * kPart) {
    const int64_t least = (s.length + kMostParts - 1) / kMostParts;
    s.part = std::max(kPart, (least + kItems - 1) / kItems * kItems);
    s.parts = s.length / s.part;
  }
  s.x_dtype = x.dtype;
  s.y_dtype = y.dtype;
  s.x = x.data;
  s.y = y.data;
  return s;
}

template <class T>
void launch_scan(Stream stream, const Scan& s) {
  const int64_t items = s.row_count * s.parts;
  if (s.parts > 1) {
    launch(total_parts<T>, grid_for(items, 1), kBlock, 0, stream, s);
    launch(prefix_parts<T>, grid_for(s.row_count, 1), kWarp, 0, stream, s);
  }
  launch(scan_parts<T>, grid_for(items, kBlock / s.threads), kBlock, 0, stream, s);
}

}  // namespace

void cumsum(Stream stream, const Array& x, const Array& y) {
  check_present("cumsum", "x", x);
  check_same_shape("cumsum", "x", x, "y", y);
  check_dtype("cumsum", "y", y, is_floating(x.dtype) ? x.dtype : DType::i64);
  if (x.size() == 0) return;
  const Scan s = plan_scan(x, y);
  const DType dtype = accumulation(x.dtype);
  if (dtype == DType::f64) return launch_scan<double>(stream, s);
  if (dtype == DType::f32) return launch_scan<float>(stream, s);
  launch_scan<int64_t>(stream, s);
}

}  // namespace gg
