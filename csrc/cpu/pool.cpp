// Max pooling and its gradient on CPU threads; ops.h has the formulas. The loops run over lines of
// windows (cpu/pool_lines.h): no result depends on which form is taken. Bound: memory bandwidth.
#include <limits>

#include "cpu/pool_two.h"

namespace gg {
namespace {

/// What no element of a dtype is below.
template <class A>
A least(DType dtype) {
  if constexpr (std::is_floating_point_v<A>) {
    return -std::numeric_limits<A>::infinity();
  } else {
    A lowest = 0;
    dispatch_stored<A>(dtype, [&](auto tag) {
      lowest = std::numeric_limits<typename decltype(tag)::type>::lowest();
    });
    return lowest;
  }
}

/// Taps tap, tap + 1, ... of n windows.
template <class A, class Number, class... From>
inline void take_line(A* best, Number* index, int64_t n, int64_t tap, const From*... from) {
  using L = Lanes<A>;
  int64_t o = 0;
  for (; o + L::n <= n; o += L::n) {
    auto b = L::load(best + o);
    auto k = L::load_numbers(index + o);
    int64_t t = tap;
    (take_lanes<A>(b, k, L::load(from + o), t++), ...);
    L::store(best + o, b);
    L::store_numbers(index + o, k);
  }
  for (; o < n; o++) {
    int64_t t = tap;
    (take(best[o], index[o], from[o], t++), ...);
  }
}

template <class A, class I>
class MaxPool {
 public:
  MaxPool(const Array& x, const Array& y, const Array& index, const Windows& w)
      : w_(whole_axes(w, Image(x))), x_(x), y_(y), i_(index), from_(x), to_(y), at_(index) {}

  void run() const {
    if constexpr (std::is_same_v<A, float> && std::is_same_v<I, uint8_t>) {
      if (from_.dtype == DType::f32 && two_by_two(w_, x_, y_, i_)) {
        const float* const from = from_.as<float>();
        float* const to = to_.as<float>();
        I* const at = at_.as<I>();
        return for_each_two(w_, x_, y_, i_, [=, this](int64_t y, int64_t i, int64_t x, int64_t n) {
          max_two(from + x, from + x + x_.axis[1], to + y, at + i, n);
        });
      }
    }
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
    LineWriter<I> numbers(at_, x.out);
    Phases<A> phases(dealt ? x : WindowAxis(), least_);
    std::vector<int32_t> first(static_cast<size_t>(x.out));
    for (int64_t o = 0; o < x.out; o++) first[o] = first_inside(x, o);
    for_each_place(begin, end, y_.channels, w_.axis[0].out, w_.axis[1].out, 1, [&](Place p) {
      A* const best = results.open(y_.offset(p.n, p.c, p.z, p.y, 0), y_.axis[2]);
      I* const index = numbers.open(i_.offset(p.n, p.c, p.z, p.y, 0), i_.axis[2]);
      start(p, best, index, x.out, first.data());
      for_each_tap_row(w_, p.z, p.y, [&](int64_t z, int64_t y, int64_t kz, int64_t ky) {
        const A* const line = lines.read(x_.offset(p.n, p.c, z, y, 0), x_.axis[2]);
        const int64_t tap = w_.tap_number(kz, ky, 0);
        if (dealt) {
          phases.deal(line);
          in_threes(
              0, x.kernel, [&](int64_t t) { return phases.tap(t); },
              [&](int64_t t, auto... from) { take_line(best, index, x.out, tap + t, from...); });
        } else {
          one_by_one(line, best, index, tap);
        }
      });
      results.close();
      numbers.close();
    });
  }

  void one_by_one(const A* line, A* best, I* index, int64_t tap) const {
    const WindowAxis& x = w_.axis[2];
    for (int64_t o = 0; o < x.out; o++) {
      const TapSpan span = spans_[static_cast<size_t>(o)];
      const A* const window = line + span.start;
      for (int64_t t = span.first; t < span.end; t++) {
        take(best[o], index[o], window[t * x.dilation], tap + t);
      }
    }
  }

