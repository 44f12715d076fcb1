// Batch normalisation of images [N, C, ...]: statistics of each channel, and
//   y = act((x - mean) rstd weight + bias + residual).
//
// Statistics in two levels: each slice of a channel's positions gives count, mean and sum of
// squared distances (Welford's triple, formed by two passes over a few values and joined by Chan's
// formula, kernels/batch_norm_sums.cuh); a warp for each channel joins the slices' and moves the
// running statistics. Application is element by element, in vectors of 16 bytes.
//
// Accumulates in float32 (float64 for float64); mean, rstd, y =; running statistics are moved.
// Deterministic: slices depend on the shape alone and join in order.
// Bytes: statistics x once; application x, residual and y once. Bound: memory bandwidth. Reached:
// not measured.

#include "kernels/batch_norm_sums.cuh"
#include "kernels/batch_norm_walk.cuh"
#include "ops/norms.h"

namespace gg {
namespace {

template <class T>
struct Statistics {
  using Type = T;
  using A = Acc<T>;
  using State = Moments<A>;
  using Join = JoinMoments;
  static constexpr int K = 1;
  const T* data[K];
  State* partial;

  static __device__ State identity() { return {0, 0, 0}; }
  __device__ A center(int64_t, int64_t) const { return A(0); }
  template <int N>
  __device__ void take(State& state, const A (&v)[K][N], int count, A) const {
    add_moments(state, v[0], count);
  }
};

template <class A>
struct Running {
  A *mean, *var;
  int64_t mean_stride, var_stride;
  A momentum;
};

template <class A>
__global__ void __launch_bounds__(kRowThreads)
    finish_statistics(const Moments<A>* partial, int64_t slices, int64_t channels, A* mean,
                      int64_t mean_stride, A* rstd, int64_t rstd_stride, Running<A> running,
                      A eps) {
  const int warps = kRowThreads / kWarp;
  const int64_t run = (slices + kWarp - 1) / kWarp;
  for (int64_t c = static_cast<int64_t>(blockIdx.x) * warps + warp_id(); c < channels;
       c += static_cast<int64_t>(gridDim.x) * warps) {
    Moments<A> all{0, 0, 0};
    for (int64_t s = lane_id() * run; s < (lane_id() + 1) * run && s < slices; s++) {
      all = JoinMoments()(all, partial[s * channels + c]);
    }
    all = warp_reduce(all, JoinMoments());
    if (lane_id() != 0) continue;
    const A center = average(all);
    mean[c * mean_stride] = center;
    rstd[c * rstd_stride] = reciprocal_deviation(all, eps);
    if (!running.mean) continue;
    A& running_mean = running.mean[c * running.mean_stride];
    A& running_var = running.var[c * running.var_stride];
    running_mean += running.momentum * (center - running_mean);
    running_var += running.momentum * (all.m2 / (all.count - A(1)) - running_var);
  }
}

template <class T>
__global__ void __launch_bounds__(kRowThreads)
    apply_channels(const ImageWalk<3> walk, const T* x, const T* residual, T* y, const Weights mean,
                   const Weights rstd, const Weights weight, const Weights bias, bool relu) {
  using A = Acc<T>;
  constexpr int V = max_vec<T>();
  const Weights from[4] = {mean, rstd, weight, bias};
  Coefficients<T, V> with;
  const int64_t tile = kRowThreads * V;
  for (int64_t first = blockIdx.x * tile; first < walk.tensors.size; first += gridDim.x * tile) {
    const Piece<V> piece(walk, first);
    if (piece.count == 0) continue;
    A v[V], added[V] = {};
    load_elements(walk.tensors, 0, x, piece.i, piece.step, piece.count, walk.vectors, v);
    if (residual) {
      load_elements(walk.tensors, 1, residual, piece.i, piece.step, piece.count, walk.vectors,
                    added);
    }
    with.load(walk, from, piece);
#pragma unroll
    for (int j = 0; j < V; j++) {
      v[j] = (v[j] - with.value[0][j]) * (with.value[1][j] * with.value[2][j]) + with.value[3][j];
      if (residual) v[j] += added[j];
      if (relu && v[j] < A(0)) v[j] = 0;  // NaN stays
    }
    store_elements(walk.tensors, 2, y, piece.i, piece.step, piece.count, walk.vectors, v);
  }
}

}  // namespace

int64_t batch_norm_stats_workspace(const Array& x) {
  check_floating("batch_norm_stats", "x", x);
  GG_CHECK(x.ndim >= 2, "batch_norm_stats", "x must be [N, C, ...], got ", x);
  return most_states(x, false) * 3 * dtype_size(accumulation(x.dtype));
}

void batch_norm_stats(Stream stream, const Array& x, const Array& mean, const Array& rstd,
                      const Array& running_mean, const Array& running_var, double momentum,
                      double eps, const Array& workspace) {
  const char* const op = "batch_norm_stats";
  check_channels(op, x, mean, rstd, {}, {});
  check_running(op, x, running_mean, running_var);
  check_workspace(op, workspace, batch_norm_stats_workspace(x));
  if (x.shape[1] == 0) return;
  const Sections<1> sections = make_sections({&x}, false);
  dispatch_floating(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using A = Acc<T>;
    auto* const partial = workspace.as<Moments<A>>();
    launch_sums(stream, sections, Statistics<T>{{x.as<const T>()}, partial});
    Running<A> running{};
    if (running_mean) {
      running = {running_mean.as<A>(), running_var.as<A>(), running_mean.stride[0],
                 running_var.stride[0], static_cast<A>(momentum)};
    }
    const int warps = kRowThreads / kWarp;
    const auto grid = static_cast<unsigned>((x.shape[1] + warps - 1) / warps);
    launch(finish_statistics<A>, grid, kRowThreads, 0, stream, partial, sections.slices,
           sections.channels, mean.as<A>(), mean.stride[0], rstd.as<A>(), rstd.stride[0], running,
           static_cast<A>(eps));
  });
}

void batch_norm_apply(Stream stream, const Array& x, const Array& mean, const Array& rstd,
                      const Array& weight, const Array& bias, const Array& residual, Activation act,
                      const Array& y) {
  const char* const op = "batch_norm_apply";
  check_channels(op, x, mean, rstd, {&residual, &y}, {&weight, &bias});
  check_activation(op, act, true);
  if (x.size() == 0) return;
  const ImageWalk<3> walk = make_image_walk({&x, &residual, &y}, false);
  dispatch_floating(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    launch(apply_channels<T>, walk.grid, kRowThreads, 0, stream, walk, x.as<const T>(),
           residual ? residual.as<const T>() : nullptr, y.as<T>(), make_weights(mean, x.dtype, 0),
           make_weights(rstd, x.dtype, 1), make_weights(weight, x.dtype, 1),
           make_weights(bias, x.dtype, 0), act == Activation::relu);
  });
}

}  // namespace gg
