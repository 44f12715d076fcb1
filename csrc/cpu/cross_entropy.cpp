// Softmax cross-entropy and its gradient on CPU threads. ops.h has the formulas; sums are formed in
// float32 (float64 for float64), each row by one thread.

#include <vector>

#include "core/row_checks.h"
#include "cpu/flag.h"
#include "cpu/rows.h"
#include "ops/arrays.h"

namespace gg {
namespace {

/// What both directions know of the classes. A is the accumulation type.
template <class A>
struct Classes {
  int64_t count;  ///< C
  int64_t ignore_index;
  A keep, spread;         ///< 1 - s and s / C
  std::vector<A> weight;  ///< [C]; empty for ones

  Classes(const Array& x, const Array& weights, int64_t ignore, double smoothing)
      : count(x.shape[1]),
        ignore_index(ignore),
        keep(static_cast<A>(1 - smoothing)),
        spread(static_cast<A>(smoothing / static_cast<double>(count))) {
    if (!weights) return;
    weight.resize(static_cast<size_t>(count));
    for (int64_t c = 0; c < count; c++) weight[c] = weights.as<A>()[c * weights.stride[0]];
  }

  A weight_of(int64_t c) const { return weight.empty() ? A(1) : weight[c]; }
  bool legal(int64_t t) const { return t >= 0 && t < count; }
  bool counts(int64_t t) const { return t != ignore_index && legal(t); }

  A weight_sum() const {
    if (weight.empty()) return static_cast<A>(count);
    return row_sum<A>(count, [&](int64_t c) { return weight[c]; });
  }
};

// ---- forward ---------------------------------------------------------------------------------

/// lse of a row; smooth = sum of w (lse - x) if labels are smoothed.
template <class A>
void reduce_row(const Classes<A>& classes, const A* x, int64_t n, A& lse, A& smooth) {
  const A max = row_max(x, n);
  lse = max + std::log(row_sum<A>(n, [=](int64_t c) { return fast_exp(x[c] - max); }));
  if (classes.spread == 0) return;
  smooth = row_sum<A>(n, [&, lse](int64_t c) { return classes.weight_of(c) * (lse - x[c]); });
}

/// The same of columns.
template <class A>
void reduce_block(const Classes<A>& classes, Block<A> x, int64_t n, int64_t count, A* lse,
                  A* smooth) {
  PerColumn<A> max;
  columns_max(x, n, count, max);
  reduce_columns(n, count, A(0), lse, [&](A sum, int64_t c, int64_t b) {
    return sum + fast_exp(x.at[c * x.pitch + b] - max[b]);
  });
  for (int64_t b = 0; b < count; b++) lse[b] = max[b] + std::log(lse[b]);
  if (classes.spread == 0) return;
  reduce_columns(n, count, A(0), smooth, [&](A sum, int64_t c, int64_t b) {
    return sum + classes.weight_of(c) * (lse[b] - x.at[c * x.pitch + b]);
  });
}

/// rows: x, target, loss, lse, target_weight.
template <class T>
struct Forward {
  using A = Acc<T>;
  const RowLayout<5>& rows;
  const Classes<A>& classes;
  T* x;
  const int64_t* target;
  A *loss, *lse, *target_weight;
  int64_t* flag;

  void operator()(int64_t begin, int64_t end) const {
    Blocks<T, 5> xs(rows, 0, x);
    for_each_block(rows, begin, end, [&](int64_t first, int64_t count) {
      const Block<A> block = xs.load(first, count);
      PerColumn<A> logsumexp, smooth = {};
      if (in_columns(rows)) {
        reduce_block(classes, block, rows.n, count, logsumexp, smooth);
      } else {
        reduce_row(classes, block.at, rows.n, logsumexp[0], smooth[0]);
      }
      for (int64_t b = 0; b < count; b++) {
        finish(first + b, block.at + b, block.pitch, logsumexp[b], smooth[b]);
      }
    });
  }

  void finish(int64_t row, const A* logits, int64_t pitch, A logsumexp, A smooth) const {
    const int64_t t = target[rows.outer.offset(1, row)];
    A w = 0, value = 0;
    if (classes.counts(t)) {
      w = classes.weight_of(t);
      value = classes.keep * w * (logsumexp - logits[t * pitch]) + classes.spread * smooth;
    } else if (t != classes.ignore_index) {
      flag_index_error(flag, FlagCode::cross_entropy, t, classes.count, 1);
    }
    loss[rows.outer.offset(2, row)] = value;
    lse[rows.outer.offset(3, row)] = logsumexp;
    target_weight[rows.outer.offset(4, row)] = w;
  }
};

// ---- gradient --------------------------------------------------------------------------------

/// dx of element c, in all but the target's own class: dy (p total - spread w[c]).
template <class A>
[[gnu::always_inline]] inline A other_class(A x, A lse, A dy, A total, A spread_weight) {
  return dy * (fast_exp(x - lse) * total - spread_weight);
}

/// rows: x, dx, target, dloss, lse.
template <class T>
struct Backward {
  using A = Acc<T>;
  const RowLayout<5>& rows;
  const Classes<A>& classes;
  A spread_total;  ///< (s / C) sum w
  T *x, *dx;
  const int64_t* target;
  const A *dloss, *lse;

