// Element-wise functions of two arrays of a floating dtype on CPU threads: y = f(a, b).
//
// a and b broadcast; one may be a number. NumPy computes integers and bool, and what is one loop of
// its own; this module the half types, in float32 and rounded once, and the derivatives of
// activations in one pass. Work is cut into runs as in unary.cpp.
#include <type_traits>

#include "core/checks.h"
#include "core/parallel.h"
#include "cpu/math.h"
#include "cpu/runs.h"
#include "ops/arrays.h"

namespace gg {
namespace {

#define GG_RUN_CASE(name, domain, result)                                        \
  case Binary::name:                                                             \
    if constexpr (accepts<T>(Domain::domain)) {                                  \
      _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++) {                     \
        y[i] = static_cast<T>(RunBinary<T>::name(a[i * step_a], b[i * step_b])); \
      }                                                                          \
    }                                                                            \
    break;

/// y[i] = f(a[i], b[i]), for step 0 a[0] or b[0]; y may be a or b. A comparison gives 0 or 1.
template <int step_a, int step_b, class T>
void map_run(Binary op, const T* a, const T* b, T* y, int64_t n) {
  switch (op) { GG_BINARY_LIST(GG_RUN_CASE) }
}

#undef GG_RUN_CASE

/// An operand's elements in the type that is computed in; a value that repeats is read once.
template <class S>
struct Source {
  using T = Wide<S>;
  const S* data;
  T number;
  int64_t step;

  Source(const Operand& a, int64_t inner)
      : data(a.is_scalar() ? nullptr : a.array.as<S>()),
        number(a.is_scalar() ? a.scalar.as<T>() : T(0)),
        step(a.is_scalar() ? 0 : inner) {}

  /// n elements from `offset`: in place where they lie as needed, else in `run`.
  const T* read(int64_t offset, T* run, int64_t n) const {
    if (data == nullptr) return &number;
    if constexpr (std::is_same_v<S, T>) {
      if (step == 1) return data + offset;
    }
    read_run(data + offset, step, run, step == 0 ? 1 : n);
    return run;
  }
};

/// a, b have dtype S; y has R, which is S or bool.
template <class S, class R>
void map_arrays(Binary op, const Operand& a, const Operand& b, const Array& y) {
  using T = Wide<S>;
  const Array* const arrays[3] = {&y, &a.array, &b.array};
  const Layout<3> layout = elementwise_layout(arrays);
  const Source<S> left(a, layout.inner(1)), right(b, layout.inner(2));
  parallel_for(layout.size, kGrain, [&](int64_t begin, int64_t end) {
    T run_a[kRun], run_b[kRun], run[kRun];
    for_runs(layout, begin, end, [&](int64_t first, int64_t n) {
      const T* const from_a = left.read(layout.offset(1, first), run_a, n);
      const T* const from_b = right.read(layout.offset(2, first), run_b, n);
      R* const to = y.as<R>() + layout.offset(0, first);
      T* out = run;
      if constexpr (std::is_same_v<R, T>) out = layout.inner(0) == 1 ? to : run;
      if (left.step == 0 && right.step == 0) {
        map_run<0, 0>(op, from_a, from_b, out, n);
      } else if (left.step == 0) {
        map_run<0, 1>(op, from_a, from_b, out, n);
      } else if (right.step == 0) {
        map_run<1, 0>(op, from_a, from_b, out, n);
      } else {
        map_run<1, 1>(op, from_a, from_b, out, n);
      }
      if (out == run) write_run(run, to, layout.inner(0), n);
    });
  });
}

}  // namespace

void binary(Stream, Binary op, const Operand& a, const Operand& b, const Array& y) {
  const Functor& functor = kBinary[static_cast<int>(op)];
  GG_CHECK(!a.is_scalar() || !b.is_scalar(), functor.name, "a and b are both numbers");
  const DType dtype = a.is_scalar() ? b.array.dtype : a.array.dtype;
  GG_CHECK(a.is_scalar() || b.is_scalar() || a.array.dtype == b.array.dtype, functor.name,
           "a and b must have one dtype, got ", a, " and ", b);
  GG_CHECK(functor.domain != Domain::integer, functor.name, "not defined for ", dtype);
  const bool predicate = functor.result == Result::boolean;
  check_dtype(functor.name, "y", y, predicate ? DType::boolean : dtype);
  if (!a.is_scalar()) check_broadcasts(functor.name, "a", a.array, y);
  if (!b.is_scalar()) check_broadcasts(functor.name, "b", b.array, y);
  if (y.size() == 0) return;
  dispatch_floating(
      dtype,
      [&](auto tag) {
        using S = typename decltype(tag)::type;
        if (predicate) {
          map_arrays<S, bool>(op, a, b, y);
        } else {
          map_arrays<S, S>(op, a, b, y);
        }
      },
      functor.name);
}

}  // namespace gg
