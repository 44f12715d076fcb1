#include "cpu/conv_plan.h"

#include <algorithm>

namespace gg {
namespace {

/// What a tile aims at: its windows (accumulators of a row block, and reuse of packed weights) and
/// its bytes, which should stay in the second cache. And enough tiles for the threads.
constexpr int64_t kWindows = 1152, kLineWindows = 384, kElements = 96 << 10, kTiles = 16;
constexpr int64_t kFewWindows = 256;

int64_t divide_up(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

}  // namespace

void ConvAxis::finish() {
  int64_t least = 0;
  for (size_t i = 0; i < taps.size(); i++)
    least = i ? std::min(least, taps[i].shift) : taps[0].shift;
  pad = -least;
  phases.clear();
  reach = 0;
  int64_t lead = -1;  // places before the source, in every phase
  int64_t last = 0;   // behind the last place of the source
  for (const ConvTap& t : taps) {
    const int64_t phase = (t.shift + pad) % stride;
    reach = std::max(reach, place_of(t));
    if (std::find(phases.begin(), phases.end(), phase) != phases.end()) continue;
    phases.push_back(phase);
    const int64_t before =
        std::max<int64_t>(0, divide_up(std::max<int64_t>(0, pad - phase), stride));
    lead = lead < 0 ? before : std::min(lead, before);
    if (source + pad > phase) last = std::max(last, (source + pad - 1 - phase) / stride + 1);
  }
  std::sort(phases.begin(), phases.end());
  last = std::min(last, windows + reach);
  extent = std::max({windows, last, windows + reach - std::max<int64_t>(0, lead), int64_t{1}});
}

int64_t ConvAxis::phase_of(const ConvTap& t) const {
  const int64_t phase = (t.shift + pad) % stride;
  return std::find(phases.begin(), phases.end(), phase) - phases.begin();
}

void fprop_axes(const Array& x, const Array& w, const Array& y, const ConvWindow& window,
                ConvAxis (&axes)[3]) {
  const int spatial = x.ndim - 2;
  for (int i = 0; i < spatial; i++) {
    ConvAxis& axis = axes[3 - spatial + i];
    axis.source = x.shape[2 + i];
    axis.windows = y.shape[2 + i];
    axis.stride = window.stride[i];
    axis.taps.clear();
    for (int64_t t = 0; t < w.shape[2 + i]; t++) {
      axis.taps.push_back({t, t * window.dilation[i] - window.padding[i]});
    }
  }
  for (ConvAxis& axis : axes) axis.finish();
}

ConvAxis dgrad_axis(int64_t dy, int64_t taps, int64_t dx, int64_t first, int64_t stride,
                    int64_t padding, int64_t dilation) {
  ConvAxis axis;
  axis.source = dy;
  axis.windows = dx > first ? (dx - first - 1) / stride + 1 : 0;
  axis.first = first;
  axis.step = stride;
  axis.taps.clear();
  for (int64_t t = 0; t < taps; t++) {
    const int64_t at = first + padding - t * dilation;
    if (at % stride == 0) axis.taps.push_back({t, at / stride});
  }
  axis.finish();
  return axis;
}

ConvTiling::ConvTiling(const ConvAxis* all, int tiled, int64_t all_images, int64_t channels,
                       int64_t groups, int64_t slack)
    : axes(all), axis(tiled) {
  const int64_t windows = axes[axis].windows;
  int64_t row = 1, phases = 1;  // places of a row across the tiled axis
  for (int i = 0; i < 3; i++) {
    phases *= static_cast<int64_t>(axes[i].phases.size());
    if (i > axis) row *= axes[i].extent;
  }
  const int64_t most =
      std::max<int64_t>(1, std::min(tiled == 2 ? kLineWindows : kWindows,
                                    kElements / std::max<int64_t>(1, channels * phases)) /
                               row);
  // Threads share a tile rather than that it has few windows.
  const int64_t enough = divide_up(kTiles, std::max<int64_t>(1, groups));
  const int64_t least = divide_up(kFewWindows, row);
  if (most < axes[axis].extent || all_images < enough) {  // rows of one image
    const int64_t wanted = divide_up(enough, std::max<int64_t>(1, all_images));
    rows = std::min(most, std::max(least, divide_up(windows, wanted)));
    rows = divide_up(windows, divide_up(windows, rows));
  } else {
    rows = windows;
  }
  rows = std::max<int64_t>(1, rows);
  images = 1;
  if (rows == windows) {
    const int64_t wanted =
        std::max(divide_up(all_images, enough), divide_up(kFewWindows, row * axes[axis].extent));
    images = std::clamp<int64_t>(most / axes[axis].extent, 1, std::max<int64_t>(1, wanted));
    images = divide_up(all_images, divide_up(all_images, images));
  }
  image_tiles = divide_up(all_images, images);
  row_tiles = divide_up(windows, rows);
  measure(slack);
}

void ConvTiling::measure(int64_t slack) {
  int64_t beyond = 0, phases = 1;
  image_pitch = 1;
  for (int i = 0; i < 3; i++) {
    extent[i] = i == axis && row_tiles > 1 ? rows + axes[i].reach : axes[i].extent;
    image_pitch *= extent[i];
    beyond = beyond * extent[i] + axes[i].reach;
    phases *= static_cast<int64_t>(axes[i].phases.size());
  }
  // An odd number of cache lines: neighbouring channels do not compete for one set of the cache.
  plane = (divide_up(images * image_pitch + beyond + slack, 16) | 1) * 16;
  channel = phases * plane;
}

ConvPart ConvTiling::part(int64_t tile, int64_t all_images) const {
  const int64_t image = tile / row_tiles * images, begin = tile % row_tiles * rows;
  return {image, std::min(images, all_images - image), begin,
          std::min(begin + rows, axes[axis].windows)};
}

int64_t ConvTiling::span(const ConvPart& part) const {
  int64_t q = part.images - 1;
  for (int i = 0; i < 3; i++) {
    q = q * extent[i] + (i == axis ? part.end - part.begin : axes[i].windows) - 1;
  }
  return q + 1;
}

int64_t ConvTiling::max_span() const {
  return span({0, images, 0, std::min(rows, axes[axis].windows)});
}

int64_t ConvTiling::max_windows() const {
  int64_t n = images;
  for (int i = 0; i < 3; i++) n *= i == axis ? std::min(rows, axes[i].windows) : axes[i].windows;
  return n;
}

std::vector<int64_t> ConvTiling::offsets(int64_t channels) const {
  std::vector<int64_t> at;
  for (int64_t c = 0; c < channels; c++) {
    for (const ConvTap& t0 : axes[0].taps) {
      for (const ConvTap& t1 : axes[1].taps) {
        for (const ConvTap& t2 : axes[2].taps) {
          const ConvTap* t[3] = {&t0, &t1, &t2};
          int64_t phase = 0, place = 0;
          for (int i = 0; i < 3; i++) {
            phase = phase * static_cast<int64_t>(axes[i].phases.size()) + axes[i].phase_of(*t[i]);
            place = place * extent[i] + axes[i].place_of(*t[i]);
          }
          at.push_back(c * channel + phase * plane + place);
        }
      }
    }
  }
  return at;
}

ConvStrides::ConvStrides(const Array& x) : image(x.stride[0]), channel(x.stride[1]), axis{} {
  const int spatial = x.ndim - 2;
  for (int i = 0; i < spatial; i++) axis[3 - spatial + i] = x.stride[2 + i];
}

}  // namespace gg
