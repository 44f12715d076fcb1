// Reductions over any axes of any strides on CPU threads: sum, mean, prod, max, min, argmax,
// argmin, any, all. ops/arrays.h has the definitions.
//
// As in kernels/reduce.cu axes are sorted by stride and merged, kept and reduced ones apart (the
// reduced axes of argmax and argmin keep their order, because their index counts it). A task takes
// up to 1024 outputs and one of `splits` stretches of what is reduced, in one of two forms:
//
//   rows     reduced elements lie near each other: a run at a time, each by itself to one number
//   columns  outputs lie nearer: a run of outputs, joined with one reduced element after the other
//
// Results of stretches meet in the workspace and are joined in order. The cut depends on shapes and
// strides alone. Bytes: x once. Bound: memory.
#include <algorithm>
#include <type_traits>

#include "core/checks.h"
#include "core/parallel.h"
#include "cpu/fold.h"
#include "cpu/runs.h"
#include "cpu/typed_runs.h"
#include "ops/arrays.h"

namespace gg {
namespace {

constexpr int64_t kTask = 1 << 15;     // elements worth a task
constexpr int64_t kTasks = 64;         // enough of them
constexpr int64_t kNumbers = 1 << 30;  // indices within a stretch fit 32 bits
constexpr int64_t kFewReduced = 32;    // too few for a row to be vectors

struct Plan {
  Layout<2> kept;     ///< x, y
  Layout<1> reduced;  ///< x
  Reduce op;          ///< sum, prod, max, min
  bool columns = false;
  bool dense = false;  ///< columns: reduced elements follow each other as one line of outputs each
  bool arg = false, truth = false, mean = false;
  int64_t outputs = 0, count = 0;
  int64_t block = 1, blocks = 1;  ///< outputs of a task
  int64_t splits = 1, chunk = 1;  ///< reduced elements of a task

  int64_t workspace() const { return splits > 1 ? outputs * splits * (arg ? 16 : 8) : 0; }
};

bool is_arg(Reduce op) {
  return op == Reduce::argmax || op == Reduce::argmin;
}

/// What `op` is to fold_run.
Reduce folded(Reduce op) {
  switch (op) {
    case Reduce::mean:
      return Reduce::sum;
    case Reduce::any:
    case Reduce::argmax:
      return Reduce::max;
    case Reduce::all:
    case Reduce::argmin:
      return Reduce::min;
    default:
      return op;
  }
}

void cut(Plan& p) {
  const bool near_outputs = std::abs(p.kept.inner(0)) < std::abs(p.reduced.inner(0));
  const int64_t side = p.kept.length[p.kept.ndim - 1];
  p.dense = !p.arg && near_outputs && p.kept.ndim == 1 && p.kept.inner(0) == 1 &&
            p.reduced.ndim == 1 && p.reduced.inner(0) == side && 2 * side <= kRun;
  p.columns = p.dense || (side >= 8 && (near_outputs || p.count <= kFewReduced));
  p.block = p.columns ? kRun : std::clamp<int64_t>(kTask / p.count, 1, kRun);
  p.blocks = (p.outputs + p.block - 1) / p.block;
  const int64_t work = std::min(p.block, p.outputs) * p.count / kTask;
  const int64_t wanted = std::clamp<int64_t>(kTasks / p.blocks, 1, std::max<int64_t>(work, 1));
  p.chunk = std::min((p.count + wanted - 1) / wanted, kNumbers);
  p.splits = (p.count + p.chunk - 1) / p.chunk;
}

Plan make_plan(Reduce op, const Array& x, const Array& y) {
  Plan p;
  p.op = folded(op);
  p.arg = is_arg(op);
  p.truth = op == Reduce::any || op == Reduce::all;
  p.mean = op == Reduce::mean;
  for (int axis = 0; axis < x.ndim; axis++) {
    if (y.shape[axis] == 1) {
      p.reduced.push(x.shape[axis], {x.stride[axis]});
    } else {
      p.kept.push(x.shape[axis], {x.stride[axis], y.stride[axis]});
    }
  }
  p.outputs = p.kept.size;
  p.count = p.reduced.size;
  if (p.outputs == 0) return p;
  p.kept.sort();
  p.kept.finish();
  if (!p.arg) p.reduced.sort();
  p.reduced.finish();
  if (p.count > 0) cut(p);
  return p;
}

/// The results of a task: up to kRun values, and of argmax and argmin their places.
template <class T>
struct Results {
  T value[kRun];
  int64_t at[kRun];
};

template <class T>
class Reduction {
  using Number = typename Lanes<T>::Index;
  static constexpr bool kPicks = !std::is_same_v<T, uint8_t>;  // truth has no argmax

 public:
  Reduction(const Plan& plan, const Array& x, const Array& y, const Array& workspace)
      : p_(plan),
        x_(x.data),
        y_(y.data),
        read_(x.dtype),
        write_(y.dtype),
        write_places_(DType::i64),
        values_(workspace ? workspace.as<T>() : nullptr),
        places_(workspace ? workspace.as<int64_t>() + p_.outputs * p_.splits : nullptr) {}

