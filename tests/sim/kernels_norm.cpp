// Normalisation kernels on small shapes, against plain loops.

#include "host_array.h"

using namespace gg;

namespace {

/// x [n, c, positions] as rows that are normalised: element e of row r is element at(r, e) of x.
struct Rows {
  int64_t count, length;
  std::function<int64_t(int64_t row, int64_t element)> at;
};

struct Moments {
  double mean, rstd;
};

template <class T>
Moments moments(const Host<T>& x, const Rows& rows, int64_t row, double eps) {
  double sum = 0, squares = 0;
  for (int64_t e = 0; e < rows.length; e++) sum += x[rows.at(row, e)];
  const double mean = sum / static_cast<double>(rows.length);
  for (int64_t e = 0; e < rows.length; e++) squares += std::pow(x[rows.at(row, e)] - mean, 2);
  return {mean, 1 / std::sqrt(squares / static_cast<double>(rows.length) + eps)};
}

constexpr double kEps = 1e-3;

/// Arrays of one check. weight and bias belong to element i's channel(i).
template <class T>
struct Norm {
  Host<T> x, dy, y, dx, weight, bias, dweight, dbias;
  Host<T> residual, sum, dsum;  ///< empty where there are none; sum takes the place of x
  Host<float> mean, rstd;

  Norm(const Shape& shape, int64_t channels, int64_t rows)
      : x(shape, [](int64_t i) { return noise(i) + 3; }),
        dy(shape, [](int64_t i) { return noise(i + 7); }),
        y(shape),
        dx(shape),
        weight({channels}, [](int64_t i) { return noise(i + 1); }),
        bias({channels}, [](int64_t i) { return noise(i + 2); }),
        dweight({channels}),
        dbias({channels}),
        residual({0}),
        sum({0}),
        dsum({0}),
        mean({rows}),
        rstd({rows}) {}

