// How threads walk the elements of a reduction. The ideas are explained in reduce.cu.
#pragma once

#include "device/cache.h"
#include "kernels/reduce_policies.cuh"

namespace gg {

// ---- loads -------------------------------------------------------------------------------------

/// What is combined in place of x: whether it is not 0 (any, all), or its mirror image (argmin).
template <class T>
GG_DEVICE T prepared(const Reduction& r, T x) {
  if (r.truth) return x != T(0) ? T(1) : T(0);
  return r.mirrored ? mirror(x) : x;
}

/// N elements at x + base + at[i], or the identity where `present` says no.
template <class P, int N, class Present>
GG_DEVICE void load_scattered(const Reduction& r, int64_t base, const int64_t (&at)[N],
                              Present present, typename P::Type (&v)[N]) {
  using T = typename P::Type;
  const T identity = P::identity(r).value;
  with_storage<T>(r.x_dtype, [&](auto stored) {
    using M = decltype(stored);
    const M* x = static_cast<const M*>(r.x) + base;
    M raw[N] = {};
#pragma unroll
    for (int i = 0; i < N; i++) {
      if (present(i)) raw[i] = x[at[i]];
    }
#pragma unroll
    for (int i = 0; i < N; i++) {
      v[i] = present(i) ? prepared(r, convert<T>(raw[i])) : identity;
    }
  });
}

// ---- rows: threads lie along the reduced elements ----------------------------------------------

/// Takes P::kTake elements as aligned vectors, `threads` vectors apart.
template <class P>
GG_DEVICE void take_vectors(const Reduction& r, int64_t row, int64_t base, int lane,
                            typename P::State& state) {
  using T = typename P::Type;
  constexpr int N = P::kTake;
  const int width = r.width, step = r.threads * width;
  const int64_t first = base + static_cast<int64_t>(lane) * width;
  int64_t at[N / 2];
  locate(r.reduced, 0, first, step, N / width, r.count, at);
  T v[N];
  with_storage<T>(r.x_dtype, [&](auto stored) {
    using M = decltype(stored);
    constexpr int W = width_of(sizeof(M));
    Vec<M, W> raw[N / W];
#pragma unroll
    for (int g = 0; g < N / W; g++) {
      raw[g] = load_vec_streaming<W>(static_cast<const M*>(r.x) + row + at[g]);
    }
#pragma unroll
    for (int i = 0; i < N; i++) v[i] = prepared(r, convert<T>(raw[i / W][i % W]));
  });
  P::take(r, state, v, [&](int i) { return first + i / width * step + i % width; });
}

/// Takes P::kTake elements one by one, `threads` apart.
template <class P>
GG_DEVICE void take_elements(const Reduction& r, int64_t row, int64_t base, int64_t end, int lane,
                             typename P::State& state) {
  constexpr int N = P::kTake;
  const int64_t first = base + lane;
  const int step = r.threads;
  int64_t at[N];
  locate(r.reduced, 0, first, step, N, end, at);
  typename P::Type v[N];
  load_scattered<P>(r, row, at, [&](int i) { return first + i * step < end; }, v);
  P::take(r, state, v, [&](int i) { return first + i * step; });
}

/// Combines the states of r.threads neighbouring threads, in order; the first of them gets it.
template <class P>
GG_DEVICE typename P::State combine_threads(const Reduction& r, typename P::State state) {
  const int lane = lane_id();
  for (int offset = 1; offset < kWarp && offset < r.threads; offset *= 2) {
    const typename P::State other = shuffle_xor(state, offset);
    state = lane & offset ? P::merge(r, other, state) : P::merge(r, state, other);
  }
  if (r.threads <= kWarp) return state;
  GG_SHARED(warps, typename P::State[kBlock / kWarp]);
  if (lane == 0) warps[warp_id()] = state;
  __syncthreads();
  state = warps[0];
  for (int i = 1; i < kBlock / kWarp; i++) state = P::merge(r, state, warps[i]);
  __syncthreads();
  return state;
}

template <class P>
GG_DEVICE void store_output(const Reduction& r, int64_t output, typename P::State state) {
  const int64_t at = r.kept.offset(1, output);
  const auto value = P::finish(r, state);
  if (r.y_dtype == DType::boolean) {
    static_cast<bool*>(r.y)[at] = value != 0;
  } else {
    using V = std::remove_cv_t<decltype(value)>;
    with_storage<V>(r.y_dtype, [&](auto stored) {
      using M = decltype(stored);
      static_cast<M*>(r.y)[at] = convert<M>(value);
    });
  }
}

/// One chunk's state: the result, or a partial one for finish_reduction.
template <class P>
GG_DEVICE void store_chunk(const Reduction& r, int64_t output, int64_t split,
                           typename P::State state) {
  if (r.splits == 1) return store_output<P>(r, output, state);
  static_cast<typename P::State*>(r.partials)[output * r.splits + split] = state;
}

/// item / r.splits. Where there are splits, there are few items.
GG_DEVICE int64_t item_without_split(const Reduction& r, int64_t item) {
  return r.splits == 1 ? item : static_cast<int>(item) / static_cast<int>(r.splits);
}

template <class P>
__global__ void __launch_bounds__(kBlock, 3) reduce_rows(Reduction r) {
  const int lane = threadIdx.x % r.threads, rows = kBlock / r.threads;
  const int64_t items = r.outputs * r.splits;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * rows;
  for (int64_t first = static_cast<int64_t>(blockIdx.x) * rows; first < items; first += stride) {
    const int64_t item = first + threadIdx.x / r.threads;
    const bool present = item < items;
    const int64_t output =
        r.splits == 1 ? item : static_cast<int>(item) / static_cast<int>(r.splits);
    const int64_t split = item - output * r.splits;
    typename P::State state = P::identity(r);
    if (present) {
      const int64_t row = r.kept.offset(0, output), step = r.threads * P::kTake;
      const int64_t begin = split * r.chunk;
      const int64_t end = begin + r.chunk < r.count ? begin + r.chunk : r.count;
      for (int64_t base = begin; base < end; base += step) {
        if (r.vectors && base + step <= end) {
          take_vectors<P>(r, row, base, lane, state);
        } else {
          take_elements<P>(r, row, base, end, lane, state);
        }
      }
    }
    state = combine_threads<P>(r, state);
    if (present && lane == 0) store_chunk<P>(r, output, split, state);
  }
}

// ---- columns: threads lie along the outputs ----------------------------------------------------

constexpr int kColumnRows = 4;  // reduced elements a thread takes at a time

/// Takes kColumnRows elements, `step` apart, of each of V neighbouring outputs.
template <class P, int V>
GG_DEVICE void take_column(const Reduction& r, int64_t column, int64_t first, int step, int64_t end,
                           typename P::State (&states)[V]) {
  using T = typename P::Type;
  constexpr int U = kColumnRows;
  int64_t at[U];
  locate(r.reduced, 0, first, step, U, end, at);
  T v[V][U];
  const T identity = P::identity(r).value;
  with_storage<T>(r.x_dtype, [&](auto stored) {
    using M = decltype(stored);
    const M* x = static_cast<const M*>(r.x) + column;
    Vec<M, V> raw[U] = {};
#pragma unroll
    for (int u = 0; u < U; u++) {
      if (first + u * step < end) raw[u] = load_vec_streaming<V>(x + at[u]);
    }
#pragma unroll
    for (int u = 0; u < U; u++) {
#pragma unroll
      for (int i = 0; i < V; i++) {
        const bool present = first + u * step < end;
        v[i][u] = present ? prepared(r, convert<T>(raw[u][i])) : identity;
      }
    }
  });
#pragma unroll
  for (int i = 0; i < V; i++) {
    P::take(r, states[i], v[i], [&](int u) { return first + u * step; });
  }
}

/// r.threads threads side by side take V neighbouring outputs each; the rest of the block divides
/// the reduced elements, and is combined through shared memory in order.
template <class P, int V>
__global__ void __launch_bounds__(kBlock) reduce_columns(Reduction r) {
  using State = typename P::State;
  using States = Vec<State, V>;  // of one thread; moved as one, without bank conflicts
  GG_SHARED(states, States[kBlock]);
  const int across = r.threads, down = kBlock / across;
  const int x = threadIdx.x % across, y = threadIdx.x / across;
  const int64_t width = across * V, tiles = (r.outputs + width - 1) / width;
  for (int64_t item = blockIdx.x; item < tiles * r.splits; item += gridDim.x) {
    const int64_t tile = item_without_split(r, item), split = item - tile * r.splits;
    const int64_t output = tile * width + x * V;
    States mine;
#pragma unroll
    for (int i = 0; i < V; i++) mine[i] = P::identity(r);
    if (output < r.outputs) {
      const int64_t column = r.kept.offset(0, output);
      const int64_t begin = split * r.chunk;
      const int64_t end = begin + r.chunk < r.count ? begin + r.chunk : r.count;
      for (int64_t base = begin; base < end; base += down * kColumnRows) {
        take_column<P, V>(r, column, base + y, down, end, mine.v);
      }
    }
    store_vec(&states[threadIdx.x].v[0], mine);
    __syncthreads();
    const State* const all = states[0].v;
    for (int i = threadIdx.x; i < width && tile * width + i < r.outputs; i += kBlock) {
      State state = load_vec<1>(all + i)[0];
      for (int j = 1; j < down; j++) {
        state = P::merge(r, state, load_vec<1>(all + j * across * V + i)[0]);
      }
      store_chunk<P>(r, tile * width + i, split, state);
    }
    __syncthreads();
  }
}

// ---- the second level --------------------------------------------------------------------------

/// A warp combines the partial states of an output: each lane a run of neighbours, then the lanes,
/// so that everything meets in index order.
template <class P>
__global__ void __launch_bounds__(kBlock) finish_reduction(Reduction r) {
  const auto* partials = static_cast<const typename P::State*>(r.partials);
  const int64_t run = (r.splits + kWarp - 1) / kWarp;
  const int warps = kBlock / kWarp;
  for (int64_t output = blockIdx.x * warps + warp_id(); output < r.outputs;
       output += static_cast<int64_t>(gridDim.x) * warps) {
    typename P::State state = P::identity(r);
    for (int64_t i = lane_id() * run; i < (lane_id() + 1) * run && i < r.splits; i++) {
      state = P::merge(r, state, partials[output * r.splits + i]);
    }
    state = warp_reduce(state, [&](auto a, auto b) { return P::merge(r, a, b); });
    if (lane_id() == 0) store_output<P>(r, output, state);
  }
}

}  // namespace gg
