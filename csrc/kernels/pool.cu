// Max and average pooling over one to three axes, and their gradients.
//
//   max: y[n, c, o] = max over the taps of window o inside x; index = the tap's number, the first
//        of equals, NaN above all;   dx[n, c, i] = sum of dy[n, c, o] over the windows that took i
//   avg: y[n, c, o] = sum over the taps of window o inside x / d(o), d: what ops.h says;
//        dx[n, c, i] = sum of dy[n, c, o] / d(o) over the windows o that hold i
//
// x [N, C, in...], y [N, C, out...] in any strides. A thread computes one output (input) of one
// channel, or, where channels lie side by side, of as many as fill 16 bytes. Neighbouring threads
// are neighbours in memory, so the taps that windows share come from the first cache. Halves are
// compared and summed in float32. y, index, dx =.
//
// The gradients are gathers: each input walks the windows that hold it, ascending. No atomics.
//
// Bytes: x, y and index once each (index: one byte where a window has at most 256 taps). Bound:
// memory bandwidth. Reached: not measured.
#include <limits>

#include "kernels/pool.cuh"

namespace gg {
namespace {

template <class S>
__global__ void __launch_bounds__(kWindowThreads, 2)
    max_pool_kernel(const Pool p, const typename S::A least, const void* from, void* to,
                    void* numbers) {
  using A = typename S::A;
  constexpr int V = S::V;
  const int64_t i = window_thread();
  if (i >= p.walk.size) return;
  const DevicePlace at = p.walk.place(i);
  A best[V];
  Vec<int32_t, V> number;
#pragma unroll
  for (int v = 0; v < V; v++) {
    best[v] = least;
    number[v] = -1;
  }
  for_each_tap(p, at, [&](int64_t tap, int tap_number) {
    A values[V];
    S::load(from, tap, p.dtype, values);
#pragma unroll
    for (int v = 0; v < V; v++) {
      const bool more = (number[v] < 0) | (!(values[v] <= best[v]) & (best[v] == best[v]));
      best[v] = more ? values[v] : best[v];
      number[v] = more ? tap_number : number[v];
    }
  });
  Vec<uint8_t, V> small;
#pragma unroll
  for (int v = 0; v < V; v++) {
    number[v] = number[v] < 0 ? 0 : number[v];  // a window with no tap inside
    small[v] = static_cast<uint8_t>(number[v]);
  }
  S::store(to, at.offset(p.output), p.dtype, best);
  if (p.wide_numbers) {
    store_vec(static_cast<int32_t*>(numbers) + at.offset(p.numbers), number);
  } else {
    store_vec(static_cast<uint8_t*>(numbers) + at.offset(p.numbers), small);
  }
}

template <class S>
__global__ void __launch_bounds__(kWindowThreads, 2)
    max_pool_grad_kernel(const Pool p, const void* from, const void* numbers, void* to) {
  using A = typename S::A;
  constexpr int V = S::V;
  const int64_t i = window_thread();
  if (i >= p.walk.size) return;
  const DevicePlace at = p.walk.place(i);
  A sum[V] = {};
  for_each_window(p, at, [&](const DevicePlace& window, int number) {
    A dy[V];
    S::load(from, window.offset(p.output), p.dtype, dy);
    const int64_t place = window.offset(p.numbers);
    Vec<int32_t, V> taken;
    if (p.wide_numbers) {
      taken = load_vec<V>(static_cast<const int32_t*>(numbers) + place);
    } else {
      const auto small = load_vec<V>(static_cast<const uint8_t*>(numbers) + place);
#pragma unroll
      for (int v = 0; v < V; v++) taken[v] = small[v];
    }
#pragma unroll
    for (int v = 0; v < V; v++) sum[v] += taken[v] == number ? dy[v] : A(0);
  });
  S::store(to, at.offset(p.input), p.dtype, sum);
}

/// What a window with no tap inside gives.
int64_t lowest(DType dtype) {
  const int bits = 8 * dtype_size(dtype);
  return dtype == DType::u8 ? 0 : -(int64_t{1} << (bits - 2)) * 2;
}

/// What the sum of a window is divided by.
struct Divisor {
  bool count_include_pad;
  int64_t given;

