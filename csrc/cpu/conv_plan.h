// Geometry of a convolution on the CPU, the same for x (fprop, wgrad) and for dy (dgrad): a source
// image, its windows, and how a part of it is laid out in a thread's own memory.
//
// Layout: [channel][phase][image][axis 0][axis 1][axis 2], padded. A stride s along an axis splits
// it into s phases (positions of one remainder), so that neighbouring windows are neighbours in
// memory whatever the stride. A tap is then one offset, the same for all windows, and windows lie
// at q = ((image * extent0 + o0) * extent1 + o1) * extent2 + o2. The padding behind a row is that
// before the next; the few q between rows are computed and dropped.
#pragma once

#include <cstdint>
#include <vector>

#include "ops/images.h"

namespace gg {

struct ConvTap {
  int64_t tap;    ///< its place in the weights
  int64_t shift;  ///< window j meets the source at j * stride + shift
};

/// One spatial axis. Window j belongs to position first + j * step of the target.
struct ConvAxis {
  int64_t source = 1, windows = 1, first = 0, step = 1, stride = 1;
  std::vector<ConvTap> taps = {{0, 0}};

  // Set by finish(). Source i lies at phase (i + pad) % stride, place (i + pad) / stride.
  int64_t pad = 0;     ///< negative: so many elements of the source meet no tap
  int64_t reach = 0;   ///< largest place of a tap
  int64_t extent = 1;  ///< places from one row to the next
  std::vector<int64_t> phases;

  void finish();

  /// Where tap t is: its phase's index in `phases`, and its place.
  int64_t phase_of(const ConvTap& t) const;
  int64_t place_of(const ConvTap& t) const { return (t.shift + pad) / stride; }
};

/// x's axes as conv_fprop and conv_wgrad walk them, one to three of them behind axes of length 1.
void fprop_axes(const Array& x, const Array& w, const Array& y, const ConvWindow& window,
                ConvAxis (&axes)[3]);

/// dy's axis as conv_dgrad walks it for the positions first, first + stride, ... of dx.
ConvAxis dgrad_axis(int64_t dy, int64_t taps, int64_t dx, int64_t first, int64_t stride,
                    int64_t padding, int64_t dilation);

/// A tile: images first .. first + count - 1; windows begin .. end - 1 along the tiled axis.
struct ConvPart {
  int64_t image, images, begin, end;
};

/// How the windows are cut into tiles, and the layout of a tile.
struct ConvTiling {
  const ConvAxis* axes;
  int axis;                        ///< the tiled one: the first of the spatial axes
  int64_t images, rows;            ///< of a tile, at most
  int64_t image_tiles, row_tiles;  ///< tiles
  int64_t extent[3];               ///< of each axis in a tile
  int64_t image_pitch;             ///< places of an image
  int64_t plane;                   ///< elements of a channel's phase
  int64_t channel;                 ///< elements of a channel

  /// `slack` elements behind a plane may be read.
  ConvTiling(const ConvAxis* axes, int axis, int64_t images, int64_t channels, int64_t groups,
             int64_t slack);

  int64_t tiles() const { return image_tiles * row_tiles; }
  ConvPart part(int64_t tile, int64_t all_images) const;
  /// q from the first window of a tile to behind its last.
  int64_t span(const ConvPart& part) const;
  int64_t max_span() const;
  /// Windows of a whole tile.
  int64_t max_windows() const;

  /// Offset of every (channel, tap), channel outermost.
  std::vector<int64_t> offsets(int64_t channels) const;

 private:
  void measure(int64_t slack);
};

/// Lengths and strides of an image array behind axes of length 1, so that three are spatial.
struct ConvStrides {
  int64_t image, channel, axis[3];
  explicit ConvStrides(const Array& x);
};

}  // namespace gg
