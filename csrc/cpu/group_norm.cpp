// Group normalisation on CPU threads, with its gradient. ops.h has the formulas. A sample's
// channels are normalised as in batch normalisation (cpu/norm_channels.h), but with the moments of
// its groups; sums of a group's channels are joined, in order.

#include "core/norm_checks.h"
#include "cpu/norm_gradient.h"
#include "ops/norms.h"

namespace gg {
namespace {

using namespace norm;

/// Sample n of x, with a batch axis of length 1.
Array sample_of(const Array& x, int64_t n) {
  Array sample = x;
  sample.data = x.as<char>() + n * x.stride[0] * dtype_size(x.dtype);
  sample.shape[0] = 1;
  return sample;
}

template <class A>
A& at(const Array& statistic, int64_t n, int64_t group) {
  return statistic.as<A>()[n * statistic.stride[0] + group * statistic.stride[1]];
}

/// The moments of a sample's groups. A group of an image by channel is one channel to them: its
/// runs are long, where those of its channels may be a few elements.
template <class T>
std::vector<Moments<Wide<T>>> moments_of_groups(const Array& sample, int64_t groups) {
  const Image<1> image({sample});
  const int64_t size = sample.shape[1] / groups;
  if (!image.by_position && sample.ndim < kMaxDims) {
    Array split = sample;
    split.ndim++;
    split.shape[1] = groups;
    split.stride[1] = size * sample.stride[1];
    split.shape[2] = size;
    split.stride[2] = sample.stride[1];
    for (int axis = 2; axis < sample.ndim; axis++) {
      split.shape[axis + 1] = sample.shape[axis];
      split.stride[axis + 1] = sample.stride[axis];
    }
    return moments_of_channels(Image<1>({split}), sample.as<const T>());
  }
  const auto channels = moments_of_channels(image, sample.as<const T>());
  std::vector<Moments<Wide<T>>> moments(groups);
  for (int64_t c = 0; c < groups * size; c++) {
    moments[c / size] = join(moments[c / size], channels[c]);
  }
  return moments;
}

/// Samples that a thread takes at once.
int64_t sample_grain(const Array& x) {
  return row_grain(x.size() / std::max<int64_t>(x.shape[0], 1));
}

template <class T>
void normalise_sample(const Array& x, int64_t n, const std::vector<Wide<T>>& weight,
                      const std::vector<Wide<T>>& bias, const Array& y, const Array& mean,
                      const Array& rstd, double eps) {
  using A = Wide<T>;
  const int64_t channels = x.shape[1], groups = rstd.shape[1], size = channels / groups;
  const Array sample = sample_of(x, n);
  const auto moments = moments_of_groups<T>(sample, groups);
  Coefficients<A> with{std::vector<A>(channels), weight, bias};
  for (int64_t group = 0; group < groups; group++) {
    const Moments<A>& all = moments[group];
    const A average = all.average();
    const A inverse = 1 / std::sqrt(all.m2 / all.count + static_cast<A>(eps));
    at<A>(mean, n, group) = average;
    at<A>(rstd, n, group) = inverse;
    for (int64_t c = group * size; c < (group + 1) * size; c++) {
      with.mean[c] = average;
      with.scale[c] *= inverse;
    }
  }
  if (x.size() > 0) apply<T>(sample, with, Array(), false, sample_of(y, n));
}

/// dx of a sample, and its sums of dy and dy h by channel in `dbias` and `dweight`.
template <class T>
void sample_gradient(Gradient<T>& g, const std::vector<Wide<T>>& weight, int64_t groups,
                     Wide<T>* dweight, Wide<T>* dbias) {
  using A = Wide<T>;
  const int64_t size = g.image.channels / groups;
  const A count = static_cast<A>(size * g.image.positions);
  sum_channels(g);
  for (int64_t first = 0; first < g.image.channels; first += size) {
    A sum = 0, product = 0;
    for (int64_t c = first; c < first + size; c++) {
      sum += weight[c] * g.sums[c];
      product += weight[c] * g.products[c];
      dbias[c] = g.sums[c];
      dweight[c] = count > 0 ? g.products[c] * g.rstd[c] : A(0);  // without any, rstd is NaN
    }
    for (int64_t c = first; c < first + size; c++) {
      g.scale[c] = weight[c] * g.rstd[c];
      g.shift[c] = g.rstd[c] * (sum / count);
      g.slope[c] = g.rstd[c] * g.rstd[c] * g.rstd[c] * (product / count);
    }
  }
  write_channels(g);
}

/// Sums over samples n, ascending, of partial[n * channels + c].
template <class A>
void put_sums(const std::vector<A>& partial, int64_t channels, const Array& vector) {
  std::vector<A> sums(channels);
  for (size_t i = 0; i < partial.size();) {
    for (int64_t c = 0; c < channels; c++) sums[c] += partial[i++];
  }
  put_values(sums, vector);
}

}  // namespace

void group_norm(Stream, const Array& x, const Array& weight, const Array& bias, const Array& y,
                const Array& mean, const Array& rstd, double eps) {
  check_groups("group_norm", x, mean, rstd, {&y}, {&weight, &bias});
  dispatch_floating(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using A = Wide<T>;
    const auto weights = values_of<A>(weight, x.shape[1], 1);
    const auto biases = values_of<A>(bias, x.shape[1], 0);
    parallel_for(x.shape[0], sample_grain(x), [&](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; n++) {
        normalise_sample<T>(x, n, weights, biases, y, mean, rstd, eps);
      }
    });
  });
}

int64_t group_norm_grad_workspace(const Array&, const Array&) {
  return 0;
}

void group_norm_grad(Stream, const Array& dy, const Array& x, const Array& weight,
                     const Array& mean, const Array& rstd, const Array& dx, const Array& dweight,
                     const Array& dbias, const Array&) {
  check_groups("group_norm_grad", x, mean, rstd, {&dy, &dx}, {&weight, &dweight, &dbias});
  const int64_t channels = x.shape[1], groups = rstd.shape[1], size = channels / groups;
  dispatch_floating(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using A = Wide<T>;
    const auto weights = values_of<A>(weight, channels, 1);
    std::vector<A> products(x.shape[0] * channels), sums(products.size());
    parallel_for(x.shape[0], sample_grain(x), [&](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; n++) {
        Gradient<T> g(sample_of(x, n), sample_of(dy, n), Array(), sample_of(dx, n), Array());
        g.mean.resize(channels);
        g.rstd.resize(channels);
        g.scale.resize(channels);
        for (int64_t c = 0; c < channels; c++) {
          g.mean[c] = at<A>(mean, n, c / size);
          g.rstd[c] = at<A>(rstd, n, c / size);
        }
        sample_gradient(g, weights, groups, &products[n * channels], &sums[n * channels]);
      }
    });
    put_sums(products, channels, dweight);
    put_sums(sums, channels, dbias);
  });
}

}  // namespace gg
