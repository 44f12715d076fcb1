// y = c ? a : b on CPU threads, by broadcasting. Elements are moved as integers of their size, a
// run at a time; a and b may be numbers.
//
// Bytes: c, a, b once, y once. Bound: memory.
#include "core/checks.h"
#include "core/parallel.h"
#include "cpu/runs.h"
#include "device/types.h"
#include "ops/arrays.h"

namespace gg {
namespace {

/// The bits of a number in `dtype`.
template <class W>
W bits_of(const Scalar& number, DType dtype) {
  W bits = 0;
  dispatch_all(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if constexpr (sizeof(T) == sizeof(W)) {
      const T value = number.integral ? convert<T>(number.i) : convert<T>(number.f);
      bits = std::bit_cast<W>(value);
    }
  });
  return bits;
}

/// a or b: runs of neighbours, or one value.
template <class W>
struct Choice {
  const W* data;
  W number;
  int64_t step;

  Choice(const Operand& a, DType dtype, int64_t inner)
      : data(a.is_scalar() ? nullptr : a.array.as<W>()),
        number(a.is_scalar() ? bits_of<W>(a.scalar, dtype) : W(0)),
        step(a.is_scalar() ? 0 : inner) {}

  const W* read(int64_t offset, W* run, int64_t n) const {
    if (data == nullptr) return &number;
    if (step == 0 || step == 1) return data + offset;
    for (int64_t i = 0; i < n; i++) run[i] = data[offset + i * step];
    return run;
  }
};

/// Steps are 0 or 1.
template <int step_a, int step_b, class W>
void choose(const uint8_t* __restrict c, const W* __restrict a, const W* __restrict b,
            W* __restrict y, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    const W mask = static_cast<W>(-static_cast<W>(c[i] != 0));
    y[i] = static_cast<W>((a[i * step_a] & mask) | (b[i * step_b] & ~mask));
  }
}

template <class W>
void where_of(const Array& c, const Operand& a, const Operand& b, const Array& y) {
  const Array* const arrays[4] = {&y, &c, &a.array, &b.array};
  const Layout<4> layout = elementwise_layout(arrays);
  const Choice<W> left(a, y.dtype, layout.inner(2)), right(b, y.dtype, layout.inner(3));
  const int64_t step_c = layout.inner(1), step_y = layout.inner(0);
  parallel_for(layout.size, kGrain, [&](int64_t begin, int64_t end) {
    W run_a[kRun], run_b[kRun], run[kRun];
    uint8_t run_c[kRun];
    for_runs(layout, begin, end, [&](int64_t first, int64_t n) {
      const uint8_t* from_c = c.as<uint8_t>() + layout.offset(1, first);
      if (step_c != 1) {
        for (int64_t i = 0; i < n; i++) run_c[i] = from_c[i * step_c];
        from_c = run_c;
      }
      const W* const from_a = left.read(layout.offset(2, first), run_a, n);
      const W* const from_b = right.read(layout.offset(3, first), run_b, n);
      W* const to = y.as<W>() + layout.offset(0, first);
      W* const out = step_y == 1 ? to : run;
      if (left.step == 0 && right.step == 0) {
        choose<0, 0>(from_c, from_a, from_b, out, n);
      } else if (left.step == 0) {
        choose<0, 1>(from_c, from_a, from_b, out, n);
      } else if (right.step == 0) {
        choose<1, 0>(from_c, from_a, from_b, out, n);
      } else {
        choose<1, 1>(from_c, from_a, from_b, out, n);
      }
      if (step_y == 1) return;
      for (int64_t i = 0; i < n; i++) to[i * step_y] = run[i];
    });
  });
}

void check_choice(const char* name, const Operand& operand, const Array& y) {
  if (operand.is_scalar()) return;
  check_same_dtype("where", name, operand.array, "y", y);
  check_broadcasts("where", name, operand.array, y);
}

}  // namespace

void where(Stream, const Array& c, const Operand& a, const Operand& b, const Array& y) {
  check_present("where", "y", y);
  check_dtype("where", "c", c, DType::boolean);
  check_broadcasts("where", "c", c, y);
  check_choice("a", a, y);
  check_choice("b", b, y);
  if (y.size() == 0) return;
  dispatch_width(y.dtype, [&](auto tag) { where_of<typename decltype(tag)::type>(c, a, b, y); });
}

}  // namespace gg
