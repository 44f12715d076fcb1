// The gradient of a normalisation whose coefficients belong to channels, in two steps: sums over
// each channel's positions, and dx from them. For batch and group normalisation.
#pragma once

#include "cpu/norm_channels.h"

namespace gg::norm {

/// x, dy, y, dx, dresidual: of those that are none, strides are 0 and pointers null.
constexpr int kX = 0, kDy = 1, kY = 2, kDx = 3, kDresidual = 4, kArrays = 5;

template <class T>
struct Gradient {
  using A = Wide<T>;
  Image<kArrays> image;
  T* data[kArrays];
  bool relu;
  std::vector<A> mean, rstd, scale;  // scale = weight rstd
  PerSlice<A> sums, products;        // of dz, of dz (x - mean)
  std::vector<A> shift, slope;       // dx = scale dz - shift - slope (x - mean)

  Gradient(const Array& x, const Array& dy, const Array& y, const Array& dx, const Array& dresidual)
      : image({x, dy, y ? y : x, dx, dresidual ? dresidual : dx}),
        data{x.as<T>(), dy.as<T>(), y.as<T>(), dx.as<T>(), dresidual.as<T>()},
        relu(y),
        sums(image.slices * image.channels),
        products(sums.size()),
        shift(image.channels),
        slope(image.channels) {}

