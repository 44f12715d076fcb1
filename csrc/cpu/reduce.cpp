// Reductions over any axes of any strides on CPU threads: sum, mean, prod, max, min, argmax,
// argmin, any, all. ops/arrays.h has the definitions, terms.h that of sum_of, which is a sum with
// each run replaced by its terms as it is read.
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
#include "cpu/reduce_plan.h"
#include "cpu/runs.h"
#include "cpu/terms.h"
#include "cpu/typed_runs.h"
#include "ops/arrays.h"

namespace gg {
namespace {

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
  Reduction(const Plan& plan, const Array& x, const Array& y, const Array& workspace,
            TermsOf<T> terms = nullptr, const Array& centre = {})
      : p_(plan),
        x_(x.data),
        y_(y.data),
        terms_(terms),
        centre_(centre.data),
        read_(x.dtype),
        read_centre_(centre ? centre.dtype : x.dtype),
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
    } else if (p_.lines) {
      if constexpr (kPicks) fold_lines_of(first, last, results.value);
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

  /// The centres of n neighbouring outputs.
  const T* centres(int64_t output, T* run, int64_t n) const {
    if (centre_ != nullptr) {
      return read_centre_(centre_, p_.kept.offset(2, output), p_.kept.inner(2), run, n);
    }
    std::fill_n(run, n, T(0));
    return run;
  }

  /// n elements of x or, of `sum_of`, their terms; `across` is the step from centre to centre.
  const T* take_run(int64_t offset, int64_t step, const T* centre, int64_t across, T* run,
                    int64_t n) const {
    const T* const from = read_(x_, offset, step, run, n);
    if (terms_ == nullptr) return from;
    terms_(from, centre, across, run, n);
    return run;
  }

  T fold_row(int64_t output, int64_t begin, int64_t end) const {
    const int64_t base = p_.kept.offset(0, output), step = p_.reduced.inner(0);
    T run[kRun], zero, total = fold_start<T>(p_.op);
    const T* const centre = terms_ == nullptr ? &zero : centres(output, &zero, 1);
    for_runs(p_.reduced, begin, end, [&](int64_t first, int64_t n) {
      const T* const from = take_run(base + p_.reduced.offset(0, first), step, centre, 0, run, n);
      const T part = fold_run(p_.op, from, n);
      fold_columns(p_.op, &total, &part, 1);
    });
    return total;
  }

  /// The rows of outputs [first, last), several at once.
  void fold_lines_of(int64_t first, int64_t last, T* value) const {
    T run[kRun], zeros[kRun];
    for_runs(p_.kept, first, last, [&](int64_t output, int64_t outputs) {
      const int64_t n = p_.count, base = p_.kept.offset(0, output);
      const T* const centre = terms_ == nullptr ? zeros : centres(output, zeros, outputs);
      const bool in_place = read_.same && terms_ == nullptr;
      const int64_t pitch = p_.kept.inner(0), most = in_place ? outputs : kRun / n;
      for (int64_t row = 0, rows; row < outputs; row += rows) {
        rows = std::min(most, outputs - row);
        for (int64_t r = 0; !in_place && r < rows; r++) {
          take_run(base + (row + r) * pitch, 1, centre + row + r, 0, run + r * n, n);
        }
        const T* const from = in_place ? read_(x_, base + row * pitch, 1, run, n) : run;
        fold_rows(p_.op, from, in_place ? pitch : n, rows, n, value + (output - first) + row);
      }
    });
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
    T run[kRun], zeros[kRun];
    const T* const centre = terms_ == nullptr ? zeros : centres(output, zeros, n);
    std::fill_n(value, n, fold_start<T>(p_.op));
    if (p_.dense && n == p_.outputs) begin = fold_lines(n, begin, end, value);
    for_reduced(begin, end, [&](int64_t at, int64_t) {
      fold_columns(p_.op, value, take_run(base + at, step, centre, 1, run, n), n);
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
  const TermsOf<T> terms_;    // null: of the elements themselves
  const void* const centre_;  // null: 0
  const RunReader<T> read_, read_centre_;
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

/// Returns how many elements are reduced to one.
int64_t check_reduced(const char* name, const Array& x, const Array& y) {
  bool fits = x.ndim == y.ndim;
  int64_t count = 1;
  for (int axis = 0; fits && axis < x.ndim; axis++) {
    fits = y.shape[axis] == x.shape[axis] || y.shape[axis] == 1;
    if (y.shape[axis] == 1) count *= x.shape[axis];
  }
  GG_CHECK(fits, name, "y must have x's shape, or length 1 along reduced axes, got x ", x, ", y ",
           y);
  return count;
}

void check_reduce(Reduce op, const Array& x, const Array& y) {
  const char* name = kReduce[static_cast<int>(op)];
  check_present(name, "x", x);
  if (op == Reduce::mean) check_floating(name, "x", x);
  check_dtype(name, "y", y, result_dtype(op, x.dtype));
  const int64_t count = check_reduced(name, x, y);
  const bool needs_one = op == Reduce::max || op == Reduce::min || is_arg(op);
  GG_CHECK(!needs_one || count > 0 || y.size() == 0, name, "x ", x, " has no elements to reduce; ",
           name, " of nothing is not defined");
}

template <class T>
void reduce_as(const Plan& plan, const Array& x, const Array& y, const Array& workspace) {
  const Reduction<T> reduction(plan, x, y, workspace);
  plan.count == 0 ? reduction.run_empty() : reduction.run();
}

void check_sum_of(const Array& x, const Array& centre, const Array& y) {
  check_floating("sum_of", "x", x);
  check_dtype("sum_of", "y", y, accumulation(x.dtype));
  if (centre) {
    check_same_shape("sum_of", "y", y, "centre", centre);
    GG_CHECK(centre.dtype == x.dtype || centre.dtype == y.dtype, "sum_of",
             "centre must have x's dtype or y's, got x ", x, ", centre ", centre);
  }
  check_reduced("sum_of", x, y);
}

template <class T>
void sum_terms(const Plan& plan, Unary f, const Array& x, const Array& centre, const Array& y,
               const Array& workspace) {
  const TermsOf<T> terms = terms_of<T>(f);
  GG_CHECK(terms != nullptr, "sum_of", "f must be square or exp, got ", kUnary[int(f)].name);
  const Reduction<T> reduction(plan, x, y, workspace, terms, centre);
  plan.count == 0 ? reduction.run_empty() : reduction.run();
}

}  // namespace

int64_t sum_of_workspace(const Array& x, const Array& y) {
  check_sum_of(x, {}, y);
  return make_plan(Reduce::sum, x, y, true).workspace();
}

void sum_of(Stream, Unary f, const Array& x, const Array& centre, const Array& y,
            const Array& workspace) {
  check_sum_of(x, centre, y);
  const Plan plan = make_plan(Reduce::sum, x, y, true, centre);
  check_workspace("sum_of", workspace, plan.workspace());
  if (plan.outputs == 0) return;
  if (x.dtype == DType::f64) return sum_terms<double>(plan, f, x, centre, y, workspace);
  sum_terms<float>(plan, f, x, centre, y, workspace);
}

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