  void run() const {
    const int64_t tasks = p_.blocks * p_.splits;
    const bool small = p_.outputs * p_.count < 2 * kTask;
    parallel_for(tasks, small ? tasks : 1, [&](int64_t begin, int64_t end) {
      Results<T> results;
      for (int64_t task = begin; task < end; task++) {
        take(task / p_.splits, task % p_.splits, results);
      }
    });
    if (p_.splits > 1) join();
  }

  /// Of nothing.
  void run_empty() const {
    Results<T> results;
    std::fill_n(results.value, kRun, fold_start<T>(p_.op));
    for (int64_t first = 0; first < p_.outputs; first += kRun) {
      finish(results, first, std::min(first + kRun, p_.outputs));
    }
  }

 private:
  void take(int64_t block, int64_t split, Results<T>& results) const {
    const int64_t first = block * p_.block, last = std::min(first + p_.block, p_.outputs);
    const int64_t begin = split * p_.chunk, end = std::min(begin + p_.chunk, p_.count);
    if (p_.columns) {
      for_runs(p_.kept, first, last, [&](int64_t output, int64_t n) {
        T* const value = results.value + (output - first);
        int64_t* const at = results.at + (output - first);
        if (!p_.arg) return fold_outputs(output, n, begin, end, value);
        if constexpr (kPicks) {
          p_.op == Reduce::min ? pick_outputs<true>(output, n, begin, end, value, at)
                               : pick_outputs<false>(output, n, begin, end, value, at);
        }
      });
    } else {
      for (int64_t output = first; output < last; output++) {
        T& value = results.value[output - first];
        if (!p_.arg) {
          value = fold_row(output, begin, end);
        } else if constexpr (kPicks) {
          int64_t& at = results.at[output - first];
          value = p_.op == Reduce::min ? pick_row<true>(output, begin, end, at)
                                       : pick_row<false>(output, begin, end, at);
        }
      }
    }
    if (p_.splits == 1) return finish(results, first, last);
    std::copy_n(results.value, last - first, values_ + split * p_.outputs + first);
    if (p_.arg) std::copy_n(results.at, last - first, places_ + split * p_.outputs + first);
  }

  T fold_row(int64_t output, int64_t begin, int64_t end) const {
    const int64_t base = p_.kept.offset(0, output), step = p_.reduced.inner(0);
    T run[kRun], total = fold_start<T>(p_.op);
    for_runs(p_.reduced, begin, end, [&](int64_t first, int64_t n) {
      const T* const from = read_(x_, base + p_.reduced.offset(0, first), step, run, n);
      const T part = fold_run(p_.op, from, n);
      fold_columns(p_.op, &total, &part, 1);
    });
    return total;
  }

  template <bool least>
  T pick_row(int64_t output, int64_t begin, int64_t end, int64_t& at) const {
    const int64_t base = p_.kept.offset(0, output), step = p_.reduced.inner(0);
    T run[kRun], best = T(0);
    for_runs(p_.reduced, begin, end, [&](int64_t first, int64_t n) {
      const T* const from = read_(x_, base + p_.reduced.offset(0, first), step, run, n);
      const T extreme_here = fold_run(p_.op, from, n);
      if (first != begin && !beats<least>(extreme_here, best)) return;
      best = extreme_here;
      at = first + find_first(from, n, best);
    });
    return best;
  }

  /// f(offset of a reduced element, its number) for [begin, end).
  template <class F>
  void for_reduced(int64_t begin, int64_t end, F f) const {
    const int64_t step = p_.reduced.inner(0);
    for_runs(p_.reduced, begin, end, [&](int64_t first, int64_t n) {
      const int64_t at = p_.reduced.offset(0, first);
      for (int64_t i = 0; i < n; i++) f(at + i * step, first + i);
    });
  }

  void fold_outputs(int64_t output, int64_t n, int64_t begin, int64_t end, T* value) const {
    const int64_t base = p_.kept.offset(0, output), step = p_.kept.inner(0);
    T run[kRun];
    std::fill_n(value, n, fold_start<T>(p_.op));
    if (p_.dense && n == p_.outputs) begin = fold_lines(n, begin, end, value);
    for_reduced(begin, end, [&](int64_t at, int64_t) {
      fold_columns(p_.op, value, read_(x_, base + at, step, run, n), n);
    });
  }

  /// As many lines of n outputs at once as fit a run; returns the first that is left.
  int64_t fold_lines(int64_t n, int64_t begin, int64_t end, T* value) const {
    const int64_t lines = kRun / n, wide = lines * n;
    T run[kRun], total[kRun];
    std::fill_n(total, wide, fold_start<T>(p_.op));
    for (; begin + lines <= end; begin += lines) {
      fold_columns(p_.op, total, read_(x_, begin * n, 1, run, wide), wide);
    }
    for (int64_t k = 0; k < wide; k += n) fold_columns(p_.op, value, total + k, n);
    return begin;
  }

