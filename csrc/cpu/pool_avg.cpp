// Average pooling and its gradient on CPU threads; ops.h has the formulas. The loops run over lines
// of windows (cpu/pool_lines.h). Bound: memory bandwidth.
#include "cpu/pool_lines.h"
#include "cpu/rows.h"

namespace gg {
namespace {

/// What the sum of a window is divided by.
struct Divisor {
  const Windows& w;
  bool count_include_pad;
  int64_t given;

  int64_t along(int axis, int64_t o) const {
    const WindowAxis& a = w.axis[axis];
    return count_include_pad ? a.padded_taps(o) : a.end_tap(o) - a.first_tap(o);
  }
  int64_t of_row(int64_t z, int64_t y) const { return given ? given : along(0, z) * along(1, y); }

  /// For the windows of a row: of_row times this.
  template <class A>
  std::vector<A> along_row() const {
    const int64_t n = w.axis[2].out;
    std::vector<A> divisors(static_cast<size_t>(n), A(1));
    for (int64_t o = 0; o < n && !given; o++) divisors[o] = static_cast<A>(along(2, o));
    return divisors;
  }
};

template <class A, class... From>
[[gnu::always_inline]] inline void add_line(A* __restrict sum, int64_t n,
                                            const From* __restrict... from) {
  for (int64_t o = 0; o < n; o++) {
    A s = sum[o];
    ((s += from[o]), ...);
    sum[o] = s;
  }
}

/// Their sum, one after the other.
template <class A>
inline A few_terms(const A* x, int64_t step, int64_t n) {
  A sum = 0;
  for (int64_t i = 0; i < n; i++) sum += x[i * step];
  return sum;
}

template <class A>
class AvgPool {
 public:
  AvgPool(const Array& x, const Array& y, const Windows& w, bool count_include_pad, int64_t divisor)
      : w_(whole_axes(w, Image(x))),
        divisor_{w_, count_include_pad, divisor},
        x_(x),
        y_(y),
        from_(x),
        to_(y) {}

  void run() const {
    const auto& [z, y, x] = w_.axis;
    for_lines(
        along_channels(x_), y_, {z.out, y.out, x.out}, w_.taps(),
        [&](int64_t b, int64_t e) { channels(b, e); }, [&](int64_t b, int64_t e) { rows(b, e); });
  }

 private:
  /// Lines along the width.
  void rows(int64_t begin, int64_t end) const {
    const WindowAxis& x = w_.axis[2];
    const bool dealt = deals_well(x);
    LineReader<A> lines(from_, x.size);
    LineWriter<A> results(to_, x.out);
    Phases<A> phases(dealt ? x : WindowAxis(), A(0));
    const std::vector<A> divisors = divisor_.along_row<A>();
    for_each_place(begin, end, y_.channels, w_.axis[0].out, w_.axis[1].out, 1, [&](Place p) {
      A* const sum = results.open(y_.offset(p.n, p.c, p.z, p.y, 0), y_.axis[2]);
      std::fill(sum, sum + x.out, A(0));
      for_each_tap_row(w_, p.z, p.y, [&](int64_t z, int64_t y, int64_t, int64_t) {
        const A* const line = lines.read(x_.offset(p.n, p.c, z, y, 0), x_.axis[2]);
        if (dealt) {
          phases.deal(line);
          in_threes(
              0, x.kernel, [&](int64_t t) { return phases.tap(t); },
              [&](int64_t, auto... from) { add_line(sum, x.out, from...); });
        } else {
          one_by_one(line, sum);
        }
      });
      const A rows = static_cast<A>(divisor_.of_row(p.z, p.y));
      for (int64_t o = 0; o < x.out; o++) sum[o] /= rows * divisors[o];
      results.close();
    });
  }

  void one_by_one(const A* line, A* sum) const {
    const WindowAxis& x = w_.axis[2];
    for (int64_t o = 0; o < x.out; o++) {
      const TapSpan span = spans_[static_cast<size_t>(o)];
      const A* const window = line + span.start + span.first * x.dilation;
      const int64_t n = span.end - span.first;
      sum[o] += n < kPartial<A> ? few_terms(window, x.dilation, n)
                                : row_sum<A>(n, [&](int64_t t) { return window[t * x.dilation]; });
    }
  }

  /// Lines along the channels.
  void channels(int64_t begin, int64_t end) const {
    const auto [az, ay, ax] = w_.axis;
    const int64_t n = y_.channels;
    LineReader<A> lines(from_, n, 3);
    LineWriter<A> results(to_, n);
    const std::vector<A> divisors = divisor_.along_row<A>();
    for_each_place(begin, end, 1, az.out, ay.out, ax.out, [&](Place p) {
      A* const sum = results.open(y_.offset(p.n, 0, p.z, p.y, p.x), y_.c);
      std::fill(sum, sum + n, A(0));
      for_each_tap_row(w_, p.z, p.y, [&](int64_t z, int64_t y, int64_t, int64_t) {
        const int64_t row = x_.offset(p.n, 0, z, y, ax.start(p.x));
        in_threes(
            ax.first_tap(p.x), ax.end_tap(p.x),
            [&](int64_t t) { return lines.read(row + t * ax.dilation * x_.axis[2], x_.c, t % 3); },
            [&](int64_t, auto... from) { add_line(sum, n, from...); });
      });
      const A divisor = static_cast<A>(divisor_.of_row(p.z, p.y)) * divisors[p.x];
      for (int64_t c = 0; c < n; c++) sum[c] /= divisor;
      results.close();
    });
  }

