// Gradients of batch and group normalisation of images [N, C, ...].
//
//   h = (x - mean) rstd,  dz = dy where y > 0 else 0 (relu), or dy,  g = dz weight
//   dx = rstd (g - mean(g) - h mean(g h))   dweight = sum of dz h   dbias = sum of dz   dresidual =
//   dz means over a group's elements: a channel of the batch, or C / G channels of a sample. Where
//   mean and rstd are fixed, dx = rstd g.
//
// Three passes: sums of dz and dz (x - mean) over slices of each channel's positions
// (kernels/batch_norm_sums.cuh); a warp for each group joins them and writes four coefficients for
// each of its channels; dx = scale dz - slope (x - mean) - shift, element by element. Group
// normalisation then adds the samples' dweight and dbias, in order.
//
// Accumulates in float32 (float64 for float64); results =. Deterministic: slices depend on the
// shape alone. Bytes: dy, x (y) twice, dx (dresidual) once; the second reading finds much in the L2
// cache where an image fits it. Bound: memory bandwidth. Reached: not measured.

#include "kernels/batch_norm_sums.cuh"
#include "kernels/batch_norm_walk.cuh"
#include "ops/norms.h"

namespace gg {
namespace {

/// mean and rstd of group g in section s (a sample, or the batch).
template <class A>
struct GroupStatistics {
  const A *mean, *rstd;
  int64_t mean_section, mean_group, rstd_section, rstd_group;
  int64_t size;  ///< channels in a group

  __device__ A mean_at(int64_t s, int64_t g) const {
    return mean[s * mean_section + g * mean_group];
  }
  __device__ A rstd_at(int64_t s, int64_t g) const {
    return rstd[s * rstd_section + g * rstd_group];
  }
};

template <class T>
struct Gradients {
  using Type = T;
  using A = Acc<T>;
  using State = Sums<A>;
  using Join = JoinSums;
  static constexpr int K = 3;
  const T* data[K];  ///< x, dy, and y if its sign is a mask
  State* partial;
  GroupStatistics<A> statistics;

