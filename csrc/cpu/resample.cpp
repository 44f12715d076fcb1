// Resampling along an axis on CPU threads; ops.h has the formula. Where other axes lie nearer in
// memory, a run of their elements is summed at once, else one result after the other. Bound: memory
// bandwidth.
#include "core/parallel.h"
#include "core/resample_checks.h"
#include "core/rows.h"
#include "cpu/runs.h"

namespace gg {
namespace {

/// The sparse matrix.
template <class A>
struct Terms {
  const int32_t* offsets;
  const int32_t* index;
  const A* weight;
};

/// y[o] = sum of weight x[index] for the results of one row.
template <class A, class S, class T>
void resample_row(const Terms<A>& terms, const S* x, int64_t x_step, T* y, int64_t y_step,
                  int64_t n) {
  for (int64_t o = 0; o < n; o++) {
    A sum = 0;
    for (int32_t j = terms.offsets[o]; j < terms.offsets[o + 1]; j++) {
      sum += terms.weight[j] * convert<A>(x[terms.index[j] * x_step]);
    }
    y[o * y_step] = convert<T>(sum);
  }
}

/// The same result o of `n` neighbouring rows.
template <class A, class S, class T>
void resample_run(const Terms<A>& terms, int64_t o, const S* x, int64_t x_step, int64_t x_inner,
                  T* y, int64_t y_inner, int64_t n) {
  A sum[kRun] = {}, values[kRun];
  for (int32_t j = terms.offsets[o]; j < terms.offsets[o + 1]; j++) {
    read_run(x + terms.index[j] * x_step, x_inner, values, n);
    const A weight = terms.weight[j];
    for (int64_t i = 0; i < n; i++) sum[i] += weight * values[i];
  }
  write_run(sum, y, y_inner, n);
}

template <class S, class T>
void run(const Array& x, const Array& offsets, const Array& index, const Array& weight,
         const Array& y, int axis) {
  using A = Wide<S>;
  const Terms<A> terms{offsets.as<int32_t>(), index.as<int32_t>(), weight.as<A>()};
  const RowLayout<2> rows = row_layout({y, x}, axis);
  const Layout<2>& outer = rows.outer;
  if (rows.near) {
    parallel_for(outer.size, std::max<int64_t>(1, kGrain / rows.n),
                 [&](int64_t begin, int64_t end) {
                   for (int64_t row = begin; row < end; row++) {
                     resample_row(terms, x.as<S>() + outer.offset(1, row), rows.stride[1],
                                  y.as<T>() + outer.offset(0, row), rows.stride[0], rows.n);
                   }
                 });
    return;
  }
  // Results of all rows that differ in the innermost axis alone, piece by piece.
  const int64_t length = outer.length[outer.ndim - 1], pieces = ceil_div(length, kRun);
  const int64_t jobs = outer.size / length * rows.n * pieces;
  const int64_t grain = std::max<int64_t>(1, kGrain / std::min(length, kRun));
  parallel_for(jobs, grain, [&](int64_t begin, int64_t end) {
    for (int64_t job = begin; job < end; job++) {
      const int64_t piece = job % pieces, o = job / pieces % rows.n, group = job / pieces / rows.n;
      const int64_t row = group * length + piece * kRun;
      resample_run(terms, o, x.as<S>() + outer.offset(1, row), rows.stride[1], outer.inner(1),
                   y.as<T>() + outer.offset(0, row) + o * rows.stride[0], outer.inner(0),
                   std::min(kRun, length - piece * kRun));
    }
  });
}

}  // namespace

void resample(Stream, const Array& x, const Array& offsets, const Array& index, const Array& weight,
              const Array& y, int axis) {
  check_resample(x, offsets, index, weight, y, axis);
  if (y.size() == 0) return;
  dispatch_floating(x.dtype, [&](auto from) {
    using S = typename decltype(from)::type;
    dispatch_floating(y.dtype, [&](auto to) {
      using T = typename decltype(to)::type;
      if constexpr (std::is_same_v<Wide<S>, Wide<T>>) run<S, T>(x, offsets, index, weight, y, axis);
    });
  });
}

}  // namespace gg
