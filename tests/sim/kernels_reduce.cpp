// The reducing kernels on small shapes, against plain loops: reduce, softmax, cross-entropy.

#include "host_array.h"

using namespace gg;

// ---- reductions --------------------------------------------------------------------------------

template <class T, class Y>
static Host<Y> reduced(Reduce op, const Array& x, int64_t outer, int64_t middle, int64_t inner) {
  const Host<Y> y(middle > 0 ? Shape{outer, 1, inner} : Shape{1, 1, 1});
  reduce(nullptr, op, x, y, workspace(reduce_workspace(op, x, y)));
  return y;
}

template <class T>
static void check_reduce(int64_t outer, int64_t middle, int64_t inner) {
  const Host<T> x({outer, middle, inner}, noise);
  const Host<T> sum = reduced<T, T>(Reduce::sum, x, outer, middle, inner);
  const Host<T> mean = reduced<T, T>(Reduce::mean, x, outer, middle, inner);
  const Host<T> most = reduced<T, T>(Reduce::max, x, outer, middle, inner);
  const Host<int64_t> least = reduced<T, int64_t>(Reduce::argmin, x, outer, middle, inner);
  for (int64_t k = 0; k < outer * inner; k++) {
    double total = 0, top = -INFINITY, low = INFINITY;
    int64_t at = 0;
    for (int64_t m = 0; m < middle; m++) {
      const double v = x[(k / inner * middle + m) * inner + k % inner];
      total += v;
      top = std::max(top, v);
      if (v < low) low = v, at = m;
    }
    const double scale = 2 * std::sqrt(static_cast<double>(middle));
    check_near<T>("sum", k, sum[k], total, scale);
    check_near<T>("mean", k, mean[k], total / static_cast<double>(middle));
    CHECK_EQ(most[k], top);
    CHECK_EQ(least.data[k], at);
  }
}

CASE(reduce_one_axis) {
  const int64_t shapes[][3] = {{1, 1, 1},   {1, 5000, 1}, {3, 40, 1},   {70, 9, 1},
                               {2, 300, 5}, {1, 33, 130}, {4, 1000, 3}, {129, 2, 2}};
  for (const auto& s : shapes) {
    check_reduce<float>(s[0], s[1], s[2]);
    check_reduce<double>(s[0], s[1], s[2]);
    check_reduce<f16>(s[0], s[1], s[2]);
  }
}

CASE(reduce_everything_of_a_view) {
  const Host<float> x({61, 47}, noise), y({1, 1});
  double total = 0;
  for (int64_t i = 0; i < x.size; i++) total += x[i];
  const Array view = transposed(x, 0, 1);
  reduce(nullptr, Reduce::sum, view, y, workspace(reduce_workspace(Reduce::sum, view, y)));
  check_near<float>("sum", 0, y[0], total, 100);
}

CASE(every_reduction_runs) {
  const Host<int32_t> x({5, 70}, [](int64_t i) { return i % 7; });
  const Host<int64_t> integers({5, 1});
  const Host<int32_t> same({5, 1});
  const Host<bool> truths({5, 1});
  for (Reduce op : {Reduce::sum, Reduce::prod, Reduce::argmax, Reduce::argmin}) {
    reduce(nullptr, op, x, integers, workspace(reduce_workspace(op, x, integers)));
  }
  for (Reduce op : {Reduce::max, Reduce::min}) {
    reduce(nullptr, op, x, same, workspace(reduce_workspace(op, x, same)));
  }
  CHECK_EQ(same[0], 0);
  for (Reduce op : {Reduce::any, Reduce::all}) {
    reduce(nullptr, op, x, truths, workspace(reduce_workspace(op, x, truths)));
  }
  CHECK_EQ(truths[0], 0);
}

// ---- softmax and cross-entropy -----------------------------------------------------------------