  /// Holds y, dx, dweight and dbias against the formulas of ops.h.
  template <class Channel>
  void check(const Rows& rows, Channel channel) const {
    std::vector<double> sum_h(static_cast<size_t>(weight.size)), sum(sum_h);
    for (int64_t r = 0; r < rows.count; r++) {
      const Moments m = moments(x, rows, r, kEps);
      double g_mean = 0, gh_mean = 0;
      const auto h = [&](int64_t i) { return (x[i] - m.mean) * m.rstd; };
      const auto g = [&](int64_t i) { return dy[i] * weight[channel(i)]; };
      for (int64_t e = 0; e < rows.length; e++) {
        const int64_t i = rows.at(r, e);
        check_near<T>("y", i, y[i], h(i) * weight[channel(i)] + bias[channel(i)], 8);
        g_mean += g(i) / static_cast<double>(rows.length);
        gh_mean += g(i) * h(i) / static_cast<double>(rows.length);
        sum_h[static_cast<size_t>(channel(i))] += dy[i] * h(i);
        sum[static_cast<size_t>(channel(i))] += dy[i];
      }
      for (int64_t e = 0; e < rows.length; e++) {
        const int64_t i = rows.at(r, e);
        const double rest = dsum.size > 0 ? dsum[i] : 0;
        check_near<T>("dx", i, dx[i], m.rstd * (g(i) - g_mean - h(i) * gh_mean) + rest, 8);
      }
    }
    const double terms = static_cast<double>(x.size / weight.size);
    for (int64_t c = 0; c < weight.size; c++) {
      check_near<T>("dweight", c, dweight[c], sum_h[static_cast<size_t>(c)], 4 * terms);
      check_near<T>("dbias", c, dbias[c], sum[static_cast<size_t>(c)], 4 * terms);
    }
  }
};

template <class T>
void check_layer_norm(int64_t m, int64_t d) {
  const Norm<T> a({m, d}, d, m);
  layer_norm(nullptr, a.x, Array{}, a.weight, a.bias, Array{}, a.y, a.mean, a.rstd, kEps);
  const auto space = workspace(layer_norm_grad_workspace(a.x, a.dweight, a.dbias));
  layer_norm_grad(nullptr, a.dy, a.x, a.weight, a.mean, a.rstd, Array{}, a.dx, a.dweight, a.dbias,
                  space);
  a.check({m, d, [=](int64_t row, int64_t e) { return row * d + e; }},
          [=](int64_t i) { return i % d; });
}

/// Of x + residual, whose own gradient is dsum.
template <class T>
void check_layer_norm_of_sum(int64_t m, int64_t d) {
  Norm<T> a({m, d}, d, m);
  a.residual = Host<T>({m, d}, [](int64_t i) { return noise(i + 11); });
  a.dsum = Host<T>({m, d}, [](int64_t i) { return noise(i + 13); });
  a.sum = Host<T>({m, d});
  layer_norm(nullptr, a.x, a.residual, a.weight, a.bias, a.sum, a.y, a.mean, a.rstd, kEps);
  for (int64_t i = 0; i < m * d; i++) {
    CHECK_EQ(a.sum[i], convert<double>(convert<T>(a.x[i] + a.residual[i])));
  }
  a.x = a.sum;
  const auto space = workspace(layer_norm_grad_workspace(a.x, a.dweight, a.dbias));
  layer_norm_grad(nullptr, a.dy, a.x, a.weight, a.mean, a.rstd, a.dsum, a.dx, a.dweight, a.dbias,
                  space);
  a.check({m, d, [=](int64_t row, int64_t e) { return row * d + e; }},
          [=](int64_t i) { return i % d; });
}

template <class T>
void check_group_norm(int64_t n, int64_t c, int64_t positions, int64_t groups) {
  Norm<T> a({n, c, positions}, c, n * groups);
  a.mean.shape = a.rstd.shape = {n, groups};
  group_norm(nullptr, a.x, a.weight, a.bias, a.y, a.mean, a.rstd, kEps);
  const auto space = workspace(group_norm_grad_workspace(a.x, a.rstd));
  group_norm_grad(nullptr, a.dy, a.x, a.weight, a.mean, a.rstd, a.dx, a.dweight, a.dbias, space);
  const int64_t length = c / groups * positions;
  a.check({n * groups, length, [=](int64_t row, int64_t e) { return row * length + e; }},
          [=](int64_t i) { return i / positions % c; });
}

/// last: the channels lie nearest, as [n, positions, c] transposed.
template <class T>
void check_batch_norm(int64_t n, int64_t c, int64_t positions, bool last) {
  Norm<T> a(last ? Shape{n, positions, c} : Shape{n, c, positions}, c, c);
  const auto view = [=](const Array& x) { return last ? transposed(x, 1, 2) : x; };
  const Host<float> running_mean({c}), running_var({c}, [](int64_t) { return 1; });
  const Array x = view(a.x), dy = view(a.dy);
  batch_norm_stats(nullptr, x, a.mean, a.rstd, running_mean, running_var, 0.25, kEps,
                   workspace(batch_norm_stats_workspace(x)));
  batch_norm_apply(nullptr, x, a.mean, a.rstd, a.weight, a.bias, Array{}, Activation::none,
                   view(a.y));
  batch_norm_grad(nullptr, dy, x, Array{}, a.mean, a.rstd, a.weight, Activation::none, false,
                  view(a.dx), a.dweight, a.dbias, Array{}, workspace(batch_norm_grad_workspace(x)));
  const auto channel = [=](int64_t i) { return last ? i % c : i / positions % c; };
  const Rows rows{c, n * positions, [=](int64_t k, int64_t e) {
                    return last ? e * c + k : (e / positions * c + k) * positions + e % positions;
                  }};
  a.check(rows, channel);
  const double values = static_cast<double>(n * positions);
  for (int64_t k = 0; k < c; k++) {
    const Moments m = moments(a.x, rows, k, 0);
    check_near<float>("running_mean", k, running_mean[k], 0.25 * m.mean);
    check_near<float>("running_var", k, running_var[k],
                      0.75 + 0.25 / (m.rstd * m.rstd) * values / (values - 1));
  }
}

/// y = relu(batch norm + residual), and the gradients of both.
void check_fused(int64_t n, int64_t c, int64_t positions) {
  const Norm<float> a({n, c, positions}, c, c);
  const Host<float> residual(a.x.shape, [](int64_t i) { return noise(i + 11); }), dz(a.x.shape);
  batch_norm_stats(nullptr, a.x, a.mean, a.rstd, Array{}, Array{}, 0, kEps,
                   workspace(batch_norm_stats_workspace(a.x)));
  batch_norm_apply(nullptr, a.x, a.mean, a.rstd, a.weight, a.bias, residual, Activation::relu, a.y);
  batch_norm_grad(nullptr, a.dy, a.x, a.y, a.mean, a.rstd, a.weight, Activation::relu, true, a.dx,
                  a.dweight, a.dbias, dz, workspace(batch_norm_grad_workspace(a.x)));
  for (int64_t i = 0; i < a.x.size; i++) {
    const int64_t k = i / positions % c;
    const double h = (a.x[i] - a.mean[k]) * a.rstd[k];
    const double z = h * a.weight[k] + a.bias[k] + residual[i];
    check_near<float>("y", i, a.y[i], std::max(z, 0.0), 8);
    CHECK_EQ(dz[i], a.y[i] > 0 ? a.dy[i] : 0);
    check_near<float>("dx", i, a.dx[i], dz[i] * a.weight[k] * a.rstd[k], 4);
  }
}

}  // namespace