  /// Lines along the channels.
  void channels(int64_t begin, int64_t end) const {
    const auto [az, ay, ax] = w_.axis;
    const int64_t n = y_.channels;
    LineReader<A> lines(from_, n, 3);
    LineWriter<A> results(to_, n);
    LineWriter<I> numbers(at_, n);
    std::vector<int32_t> first(static_cast<size_t>(n));
    for_each_place(begin, end, 1, az.out, ay.out, ax.out, [&](Place p) {
      A* const best = results.open(y_.offset(p.n, 0, p.z, p.y, p.x), y_.c);
      I* const index = numbers.open(i_.offset(p.n, 0, p.z, p.y, p.x), i_.c);
      std::fill(first.begin(), first.end(), first_inside(ax, p.x));
      start(p, best, index, n, first.data());
      for_each_tap_row(w_, p.z, p.y, [&](int64_t z, int64_t y, int64_t kz, int64_t ky) {
        const int64_t row = x_.offset(p.n, 0, z, y, ax.start(p.x));
        in_threes(
            ax.first_tap(p.x), ax.end_tap(p.x),
            [&](int64_t t) { return lines.read(row + t * ax.dilation * x_.axis[2], x_.c, t % 3); },
            [&](int64_t t, auto... from) {
              take_line(best, index, n, w_.tap_number(kz, ky, t), from...);
            });
      });
      results.close();
      numbers.close();
    });
  }

  /// The first tap of window o inside, -1 if none is.
  static int32_t first_inside(const WindowAxis& w, int64_t o) {
    return static_cast<int32_t>(w.first_tap(o) < w.end_tap(o) ? w.first_tap(o) : -1);
  }

  /// Every window begins with its first tap inside, which stays if nothing is above the lowest; a
  /// window with none inside has tap 0 of that value.
  void start(const Place& p, A* best, I* index, int64_t n, const int32_t* first) const {
    const int32_t z = first_inside(w_.axis[0], p.z), y = first_inside(w_.axis[1], p.y);
    const int32_t tap = static_cast<int32_t>(w_.tap_number(z, y, 0));
    for (int64_t o = 0; o < n; o++) {
      best[o] = least_;
      index[o] = static_cast<I>(z < 0 || y < 0 || first[o] < 0 ? 0 : tap + first[o]);
    }
  }

  const Windows w_;
  const std::vector<TapSpan> spans_ = tap_spans(w_.axis[2]);
  const Image x_, y_, i_;
  const Array &from_, &to_, &at_;
  const A least_ = least<A>(from_.dtype);
};

/// dx[o] += dy[o] where the window's maximum is its tap `tap`.
template <class A, class I>
inline void give_line(A* dx, const A* dy, const I* index, int64_t n, int64_t tap) {
  using L = Lanes<A>;
  int64_t o = 0;
  for (; o + L::n <= n; o += L::n) {
    const auto taken = L::load_numbers(index + o) == static_cast<typename L::Index>(tap);
    const auto given = L::load(dy + o);
    L::store(dx + o, L::load(dx + o) + (taken ? given : typename L::Values{}));
  }
  for (; o < n; o++) dx[o] += index[o] == tap ? dy[o] : A(0);
}

template <class A, class I>
class MaxPoolGrad {
 public:
  MaxPoolGrad(const Array& dy, const Array& index, const Array& dx, const Windows& w)
      : w_(whole_axes(w, Image(dx))), y_(dy), i_(index), x_(dx), from_(dy), at_(index), to_(dx) {}