  template <bool least>
  void pick_outputs(int64_t output, int64_t n, int64_t begin, int64_t end, T* value,
                    int64_t* at) const {
    const int64_t base = p_.kept.offset(0, output), step = p_.kept.inner(0);
    T run[kRun];
    Number number[kRun] = {};
    for_reduced(begin, end, [&](int64_t offset, int64_t i) {
      const T* const from = read_(x_, base + offset, step, run, n);
      if (i == begin) {
        std::copy_n(from, n, value);
      } else {
        pick_columns<least>(value, number, from, static_cast<Number>(i - begin), n);
      }
    });
    for (int64_t i = 0; i < n; i++) at[i] = begin + number[i];
  }

  /// The stretches' results, in order.
  void join() const {
    parallel_for(p_.outputs, kRun, [&](int64_t begin, int64_t end) {
      Results<T> results;
      for (int64_t first = begin; first < end; first += kRun) {
        const int64_t last = std::min(first + kRun, end), n = last - first;
        std::copy_n(values_ + first, n, results.value);
        if (p_.arg) std::copy_n(places_ + first, n, results.at);
        for (int64_t split = 1; split < p_.splits; split++) {
          const T* const value = values_ + split * p_.outputs + first;
          if (p_.arg) {
            join_places(results, value, places_ + split * p_.outputs + first, n);
          } else {
            fold_columns(p_.op, results.value, value, n);
          }
        }
        finish(results, first, last);
      }
    });
  }

  void join_places(Results<T>& results, const T* value, const int64_t* at, int64_t n) const {
    const bool least = p_.op == Reduce::min;
    for (int64_t i = 0; i < n; i++) {
      const T best = results.value[i];
      if (!(least ? beats<true>(value[i], best) : beats<false>(value[i], best))) continue;
      results.value[i] = value[i];
      results.at[i] = at[i];
    }
  }

  /// Writes the outputs [first, last).
  void finish(Results<T>& results, int64_t first, int64_t last) const {
    if constexpr (std::is_floating_point_v<T>) {
      const T count = static_cast<T>(p_.count);
      for (int64_t i = 0; p_.mean && i < last - first; i++) results.value[i] /= count;
    }
    for_runs(p_.kept, first, last, [&](int64_t output, int64_t n) {
      const int64_t to = p_.kept.offset(1, output), step = p_.kept.inner(1);
      if (p_.arg) {
        write_places_(results.at + (output - first), y_, to, step, n);
      } else {
        write_(results.value + (output - first), y_, to, step, n);
      }
    });
  }

  const Plan& p_;
  const void* const x_;
  void* const y_;
  const RunReader<T> read_;
  const RunWriter<T> write_;
  const RunWriter<int64_t> write_places_;
  T* const values_;        // [splits, outputs]
  int64_t* const places_;  // [splits, outputs]
};

DType result_dtype(Reduce op, DType x) {
  if (is_arg(op)) return DType::i64;
  if (op == Reduce::any || op == Reduce::all) return DType::boolean;
  const bool sums = op == Reduce::sum || op == Reduce::prod;
  return sums && !is_floating(x) ? DType::i64 : x;
}

void check_reduce(Reduce op, const Array& x, const Array& y) {
  const char* name = kReduce[static_cast<int>(op)];
  check_present(name, "x", x);
  if (op == Reduce::mean) check_floating(name, "x", x);
  check_dtype(name, "y", y, result_dtype(op, x.dtype));
  bool fits = x.ndim == y.ndim;
  int64_t count = 1;
  for (int axis = 0; fits && axis < x.ndim; axis++) {
    fits = y.shape[axis] == x.shape[axis] || y.shape[axis] == 1;
    if (y.shape[axis] == 1) count *= x.shape[axis];
  }
  GG_CHECK(fits, name, "y must have x's shape, or length 1 along reduced axes, got x ", x, ", y ",
           y);
  const bool needs_one = op == Reduce::max || op == Reduce::min || is_arg(op);
  GG_CHECK(!needs_one || count > 0 || y.size() == 0, name, "x ", x, " has no elements to reduce; ",
           name, " of nothing is not defined");
}

template <class T>
void reduce_as(const Plan& plan, const Array& x, const Array& y, const Array& workspace) {
  const Reduction<T> reduction(plan, x, y, workspace);
  plan.count == 0 ? reduction.run_empty() : reduction.run();
}

}  // namespace

int64_t reduce_workspace(Reduce op, const Array& x, const Array& y) {
  check_reduce(op, x, y);
  return make_plan(op, x, y).workspace();
}

void reduce(Stream, Reduce op, const Array& x, const Array& y, const Array& workspace) {
  check_reduce(op, x, y);
  const Plan plan = make_plan(op, x, y);
  check_workspace("reduce", workspace, plan.workspace());
  if (plan.outputs == 0) return;
  if (plan.truth) return reduce_as<uint8_t>(plan, x, y, workspace);
  if (x.dtype == DType::f64) return reduce_as<double>(plan, x, y, workspace);
  if (is_floating(x.dtype)) return reduce_as<float>(plan, x, y, workspace);
  reduce_as<int64_t>(plan, x, y, workspace);
}

}  // namespace gg