CASE(layer_norm_and_gradient) {
  const int64_t shapes[][2] = {{1, 1}, {3, 7}, {40, 64}, {2, 1500}, {300, 10}, {2, 9000}};
  for (const auto& s : shapes) {
    check_layer_norm<float>(s[0], s[1]);
    check_layer_norm<bf16>(s[0], s[1]);
    check_layer_norm_of_sum<f16>(s[0], s[1]);
  }
}

CASE(rms_norm_and_gradient) {
  const int64_t m = 5, d = 70;
  const Norm<float> a({m, d}, d, m);
  layer_norm(nullptr, a.x, Array{}, a.weight, Array{}, Array{}, a.y, Array{}, a.rstd, kEps);
  layer_norm_grad(nullptr, a.dy, a.x, a.weight, Array{}, a.rstd, Array{}, a.dx, a.dweight, Array{},
                  workspace(layer_norm_grad_workspace(a.x, a.dweight, Array{})));
  for (int64_t row = 0; row < m; row++) {
    double squares = 0, dot = 0;
    for (int64_t i = row * d; i < (row + 1) * d; i++) squares += a.x[i] * a.x[i];
    const double rstd = 1 / std::sqrt(squares / d + kEps);
    for (int64_t i = row * d; i < (row + 1) * d; i++) {
      dot += a.dy[i] * a.weight[i % d] * a.x[i] * rstd / d;
    }
    for (int64_t i = row * d; i < (row + 1) * d; i++) {
      const double w = a.weight[i % d], h = a.x[i] * rstd;
      check_near<float>("y", i, a.y[i], h * w, 8);
      check_near<float>("dx", i, a.dx[i], rstd * (a.dy[i] * w - h * dot), 8);
    }
  }
}

CASE(group_norm_and_gradient) {
  const int64_t shapes[][4] = {{2, 6, 5, 3}, {1, 4, 300, 1}, {3, 8, 1, 8}, {2, 32, 49, 4}};
  for (const auto& s : shapes) {
    check_group_norm<float>(s[0], s[1], s[2], s[3]);
    check_group_norm<bf16>(s[0], s[1], s[2], s[3]);
  }
}

CASE(batch_norm_and_gradient) {
  const int64_t shapes[][3] = {{2, 3, 1}, {4, 5, 9}, {3, 64, 49}, {1, 2, 3000}, {200, 17, 1}};
  for (const auto& s : shapes) {
    for (bool last : {false, true}) {
      check_batch_norm<float>(s[0], s[1], s[2], last);
      check_batch_norm<bf16>(s[0], s[1], s[2], last);
    }
  }
}

CASE(batch_norm_with_residual_and_relu) {
  check_fused(3, 5, 49);
  check_fused(2, 1, 1000);
}
