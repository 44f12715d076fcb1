// conv_wgrad of ops.h on CPU threads, a matrix product over windows q:
//
//   dw [K, (t, c)] = dy [K, q] x [q, (t, c)]
//
// A box of windows is copied once: x as padded pixels (conv_pixels.h), dy as planes. The inner loop
// (conv_tile.h) walks the windows: it reads vectors of neighbouring channels, and of neighbouring
// taps of a row, where they lie, and broadcasts dy, so no matrix of windows (im2col) is formed.
// Boxes are dealt to a fixed number of slices (by the shape alone), each with a dw of its own in
// the workspace; slices are added in order. Groups of one channel: conv_wgrad_depthwise.h.
//
// Accumulation: float32, float64 for float64. Output: =. 2 K C taps FLOP for each window, bound by
// the fused multiply-adds.
#include "core/conv_checks.h"
#include "core/parallel.h"
#include "cpu/conv_pixels.h"
#include "cpu/conv_plan.h"
#include "cpu/conv_scratch.h"
#include "cpu/conv_tile.h"
#include "cpu/conv_weights.h"
#include "cpu/conv_wgrad_depthwise.h"
#include "cpu/conv_wgrad_problem.h"

namespace gg {
namespace {

constexpr int64_t kSlices = 16;
constexpr int64_t kSliceElements = 4 << 20;  ///< of all slices together, where that allows several
constexpr int64_t kUnits = 16;               ///< of work, where slices are fewer

/// A vector of x: lanes of one row of taps of one block of channels.
struct Columns {
  int64_t block, offset;  ///< where in the pixels
  int64_t tap0, tap1;     ///< of the first two axes
  int64_t tap2, lane;     ///< lane l is channel (lane + l) % block's of tap tap2 + (lane + l) / ...
  int64_t lanes;          ///< of use
};

template <class T>
std::vector<Columns> all_columns(const ConvAxis* axes, const ConvPixels<T>& pixels, int width) {
  std::vector<Columns> columns;
  const auto& rows = axes[2].taps;
  const int64_t taps = static_cast<int64_t>(rows.size()), block = pixels.block();
  const bool adjacent = taps < 2 || rows[1].shift - rows[0].shift == 1;
  const int64_t together = adjacent ? taps : 1;
  for (int64_t b = 0; b < pixels.blocks(); b++) {
    for (const ConvTap& t0 : axes[0].taps) {
      for (const ConvTap& t1 : axes[1].taps) {
        for (int64_t t2 = 0; t2 < taps; t2 += together) {
          const int64_t at = pixels.at(0, t0.shift + axes[0].pad, t1.shift + axes[1].pad,
                                       rows[t2].shift + axes[2].pad);
          for (int64_t lane = 0; lane < together * block; lane += width) {
            columns.push_back({b, b * pixels.plane() + at + lane, t0.tap, t1.tap, t2, lane,
                               std::min<int64_t>(width, together * block - lane)});
          }
        }
      }
    }
  }
  return columns;
}

/// Rows of a tile that cost least: cycles of a step are its multiply-adds or its loads.
template <class A>
int best_height(const ConvTiles<A>& tiles, int64_t rows, int64_t vectors) {
  int best = 1;
  int64_t least = INT64_MAX;
  for (int height = 1; height <= tiles.max_rows; height++) {
    const int64_t beside = tiles.vectors[height];
    const int64_t step = std::max(height * beside, height + 2 * beside) + 1;
    const int64_t cost = (rows + height - 1) / height * ((vectors + beside - 1) / beside) * step;
    if (cost <= least) least = cost, best = height;
  }
  return best;
}

template <class T>
class WeightGradient {
 public:
  using A = Wide<T>;

  WeightGradient(const ConvWgrad& problem, A* partial)
      : f_(problem),
        tiles_(conv_tiles<A>()),
        boxes_(f_.axes, f_.x.shape[0], kMaxPlanarSteps),
        pixels_(f_.axes, boxes_, f_.x, f_.inputs(), tiles_.lanes),
        columns_(all_columns(f_.axes, pixels_, tiles_.lanes)),
        blocks_(f_.outputs(), best_height(tiles_, f_.outputs(), vectors())),
        beside_(tiles_.vectors[blocks_.height]),
        panels_((vectors() + beside_ - 1) / beside_),
        pitch_(panels_ * beside_ * tiles_.lanes),
        dy_stride_(f_.dy),
        partial_(partial) {
    const int64_t most = std::max<int64_t>(1, kSliceElements / elements());
    slices_ = std::min({boxes_.count(), kSlices, most});
    const int64_t units = slices_ * f_.groups;
    parts_ = units >= kUnits / 2 ? 1 : std::min(panels_, (kUnits + units - 1) / units);
  }