template <class T>
static void check_softmax(int64_t outer, int64_t n, int64_t inner, bool log) {
  const Host<T> x({outer, n, inner}, noise), y(x.shape), dx(x.shape);
  const Host<T> dy(x.shape, [](int64_t i) { return noise(i + 5); });
  softmax(nullptr, x, y, 1, log);
  softmax_grad(nullptr, dy, y, dx, 1, log);
  for (int64_t k = 0; k < outer * inner; k++) {
    const int64_t base = k / inner * n * inner + k % inner;
    double sum = 0, dot = 0;
    for (int64_t c = 0; c < n; c++) sum += std::exp(x[base + c * inner]);
    for (int64_t c = 0; c < n; c++) {
      const int64_t i = base + c * inner;
      dot += dy[i] * (log ? 1 : y[i]);
    }
    for (int64_t c = 0; c < n; c++) {
      const int64_t i = base + c * inner;
      const double p = std::exp(x[i]) / sum;
      check_near<T>("softmax", i, y[i], log ? std::log(p) : p, 0.1);
      check_near<T>("softmax_grad", i, dx[i], log ? dy[i] - p * dot : y[i] * (dy[i] - dot),
                    static_cast<double>(n));
    }
  }
}

CASE(softmax_and_gradient) {
  const int64_t shapes[][3] = {{5, 7, 1},  {3, 1, 1},    {2, 1500, 1},
                               {2, 33, 6}, {1, 300, 40}, {1, 8300, 1}};
  for (const auto& s : shapes) {
    for (bool log : {false, true}) {
      check_softmax<float>(s[0], s[1], s[2], log);
      check_softmax<bf16>(s[0], s[1], s[2], log);
      check_softmax<double>(s[0], s[1], s[2], log);
    }
  }
}

static void check_cross_entropy(int64_t n, int64_t classes, int64_t positions) {
  const Host<float> x({n, classes, positions}, noise), dx(x.shape),
      weight({classes}, [](int64_t i) { return 1 + std::fabs(noise(i)); });
  const Host<int64_t> target({n, positions}, [=](int64_t i) { return i % 5 ? i % classes : -100; });
  const Host<float> loss(target.shape), lse(target.shape), target_weight(target.shape);
  const Host<float> dloss(target.shape, noise);
  const Host<int64_t> flag({4});
  const double s = 0.1;
  cross_entropy(nullptr, x, target, weight, loss, lse, target_weight, -100, s, flag);
  cross_entropy_grad(nullptr, dloss, x, target, weight, lse, dx, -100, s);
  double weights = 0;
  for (int64_t c = 0; c < classes; c++) weights += weight[c];
  for (int64_t k = 0; k < target.size; k++) {
    const int64_t base = k / positions * classes * positions + k % positions, t = target.data[k];
    double sum = 0, smooth = 0;
    for (int64_t c = 0; c < classes; c++) sum += std::exp(x[base + c * positions]);
    const double w = t < 0 ? 0 : weight[t], norm = std::log(sum);
    for (int64_t c = 0; c < classes; c++) smooth += weight[c] * (norm - x[base + c * positions]);
    smooth *= s / static_cast<double>(classes);
    const double hit = t < 0 ? 0 : (1 - s) * w * (norm - x[base + t * positions]);
    check_near<float>("lse", k, lse[k], norm);
    check_near<float>("loss", k, loss[k], t < 0 ? 0 : hit + smooth, 10);
    CHECK_EQ(target_weight[k], w);
    for (int64_t c = 0; c < classes; c++) {
      const int64_t i = base + c * positions;
      const double even = s / static_cast<double>(classes), p = std::exp(x[i]) / sum;
      const double g =
          p * ((1 - s) * w + even * weights) - (1 - s) * w * (c == t) - even * weight[c];
      check_near<float>("dx", i, dx[i], t < 0 ? 0 : dloss[k] * g, 3);
    }
  }
  CHECK_EQ(flag[0], 0);
}

CASE(cross_entropy_and_gradient) {
  check_cross_entropy(6, 10, 1);
  check_cross_entropy(3, 700, 1);
  check_cross_entropy(2, 12, 35);
}

CASE(illegal_target_is_flagged) {
  const Host<float> x({2, 4, 1}, noise), loss({2, 1}), lse({2, 1}), weight({2, 1});
  const Host<int64_t> target({2, 1}, [](int64_t i) { return i * 4; }), flag({4});
  cross_entropy(nullptr, x, target, Array{}, loss, lse, weight, -100, 0, flag);
  CHECK_EQ(flag[0], static_cast<int64_t>(FlagCode::cross_entropy));
  CHECK_EQ(flag[1], 4);
  CHECK_EQ(loss[1], 0);
}
