// Windows as columns and back (im2col, col2im) on CPU threads; ops.h has the formulas.
#include "core/resample_checks.h"
#include "cpu/pool_lines.h"

namespace gg {
namespace {

/// The windows [first, end) along an axis whose tap t lies inside.
struct Inside {
  int64_t first, end;

  Inside(const WindowAxis& w, int64_t t) {
    const int64_t before = w.padding - t * w.dilation, room = w.size + before;
    first = before > 0 ? ceil_div(before, w.stride) : 0;
    end = room > 0 ? std::min(w.out, ceil_div(room, w.stride)) : 0;
    first = std::min(first, w.out);
    end = std::max(end, first);
  }
  bool holds(int64_t o) const { return o >= first && o < end; }
};

/// A tap of a channel of an image: a row of y.
struct Row {
  int64_t n, c, kz, ky, kx;

  Row(int64_t i, int64_t channels, const Windows& w) {
    kx = i % w.axis[2].kernel;
    i /= w.axis[2].kernel;
    ky = i % w.axis[1].kernel;
    i /= w.axis[1].kernel;
    kz = i % w.axis[0].kernel;
    i /= w.axis[0].kernel;
    c = i % channels;
    n = i / channels;
  }
};

template <class T>
void unfold_row(const Windows& w, const Row& row, const Image& image, const T* x, T* y,
                int64_t step) {
  const auto [az, ay, ax] = w.axis;
  const Inside zs(az, row.kz), ys(ay, row.ky), xs(ax, row.kx);
  for (int64_t oz = 0; oz < az.out; oz++) {
    for (int64_t oy = 0; oy < ay.out; oy++, y += ax.out * step) {
      const bool inside = zs.holds(oz) && ys.holds(oy);
      const int64_t first = inside ? xs.first : ax.out, end = inside ? xs.end : ax.out;
      for (int64_t o = 0; o < first; o++) y[o * step] = T(0);
      if (first < end) {
        const T* const from = x + image.offset(row.n, row.c, az.start(oz) + row.kz * az.dilation,
                                               ay.start(oy) + row.ky * ay.dilation,
                                               ax.start(first) + row.kx * ax.dilation);
        const int64_t x_step = ax.stride * image.axis[2];
        for (int64_t o = first; o < end; o++) y[o * step] = from[(o - first) * x_step];
      }
      for (int64_t o = end; o < ax.out; o++) y[o * step] = T(0);
    }
  }
}

/// One row of x: its windows' taps, summed ascending.
template <class T>
void fold_row(const Windows& w, const Place& p, const Array& y, std::vector<Wide<T>>& sum) {
  const WindowAxis& x = w.axis[2];
  std::fill(sum.begin(), sum.end(), Wide<T>(0));
  const T* const image = y.as<T>() + p.n * y.stride[0] + p.c * w.taps() * y.stride[1];
  for_each_window_row(w, p.z, p.y, [&](int64_t oz, int64_t kz, int64_t oy, int64_t ky) {
    const int64_t l = (oz * w.axis[1].out + oy) * x.out;
    for (int64_t t = x.kernel - 1; t >= 0; t--) {  // so each input meets its windows ascending
      const Inside inside(x, t);
      const T* const from = image + w.tap_number(kz, ky, t) * y.stride[1] + l * y.stride[2];
      Wide<T>* const to = sum.data() + t * x.dilation - x.padding;
      for (int64_t o = inside.first; o < inside.end; o++) {
        to[o * x.stride] += convert<Wide<T>>(from[o * y.stride[2]]);
      }
    }
  });
}

}  // namespace

void unfold(Stream, const Array& x, const Array& y, const PoolWindow& window, const Sizes& out) {
  const Windows w = unfold_windows("unfold", x, y, window, out);
  if (y.size() == 0) return;
  const Image image(x);
  dispatch_width(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    parallel_for(
        y.shape[0] * y.shape[1], line_grain(y.shape[2], 1), [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; i++) {
            T* const to = y.as<T>() + i / y.shape[1] * y.stride[0] + i % y.shape[1] * y.stride[1];
            unfold_row(w, Row(i, image.channels, w), image, x.as<T>(), to, y.stride[2]);
          }
        });
  });
}

void fold(Stream, const Array& y, const Array& x, const PoolWindow& window, const Sizes& out) {
  check_floating("fold", "y", y);
  const Windows w = unfold_windows("fold", x, y, window, out);
  if (x.size() == 0) return;
  const Image image(x);
  const auto [az, ay, ax] = w.axis;
  dispatch_floating(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    parallel_for(image.images * image.channels * az.size * ay.size, line_grain(ax.size, ax.kernel),
                 [&](int64_t begin, int64_t end) {
                   std::vector<Wide<T>> sum(static_cast<size_t>(ax.size));
                   for_each_place(
                       begin, end, image.channels, az.size, ay.size, 1, [&](const Place& p) {
                         fold_row<T>(w, p, y, sum);
                         write_run(sum.data(), x.as<T>() + image.offset(p.n, p.c, p.z, p.y, 0),
                                   image.axis[2], ax.size);
                       });
                 });
  });
}

}  // namespace gg