  /// Elements of one group's dw in one slice.
  int64_t elements() const { return blocks_.blocks * blocks_.height * pitch_; }
  int64_t workspace_elements() const { return elements() * slices_ * f_.groups; }

  void run() {
    places_ = places();
    parallel_for(f_.groups * slices_ * parts_, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) {
        const int64_t part = i % parts_, slice = i / parts_;
        sum(slice / slices_, slice % slices_, panels_ * part / parts_,
            panels_ * (part + 1) / parts_);
      }
    });
    parallel_for(f_.dw.shape[0], std::max<int64_t>(1, (1 << 14) / pitch_),
                 [&](int64_t begin, int64_t end) {
                   for (int64_t k = begin; k < end; k++) store(k);
                 });
  }

 private:
  int64_t vectors() const { return static_cast<int64_t>(columns_.size()); }

  A* partial(int64_t group, int64_t slice) const {
    return partial_ + (group * slices_ + slice) * elements();
  }

  /// Panels first .. last - 1 of a slice's dw.
  void sum(int64_t group, int64_t slice, int64_t first, int64_t last) const {
    const int64_t rows = blocks_.blocks * blocks_.height;
    ConvScratch<A> scratch(ConvScratch<A>::padded(pixels_.size()) + rows * kTilePlane);
    A* const x = scratch.take(pixels_.size());
    A* const dy = scratch.take(rows * kTilePlane);
    std::fill(dy + f_.outputs() * kTilePlane, dy + rows * kTilePlane, A(0));
    const int64_t begin = boxes_.count() * slice / slices_;
    const int64_t end = boxes_.count() * (slice + 1) / slices_;
    const int64_t last_vector = std::min(last * beside_, vectors()) - 1;
    for (int64_t i = begin; i < end; i++) {
      const ConvBox box = boxes_[i];
      pixels_.load(box, group, columns_[first * beside_].block, columns_[last_vector].block + 1, x);
      load_planes<T>(f_.dy, dy_stride_, box, group * f_.outputs(), f_.outputs(), dy);
      multiply(box, x, dy, first, last, partial(group, slice), i > begin);
    }
  }

  void multiply(const ConvBox& box, const A* x, const A* dy, int64_t first, int64_t last, A* sums,
                bool add) const {
    int64_t at[kMaxPlanarSteps];
    const int64_t steps = windows(box, at);
    const ConvTile<A> tile = tiles_.planar[blocks_.height];
    for (int64_t panel = first; panel < last; panel++) {
      const A* from[kMaxTileVectors];
      for (int64_t v = 0; v < beside_; v++) {
        from[v] = x + columns_[std::min(panel * beside_ + v, vectors() - 1)].offset;
      }
      for (int64_t block = 0; block < blocks_.blocks; block++) {
        const int64_t row = block * blocks_.height;
        tile(steps, dy + row * kTilePlane, at, from,
             sums + row * pitch_ + panel * beside_ * tiles_.lanes, pitch_, add);
      }
    }
  }

  /// Where each window of a box lies in the pixels.
  int64_t windows(const ConvBox& box, int64_t* at) const {
    const ConvAxis* axes = f_.axes;
    int64_t count = 0;
    for (int64_t n = 0; n < box.images; n++) {
      for (int64_t o0 = 0; o0 < box.count[0]; o0++) {
        for (int64_t o1 = 0; o1 < box.count[1]; o1++) {
          const int64_t row = pixels_.at(n, o0 * axes[0].stride, o1 * axes[1].stride, 0);
          const int64_t step = axes[2].stride * pixels_.block();
          for (int64_t o2 = 0; o2 < box.count[2]; o2++) at[count++] = row + o2 * step;
        }
      }
    }
    return count;
  }