  __device__ int64_t along(const DeviceAxis& a, int o) const {
    if (count_include_pad) return a.padded_taps(o);
    const DeviceSpan inside = a.span(o);
    return inside.end - inside.first;
  }
  __device__ int64_t of(const Pool& p, const DevicePlace& window) const {
    if (given) return given;
    return along(p.z, window.z) * along(p.y, window.y) * along(p.x, window.x);
  }
};

template <class S>
__global__ void __launch_bounds__(kWindowThreads, 2)
    avg_pool_kernel(const Pool p, const Divisor divisor, const void* from, void* to) {
  using A = typename S::A;
  constexpr int V = S::V;
  const int64_t i = window_thread();
  if (i >= p.walk.size) return;
  const DevicePlace at = p.walk.place(i);
  A sum[V] = {};
  for_each_tap(p, at, [&](int64_t tap, int) {
    A values[V];
    S::load(from, tap, p.dtype, values);
#pragma unroll
    for (int v = 0; v < V; v++) sum[v] += values[v];
  });
  const A d = static_cast<A>(divisor.of(p, at));
  const A share = 1 / d;  // halves round so much sooner that the product serves them
#pragma unroll
  for (int v = 0; v < V; v++) sum[v] = V == 8 ? sum[v] * share : sum[v] / d;
  S::store(to, at.offset(p.output), p.dtype, sum);
}

template <class S>
__global__ void __launch_bounds__(kWindowThreads, 2)
    avg_pool_grad_kernel(const Pool p, const Divisor divisor, const void* from, void* to) {
  using A = typename S::A;
  constexpr int V = S::V;
  const int64_t i = window_thread();
  if (i >= p.walk.size) return;
  const DevicePlace at = p.walk.place(i);
  A sum[V] = {};
  for_each_window(p, at, [&](const DevicePlace& window, int) {
    A dy[V];
    S::load(from, window.offset(p.output), p.dtype, dy);
    const A share = 1 / static_cast<A>(divisor.of(p, window));  // one division for V values
#pragma unroll
    for (int v = 0; v < V; v++) sum[v] += dy[v] * share;
  });
  S::store(to, at.offset(p.input), p.dtype, sum);
}

}  // namespace

void max_pool(Stream stream, const Array& x, const Array& y, const Array& index,
              const PoolWindow& window) {
  const char* const op = "max_pool";
  const Windows w = max_pool_windows(op, window, x, y, index);
  if (y.size() == 0) return;
  const auto run = [&](auto tag) {
    using S = typename decltype(tag)::type;
    using A = typename S::A;
    const Pool pool = make_pool(op, w, x, y, index, false, S::V);
    const A least =
        is_float<A> ? -std::numeric_limits<A>::infinity() : static_cast<A>(lowest(x.dtype));
    launch(max_pool_kernel<S>, window_blocks(pool.walk.size), kWindowThreads, 0, stream, pool,
           least, x.data, y.data, index.data);
  };
  if (is_integer(x.dtype)) {
    run(Tag<AnyInteger>{});
  } else {
    dispatch_storage(x.dtype, {&x, &y, &index}, run);
  }
}

void max_pool_grad(Stream stream, const Array& dy, const Array& index, const Array& dx,
                   const PoolWindow& window) {
  const char* const op = "max_pool_grad";
  check_floating(op, "dy", dy);
  const Windows w = max_pool_windows(op, window, dx, dy, index);
  if (dx.size() == 0) return;
  dispatch_storage(dx.dtype, {&dx, &dy, &index}, [&](auto tag) {
    using S = typename decltype(tag)::type;
    const Pool pool = make_pool(op, w, dx, dy, index, true, S::V);
    launch(max_pool_grad_kernel<S>, window_blocks(pool.walk.size), kWindowThreads, 0, stream, pool,
           dy.data, index.data, dx.data);
  });
}

void avg_pool(Stream stream, const Array& x, const Array& y, const PoolWindow& window,
              bool count_include_pad, int64_t divisor) {
  const char* const op = "avg_pool";
  const Windows w = avg_pool_windows(op, window, x, y, divisor);
  if (y.size() == 0) return;
  dispatch_storage(x.dtype, {&x, &y}, [&](auto tag) {
    using S = typename decltype(tag)::type;
    const Pool pool = make_pool(op, w, x, y, Array(), false, S::V);
    launch(avg_pool_kernel<S>, window_blocks(pool.walk.size), kWindowThreads, 0, stream, pool,
           Divisor{count_include_pad, divisor}, x.data, y.data);
  });
}

void avg_pool_grad(Stream stream, const Array& dy, const Array& dx, const PoolWindow& window,
                   bool count_include_pad, int64_t divisor) {
  const char* const op = "avg_pool_grad";
  const Windows w = avg_pool_windows(op, window, dx, dy, divisor);
  if (dx.size() == 0) return;
  dispatch_storage(dx.dtype, {&dx, &dy}, [&](auto tag) {
    using S = typename decltype(tag)::type;
    const Pool pool = make_pool(op, w, dx, dy, Array(), true, S::V);
    launch(avg_pool_grad_kernel<S>, window_blocks(pool.walk.size), kWindowThreads, 0, stream, pool,
           Divisor{count_include_pad, divisor}, dy.data, dx.data);
  });
}

}  // namespace gg
