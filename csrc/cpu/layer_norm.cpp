// Layer normalisation (and RMSNorm, without a mean) of rows on CPU threads, with its gradient.
// ops.h has the formulas. A row is read once; further passes find it in the cache. dweight and
// dbias are summed over slices of rows, whose bounds depend on the shape alone, and these in order.

#include "core/norm_checks.h"
#include "cpu/norm.h"
#include "ops/norms.h"

namespace gg {
namespace {

using namespace norm;

/// Mean and reciprocal deviation of a row; the mean is 0 unless `centred`.
template <class A>
struct Statistics {
  A mean, rstd;
};

template <class A>
Statistics<A> row_statistics(const A* x, int64_t n, bool centred, A eps) {
  Moments<A> all;
  for (int64_t i = 0; i < n; i += kRun) {
    const int64_t length = std::min(kRun, n - i);
    const A* const run = x + i;
    all = join(all, centred ? run_moments(run, length) : run_squares(run, length));
  }
  return {centred ? all.average() : A(0), 1 / std::sqrt(all.m2 / static_cast<A>(n) + eps)};
}

template <class A>
void normalise_row(const A* x, A* __restrict y, int64_t n, Statistics<A> with, const A* weight,
                   const A* bias) {
  for (int64_t i = 0; i < n; i++) {
    y[i] = std::fma((x[i] - with.mean) * with.rstd, weight[i], bias[i]);
  }
}

/// Sums of g and g (x - mean), g = dy weight.
template <class A>
Statistics<A> gradient_sums(const A* dy, const A* x, const A* weight, int64_t n, A mean) {
  A sum[kPartial<A>] = {}, product[kPartial<A>] = {};
  for_each_partial<A>(n, [&](int p, int64_t i) {
    const A g = dy[i] * weight[i];
    sum[p] += g;
    product[p] = std::fma(g, x[i] - mean, product[p]);
  });
  for (int half = kPartial<A> / 2; half > 0; half /= 2) {
    for (int p = 0; p < half; p++) sum[p] += sum[p + half], product[p] += product[p + half];
  }
  return {sum[0], product[0]};
}

/// dx of a row; adds dy h to dweight and dy to dbias.
template <class A>
void gradient_row(const A* dy, const A* x, const A* weight, int64_t n, Statistics<A> with,
                  bool centred, A* __restrict dx, A* __restrict dweight, A* __restrict dbias) {
  const auto [sum, product] = gradient_sums(dy, x, weight, n, with.mean);
  const A count = static_cast<A>(n), rstd = with.rstd, mean = with.mean;
  const A shift = centred ? rstd * (sum / count) : A(0);
  const A slope = rstd * rstd * rstd * (product / count);
  for (int64_t i = 0; i < n; i++) {
    const A distance = x[i] - mean;
    dx[i] = std::fma(dy[i] * weight[i], rstd, std::fma(-distance, slope, -shift));
    dweight[i] = std::fma(dy[i], distance * rstd, dweight[i]);
    dbias[i] += dy[i];
  }
}

template <class A>
void add_row(const A* x, A* __restrict to, int64_t n) {
  for (int64_t i = 0; i < n; i++) to[i] += x[i];
}

/// A whole row of any strides in the type it is computed in.
template <class T>
class Row {
 public:
  using A = Wide<T>;

  /// The array may be none.
  explicit Row(const Array& a)
      : data_(a.as<T>()),
        row_(a.stride[0]),
        stride_(a.stride[1]),
        n_(a.shape[1]),
        in_place_(std::is_same_v<T, A> && (stride_ == 1 || n_ == 1)),
        buffer_(in_place_ || !a ? 0 : n_) {}

  A* open(int64_t row) {
    return in_place_ ? reinterpret_cast<A*>(data_ + row * row_) : buffer_.data();
  }
  const A* read(int64_t row) {
    if (!in_place_) read_run(data_ + row * row_, stride_, buffer_.data(), n_);
    return open(row);
  }
  void write(int64_t row) {
    if (!in_place_) write_run(buffer_.data(), data_ + row * row_, stride_, n_);
  }

