// Batch normalisation on CPU threads: statistics, application and gradient. ops.h has the formulas,
// cpu/norm_channels.h says how images are walked. Where one thread has a whole channel, its
// gradient finds the channel again in the second cache.

#include "core/norm_checks.h"
#include "cpu/norm_gradient.h"
#include "ops/norms.h"

namespace gg {
namespace {

using namespace norm;

/// running = (1 - momentum) running + momentum value
template <class A>
void move_running(const Array& running, int64_t c, A value, double momentum) {
  A& r = running.as<A>()[c * running.stride[0]];
  r += static_cast<A>(momentum) * (value - r);
}

/// The coefficients of dx from channel c's sums.
template <class T>
void finish_channel(Gradient<T>& g, int64_t c) {
  using A = Wide<T>;
  const A n = static_cast<A>(g.image.positions);
  g.shift[c] = g.scale[c] * (g.sums[c] / n);
  g.slope[c] = g.scale[c] * g.rstd[c] * g.rstd[c] * (g.products[c] / n);
}

template <class T>
void run_gradient(Gradient<T>& g, bool fixed, bool wants_sums) {
  const auto& image = g.image;
  const bool sums = wants_sums || !fixed;
  if (!image.by_position && image.slices == 1) {
    return for_channel_slices(image, [&](int64_t s, int64_t c, int64_t begin, int64_t end) {
      if (sums) sum_channel(g, s, c, begin, end);
      if (!fixed) finish_channel(g, c);
      write_channel(g, c, begin, end);
    });
  }
  if (sums) sum_channels(g);
  for (int64_t c = 0; c < image.channels && !fixed; c++) finish_channel(g, c);
  write_channels(g);
}

}  // namespace

int64_t batch_norm_stats_workspace(const Array&) {
  return 0;
}

void batch_norm_stats(Stream, const Array& x, const Array& mean, const Array& rstd,
                      const Array& running_mean, const Array& running_var, double momentum,
                      double eps, const Array&) {
  const char* const op = "batch_norm_stats";
  check_channels(op, x, mean, rstd, {}, {});
  check_running(op, x, running_mean, running_var);
  const Image<1> image({x});
  dispatch_floating(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using A = Wide<T>;
    const auto moments = moments_of_channels(image, x.as<const T>());
    for (int64_t c = 0; c < image.channels; c++) {
      const Moments<A>& all = moments[c];
      const A average = all.average();
      mean.as<A>()[c * mean.stride[0]] = average;
      rstd.as<A>()[c * rstd.stride[0]] = 1 / std::sqrt(all.m2 / all.count + static_cast<A>(eps));
      if (!running_mean) continue;
      move_running(running_mean, c, average, momentum);
      move_running(running_var, c, all.m2 / (all.count - 1), momentum);
    }
  });
}

void batch_norm_apply(Stream, const Array& x, const Array& mean, const Array& rstd,
                      const Array& weight, const Array& bias, const Array& residual, Activation act,
                      const Array& y) {
  const char* const op = "batch_norm_apply";
  check_channels(op, x, mean, rstd, {&residual, &y}, {&weight, &bias});
  check_activation(op, act, true);
  if (x.size() == 0) return;
  const int64_t channels = x.shape[1];
  dispatch_floating(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using A = Wide<T>;
    Coefficients<A> with{values_of<A>(mean, channels, 0), values_of<A>(rstd, channels, 1),
                         values_of<A>(bias, channels, 0)};
    const std::vector<A> weights = values_of<A>(weight, channels, 1);
    for (int64_t c = 0; c < channels; c++) with.scale[c] *= weights[c];
    apply<T>(x, with, residual, act == Activation::relu, y);
  });
}

int64_t batch_norm_grad_workspace(const Array&) {
  return 0;
}

void batch_norm_grad(Stream, const Array& dy, const Array& x, const Array& y, const Array& mean,
                     const Array& rstd, const Array& weight, Activation act, bool fixed,
                     const Array& dx, const Array& dweight, const Array& dbias,
                     const Array& dresidual, const Array&) {
  const char* const op = "batch_norm_grad";
  check_channels(op, x, mean, rstd, {&dy, &y, &dx, &dresidual}, {&weight, &dweight, &dbias});
  check_activation(op, act, static_cast<bool>(y));
  const int64_t channels = x.shape[1];
  dispatch_floating(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using A = Wide<T>;
    Gradient<T> g(x, dy, act == Activation::relu ? y : Array(), dx, dresidual);
    g.mean = values_of<A>(mean, channels, 0);
    g.rstd = values_of<A>(rstd, channels, 1);
    g.scale = values_of<A>(weight, channels, 1);
    for (int64_t c = 0; c < channels; c++) g.scale[c] *= g.rstd[c];
    run_gradient(g, fixed, dweight || dbias);
    // Without positions the sums are 0, and rstd may be NaN.
    for (int64_t c = 0; c < channels && x.size() > 0; c++) g.products[c] *= g.rstd[c];
    put_values(g.sums, dbias);
    put_values(g.products, dweight);
  });
}

}  // namespace gg
