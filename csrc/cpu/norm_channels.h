// Images on the CPU as channels and positions (all axes but channels): moments of channels, and
// coefficients of channels applied to them. For batch and group normalisation.
//
// Images are walked in one of two forms. By channel (NCHW): a channel's positions are runs, and its
// coefficients numbers. By position (channels-last): a position's channels are a run, and the
// coefficients vectors. Moments are formed by two passes over what stays in the first cache and
// joined in a fixed order. How work is cut depends on shapes alone.
#pragma once

#include "cpu/norm.h"

namespace gg::norm {

constexpr int64_t kTile = 32;        // positions whose channels are reduced at once, and
constexpr int64_t kTileWidth = 128;  // how many of them
constexpr int64_t kManyChannels = 16;

/// K images as channels and positions (all axes but channels).
template <int K>
struct Image : RowLayout<K> {
  int64_t channels, positions;
  bool by_position;
  int64_t slices;  ///< that positions are cut into, for sums
  int64_t slice;   ///< positions in one

  explicit Image(const Array (&arrays)[K])
      : RowLayout<K>(row_layout(arrays, 1)), channels(this->n), positions(this->outer.size) {
    by_position = this->near && channels >= 8;
    const int64_t size = channels * positions;
    int64_t wanted = std::min<int64_t>(64, size / kElementsPerTask);
    if (!by_position)
      wanted = channels >= kManyChannels ? 1 : wanted / std::max<int64_t>(channels, 1);
    slice = std::max<int64_t>(1, (positions + wanted - 1) / std::max<int64_t>(wanted, 1));
    if (wanted <= 1) slice = std::max<int64_t>(positions, 1);
    slices = std::max<int64_t>(1, (positions + slice - 1) / slice);
  }

  /// Channel-slices (by channel) or positions (by position) that a thread takes at once.
  int64_t grain() const { return row_grain(by_position ? channels : slice); }
};

/// Results of slices: for slice s and channel c at [s * channels + c].
template <class A>
using PerSlice = std::vector<A>;

/// f(s, c, begin, end) for each channel c and slice s of positions, in parallel.
template <int K, class F>
inline void for_channel_slices(const Image<K>& image, F f) {
  parallel_for(image.channels * image.slices, image.grain(), [&](int64_t first, int64_t last) {
    for (int64_t item = first; item < last; item++) {
      const int64_t c = item / image.slices, s = item % image.slices;
      f(s, c, s * image.slice, std::min(image.positions, (s + 1) * image.slice));
    }
  });
}

/// f(s, c, width, begin, end) for tiles of positions begin .. end - 1 and channels c .. c + width
/// - 1, those of a slice s in order; slices in parallel.
template <int K, class F>
inline void for_tiles(const Image<K>& image, F f) {
  parallel_for(image.slices, 1, [&](int64_t first, int64_t last) {
    for (int64_t s = first; s < last; s++) {
      const int64_t end = std::min(image.positions, (s + 1) * image.slice);
      for (int64_t begin = s * image.slice; begin < end; begin += kTile) {
        for (int64_t c = 0; c < image.channels; c += kTileWidth) {
          f(s, c, std::min(kTileWidth, image.channels - c), begin, std::min(end, begin + kTile));
        }
      }
    }
  });
}

// ---- statistics ------------------------------------------------------------------------------

template <class T>
Moments<Wide<T>> channel_moments(const Layout<1>& layout, const T* x, int64_t begin, int64_t end) {
  Run<T> run;
  Moments<Wide<T>> all;
  for_packed_runs(layout, begin, end, [&](int64_t first, int64_t n) {
    all = join(all, run_moments(run.read(layout, 0, x, first, n), n));
  });
  return all;
}

/// Joins the moments of a tile's channels, its rows lines[0 .. rows - 1], to those in `all`.
template <class A>
inline void add_tile(const A* const* lines, int64_t rows, int64_t width,
                     Moments<A>* __restrict all) {
  A mean[kTileWidth] = {}, m2[kTileWidth] = {};
  for (int64_t r = 0; r < rows; r++) {
    for (int64_t c = 0; c < width; c++) mean[c] += lines[r][c];
  }
  for (int64_t c = 0; c < width; c++) mean[c] *= 1 / static_cast<A>(rows);
  for (int64_t r = 0; r < rows; r++) {
    for (int64_t c = 0; c < width; c++) m2[c] += (lines[r][c] - mean[c]) * (lines[r][c] - mean[c]);
  }
  for (int64_t c = 0; c < width; c++) {
    all[c] = join(all[c], Moments<A>{static_cast<A>(rows), mean[c], m2[c]});
  }
}

template <class T>
inline void slice_moments(const Image<1>& image, const T* x, PerSlice<Moments<Wide<T>>>& moments) {
  using A = Wide<T>;
  if (!image.by_position) {
    for_channel_slices(image, [&](int64_t s, int64_t c, int64_t begin, int64_t end) {
      const T* const channel = x + c * image.stride[0];
      moments[s * image.channels + c] = channel_moments(image.outer, channel, begin, end);
    });
    return;
  }
  for_tiles(image, [&](int64_t s, int64_t c, int64_t width, int64_t begin, int64_t end) {
    A buffer[kTile][kTileWidth];
    const A* lines[kTile];
    for (int64_t r = 0; r < end - begin; r++) {
      const T* const from = x + image.outer.offset(0, begin + r) + c * image.stride[0];
      lines[r] = buffer[r];
      if constexpr (std::is_same_v<T, A>) {
        if (image.stride[0] == 1) lines[r] = from;
      }
      if (lines[r] == buffer[r]) read_run(from, image.stride[0], buffer[r], width);
    }
    add_tile(lines, end - begin, width, &moments[s * image.channels + c]);
  });
}

/// Moments of each channel, its slices joined in order.
template <class T>
std::vector<Moments<Wide<T>>> moments_of_channels(const Image<1>& image, const T* x) {
  PerSlice<Moments<Wide<T>>> moments(image.slices * image.channels);
  slice_moments(image, x, moments);
  for (int64_t s = 1; s < image.slices; s++) {
    for (int64_t c = 0; c < image.channels; c++) {
      moments[c] = join(moments[c], moments[s * image.channels + c]);
    }
  }
  moments.resize(image.channels);
  return moments;
}

// ---- application ------------------------------------------------------------------------------

/// x, residual (or none) and y as lines along the innermost axis; each line has one channel (NCHW)
/// or all of them (channels-last).
struct Lines {
  RowLayout<3> rows;
  bool along_channels;
  int64_t length, count;
  int64_t pieces;  ///< that long lines are cut into