 private:
  T* data_;
  int64_t row_, stride_, n_;
  bool in_place_;
  std::vector<A> buffer_;
};

/// sum = x + residual, rounded to T; returns it as it is stored.
template <class T, class A>
const A* add_rows(const A* x, const A* residual, Row<T>& sum, int64_t row, int64_t n) {
  A* const to = sum.open(row);
  for (int64_t i = 0; i < n; i++) to[i] = x[i] + residual[i];
  sum.write(row);
  return is_half<T> ? sum.read(row) : to;
}

/// Rows of a slice: enough for their sums to be few beside them.
int64_t slice_rows(const Array& x) {
  const int64_t least = std::max<int64_t>(8, row_grain(x.shape[1]));
  return std::max(least, (x.shape[0] + 31) / 32);
}

/// dweight and dbias: the slices' partial sums, added in order.
template <class A>
void put_slices(const std::vector<A>& partial, int64_t slices, int64_t n, const Array& vector) {
  if (!vector) return;
  std::vector<A> sums(n);
  parallel_for(n, row_grain(slices), [&](int64_t begin, int64_t end) {
    for (int64_t s = 0; s < slices; s++) {
      const A* const from = partial.data() + s * n;
      for (int64_t i = begin; i < end; i++) sums[i] += from[i];
    }
  });
  put_values(sums, vector);
}

}  // namespace

void layer_norm(Stream, const Array& x, const Array& residual, const Array& weight,
                const Array& bias, const Array& sum, const Array& y, const Array& mean,
                const Array& rstd, double eps) {
  check_residual("layer_norm", residual, sum);
  check_rows("layer_norm", x, mean, rstd, {&y, &residual, &sum}, {&weight, &bias});
  const int64_t n = x.shape[1];
  dispatch_floating(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using A = Wide<T>;
    const auto weights = values_of<A>(weight, n, 1), biases = values_of<A>(bias, n, 0);
    parallel_for(x.shape[0], row_grain(n), [&](int64_t begin, int64_t end) {
      Row<T> xs(x), residuals(residual), sums(sum), ys(y);
      for (int64_t row = begin; row < end; row++) {
        const A* from = xs.read(row);
        if (residual) from = add_rows(from, residuals.read(row), sums, row, n);
        const auto with = row_statistics(from, n, static_cast<bool>(mean), static_cast<A>(eps));
        normalise_row(from, ys.open(row), n, with, weights.data(), biases.data());
        ys.write(row);
        if (mean) mean.as<A>()[row * mean.stride[0]] = with.mean;
        rstd.as<A>()[row * rstd.stride[0]] = with.rstd;
      }
    });
  });
}

int64_t layer_norm_grad_workspace(const Array&, const Array&, const Array&) {
  return 0;
}

void layer_norm_grad(Stream, const Array& dy, const Array& x, const Array& weight,
                     const Array& mean, const Array& rstd, const Array& dsum, const Array& dx,
                     const Array& dweight, const Array& dbias, const Array&) {
  check_rows("layer_norm_grad", x, mean, rstd, {&dy, &dx, &dsum}, {&weight, &dweight, &dbias});
  const int64_t n = x.shape[1], slice = slice_rows(x);
  const int64_t slices = (x.shape[0] + slice - 1) / slice;
  dispatch_floating(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using A = Wide<T>;
    const auto weights = values_of<A>(weight, n, 1);
    std::vector<A> products(slices * n), sums(slices * n);
    parallel_for(slices, 1, [&](int64_t first, int64_t last) {
      Row<T> dys(dy), xs(x), dsums(dsum), dxs(dx);
      for (int64_t row = first * slice; row < std::min(x.shape[0], last * slice); row++) {
        const Statistics<A> with{mean ? mean.as<A>()[row * mean.stride[0]] : A(0),
                                 rstd.as<A>()[row * rstd.stride[0]]};
        const int64_t at = row / slice * n;
        A* const to = dxs.open(row);
        gradient_row(dys.read(row), xs.read(row), weights.data(), n, with, static_cast<bool>(mean),
                     to, &products[at], &sums[at]);
        if (dsum) add_row(dsums.read(row), to, n);
        dxs.write(row);
      }
    });
    put_slices(products, slices, n, dweight);
    put_slices(sums, slices, n, dbias);
  });
}

}  // namespace gg
