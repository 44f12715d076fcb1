// Sums over the positions of each channel of images: the first level of statistics and gradients.
//
// A section is what has sums of its own: the whole batch (batch normalisation) or a sample (group
// normalisation). Its positions, all axes but channels, are cut into slices, and each slice of a
// channel has a state in the workspace. Threads lie along the positions of a channel (NCHW: a warp
// or a block for each), or along channels where these are nearer (channels-last), in vectors of 16
// bytes where arrays allow it.
#pragma once

#include "kernels/batch_norm.cuh"

namespace gg {

/// Sums of some terms, and of their products with x - mean (or with h).
template <class A>
struct Sums {
  A plain, product;
};

struct JoinSums {
  template <class A>
  GG_HD Sums<A> operator()(const Sums<A>& a, const Sums<A>& b) const {
    return {a.plain + b.plain, a.product + b.product};
  }
};

/// dweight[i] = sum over blocks b, in order, of partial[b, 0, i], dbias[i] of partial[b, 1, i];
/// each of n elements, or none. Defined in batch_norm_grad.cu.
void add_partials(Stream stream, const float* partial, int64_t blocks, int64_t n,
                  const Array& dweight, const Array& dbias);
void add_partials(Stream stream, const double* partial, int64_t blocks, int64_t n,
                  const Array& dweight, const Array& dbias);

template <int K>
struct Sections : TeamShape {
  Layout<K> positions;  ///< in a section
  int64_t channels, sections, slices, slice;
  int64_t channel_stride[K], section_stride[K];
  bool by_position;  ///< threads lie along channels
  bool vectors;
  int across;  ///< by_position: threads side by side

