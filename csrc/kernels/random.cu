// Random numbers: uniform, normal, bernoulli, dropout, permutation.
//
// A thread draws groups of four elements from counters (core/philox.h): no state is kept, results
// do not depend on the grid, and the host and NumPy give the same bits. Built with -fmad=false.
// y is overwritten. y, x and p have any strides: where they are contiguous and aligned, a group
// moves as one vector.
//
// Bytes: y once, and x or p once. Bound: bandwidth for words compared as integers (dropout,
// bernoulli); float64 arithmetic for normal (about 45 operations an element) and, where float64 is
// slow, for uniform. Reached: not measured.
#include "core/draws.h"
#include "core/philox.h"
#include "device/device.h"
#include "ops/updates.h"

namespace gg {
namespace {

constexpr int kThreads = 256;

/// Blocks that fill the device several times over; threads then stride.
unsigned grid_for(int64_t threads_wanted) {
  const int64_t blocks = (threads_wanted + kThreads - 1) / kThreads;
  return static_cast<unsigned>(std::min<int64_t>(blocks, int64_t{32} * multiprocessors()));
}

/// How y and the second array are walked. vector: contiguous, and aligned to four elements.
struct DrawShape {
  Layout<2> layout;
  bool vector[2];
};

/// The group's elements of the second array.
struct SecondOnDevice {
  const DrawShape& shape;
  int64_t first;
  int count;

  template <class T>
  GG_HD void fetch(const T* base, T (&values)[kGroup]) const {
    if (shape.vector[1] && count == kGroup) {
      const auto loaded = load_vec<kGroup>(base + first);
      for (int k = 0; k < kGroup; k++) values[k] = loaded[k];
      return;
    }
#pragma unroll
    for (int k = 0; k < kGroup; k++) {
      if (k < count) values[k] = base[shape.layout.offset(1, first + k)];
    }
  }
};

template <class Draw, class T>
__global__ void __launch_bounds__(kThreads)
    draw_groups(const Draw draw, const int64_t* state, int64_t call, T* y, const DrawShape shape) {
  const PhiloxStream stream = philox_stream(state, call);
  const int64_t size = shape.layout.size, step = int64_t{kThreads} * gridDim.x;
  int64_t group = int64_t{kThreads} * blockIdx.x + threadIdx.x;
  for (; group * kGroup < size; group += step) {
    const int64_t first = group * kGroup;
    const int count = static_cast<int>(size - first < kGroup ? size - first : kGroup);
    Vec<T, kGroup> values;
    draw(stream, static_cast<uint64_t>(group), SecondOnDevice{shape, first, count}, values.v);
    if (shape.vector[0] && count == kGroup) {
      store_vec(y + first, values);
      continue;
    }
#pragma unroll
    for (int k = 0; k < kGroup; k++) {
      if (k < count) y[shape.layout.offset(0, first + k)] = values[k];
    }
  }
}

bool moves_in_groups(const Layout<2>& layout, int k, const void* data, int itemsize) {
  const uintptr_t alignment = static_cast<uintptr_t>(std::min(kGroup * itemsize, 16));
  return layout.ndim == 1 && layout.inner(k) == 1 &&
         reinterpret_cast<uintptr_t>(data) % alignment == 0;
}

template <class Draw>
void start(Stream stream, const char* op, const Draw& draw, const Array& state, int64_t call,
           const Array& y, const Array& second) {
  using T = typename Draw::Stored;
  check_state(op, state);
  if (y.size() == 0) return;
  DrawShape shape{draw_layout(y, second), {}};
  shape.vector[0] = moves_in_groups(shape.layout, 0, y.data, sizeof(T));
  if (second) {
    shape.vector[1] = moves_in_groups(shape.layout, 1, second.data, dtype_size(second.dtype));
  }
  launch(draw_groups<Draw, T>, grid_for((y.size() + kGroup - 1) / kGroup), kThreads, 0, stream,
         draw, state.as<int64_t>(), call, y.as<T>(), shape);
}

__global__ void __launch_bounds__(kThreads)
    permute(const int64_t* state, int64_t call, int64_t n, int64_t* y, int64_t stride) {
  const Feistel network = feistel(philox_stream(state, call), n);
  int64_t i = int64_t{kThreads} * blockIdx.x + threadIdx.x;
  for (; i < n; i += int64_t{kThreads} * gridDim.x) y[i * stride] = feistel_image(network, i);
}

}  // namespace

void uniform(Stream stream, const Array& state, int64_t call, double low, double high,
             const Array& y) {
  with_uniform(low, high, y,
               [&](const auto& draw) { start(stream, "uniform", draw, state, call, y, {}); });
}

void normal(Stream stream, const Array& state, int64_t call, double mean, double std,
            const Array& y) {
  with_normal(mean, std, y,
              [&](const auto& draw) { start(stream, "normal", draw, state, call, y, {}); });
}

void bernoulli(Stream stream, const Array& state, int64_t call, const Operand& p, const Array& y) {
  with_bernoulli(
      p, y, [&](const auto& draw) { start(stream, "bernoulli", draw, state, call, y, p.array); });
}

void dropout(Stream stream, const Array& state, int64_t call, double p, const Array& x,
             const Array& y) {
  with_dropout(p, x, y,
               [&](const auto& draw) { start(stream, "dropout", draw, state, call, y, x); });
}

void permutation(Stream stream, const Array& state, int64_t call, const Array& y) {
  check_permutation(state, y);
  const int64_t n = y.size();
  launch(permute, grid_for(n), kThreads, 0, stream, state.as<int64_t>(), call, n, y.as<int64_t>(),
         y.stride[0]);
}

}  // namespace gg
