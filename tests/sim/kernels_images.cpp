// Pooling and resampling kernels on small images, against plain loops.

#include "host_array.h"

using namespace gg;

namespace {

/// A window along one axis of 2-D pooling: tap t of output o, or -1 outside [0, size).
struct Axis {
  int64_t size, out, kernel, stride, padding, dilation;

  int64_t at(int64_t o, int64_t t) const {
    const int64_t i = o * stride - padding + t * dilation;
    return i >= 0 && i < size ? i : -1;
  }
};

Axis axis(int64_t size, int64_t kernel, int64_t stride, int64_t padding, int64_t dilation) {
  const int64_t room = size + 2 * padding - dilation * (kernel - 1) - 1;
  return {size, room / stride + 1, kernel, stride, padding, dilation};
}

PoolWindow window(const Axis& h, const Axis& w) {
  return {
      {h.kernel, w.kernel}, {h.stride, w.stride}, {h.padding, w.padding}, {h.dilation, w.dilation}};
}

/// f(position in x's plane, tap) for the taps of window (i, j) that lie inside.
template <class F>
void for_each_tap(const Axis& h, const Axis& w, int64_t i, int64_t j, F f) {
  for (int64_t t = 0; t < h.kernel * w.kernel; t++) {
    const int64_t r = h.at(i, t / w.kernel), s = w.at(j, t % w.kernel);
    if (r >= 0 && s >= 0) f(r * w.size + s, t);
  }
}

/// [n, c, h, w] lying channels-last, or as it is.
Array lying(const Array& x, bool last) {
  if (!last) return x;
  Array y = x;
  y.stride[1] = 1, y.stride[3] = y.shape[1], y.stride[2] = y.shape[1] * y.shape[3];
  y.stride[0] = y.stride[2] * y.shape[2];
  return y;
}

/// Element i of an array, counted row-major.
template <class T>
double value(const Array& x, int64_t i) {
  int64_t offset = 0;
  for (int d = x.ndim - 1; d >= 0; i /= x.shape[d--]) offset += i % x.shape[d] * x.stride[d];
  return convert<double>(x.as<T>()[offset]);
}

template <class T>
void check_pools(int64_t n, int64_t c, const Axis& h, const Axis& w, bool last) {
  const Host<T> x({n, c, h.size, w.size}, noise), y({n, c, h.out, w.out}), mean(y.shape),
      dx(x.shape), dmean(x.shape);
  const Host<T> dy(y.shape, [](int64_t i) { return noise(i + 9); });
  const Host<uint8_t> index(y.shape);
  const Array xs = lying(x, last), ys = lying(y, last), means = lying(mean, last),
              dys = lying(dy, last), at = lying(index, last), dxs = lying(dx, last),
              dmeans = lying(dmean, last);
  const PoolWindow win = window(h, w);
  max_pool(nullptr, xs, ys, at, win);
  avg_pool(nullptr, xs, means, win, false, 0);
  max_pool_grad(nullptr, dys, at, dxs, win);
  avg_pool_grad(nullptr, dys, dmeans, win, false, 0);
  const int64_t plane = h.size * w.size;
  std::vector<double> dmax(static_cast<size_t>(x.size)), davg(dmax);
  for (int64_t k = 0; k < y.size; k++) {
    const int64_t j = k % w.out, i = k / w.out % h.out, base = k / (w.out * h.out) * plane;
    double top = -INFINITY, sum = 0, count = 0;
    int64_t best = 0, tap = 0;
    for_each_tap(h, w, i, j, [&](int64_t p, int64_t t) {
      const double v = value<T>(xs, base + p);
      if (v > top) top = v, best = base + p, tap = t;
      sum += v, count++;
    });
    CHECK_EQ(value<T>(ys, k), top);
    CHECK_EQ(value<uint8_t>(at, k), static_cast<double>(tap));
    check_near<T>("avg_pool", k, value<T>(means, k), sum / count);
    dmax[static_cast<size_t>(best)] += value<T>(dys, k);
    for_each_tap(h, w, i, j, [&](int64_t p, int64_t) {
      davg[static_cast<size_t>(base + p)] += value<T>(dys, k) / count;
    });
  }
  for (int64_t k = 0; k < x.size; k++) {
    check_near<T>("max_pool_grad", k, value<T>(dxs, k), dmax[static_cast<size_t>(k)], 4);
    check_near<T>("avg_pool_grad", k, value<T>(dmeans, k), davg[static_cast<size_t>(k)], 4);
  }
}

template <class T>
void check_pools_of() {
  for (bool last : {false, true}) {
    check_pools<T>(2, 16, axis(8, 2, 2, 0, 1), axis(6, 2, 2, 0, 1), last);
    check_pools<T>(1, 5, axis(9, 3, 2, 1, 1), axis(7, 3, 1, 1, 2), last);
    check_pools<T>(3, 1, axis(4, 4, 1, 0, 1), axis(5, 2, 3, 1, 1), last);
  }
}

}  // namespace

