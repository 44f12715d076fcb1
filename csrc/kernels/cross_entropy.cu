// Softmax cross-entropy of logits x [N, C, L] against class indices, and its gradient (the formulas
// are in ops.h). Any strides.
//
// Accumulates in float32 (float64 for float64); loss, lse, target_weight and dx =. Deterministic:
// each row's partial sums join in a fixed order (kernels/rows.cuh).
//
// Forward reads x once (and each row's target again) and writes three numbers per row; with label
// smoothing, too: lse - x is summed against the weights as max - x while the maximum grows, so that
// large logits do not cancel. Backward reads x once and writes dx once.
// Bound: memory bandwidth. Reached: not measured.

#include "core/row_checks.h"
#include "kernels/rows.cuh"
#include "ops/arrays.h"

namespace gg {
namespace {

/// What both directions know of the classes. A is the accumulation type.
template <class A>
struct Classes {
  const A* weight;  ///< [C], or null for ones
  int64_t weight_stride;
  bool weight_vectors;  ///< weights move as chunks of x do
  int64_t count;        ///< C
  int64_t ignore_index;
  A keep, spread;  ///< 1 - s and s / C

  __device__ A weight_of(int64_t c) const { return weight ? weight[c * weight_stride] : A(1); }
  /// Of the chunk of classes that begins at i; 0 beyond the last.
  template <int V>
  __device__ Vec<A, V> weights_of(const Seat<V>& seat, int64_t i) const {
    Vec<A, V> w;
    if (weight && weight_vectors && i + V <= count) return load_vec<V>(weight + i);
#pragma unroll
    for (int v = 0; v < V; v++) {
      const int64_t c = i + v * seat.within();
      w[v] = c < count ? weight_of(c) : A(0);
    }
    return w;
  }

  __device__ bool legal(int64_t t) const { return t >= 0 && t < count; }
};

/// Sum of w (lse - x) over a row, in one pass beside ExpSum: of w (max - x), moved on whenever max
/// grows. No term is negative, so nothing cancels.
template <class A>
struct SmoothSum {
  A sum = 0, weights = 0;

  __device__ void raise(A from, A to) {
    if (weights != 0) sum += weights * (to - from);
  }