  static __device__ State identity() { return {0, 0}; }
  __device__ A center(int64_t section, int64_t c) const {
    const auto size = static_cast<int>(statistics.size);  // channels are fewer than 2^31
    return statistics.mean_at(section, size == 1 ? c : static_cast<int>(c) / size);
  }
  template <int N>
  __device__ void take(State& state, const A (&v)[K][N], int count, A center) const {
#pragma unroll
    for (int i = 0; i < N; i++) {
      const A dz = i < count && (!data[2] || v[2][i] > A(0)) ? v[1][i] : A(0);
      state.plain += dz;
      state.product += i < count ? dz * (v[0][i] - center) : A(0);
    }
  }
};

/// Where a group's results go: coefficients [sections, C] of dx, and [sections, 2, C] sums.
template <class A>
struct Finish {
  const Sums<A>* partial;
  int64_t sections, slices, channels;
  GroupStatistics<A> statistics;
  AnyVector weight;
  A *mean, *scale, *shift, *slope;
  A* sums;
  A count;  ///< elements of a group
  bool fixed;
};

/// The sums of one channel; every lane gets them.
template <class A>
GG_DEVICE Sums<A> channel_sums(const Finish<A>& f, int64_t section, int64_t c) {
  const int64_t run = (f.slices + kWarp - 1) / kWarp;
  Sums<A> all{0, 0};
  for (int64_t s = lane_id() * run; s < (lane_id() + 1) * run && s < f.slices; s++) {
    all = JoinSums()(all, f.partial[(section * f.slices + s) * f.channels + c]);
  }
  return warp_reduce(all, JoinSums());
}

template <class A>
__global__ void __launch_bounds__(kRowThreads) finish_groups(const Finish<A> f) {
  const int64_t size = f.statistics.size, groups = f.channels / size;
  const int64_t group = static_cast<int64_t>(blockIdx.x) * (kRowThreads / kWarp) + warp_id();
  if (group >= groups) return;
  for (int64_t section = blockIdx.y; section < f.sections; section += gridDim.y) {
    const A mean = f.statistics.mean_at(section, group);
    const A rstd = f.statistics.rstd_at(section, group);
    Sums<A> all{0, 0};
    for (int64_t c = group * size; c < (group + 1) * size; c++) {
      const Sums<A> sums = channel_sums(f, section, c);
      const A weight = value_at(f.weight, c, A(1));
      all = {all.plain + weight * sums.plain, all.product + weight * sums.product};
      if (lane_id() != 0) continue;
      // Without elements rstd is NaN.
      f.sums[section * 2 * f.channels + c] = f.count > 0 ? sums.product * rstd : A(0);
      f.sums[(section * 2 + 1) * f.channels + c] = sums.plain;
    }
    for (int64_t c = group * size + lane_id(); c < (group + 1) * size; c += kWarp) {
      const int64_t at = section * f.channels + c;
      f.mean[at] = mean;
      f.scale[at] = value_at(f.weight, c, A(1)) * rstd;
      f.shift[at] = f.fixed ? A(0) : rstd * (all.plain / f.count);
      f.slope[at] = f.fixed ? A(0) : rstd * rstd * rstd * (all.product / f.count);
    }
  }
}

/// Eight threads for each element of both vectors: each adds a run of blocks.
template <class A>
__global__ void __launch_bounds__(kRowThreads)
    sum_partials(const A* partial, int64_t blocks, int64_t n, const AnyVector dweight,
                 const AnyVector dbias) {
  GG_SHARED(sums, A[kColumnLanes][kColumns]);
  const int column = threadIdx.x % kColumns, lane = threadIdx.x / kColumns;
  const int64_t run = (blocks + kColumnLanes - 1) / kColumnLanes;
  const int64_t end = (lane + 1) * run < blocks ? (lane + 1) * run : blocks;
  for (int64_t first = static_cast<int64_t>(blockIdx.x) * kColumns; first < 2 * n;
       first += static_cast<int64_t>(gridDim.x) * kColumns) {
    const int64_t i = first + column;
    A sum = 0;
#pragma unroll 4
    for (int64_t b = lane * run; b < end; b++) sum += i < 2 * n ? partial[b * 2 * n + i] : A(0);
    sums[lane][column] = sum;
    __syncthreads();
    if (lane == 0 && i < 2 * n) {
      for (int j = 1; j < kColumnLanes; j++) sum += sums[j][column];
      if (i < n) {
        put_value(dweight, i, sum);
      } else {
        put_value(dbias, i - n, sum);
      }
    }
    __syncthreads();
  }
}

template <class A>
void launch_sum_partials(Stream stream, const A* partial, int64_t blocks, int64_t n,
                         const Array& dweight, const Array& dbias) {
  if (!dweight && !dbias) return;
  launch(sum_partials<A>, grid_for(2 * n, kColumns), kRowThreads, 0, stream, partial, blocks, n,
         any_vector(dweight), any_vector(dbias));
}

template <class T>
__global__ void __launch_bounds__(kRowThreads, 2)
    gradient_elements(const ImageWalk<5> walk, const T* x, const T* dy, const T* y, T* dx,
                      T* dresidual, const Weights mean, const Weights scale, const Weights shift,
                      const Weights slope) {
  using A = Acc<T>;
  constexpr int V = max_vec<T>();
  const Weights from[4] = {mean, scale, shift, slope};
  Coefficients<T, V> with;
  const int64_t tile = kRowThreads * V;
  for (int64_t first = blockIdx.x * tile; first < walk.tensors.size; first += gridDim.x * tile) {
    const Piece<V> piece(walk, first);
    if (piece.count == 0) continue;
    const auto load = [&](int k, const T* data, A(&to)[V]) {
      load_elements(walk.tensors, k, data, piece.i, piece.step, piece.count, walk.vectors, to);
    };
    const auto store = [&](int k, T* data, const A(&v)[V]) {
      store_elements(walk.tensors, k, data, piece.i, piece.step, piece.count, walk.vectors, v);
    };
    A v[V], dz[V], mask[V] = {};
    load(0, x, v);
    load(1, dy, dz);
    if (y) load(2, y, mask);
    with.load(walk, from, piece);
#pragma unroll
    for (int j = 0; j < V; j++) {
      if (y && !(mask[j] > A(0))) dz[j] = 0;
      v[j] = dz[j] * with.value[1][j] - (v[j] - with.value[0][j]) * with.value[3][j] -
             with.value[2][j];
    }
    store(3, dx, v);
    if (dresidual) store(4, dresidual, dz);
  }
}

struct Gradient {
  Array dy, x, y;  ///< y: or none
  Array weight, dx, dweight, dbias, dresidual;
  bool fixed;
  bool by_sample;
};

/// Bytes of the workspace, for as many states as there are; coefficients and sums behind them.
int64_t gradient_bytes(const Array& x, bool by_sample) {
  const int64_t vectors = (by_sample ? x.shape[0] : 1) * x.shape[1];
  return (most_states(x, by_sample) * 2 + 6 * (vectors + 4)) * dtype_size(accumulation(x.dtype));
}

/// A vector of the workspace, for elements that move 16 bytes at a time.
template <class A>
Weights coefficients(const A* data) {
  return {data, 1, true, true, 0};
}

template <class T>
void run_gradient(Stream stream, const Gradient& g, const GroupStatistics<Acc<T>>& statistics,
                  const Array& workspace) {
  using A = Acc<T>;
  const Array& x = g.x;
  const Array* const inputs[3] = {&x, &g.dy, &g.y};
  const Sections<3> sections = make_sections(inputs, g.by_sample);
  const int64_t vectors = sections.sections * sections.channels, pitch = (vectors + 3) / 4 * 4;
  auto* const partial = workspace.as<Sums<A>>();
  A* const first = workspace.as<A>() + (most_states(x, g.by_sample) * 2 + 3) / 4 * 4;
  const T* const mask = g.y ? g.y.as<const T>() : nullptr;
  const int64_t groups = sections.channels / statistics.size;
  const int64_t count = x.size() / std::max<int64_t>(groups * sections.sections, 1);
  launch_sums(stream, sections,
              Gradients<T>{{x.as<const T>(), g.dy.as<const T>(), mask}, partial, statistics});
  const Finish<A> finish{partial,
                         sections.sections,
                         sections.slices,
                         sections.channels,
                         statistics,
                         any_vector(g.weight),
                         first,
                         first + pitch,
                         first + 2 * pitch,
                         first + 3 * pitch,
                         first + 4 * pitch,
                         static_cast<A>(count),
                         g.fixed};
  const int warps = kRowThreads / kWarp;
  const dim3 grid(static_cast<unsigned>((groups + warps - 1) / warps),
                  static_cast<unsigned>(std::min<int64_t>(sections.sections, 65535)));
  launch(finish_groups<A>, grid, kRowThreads, 0, stream, finish);
  add_partials(stream, finish.sums, sections.sections, sections.channels, g.dweight, g.dbias);
  if (x.size() == 0) return;
  const ImageWalk<5> walk = make_image_walk({&x, &g.dy, &g.y, &g.dx, &g.dresidual}, g.by_sample);
  launch(gradient_elements<T>, walk.grid, kRowThreads, 0, stream, walk, x.as<const T>(),
         g.dy.as<const T>(), mask, g.dx.as<T>(), g.dresidual ? g.dresidual.as<T>() : nullptr,
         coefficients(finish.mean), coefficients(finish.scale), coefficients(finish.shift),
         coefficients(finish.slope));
}

void check_image(const char* op, const Array& x) {
  check_floating(op, "x", x);
  GG_CHECK(x.ndim >= 2, op, "x must be [N, C, ...], got ", x);
}

}  // namespace

void add_partials(Stream stream, const float* partial, int64_t blocks, int64_t n,
                  const Array& dweight, const Array& dbias) {
  launch_sum_partials(stream, partial, blocks, n, dweight, dbias);
}

void add_partials(Stream stream, const double* partial, int64_t blocks, int64_t n,
                  const Array& dweight, const Array& dbias) {
  launch_sum_partials(stream, partial, blocks, n, dweight, dbias);
}

int64_t batch_norm_grad_workspace(const Array& x) {
  check_image("batch_norm_grad", x);
  return gradient_bytes(x, false);
}

void batch_norm_grad(Stream stream, const Array& dy, const Array& x, const Array& y,
                     const Array& mean, const Array& rstd, const Array& weight, Activation act,
                     bool fixed, const Array& dx, const Array& dweight, const Array& dbias,
                     const Array& dresidual, const Array& workspace) {
  const char* const op = "batch_norm_grad";
  check_channels(op, x, mean, rstd, {&dy, &y, &dx, &dresidual}, {&weight, &dweight, &dbias});
  check_activation(op, act, static_cast<bool>(y));
  check_workspace(op, workspace, batch_norm_grad_workspace(x));
  if (x.shape[1] == 0) return;
  const Array mask = act == Activation::relu ? y : Array();
  const Gradient g{dy, x, mask, weight, dx, dweight, dbias, dresidual, fixed, false};
  dispatch_floating(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using A = Acc<T>;
    run_gradient<T>(stream, g,
                    {mean.as<A>(), rstd.as<A>(), 0, mean.stride[0], 0, rstd.stride[0], 1},
                    workspace);
  });
}

int64_t group_norm_grad_workspace(const Array& x, const Array&) {
  check_image("group_norm_grad", x);
  return gradient_bytes(x, true);
}

void group_norm_grad(Stream stream, const Array& dy, const Array& x, const Array& weight,
                     const Array& mean, const Array& rstd, const Array& dx, const Array& dweight,
                     const Array& dbias, const Array& workspace) {
  const char* const op = "group_norm_grad";
  check_groups(op, x, mean, rstd, {&dy, &dx}, {&weight, &dweight, &dbias});
  check_workspace(op, workspace, group_norm_grad_workspace(x, rstd));
  if (x.shape[1] == 0) return;
  const Gradient g{dy, x, Array(), weight, dx, dweight, dbias, Array(), false, true};
  dispatch_floating(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using A = Acc<T>;
    run_gradient<T>(stream, g,
                    {mean.as<A>(), rstd.as<A>(), mean.stride[0], mean.stride[1], rstd.stride[0],
                     rstd.stride[1], x.shape[1] / rstd.shape[1]},
                    workspace);
  });
}

}  // namespace gg