  const Windows w_;
  const std::vector<TapSpan> spans_ = tap_spans(w_.axis[2]);
  const Divisor divisor_;
  const Image x_, y_;
  const Array &from_, &to_;
};

template <class A>
class AvgPoolGrad {
 public:
  AvgPoolGrad(const Array& dy, const Array& dx, const Windows& w, bool count_include_pad,
              int64_t divisor)
      : w_(whole_axes(w, Image(dx))),
        divisor_{w_, count_include_pad, divisor},
        y_(dy),
        x_(dx),
        from_(dy),
        to_(dx) {}

  void run() const {
    const auto& [z, y, x] = w_.axis;
    for_lines(
        along_channels(x_), x_, {z.size, y.size, x.size}, 4,
        [&](int64_t b, int64_t e) { channels(b, e); }, [&](int64_t b, int64_t e) { rows(b, e); });
  }

 private:
  void rows(int64_t begin, int64_t end) const {
    const WindowAxis& x = w_.axis[2];
    const bool dealt = deals_well(x);
    LineReader<A> lines(from_, x.out);
    LineWriter<A> results(to_, x.size);
    Phases<A> phases(dealt ? x : WindowAxis(), A(0));
    const std::vector<A> divisors = divisor_.along_row<A>();
    std::vector<A> share(static_cast<size_t>(x.out));
    for_each_place(begin, end, x_.channels, w_.axis[0].size, w_.axis[1].size, 1, [&](Place p) {
      A* const dx = results.open(x_.offset(p.n, p.c, p.z, p.y, 0), x_.axis[2]);
      if (dealt) {
        phases.clear();
      } else {
        std::fill(dx, dx + x.size, A(0));
      }
      for_each_window_row(w_, p.z, p.y, [&](int64_t oz, int64_t, int64_t oy, int64_t) {
        const A* const dy = lines.read(y_.offset(p.n, p.c, oz, oy, 0), y_.axis[2]);
        const A rows = static_cast<A>(divisor_.of_row(oz, oy));
        for (int64_t o = 0; o < x.out; o++) share[o] = dy[o] / (rows * divisors[o]);
        if (!dealt) return one_by_one(dx, share.data());
        for (int64_t t = x.kernel - 1; t >= 0; t--) {  // so each input meets its windows ascending
          add_line(phases.tap(t), x.out, share.data());
        }
      });
      if (dealt) phases.collect(dx);
      results.close();
    });
  }

  void one_by_one(A* dx, const A* share) const {
    const WindowAxis& x = w_.axis[2];
    for (int64_t o = 0; o < x.out; o++) {
      const TapSpan span = spans_[static_cast<size_t>(o)];
      A* const window = dx + span.start;
      for (int64_t t = span.first; t < span.end; t++) window[t * x.dilation] += share[o];
    }
  }

  void channels(int64_t begin, int64_t end) const {
    const auto [az, ay, ax] = w_.axis;
    const int64_t n = x_.channels;
    LineReader<A> lines(from_, n);
    LineWriter<A> results(to_, n);
    const std::vector<A> divisors = divisor_.along_row<A>();
    for_each_place(begin, end, 1, az.size, ay.size, ax.size, [&](Place p) {
      A* const dx = results.open(x_.offset(p.n, 0, p.z, p.y, p.x), x_.c);
      std::fill(dx, dx + n, A(0));
      for_each_window_row(w_, p.z, p.y, [&](int64_t oz, int64_t, int64_t oy, int64_t) {
        const A rows = static_cast<A>(divisor_.of_row(oz, oy));
        for (int64_t o = ax.first_window(p.x); o < ax.end_window(p.x); o++) {
          if (ax.tap(o, p.x) < 0) continue;
          const A* const dy = lines.read(y_.offset(p.n, 0, oz, oy, o), y_.c);
          const A divisor = rows * divisors[o];
          for (int64_t c = 0; c < n; c++) dx[c] += dy[c] / divisor;
        }
      });
      results.close();
    });
  }

  const Windows w_;
  const std::vector<TapSpan> spans_ = tap_spans(w_.axis[2]);
  const Divisor divisor_;
  const Image y_, x_;
  const Array &from_, &to_;
};

}  // namespace

void avg_pool(Stream, const Array& x, const Array& y, const PoolWindow& window,
              bool count_include_pad, int64_t divisor) {
  const Windows w = avg_pool_windows("avg_pool", window, x, y, divisor);
  if (y.size() == 0) return;
  if (x.dtype == DType::f64) return AvgPool<double>(x, y, w, count_include_pad, divisor).run();
  AvgPool<float>(x, y, w, count_include_pad, divisor).run();
}

void avg_pool_grad(Stream, const Array& dy, const Array& dx, const PoolWindow& window,
                   bool count_include_pad, int64_t divisor) {
  const Windows w = avg_pool_windows("avg_pool_grad", window, dx, dy, divisor);
  if (dx.size() == 0) return;
  if (dx.dtype == DType::f64) {
    return AvgPoolGrad<double>(dy, dx, w, count_include_pad, divisor).run();
  }
  AvgPoolGrad<float>(dy, dx, w, count_include_pad, divisor).run();
}

}  // namespace gg
