// Windows (core/windows.h) as kernels see them, and the way from a thread's number to its place.
#pragma once

#include "core/index.h"
#include "core/windows.h"
#include "device/device.h"

namespace gg {

constexpr int kWindowThreads = 256;

struct DeviceSpan {
  int start, first, end;
};

/// The windows along one axis, with divisions prepared. Positions fit 32 bits: the host checks.
struct DeviceAxis {
  int size, out, kernel, stride, padding, dilation, taps;
  bool adaptive;
  FastDivision by_stride, by_dilation;
  WideDivision by_size, by_out;

  explicit DeviceAxis(const WindowAxis& a)
      : size(static_cast<int>(a.size)),
        out(static_cast<int>(a.out)),
        kernel(static_cast<int>(a.kernel)),
        stride(static_cast<int>(a.stride)),
        padding(static_cast<int>(a.padding)),
        dilation(static_cast<int>(a.dilation)),
        taps(static_cast<int>(a.taps)),
        adaptive(a.adaptive),
        by_stride(static_cast<uint32_t>(a.stride)),
        by_dilation(static_cast<uint32_t>(a.dilation)) {
    by_size.reciprocal = 1 / static_cast<double>(std::max<int64_t>(1, a.size));
    by_out.reciprocal = 1 / static_cast<double>(std::max<int64_t>(1, a.out));
  }

  __device__ int start(int o) const {
    if (adaptive) return static_cast<int>(by_out.quotient(static_cast<int64_t>(o) * size, out));
    return o * stride - padding;
  }

  __device__ bool holds(int position) const {
    return static_cast<unsigned>(position) < static_cast<unsigned>(size);
  }

  /// Window o: where it starts, and its taps [first, end) that lie before `limit`.
  __device__ DeviceSpan span(int o, int limit) const {
    const int from = start(o);
    if (adaptive) {
      const int64_t to = by_out.quotient((o + int64_t{1}) * size + out - 1, out);
      return {from, 0, static_cast<int>(to) - from};
    }
    const int first = min(taps_within(-from), kernel);
    return {from, first, max(first, min(taps_within(limit - from), kernel))};
  }
  __device__ DeviceSpan span(int o) const { return span(o, size); }
  /// Taps inside the input or its padding, before and behind.
  __device__ int padded_taps(int o) const { return span(o, size + padding).end; }

  // The rest is WindowAxis's.
  __device__ int first_window(int i) const {
    if (adaptive) return static_cast<int>(by_size.quotient(static_cast<int64_t>(i) * out, size));
    const int from = i + padding - (kernel - 1) * dilation;
    return from > 0 ? static_cast<int>(by_stride.quotient(from + stride - 1)) : 0;
  }
  __device__ int end_window(int i) const {
    if (adaptive) {
      return static_cast<int>(by_size.quotient((i + int64_t{1}) * out + size - 1, size));
    }
    const int end = static_cast<int>(by_stride.quotient(i + padding)) + 1;
    return end < out ? end : out;
  }
  __device__ int tap(int o, int i) const {
    const int distance = i - start(o);
    if (dilation == 1) return distance;
    const int t = static_cast<int>(by_dilation.quotient(distance));
    return t * dilation == distance ? t : -1;
  }

 private:
  /// Taps at distances below `length`.
  __device__ int taps_within(int length) const {
    return static_cast<int>(
        by_dilation.quotient(static_cast<uint32_t>(max(length, 0) + dilation - 1)));
  }
};

/// Where a thread works: image, (first) channel, position.
struct DevicePlace {
  int64_t n, c;
  int z, y, x;

  __device__ int64_t offset(const Image& a) const {
    return n * a.n + c * a.c + z * a.axis[0] + y * a.axis[1] + x * a.axis[2];
  }
};

/// Threads over [N, C, depth, height, width], in the order of memory; one for each `vector`
/// channels where these lie side by side.
struct PlaceWalk {
  int64_t size = 1;
  bool channels_last = false;
  int vector = 1;
  int64_t block = 1;  ///< threads of the three inner axes together
  WideDivision by_block;
  int length[4];  ///< from the innermost axis; what remains is the image
  FastDivision division[4];

  PlaceWalk(const char* op, const Image& a, const int64_t (&axis)[3], int channels_at_once)
      : channels_last(std::abs(a.c) < std::abs(a.axis[2])), vector(channels_at_once) {
    const int64_t inner_first[4] = {a.channels / vector, axis[2], axis[1], axis[0]};
    for (int i = 0; i < 4; i++) {
      const int64_t n = channels_last ? inner_first[i] : inner_first[(i + 1) % 4];
      length[i] = static_cast<int>(n);
      (i < 3 ? block : size) *= n;
      if (n > 0) division[i] = FastDivision(static_cast<uint32_t>(n));
    }
    size *= a.images;
    GG_CHECK(block <= kMaxFastIndex && size <= kMaxFastIndex, op, "an image is too large: ", block,
             " elements in each of ", size, " parts");
    by_block.reciprocal = 1 / static_cast<double>(std::max<int64_t>(1, block));
    size *= block;
  }

  __device__ DevicePlace place(int64_t i) const {
    const int64_t part = by_block.quotient(i, block);
    uint32_t rest = static_cast<uint32_t>(i - part * block);
    int at[4];
#pragma unroll
    for (int k = 0; k < 4; k++) {
      if (k == 3) rest = static_cast<uint32_t>(part);
      const uint32_t next = division[k].quotient(rest);
      at[k] = static_cast<int>(rest - next * static_cast<uint32_t>(length[k]));
      rest = next;
    }
    const int64_t c = channels_last ? at[0] : at[3];
    return {static_cast<int64_t>(rest), c * vector, channels_last ? at[3] : at[2],
            channels_last ? at[2] : at[1], channels_last ? at[1] : at[0]};
  }
};

/// Can `vector` channels of every place be one access?
inline bool channels_in_vectors(const Array& array, int vector) {
  const Image a(array);
  const int64_t bytes = std::min<int64_t>(16, int64_t{vector} * dtype_size(array.dtype));
  bool fits = array.stride[1] == 1 && a.channels % vector == 0 &&
              reinterpret_cast<uintptr_t>(array.data) % static_cast<uintptr_t>(bytes) == 0;
  for (int i = 0; i < array.ndim; i++) {
    fits = fits && (i == 1 || array.shape[i] == 1 || array.stride[i] % vector == 0);
  }
  return fits;
}

/// Blocks for a thread each: a grid's width holds more than memory does.
inline unsigned window_blocks(int64_t size) {
  GG_CHECK(size <= kMaxAxis * kWindowThreads, "launch", "too many elements: ", size);
  return static_cast<unsigned>(ceil_div(size, kWindowThreads));
}

GG_DEVICE int64_t window_thread() {
  return blockIdx.x * int64_t{kWindowThreads} + threadIdx.x;
}

}  // namespace gg
