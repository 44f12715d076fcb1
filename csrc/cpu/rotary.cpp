// Rotary positions on CPU threads: pairs of x turned by angles, the rest of each row copied.
#include "core/rotary_problem.h"
#include "cpu/rows.h"
#include "cpu/runs.h"
#include "ops/text.h"

namespace gg {
namespace {

template <class T>
struct Rotation {
  using A = Wide<T>;

  const RotaryProblem& p;
  const T* x;
  T* y;
  const A *cos, *sin;

  /// Pairs i .. i + n - 1 of a row.
  void turn(int64_t row, int64_t i, int64_t n) const {
    A a[kRun], b[kRun], c[kRun], s[kRun];
    const int64_t first = i * p.apart(), second = first + p.second();
    const T* const from = x + p.rows.offset(0, row);
    read_run(from + first * p.step[0], p.apart() * p.step[0], a, n);
    read_run(from + second * p.step[0], p.apart() * p.step[0], b, n);
    read_run(cos + p.rows.offset(2, row) + i * p.step[2], p.step[2], c, n);
    read_run(sin + p.rows.offset(3, row) + i * p.step[3], p.step[3], s, n);
    const A sign = p.inverse ? A(-1) : A(1);
    for (int64_t k = 0; k < n; k++) {
      const A u = a[k] * c[k] - b[k] * (sign * s[k]);
      b[k] = b[k] * c[k] + a[k] * (sign * s[k]);
      a[k] = u;
    }
    T* const to = y + p.rows.offset(1, row);
    write_run(a, to + first * p.step[1], p.apart() * p.step[1], n);
    write_run(b, to + second * p.step[1], p.apart() * p.step[1], n);
  }

  void copy_rest(int64_t row) const {
    const T* const from = x + p.rows.offset(0, row);
    T* const to = y + p.rows.offset(1, row);
    for (int64_t i = 2 * p.half; i < p.width; i++) to[i * p.step[1]] = from[i * p.step[0]];
  }
};

}  // namespace

void rotary(Stream, const Array& x, const Array& cos, const Array& sin, bool interleaved,
            bool inverse, const Array& y) {
  const RotaryProblem p = rotary_problem(x, cos, sin, interleaved, inverse, y);
  if (p.width == 0) return;
  dispatch_floating(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using A = Wide<T>;
    const Rotation<T> rotation{p, x.as<const T>(), y.as<T>(), cos.as<const A>(), sin.as<const A>()};
    parallel_for(p.rows.size, row_grain(p.width), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; row++) {
        for (int64_t i = 0; i < p.half; i += kRun) {
          rotation.turn(row, i, std::min(kRun, p.half - i));
        }
        rotation.copy_rest(row);
      }
    });
  });
}

}  // namespace gg