  int64_t states() const { return sections * slices * channels; }
};

constexpr int64_t kSumBlocks = 1024;      // fill a device
constexpr int64_t kSliceElements = 4096;  // a block's least

/// The cut of an image [N, C, ...] for sums, as far as it depends on the shape.
template <int K>
void cut_sections(Sections<K>& s, const Array& x, bool by_sample, bool by_position) {
  s.by_position = by_position;
  s.channels = x.shape[1];
  s.sections = by_sample ? x.shape[0] : 1;
  const int64_t all = x.size() / std::max<int64_t>(s.channels, 1);
  const int64_t positions = by_sample ? all / std::max<int64_t>(x.shape[0], 1) : all;
  const int64_t beside = by_position ? std::min<int64_t>(s.channels, kWarp * 4) : 1;
  const int64_t blocks = s.sections * ((s.channels + beside - 1) / std::max<int64_t>(beside, 1));
  const int64_t wanted =
      std::min(kSumBlocks / std::max<int64_t>(blocks, 1), positions * beside / kSliceElements);
  constexpr int64_t kWhole = 64;
  s.slice = (positions + std::max<int64_t>(wanted, 1) - 1) / std::max<int64_t>(wanted, 1);
  s.slice = std::max<int64_t>(1, (s.slice + kWhole - 1) / kWhole) * kWhole;
  s.slices = std::max<int64_t>(1, (positions + s.slice - 1) / s.slice);
}

/// The most states there are, whichever way threads lie.
inline int64_t most_states(const Array& x, bool by_sample) {
  Sections<1> a{}, b{};
  cut_sections(a, x, by_sample, false);
  cut_sections(b, x, by_sample, true);
  return std::max(a.states(), b.states());
}

/// Do V neighbours, positions or channels, of every array lie as one vector?
template <int K>
bool sections_align(const Sections<K>& s, const Array* const (&arrays)[K], int width) {
  const Layout<K>& p = s.positions;
  bool aligned = s.by_position ? s.channels % width == 0 : all_in_vectors(p, arrays, width);
  for (int k = 0; k < K && aligned; k++) {
    if (!*arrays[k]) continue;
    int64_t strides = s.sections > 1 ? s.section_stride[k] : 0;
    if (!s.by_position && s.channels > 1) strides |= s.channel_stride[k];
    for (int axis = 0; axis < p.ndim && s.by_position; axis++) {
      if (p.length[axis] > 1) strides |= p.stride[k][axis];
    }
    aligned = strides % width == 0 && reinterpret_cast<uintptr_t>(arrays[k]->data) % 16 == 0;
    if (s.by_position) aligned = aligned && s.channel_stride[k] == 1;
  }
  return aligned;
}

/// arrays[0] is x; others may be none.
template <int K>
Sections<K> make_sections(const Array* const (&arrays)[K], bool by_sample) {
  Sections<K> s{};
  const Array& x = *arrays[0];
  for (int axis = 0; axis < x.ndim; axis++) {
    int64_t strides[K];
    for (int k = 0; k < K; k++) strides[k] = *arrays[k] ? arrays[k]->stride[axis] : 0;
    if (axis == 1) {
      std::copy_n(strides, K, s.channel_stride);
    } else if (axis == 0 && by_sample) {
      std::copy_n(strides, K, s.section_stride);
    } else if (x.shape[axis] != 1) {
      s.positions.push(x.shape[axis], strides);
    }
  }
  s.positions.sort();
  s.positions.finish();
  const bool near = std::abs(s.channel_stride[0]) < std::abs(s.positions.inner(0));
  cut_sections(s, x, by_sample, x.shape[1] > 1 && (near || s.positions.size == 1));
  const int width = 16 / dtype_size(x.dtype);
  s.vectors = sections_align(s, arrays, width);
  s.across = 1;
  while (s.across < kWarp && s.across * width < s.channels) s.across *= 2;
  s.team = s.slice > kWarpRow ? Team::block : Team::warp;
  s.lanes = s.team == Team::block ? kRowThreads : kWarp;
  return s;
}

// ---- device ------------------------------------------------------------------------------------
//
// A policy P has: Type T of elements, K arrays `data` (some may be null), State with `identity`,
// Join, `partial` for the states, center(section, c), and take(state, v[K][N], count, center).

template <class P>
__global__ void __launch_bounds__(kRowThreads, 2)
    sum_by_channel(const Sections<P::K> s, const P p) {
  using T = typename P::Type;
  using A = Acc<T>;
  constexpr int K = P::K, V = max_vec<T>();
  const int lane = threadIdx.x % s.lanes;
  const int64_t c =
      static_cast<int64_t>(blockIdx.x) * (kRowThreads / s.lanes) + threadIdx.x / s.lanes;
  const bool present = c < s.channels;
  const int64_t begin = blockIdx.y * s.slice, last = begin + s.slice;
  const int64_t end = !present ? begin : last < s.positions.size ? last : s.positions.size;
  const int within = s.vectors ? 1 : s.lanes;
  for (int64_t section = blockIdx.z; section < s.sections; section += gridDim.z) {
    typename P::State state = P::identity();
    const A center = present ? p.center(section, c) : A(0);
    for (int64_t i = begin + (s.vectors ? lane * V : lane); i < end; i += s.lanes * V) {
      const int count = count_below(i, within, V, end);
      A v[K][V] = {};
#pragma unroll
      for (int k = 0; k < K; k++) {
        const T* const from = p.data[k] + section * s.section_stride[k] + c * s.channel_stride[k];
        if (p.data[k]) load_elements(s.positions, k, from, i, within, count, s.vectors, v[k]);
      }
      p.take(state, v, count, center);
    }
    state = join(s, state, typename P::Join(), P::identity());
    if (present && lane == 0) {
      p.partial[(section * s.slices + blockIdx.y) * s.channels + c] = state;
    }
  }
}

/// One position's V channels from c on: neighbours, or `within` apart; the first `count` of them.
template <class T, int V>
GG_DEVICE Vec<T, V> load_channels(const T* from, int64_t stride, int within, int count,
                                  bool vector) {
  if (vector && count == V) return load_vec_streaming<V>(from);
  Vec<T, V> raw = {};
#pragma unroll
  for (int v = 0; v < V; v++) {
    if (v < count) raw[v] = from[v * within * stride];
  }
  return raw;
}

/// Positions that a thread takes at a time, of K arrays.
template <int K>
constexpr int kPositions = K == 1 ? 4 : 2;

template <class P>
__global__ void __launch_bounds__(kRowThreads, 2)
    sum_by_position(const Sections<P::K> s, const P p) {
  using T = typename P::Type;
  using A = Acc<T>;
  using State = typename P::State;
  constexpr int K = P::K, V = max_vec<T>(), kDown = kPositions<K>;
  GG_SHARED(states, State[V][kRowThreads + 4]);  // so padded, few bank conflicts
  const int x = threadIdx.x % s.across, row = threadIdx.x / s.across, down = kRowThreads / s.across;
  const int within = s.vectors ? 1 : s.across, width = s.across * V;
  const int64_t tile = static_cast<int64_t>(blockIdx.x) * width;
  const int64_t c = tile + (s.vectors ? x * V : x);
  const int channels = count_below(c, within, V, s.channels);
  const int64_t begin = blockIdx.y * s.slice, last = begin + s.slice;
  const int64_t end = last < s.positions.size ? last : s.positions.size;
  for (int64_t section = blockIdx.z; section < s.sections; section += gridDim.z) {
    State mine[V];
    A center[V];
#pragma unroll
    for (int v = 0; v < V; v++) {
      mine[v] = P::identity();
      center[v] = v < channels ? p.center(section, c + v * within) : A(0);
    }
    for (int64_t i = begin + row; i < end && channels > 0; i += down * kDown) {
      const int count = count_below(i, down, kDown, end);
      Vec<T, V> raw[K][kDown] = {};
#pragma unroll
      for (int k = 0; k < K; k++) {
        if (!p.data[k]) continue;
        int64_t at[kDown];
        locate(s.positions, k, i, down, count, end, at);
        const T* const from = p.data[k] + section * s.section_stride[k] + c * s.channel_stride[k];
#pragma unroll
        for (int u = 0; u < kDown; u++) {
          if (u >= count) continue;
          raw[k][u] =
              load_channels<T, V>(from + at[u], s.channel_stride[k], within, channels, s.vectors);
        }
      }
#pragma unroll
      for (int v = 0; v < V; v++) {
        A values[K][kDown];
#pragma unroll
        for (int k = 0; k < K; k++) {
#pragma unroll
          for (int u = 0; u < kDown; u++) values[k][u] = convert<A>(raw[k][u][v]);
        }
        p.take(mine[v], values, count, center[v]);
      }
    }
#pragma unroll
    for (int v = 0; v < V; v++) states[v][threadIdx.x] = mine[v];
    __syncthreads();
    for (int i = threadIdx.x; i < width && tile + i < s.channels; i += kRowThreads) {
      const int from = s.vectors ? i / V : i % s.across, v = s.vectors ? i % V : i / s.across;
      State state = states[v][from];
      for (int j = 1; j < down; j++)
        state = typename P::Join()(state, states[v][j * s.across + from]);
      p.partial[(section * s.slices + blockIdx.y) * s.channels + tile + i] = state;
    }
    __syncthreads();
  }
}

template <class P>
void launch_sums(Stream stream, const Sections<P::K>& s, const P& p) {
  const int64_t each =
      s.by_position ? s.across * max_vec<typename P::Type>() : kRowThreads / s.lanes;
  const dim3 grid(static_cast<unsigned>((s.channels + each - 1) / each),
                  static_cast<unsigned>(s.slices),
                  static_cast<unsigned>(std::min<int64_t>(s.sections, 65535)));
  launch(s.by_position ? sum_by_position<P> : sum_by_channel<P>, grid, kRowThreads, 0, stream, s,
         p);
}

}  // namespace gg