  /// Where in a row of dw each lane of the columns belongs; -1: nowhere.
  std::vector<int64_t> places() const {
    const ConvStrides stride(f_.dw);
    std::vector<int64_t> places;
    for (const Columns& v : columns_) {
      for (int64_t l = v.lane; l < v.lane + tiles_.lanes; l++) {
        const int64_t tap = v.tap2 + l / pixels_.block();
        const int64_t c = v.block * pixels_.block() + l % pixels_.block();
        const bool used = l < v.lane + v.lanes && c < f_.inputs();
        places.push_back(used ? v.tap0 * stride.axis[0] + v.tap1 * stride.axis[1] +
                                    tap * stride.axis[2] + c * stride.channel
                              : -1);
      }
    }
    return places;
  }

  /// Row k of dw: its slices added in order.
  void store(int64_t k) const {
    const A* from = partial(k / f_.outputs(), 0) + k % f_.outputs() * pitch_;
    T* const row = f_.dw.as<T>() + k * f_.dw.stride[0];
    for (size_t i = 0; i < places_.size(); i++) {
      if (places_[i] < 0) continue;
      A sum = from[i];
      for (int64_t s = 1; s < slices_; s++) sum += from[s * elements() + static_cast<int64_t>(i)];
      row[places_[i]] = convert<T>(sum);
    }
  }

  const ConvWgrad& f_;
  const ConvTiles<A>& tiles_;
  const ConvBoxes boxes_;
  const ConvPixels<T> pixels_;
  const std::vector<Columns> columns_;
  const RowBlocks blocks_;
  const int64_t beside_, panels_, pitch_;
  const ConvStrides dy_stride_;
  int64_t slices_, parts_;
  std::vector<int64_t> places_;
  A* const partial_;
};

template <class T>
void zero(const Array& dw) {
  const ConvStrides stride(dw);
  int64_t length[3] = {1, 1, 1};
  for (int i = 2; i < dw.ndim; i++) length[3 - dw.ndim + i] = dw.shape[i];
  for (int64_t i = 0; i < dw.size(); i++) {
    int64_t rest = i, at = 0;
    for (int axis = 2; axis >= 0; axis--) {
      at += rest % length[axis] * stride.axis[axis];
      rest /= length[axis];
    }
    at += rest % dw.shape[1] * stride.channel + rest / dw.shape[1] * stride.image;
    dw.as<T>()[at] = T{};
  }
}

/// use(the object that computes f).
template <class T, class F>
void with_method(const ConvWgrad& f, Wide<T>* workspace, F use) {
  if (f.inputs() == 1 && f.groups > 1) {
    DepthwiseGradient<T> method(f, workspace);
    use(method);
  } else {
    WeightGradient<T> method(f, workspace);
    use(method);
  }
}

template <class T>
int64_t workspace_bytes(const ConvWgrad& f) {
  int64_t elements = 0;
  with_method<T>(f, nullptr, [&](const auto& method) { elements = method.workspace_elements(); });
  return elements * static_cast<int64_t>(sizeof(T));
}

ConvArguments arguments(const Array& x, const Array& dy, const Array& dw) {
  return {"conv_wgrad", x, dw, dy, "x", "dw", "dy"};
}

}  // namespace

int64_t conv_wgrad_workspace(const Array& x, const Array& dy, const Array& dw,
                             const ConvWindow& window, MatmulPrecision) {
  check_conv(arguments(x, dy, dw), window);
  const ConvWgrad f(x, dy, dw, window);
  if (!f.sums_anything()) return 0;
  return x.dtype == DType::f64 ? workspace_bytes<double>(f) : workspace_bytes<float>(f);
}

void conv_wgrad(Stream, const Array& x, const Array& dy, const Array& dw, const ConvWindow& window,
                MatmulPrecision precision, const Array& workspace) {
  check_workspace("conv_wgrad", workspace, conv_wgrad_workspace(x, dy, dw, window, precision));
  const ConvWgrad f(x, dy, dw, window);
  dispatch_floating(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if (!f.sums_anything()) return zero<T>(dw);
    with_method<T>(f, static_cast<Wide<T>*>(workspace.data), [](auto& method) { method.run(); });
  });
}

}  // namespace gg