  void run() const {
    if constexpr (std::is_same_v<A, float> && std::is_same_v<I, uint8_t>) {
      if (from_.dtype == DType::f32 && two_by_two(w_, x_, y_, i_)) {
        const float* const from = from_.as<float>();
        const I* const at = at_.as<I>();
        float* const to = to_.as<float>();
        return for_each_two(w_, x_, y_, i_, [=, this](int64_t y, int64_t i, int64_t x, int64_t n) {
          give_two(from + y, at + i, to + x, to + x + x_.axis[1], n);
        });
      }
    }
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
    LineReader<I> numbers(at_, x.out);
    LineWriter<A> results(to_, x.size);
    Phases<A> phases(dealt ? x : WindowAxis(), A(0));
    for_each_place(begin, end, x_.channels, w_.axis[0].size, w_.axis[1].size, 1, [&](Place p) {
      A* const dx = results.open(x_.offset(p.n, p.c, p.z, p.y, 0), x_.axis[2]);
      if (dealt) {
        phases.clear();
      } else {
        std::fill(dx, dx + x.size, A(0));
      }
      for_each_window_row(w_, p.z, p.y, [&](int64_t oz, int64_t kz, int64_t oy, int64_t ky) {
        const A* const dy = lines.read(y_.offset(p.n, p.c, oz, oy, 0), y_.axis[2]);
        const I* const index = numbers.read(i_.offset(p.n, p.c, oz, oy, 0), i_.axis[2]);
        const int64_t tap = w_.tap_number(kz, ky, 0);
        if (!dealt) return one_by_one(dx, dy, index, tap);
        for (int64_t t = x.kernel - 1; t >= 0; t--) {  // so each input meets its windows ascending
          give_line(phases.tap(t), dy, index, x.out, tap + t);
        }
      });
      if (dealt) phases.collect(dx);
      results.close();
    });
  }

  void one_by_one(A* dx, const A* dy, const I* index, int64_t tap) const {
    const WindowAxis& x = w_.axis[2];
    for (int64_t o = 0; o < x.out; o++) {
      const int64_t t = static_cast<int64_t>(index[o]) - tap;
      const TapSpan span = spans_[static_cast<size_t>(o)];
      if (t >= span.first && t < span.end) dx[span.start + t * x.dilation] += dy[o];
    }
  }

  void channels(int64_t begin, int64_t end) const {
    const auto [az, ay, ax] = w_.axis;
    const int64_t n = x_.channels;
    LineReader<A> lines(from_, n);
    LineReader<I> numbers(at_, n);
    LineWriter<A> results(to_, n);
    for_each_place(begin, end, 1, az.size, ay.size, ax.size, [&](Place p) {
      A* const dx = results.open(x_.offset(p.n, 0, p.z, p.y, p.x), x_.c);
      std::fill(dx, dx + n, A(0));
      for_each_window_row(w_, p.z, p.y, [&](int64_t oz, int64_t kz, int64_t oy, int64_t ky) {
        for (int64_t o = ax.first_window(p.x); o < ax.end_window(p.x); o++) {
          const int64_t t = ax.tap(o, p.x);
          if (t < 0) continue;
          const A* const dy = lines.read(y_.offset(p.n, 0, oz, oy, o), y_.c);
          const I* const index = numbers.read(i_.offset(p.n, 0, oz, oy, o), i_.c);
          give_line(dx, dy, index, n, w_.tap_number(kz, ky, t));
        }
      });
      results.close();
    });
  }

  const Windows w_;
  const std::vector<TapSpan> spans_ = tap_spans(w_.axis[2]);
  const Image y_, i_, x_;
  const Array &from_, &at_, &to_;
};

/// Pool<A, I>(args...).run(): A is what elements of x are compared or added in, I the index's type.
template <template <class, class> class Pool, class A, class... Args>
void run(const Array& index, const Args&... args) {
  if (index.dtype == DType::u8) return Pool<A, uint8_t>(args...).run();
  Pool<A, int32_t>(args...).run();
}

}  // namespace

void max_pool(Stream, const Array& x, const Array& y, const Array& index,
              const PoolWindow& window) {
  const Windows w = max_pool_windows("max_pool", window, x, y, index);
  if (y.size() == 0) return;
  if (x.dtype == DType::f64) return run<MaxPool, double>(index, x, y, index, w);
  if (x.dtype == DType::i64) return run<MaxPool, int64_t>(index, x, y, index, w);
  if (is_integer(x.dtype)) return run<MaxPool, int32_t>(index, x, y, index, w);
  run<MaxPool, float>(index, x, y, index, w);
}

void max_pool_grad(Stream, const Array& dy, const Array& index, const Array& dx,
                   const PoolWindow& window) {
  const Windows w = max_pool_windows("max_pool_grad", window, dx, dy, index);
  if (dx.size() == 0) return;
  check_floating("max_pool_grad", "dy", dy);
  if (dx.dtype == DType::f64) return run<MaxPoolGrad, double>(index, dy, index, dx, w);
  run<MaxPoolGrad, float>(index, dy, index, dx, w);
}

}  // namespace gg