  /// Where array k's channel c begins.
  T* channel(int k, int64_t c) const { return data[k] ? data[k] + c * image.stride[k] : nullptr; }
};

/// The runs that a thread works on.
template <class T>
struct Runs {
  Run<T> dy, x, y, dx, dresidual;
};

/// dz: dy itself, or, in a buffer, 0 where y is not above 0.
template <class A>
inline const A* masked(const A* dy, const A* y, A* __restrict buffer, int64_t n) {
  if (!y) return dy;
  for (int64_t i = 0; i < n; i++) buffer[i] = y[i] > 0 ? dy[i] : A(0);
  return buffer;
}

/// Coefficients are numbers (Same) or vectors (pointers).
template <class A, class C>
inline void gradient_run(const A* dz, const A* x, A* __restrict dx, int64_t n, C mean, C scale,
                         C shift, C slope) {
  for (int64_t i = 0; i < n; i++) {
    dx[i] = std::fma(scale[i], dz[i], std::fma(mean[i] - x[i], slope[i], -shift[i]));
  }
}

template <class T>
inline void sum_channel(Gradient<T>& g, int64_t s, int64_t c, int64_t begin, int64_t end) {
  using A = Wide<T>;
  const auto& outer = g.image.outer;
  Runs<T> runs;
  A masks[kRun], sum = 0, product = 0;
  const A mean = g.mean[c];
  for_packed_runs(outer, begin, end, [&](int64_t first, int64_t n) {
    const A* const dy = runs.dy.read(outer, kDy, g.channel(kDy, c), first, n);
    const A* const x = runs.x.read(outer, kX, g.channel(kX, c), first, n);
    const A* const y = g.relu ? runs.y.read(outer, kY, g.channel(kY, c), first, n) : nullptr;
    const A* const dz = masked(dy, y, masks, n);
    sum += row_sum<A>(n, [&](int64_t i) { return dz[i]; });
    product += row_sum<A>(n, [&](int64_t i) { return dz[i] * (x[i] - mean); });
  });
  g.sums[s * g.image.channels + c] = sum;
  g.products[s * g.image.channels + c] = product;
}

template <class T>
inline void write_channel(const Gradient<T>& g, int64_t c, int64_t begin, int64_t end) {
  using A = Wide<T>;
  const auto& outer = g.image.outer;
  Runs<T> runs;
  A masks[kRun];
  for_packed_runs(outer, begin, end, [&](int64_t first, int64_t n) {
    const A* const dy = runs.dy.read(outer, kDy, g.channel(kDy, c), first, n);
    const A* const x = runs.x.read(outer, kX, g.channel(kX, c), first, n);
    const A* const y = g.relu ? runs.y.read(outer, kY, g.channel(kY, c), first, n) : nullptr;
    const A* const dz = masked(dy, y, masks, n);
    T* const dx = g.channel(kDx, c);
    gradient_run(dz, x, runs.dx.open(outer, kDx, dx, first, n), n, Same<A>{g.mean[c]},
                 Same<A>{g.scale[c]}, Same<A>{g.shift[c]}, Same<A>{g.slope[c]});
    runs.dx.write(outer, kDx, dx, first, n);
    if (T* const dresidual = g.channel(kDresidual, c)) {
      std::copy_n(dz, n, runs.dresidual.open(outer, kDresidual, dresidual, first, n));
      runs.dresidual.write(outer, kDresidual, dresidual, first, n);
    }
  });
}

/// Adds dz and dz (x - mean) of a tile to the slice's sums.
template <class T>
inline void sum_tile(Gradient<T>& g, int64_t s, int64_t c, int64_t width, int64_t begin,
                     int64_t end) {
  using A = Wide<T>;
  const auto& image = g.image;
  Runs<T> runs;
  A masks[kTileWidth], sum[kTileWidth] = {}, product[kTileWidth] = {};
  const A* const mean = &g.mean[c];
  for (int64_t position = begin; position < end; position++) {
    const auto read = [&](Run<T>& run, int k) {
      return run.read(g.channel(k, c) + image.outer.offset(k, position), image.stride[k], width);
    };
    const A* const dz =
        masked(read(runs.dy, kDy), g.relu ? read(runs.y, kY) : nullptr, masks, width);
    const A* const x = read(runs.x, kX);
    for (int64_t i = 0; i < width; i++) {
      sum[i] += dz[i];
      product[i] += dz[i] * (x[i] - mean[i]);
    }
  }
  A* const sums = &g.sums[s * image.channels + c];
  A* const products = &g.products[s * image.channels + c];
  for (int64_t i = 0; i < width; i++) sums[i] += sum[i], products[i] += product[i];
}

template <class T>
inline void write_positions(const Gradient<T>& g, int64_t begin, int64_t end) {
  using A = Wide<T>;
  const auto& image = g.image;
  Runs<T> runs;
  A masks[kRun];
  for (int64_t position = begin; position < end; position++) {
    for (int64_t c = 0; c < image.channels; c += kRun) {
      const int64_t n = std::min(kRun, image.channels - c);
      const auto at = [&](int k) { return g.channel(k, c) + image.outer.offset(k, position); };
      const A* const dy = runs.dy.read(at(kDy), image.stride[kDy], n);
      const A* const x = runs.x.read(at(kX), image.stride[kX], n);
      const A* const y = g.relu ? runs.y.read(at(kY), image.stride[kY], n) : nullptr;
      const A* const dz = masked(dy, y, masks, n);
      A* const dx = runs.dx.open(at(kDx), image.stride[kDx]);
      const auto from = [c](const std::vector<A>& v) -> const A* { return v.data() + c; };
      gradient_run(dz, x, dx, n, from(g.mean), from(g.scale), from(g.shift), from(g.slope));
      runs.dx.write(at(kDx), image.stride[kDx], n);
      if (!g.data[kDresidual]) continue;
      const int64_t stride = image.stride[kDresidual];
      std::copy_n(dz, n, runs.dresidual.open(at(kDresidual), stride));
      runs.dresidual.write(at(kDresidual), stride, n);
    }
  }
}

/// g.sums and g.products of every channel, slices joined in order.
template <class T>
void sum_channels(Gradient<T>& g) {
  const auto& image = g.image;
  if (image.by_position) {
    for_tiles(image, [&](auto... tile) { sum_tile(g, tile...); });
  } else {
    for_channel_slices(image, [&](auto... slice) { sum_channel(g, slice...); });
  }
  for (int64_t s = 1; s < image.slices; s++) {
    for (int64_t c = 0; c < image.channels; c++) {
      g.sums[c] += g.sums[s * image.channels + c];
      g.products[c] += g.products[s * image.channels + c];
    }
  }
}

/// dx and dresidual from the coefficients.
template <class T>
void write_channels(const Gradient<T>& g) {
  if (g.image.by_position) {
    parallel_for(g.image.positions, g.image.grain(),
                 [&](int64_t begin, int64_t end) { write_positions(g, begin, end); });
  } else {
    for_channel_slices(g.image, [&](int64_t, auto... slice) { write_channel(g, slice...); });
  }
}

}  // namespace gg::norm