  explicit Lines(const Array (&arrays)[3]) : rows(row_layout(arrays, 1)) {
    const Layout<3>& outer = rows.outer;
    along_channels = rows.near && rows.n >= 8;
    length = along_channels ? rows.n : outer.length[outer.ndim - 1];
    count = rows.n * outer.size / std::max<int64_t>(length, 1);
    pieces = (length + kRun - 1) / kRun;
  }
};

template <class A>
struct Coefficients {
  std::vector<A> mean, scale, bias;
};

/// Coefficients are numbers (Same) or vectors (pointers).
template <class A, class C>
inline void apply_run(const A* x, const A* residual, A* __restrict y, int64_t n, C mean, C scale,
                      C bias, bool relu) {
  if (residual) {
    for (int64_t i = 0; i < n; i++)
      y[i] = std::fma(x[i] - mean[i], scale[i], bias[i]) + residual[i];
  } else if (!relu) {
    for (int64_t i = 0; i < n; i++) y[i] = std::fma(x[i] - mean[i], scale[i], bias[i]);
  } else {
    for (int64_t i = 0; i < n; i++) {
      const A z = std::fma(x[i] - mean[i], scale[i], bias[i]);
      y[i] = z < 0 ? A(0) : z;  // NaN stays
    }
  }
  if (!relu || !residual) return;
  for (int64_t i = 0; i < n; i++) y[i] = y[i] < 0 ? A(0) : y[i];
}

template <class T>
inline void apply_piece(const Lines& lines, int64_t item, const T* x, const T* residual, T* y,
                        const Coefficients<Wide<T>>& with, bool relu, Run<T> (&runs)[3]) {
  using A = Wide<T>;
  const Layout<3>& outer = lines.rows.outer;
  const int64_t line = item / lines.pieces, begin = item % lines.pieces * kRun;
  const int64_t n = std::min(kRun, lines.length - begin);
  // By channel, lines go in the order of memory: outer axes, channels, the innermost axis.
  const int64_t c = lines.along_channels ? begin : line % lines.rows.n;
  const int64_t at = lines.along_channels ? line : line / lines.rows.n * lines.length + begin;
  int64_t offset[3], stride[3];
  for (int k = 0; k < 3; k++) {
    offset[k] = outer.offset(k, at) + c * lines.rows.stride[k];
    stride[k] = lines.along_channels ? lines.rows.stride[k] : outer.inner(k);
  }
  const A* const from = runs[0].read(x + offset[0], stride[0], n);
  const A* const add = residual ? runs[1].read(residual + offset[1], stride[1], n) : nullptr;
  A* const to = runs[2].open(y + offset[2], stride[2]);
  if (lines.along_channels) {
    const A* const mean = with.mean.data() + c;
    apply_run(from, add, to, n, mean, with.scale.data() + c, with.bias.data() + c, relu);
  } else {
    apply_run(from, add, to, n, Same<A>{with.mean[c]}, Same<A>{with.scale[c]},
              Same<A>{with.bias[c]}, relu);
  }
  runs[2].write(y + offset[2], stride[2], n);
}

/// y = act((x - mean) scale + bias + residual), all of the coefficients by channel.
template <class T>
void apply(const Array& x, const Coefficients<Wide<T>>& with, const Array& residual, bool relu,
           const Array& y) {
  const Lines lines({x, residual ? residual : x, y});
  const T* const add = residual ? residual.as<const T>() : nullptr;
  const int64_t grain = row_grain(std::min(lines.length, kRun));
  parallel_for(lines.count * lines.pieces, grain, [&](int64_t begin, int64_t end) {
    Run<T> runs[3];
    for (int64_t item = begin; item < end; item++) {
      apply_piece(lines, item, x.as<const T>(), add, y.as<T>(), with, relu, runs);
    }
  });
}

}  // namespace gg::norm