  /// What is the same for all classes of a row.
  struct PerRow {
    PerColumn<int64_t> target;
    PerColumn<A> dy, lse, own, total;
  };

  void operator()(int64_t begin, int64_t end) const {
    Blocks<T, 5> xs(rows, 0, x), dxs(rows, 1, dx);
    for_each_block(rows, begin, end, [&](int64_t first, int64_t count) {
      const Block<A> from = xs.load(first, count), to = dxs.open(first, count);
      PerRow r;
      for (int64_t b = 0; b < count; b++) read(first + b, b, r);
      if (in_columns(rows)) {
        for (int64_t c = 0; c < rows.n; c++) {
          line(from.at + c * from.pitch, to.at + c * to.pitch, count, c, r);
        }
      } else {
        row(from.at, to.at, r);
      }
      for (int64_t b = 0; b < count; b++) correct(from, to, b, r);
      dxs.store();
    });
  }

  void read(int64_t row, int64_t b, PerRow& r) const {
    const int64_t t = target[rows.outer.offset(2, row)];
    r.target[b] = t;
    r.dy[b] = dloss[rows.outer.offset(3, row)];
    r.lse[b] = lse[rows.outer.offset(4, row)];
    r.own[b] = classes.counts(t) ? classes.keep * classes.weight_of(t) : A(0);
    r.total[b] = r.own[b] + spread_total;
  }

  /// All classes of one row.
  void row(const A* __restrict from, A* __restrict to, const PerRow& r) const {
    const A lse = r.lse[0], dy = r.dy[0], total = r.total[0], spread = classes.spread;
    const A* const w = classes.weight.data();
    if (spread == 0 || classes.weight.empty()) {
      for (int64_t c = 0; c < rows.n; c++) to[c] = other_class(from[c], lse, dy, total, spread);
    } else {
      for (int64_t c = 0; c < rows.n; c++) {
        to[c] = other_class(from[c], lse, dy, total, spread * w[c]);
      }
    }
  }

  /// One class of neighbouring rows.
  void line(const A* __restrict from, A* __restrict to, int64_t count, int64_t c,
            const PerRow& r) const {
    const A spread_weight = classes.spread * classes.weight_of(c);
    for (int64_t b = 0; b < count; b++) {
      to[b] = other_class(from[b], r.lse[b], r.dy[b], r.total[b], spread_weight);
    }
  }

  /// The target's class, or zeros throughout where there is none.
  void correct(Block<A> from, Block<A> to, int64_t b, const PerRow& r) const {
    const int64_t t = r.target[b];
    if (classes.counts(t)) {
      to.at[t * to.pitch + b] =
          other_class(from.at[t * from.pitch + b], r.lse[b], r.dy[b], r.total[b],
                      classes.spread * classes.weight_of(t) + r.own[b]);
    } else {
      for (int64_t c = 0; c < rows.n; c++) to.at[c * to.pitch + b] = 0;
    }
  }
};

}  // namespace

void cross_entropy(Stream, const Array& x, const Array& target, const Array& weight,
                   const Array& loss, const Array& lse, const Array& target_weight,
                   int64_t ignore_index, double label_smoothing, const Array& flag) {
  check_cross_entropy(x, target, weight, loss, lse, target_weight, label_smoothing, flag);
  if (loss.size() == 0) return;
  const int64_t n = x.shape[1];
  const RowLayout<5> rows = row_layout({x, with_axis(target, 1, n), with_axis(loss, 1, n),
                                        with_axis(lse, 1, n), with_axis(target_weight, 1, n)},
                                       1);
  dispatch_floating(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using A = Acc<T>;
    const Classes<A> classes(x, weight, ignore_index, label_smoothing);
    parallel_for(rows.outer.size, row_grain(n),
                 Forward<T>{rows, classes, x.as<T>(), target.as<int64_t>(), loss.as<A>(),
                            lse.as<A>(), target_weight.as<A>(), flag.as<int64_t>()});
  });
}

void cross_entropy_grad(Stream, const Array& dloss, const Array& x, const Array& target,
                        const Array& weight, const Array& lse, const Array& dx,
                        int64_t ignore_index, double label_smoothing) {
  check_cross_entropy_grad(dloss, x, target, weight, lse, dx, label_smoothing);
  if (x.size() == 0) return;
  const int64_t n = x.shape[1];
  const RowLayout<5> rows =
      row_layout({x, dx, with_axis(target, 1, n), with_axis(broadcast_to(dloss, target), 1, n),
                  with_axis(lse, 1, n)},
                 1);
  dispatch_floating(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using A = Acc<T>;
    const Classes<A> classes(x, weight, ignore_index, label_smoothing);
    parallel_for(rows.outer.size, row_grain(n),
                 Backward<T>{rows, classes, classes.spread * classes.weight_sum(), x.as<T>(),
                             dx.as<T>(), target.as<int64_t>(), dloss.as<A>(), lse.as<A>()});
  });
}

}  // namespace gg