  template <int V>
  __device__ void add(const Seat<V>& seat, int64_t i, const Vec<A, V>& x, const Vec<A, V>& w,
                      A max) {
#pragma unroll
    for (int v = 0; v < V; v++) {
      weights += w[v];
      if (i + v * seat.within() < seat.n) sum += w[v] * (max - x[v]);
    }
  }
};

/// 0 for a target that is ignored, and for one that is no class, which is flagged.
template <class A>
GG_DEVICE A target_weight_of(const Classes<A>& classes, int64_t t, int64_t* flag) {
  if (t == classes.ignore_index) return 0;
  if (classes.legal(t)) return classes.weight_of(t);
  flag_index_error(flag, FlagCode::cross_entropy, t, classes.count, 1);
  return 0;
}

/// rows: x, target, loss, lse, target_weight.
template <class T>
__global__ void __launch_bounds__(kRowThreads, 2)
    cross_entropy_rows(const Rows<5> rows, const Classes<Acc<T>> classes, const T* x,
                       const int64_t* target, Acc<T>* loss, Acc<T>* lse, Acc<T>* target_weight,
                       int64_t* flag) {
  using A = Acc<T>;
  constexpr int V = max_vec<T>();
  for (int64_t group = blockIdx.x; group * rows.rows_per_block() < rows.outer.size;
       group += gridDim.x) {
    const Seat<V> seat(rows, group);
    const T* const logits = x + rows.outer.offset(0, seat.row);
    ExpSum<A> exps;
    SmoothSum<A> smooth;
    visit_row(seat, logits, rows.stride[0], -kInfinity<A>, [&](int64_t i, const Vec<A, V>& chunk) {
      const A before = exps.max;
      exps.add(chunk);
      if (classes.spread == 0) return;
      smooth.raise(before, exps.max);
      smooth.add(seat, i, chunk, classes.weights_of(seat, i), exps.max);
    });
    const A before = exps.max;
    exps.join_team(rows);
    const A logsumexp = exps.logarithm();
    if (classes.spread != 0) {
      smooth.raise(before, logsumexp);
      smooth.sum = join(rows, smooth.sum, SumOp(), A(0));
    }
    if (!seat.present || seat.lane > 0) continue;

    const int64_t t = target[rows.outer.offset(1, seat.row)];
    const A w = target_weight_of(classes, t, flag);
    A value = 0;
    if (t != classes.ignore_index && classes.legal(t)) {
      const A own = logsumexp - convert<A>(logits[t * rows.stride[0]]);
      value = classes.keep * w * own + classes.spread * smooth.sum;
    }
    loss[rows.outer.offset(2, seat.row)] = value;
    lse[rows.outer.offset(3, seat.row)] = logsumexp;
    target_weight[rows.outer.offset(4, seat.row)] = w;
  }
}

/// Sum of the class weights, by the whole block.
template <class A>
__device__ inline A weight_sum(const Classes<A>& classes) {
  if (!classes.weight) return static_cast<A>(classes.count);
  A sum = 0;
  for (int64_t c = threadIdx.x; c < classes.count; c += kRowThreads) sum += classes.weight_of(c);
  return block_reduce(sum, SumOp(), A(0));
}

/// rows: x, dx, target, dloss, lse.
template <class T>
__global__ void __launch_bounds__(kRowThreads, 2)
    cross_entropy_grad_rows(const Rows<5> rows, const Classes<Acc<T>> classes, const T* x, T* dx,
                            const int64_t* target, const Acc<T>* dloss, const Acc<T>* lse) {
  using A = Acc<T>;
  constexpr int V = max_vec<T>();
  const A spread_total = classes.spread != 0 ? classes.spread * weight_sum(classes) : A(0);
  for (int64_t group = blockIdx.x; group * rows.rows_per_block() < rows.outer.size;
       group += gridDim.x) {
    const Seat<V> seat(rows, group);
    if (!seat.present) continue;
    const T* const logits = x + rows.outer.offset(0, seat.row);
    T* const to = dx + rows.outer.offset(1, seat.row);
    const int64_t t = target[rows.outer.offset(2, seat.row)];
    const bool counts = t != classes.ignore_index && classes.legal(t);
    const A dy = dloss[rows.outer.offset(3, seat.row)];
    const A logsumexp = lse[rows.outer.offset(4, seat.row)];
    const A own = counts ? classes.keep * classes.weight_of(t) : A(0);
    visit_row(seat, logits, rows.stride[0], A(0), [&](int64_t i, Vec<A, V> chunk) {
      Vec<A, V> w = {};
      if (classes.spread != 0) w = classes.weights_of(seat, i);
#pragma unroll
      for (int v = 0; v < V; v++) {
        const int64_t c = i + v * seat.within();
        const A wanted = (c == t ? own : A(0)) + classes.spread * w[v];
        const A p = std::exp(chunk[v] - logsumexp);
        chunk[v] = counts ? dy * (p * (own + spread_total) - wanted) : A(0);
      }
      seat.store(to, rows.stride[1], i, chunk);
    });
  }
}

// ---- host ------------------------------------------------------------------------------------

template <class A>
Classes<A> make_classes(const Array& x, const Array& weight, int64_t ignore_index,
                        double label_smoothing, bool vectors) {
  Classes<A> classes{};
  classes.weight = weight ? weight.as<const A>() : nullptr;
  classes.weight_stride = weight ? weight.stride[0] : 0;
  classes.weight_vectors = vectors && classes.weight_stride == 1 &&
                           reinterpret_cast<uintptr_t>(classes.weight) % 16 == 0;
  classes.count = x.shape[1];
  classes.ignore_index = ignore_index;
  classes.keep = static_cast<A>(1 - label_smoothing);
  classes.spread = static_cast<A>(label_smoothing / static_cast<double>(x.shape[1]));
  return classes;
}

}  // namespace

void cross_entropy(Stream stream, const Array& x, const Array& target, const Array& weight,
                   const Array& loss, const Array& lse, const Array& target_weight,
                   int64_t ignore_index, double label_smoothing, const Array& flag) {
  check_cross_entropy(x, target, weight, loss, lse, target_weight, label_smoothing, flag);
  if (loss.size() == 0) return;
  const int64_t n = x.shape[1];
  const Rows<5> rows = make_rows({x, with_axis(target, 1, n), with_axis(loss, 1, n),
                                  with_axis(lse, 1, n), with_axis(target_weight, 1, n)},
                                 1, 1);
  dispatch_floating(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using A = Acc<T>;
    launch(cross_entropy_rows<T>, rows.grid(), kRowThreads, 0, stream, rows,
           make_classes<A>(x, weight, ignore_index, label_smoothing, rows.vectors), x.as<const T>(),
           target.as<const int64_t>(), loss.as<A>(), lse.as<A>(), target_weight.as<A>(),
           flag.as<int64_t>());
  });
}

void cross_entropy_grad(Stream stream, const Array& dloss, const Array& x, const Array& target,
                        const Array& weight, const Array& lse, const Array& dx,
                        int64_t ignore_index, double label_smoothing) {
  check_cross_entropy_grad(dloss, x, target, weight, lse, dx, label_smoothing);
  if (x.size() == 0) return;
  const int64_t n = x.shape[1];
  const Rows<5> rows =
      make_rows({x, dx, with_axis(target, 1, n), with_axis(broadcast_to(dloss, target), 1, n),
                 with_axis(lse, 1, n)},
                1, 2);
  dispatch_floating(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using A = Acc<T>;
    launch(cross_entropy_grad_rows<T>, rows.grid(), kRowThreads, 0, stream, rows,
           make_classes<A>(x, weight, ignore_index, label_smoothing, rows.vectors), x.as<const T>(),
           dx.as<T>(), target.as<const int64_t>(), dloss.as<const A>(), lse.as<const A>());
  });
}

}  // namespace gg