CASE(pools_and_gradients) {
  check_pools_of<float>();
  check_pools_of<f16>();
  check_pools_of<double>();
}

CASE(adaptive_pools) {
  const Host<float> x({2, 3, 7, 5}, noise), y({2, 3, 3, 2}), dx(x.shape);
  const Host<uint8_t> index(y.shape);
  max_pool(nullptr, x, y, index, {});
  avg_pool(nullptr, x, y, {}, false, 0);
  avg_pool_grad(nullptr, y, dx, {}, false, 0);
  double kept = 0, spread = 0;
  for (int64_t k = 0; k < y.size; k++) {
    const int64_t j = k % 2, i = k / 2 % 3, base = k / 6 * 35;
    double sum = 0, count = 0;
    for (int64_t r = i * 7 / 3; r < (7 * (i + 1) + 2) / 3; r++) {
      for (int64_t s = j * 5 / 2; s < (5 * (j + 1) + 1) / 2; s++)
        sum += x[base + r * 5 + s], count++;
    }
    check_near<float>("adaptive", k, y[k], sum / count);
    kept += y[k];
  }
  for (int64_t k = 0; k < x.size; k++) spread += dx[k];  // weights of a window add up to 1
  check_near<float>("sum of dx", 0, spread, kept, 10);
}

CASE(resampling) {
  const Host<float> x({3, 6, 10}, noise), y({3, 4, 10}), weight({7}, noise);
  const Host<int32_t> offsets({5}), index({7});
  const int starts[] = {0, 2, 2, 6, 7}, from[] = {5, 0, 1, 3, 3, 2, 4};
  std::copy_n(starts, 5, offsets.data.get());
  std::copy_n(from, 7, index.data.get());
  resample(nullptr, x, offsets, index, weight, y, 1);
  for (int64_t k = 0; k < y.size; k++) {
    const int64_t o = k / 10 % 4, base = k / 40 * 60 + k % 10;
    double sum = 0;
    for (int j = starts[o]; j < starts[o + 1]; j++) sum += weight[j] * x[base + from[j] * 10];
    check_near<float>("resample", k, y[k], sum, 8);
  }
}

CASE(crops) {
  const Host<uint8_t> x({3, 2, 5, 6}, [](int64_t i) { return i % 251; }), y({3, 2, 4, 7});
  const Host<int64_t> top({3}, [](int64_t i) { return i - 1; }),
      left({3}, [](int64_t i) { return 2 * i - 2; });
  const Host<bool> flip({3}, [](int64_t i) { return i == 1; });
  crop(nullptr, x, top, left, flip, y, Border::zeros);
  for (int64_t k = 0; k < y.size; k++) {
    const int64_t n = k / 56, j = k % 7, r = top.data[n] + k / 7 % 4;
    const int64_t s = left.data[n] + (flip.data[n] ? 6 - j : j);
    const bool inside = r >= 0 && r < 5 && s >= 0 && s < 6;
    CHECK_EQ(y[k], inside ? x[k / 28 * 30 + r * 6 + s] : 0);
  }
}

CASE(unfolding_and_its_adjoint) {
  const Axis h = axis(6, 3, 2, 1, 1), w = axis(7, 2, 1, 0, 2);
  const int64_t taps = h.kernel * w.kernel, windows = h.out * w.out;
  const Host<float> x({2, 3, h.size, w.size}, noise), y({2, 3 * taps, windows}), sum(x.shape);
  unfold(nullptr, x, y, window(h, w), {h.out, w.out});
  fold(nullptr, y, sum, window(h, w), {h.out, w.out});
  std::vector<double> wanted(static_cast<size_t>(x.size));
  for (int64_t plane = 0; plane < 6; plane++) {
    const int64_t base = plane * h.size * w.size;
    for (int64_t l = 0; l < windows; l++) {
      for_each_tap(h, w, l / w.out, l % w.out, [&](int64_t p, int64_t t) {
        CHECK_EQ(y[(plane * taps + t) * windows + l], x[base + p]);
        wanted[static_cast<size_t>(base + p)] += x[base + p];
      });
    }
  }
  for (int64_t k = 0; k < x.size; k++) {
    check_near<float>("fold", k, sum[k], wanted[static_cast<size_t>(k)], 8);
  }
}
