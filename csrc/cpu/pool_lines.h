// What pooling on the CPU works on: lines of elements, along the width or, where these lie side by
// side, along the channels, each in the type it is computed in.
//
// Windows a stride apart along a line would be read with gaps. So a line is dealt into `stride`
// phases first, with what stands for "outside" around it: then tap t of all windows is one plain
// run, of phase t * dilation % stride, and the loops over windows vectorise.
#pragma once

#include <array>
#include <cstdlib>
#include <type_traits>
#include <vector>

#include "core/parallel.h"
#include "core/windows.h"
#include "cpu/lanes.h"
#include "cpu/runs.h"

namespace gg {

/// Do channels lie side by side, so that they are the better line?
inline bool along_channels(const Image& x) {
  return x.channels > 1 && std::abs(x.c) == 1 && std::abs(x.axis[2]) != 1;
}

/// Lines that a thread takes at once, of n elements with `taps` of work for each.
inline int64_t line_grain(int64_t n, int64_t taps) {
  return std::max<int64_t>(1, kGrain / std::max<int64_t>(1, n * taps));
}

/// Calls channels(begin, end) for ranges of an image's positions, or rows(begin, end) for ranges of
/// its lines along the width, on all threads. size: depth, height, width; taps: as line_grain's.
template <class Channels, class Rows>
void for_lines(bool along_channels, const Image& image, const std::array<int64_t, 3>& size,
               int64_t taps, const Channels& channels, const Rows& rows) {
  const int64_t lines = image.images * size[0] * size[1];
  if (along_channels) {
    parallel_for(lines * size[2], line_grain(image.channels, taps), channels);
  } else {
    parallel_for(lines * image.channels, line_grain(size[2], taps), rows);
  }
}

/// A window's taps inside, found once for a line of windows.
struct TapSpan {
  int64_t start, first, end;
};

inline std::vector<TapSpan> tap_spans(const WindowAxis& w) {
  std::vector<TapSpan> spans(static_cast<size_t>(w.out));
  for (int64_t o = 0; o < w.out; o++) {
    spans[static_cast<size_t>(o)] = {w.start(o), w.first_tap(o), w.end_tap(o)};
  }
  return spans;
}

/// The windows, with axes that one window covers joined where x walks them as one: a global pool of
/// a plane is one of a line.
inline Windows whole_axes(Windows w, const Image& x) {
  const auto whole = [](const WindowAxis& a) {
    return !a.adaptive && a.out == 1 && a.kernel == a.size && a.taps == a.size && a.padding == 0 &&
           a.dilation == 1 && a.size > 0;
  };
  WindowAxis& line = w.axis[2];
  for (int i = 1; i >= 0; i--) {
    WindowAxis& outer = w.axis[i];
    if (!whole(line) || !whole(outer) || x.axis[2] != 1) break;
    if (outer.size > 1 && x.axis[i] != line.size) break;
    line.size *= outer.size;
    line.kernel = line.stride = line.taps = line.size;
    outer = WindowAxis();
  }
  return w;
}

/// n elements `step` apart, of any dtype, to A, and back.
template <class A>
using ReadLine = void (*)(const char* from, int64_t step, A* to, int64_t n);
template <class A>
using WriteLine = void (*)(const A* from, char* to, int64_t step, int64_t n);

template <class T, class A>
void read_line(const char* bytes, int64_t step, A* to, int64_t n) {
  const T* const from = reinterpret_cast<const T*>(bytes);
  if constexpr (is_half<T>) {
    if (step == 1) return widen(from, to, n);
  }
  for (int64_t i = 0; i < n; i++) to[i] = convert<A>(from[i * step]);
}

template <class A, class T>
void write_line(const A* from, char* bytes, int64_t step, int64_t n) {
  T* const to = reinterpret_cast<T*>(bytes);
  if constexpr (is_half<T>) {
    if (step == 1) return narrow(from, to, n);
  }
  for (int64_t i = 0; i < n; i++) to[i * step] = convert<T>(from[i]);
}

/// f(Tag) of the dtypes that are computed in A: halves in float, small integers in int32_t.
template <class A, class F>
void dispatch_stored(DType dtype, F f) {
  if constexpr (std::is_same_v<A, float>) {
    if (dtype == DType::f16) return f(Tag<f16>{});
    if (dtype == DType::bf16) return f(Tag<bf16>{});
  } else if constexpr (std::is_same_v<A, int32_t>) {
    if (dtype == DType::u8) return f(Tag<uint8_t>{});
    if (dtype == DType::i8) return f(Tag<int8_t>{});
    if (dtype == DType::i16) return f(Tag<int16_t>{});
  }
  f(Tag<A>{});
}

/// The lines of an array, to be read or written as A by their first element's offset.
template <class A>
class StoredLines {
 public:
  StoredLines(const Array& array, int64_t n, int64_t buffers = 1)
      : data_(array.as<char>()),
        bytes_(dtype_size(array.dtype)),
        n_(n),
        buffer_(static_cast<size_t>(n * buffers)) {
    dispatch_stored<A>(array.dtype, [this](auto tag) {
      using T = typename decltype(tag)::type;
      as_stored_ = std::is_same_v<T, A>;
      read_ = read_line<T, A>;
      write_ = write_line<A, T>;
    });
  }

 protected:
  char* at(int64_t offset) const { return data_ + offset * bytes_; }

  char* data_;
  int64_t bytes_, n_;
  std::vector<A> buffer_;
  bool as_stored_ = false;
  ReadLine<A> read_ = nullptr;
  WriteLine<A> write_ = nullptr;
};

/// Reads lines: as they lie where no conversion is needed, else into one of a few buffers.
template <class A>
class LineReader : StoredLines<A> {
 public:
  using StoredLines<A>::StoredLines;

  const A* read(int64_t offset, int64_t step, int64_t buffer = 0) {
    const char* const from = this->at(offset);
    if (this->as_stored_ && step == 1) return reinterpret_cast<const A*>(from);
    A* const to = this->buffer_.data() + buffer * this->n_;
    this->read_(from, step, to, this->n_);
    return to;
  }
};

/// Where a line of results is formed: in place where no conversion is needed, else in a buffer.
template <class A>
class LineWriter : StoredLines<A> {
 public:
  using StoredLines<A>::StoredLines;

  A* open(int64_t offset, int64_t step) {
    to_ = this->at(offset);
    step_ = step;
    if (this->as_stored_ && step == 1) return reinterpret_cast<A*>(to_);
    return this->buffer_.data();
  }

  void close() const {
    if (this->as_stored_ && step_ == 1) return;
    this->write_(this->buffer_.data(), to_, step_, this->n_);
  }

 private:
  char* to_ = nullptr;
  int64_t step_ = 0;
};

/// Is dealing worth it? Else windows of a line are walked one by one.
inline bool deals_well(const WindowAxis& w) {
  return !w.adaptive && w.stride <= 4;
}

/// A line in phases: element i of the line is at (i + padding) % stride, (i + padding) / stride.
template <class A>
class Phases {
 public:
  Phases(const WindowAxis& w, A outside)
      : w_(w),
        length_(std::max(w.out + (w.kernel - 1) * w.dilation / w.stride + 1,
                         ceil_div(w.size + w.padding, w.stride) + 1)),
        values_(static_cast<size_t>(w.stride * length_), outside) {}

  /// Tap t of window 0; that of window o is o further.
  A* tap(int64_t t) {
    const int64_t at = t * w_.dilation;
    return values_.data() + at % w_.stride * length_ + at / w_.stride;
  }

  void deal(const A* x) {
    if (w_.stride == 2) return deal_in_two(x, even(), odd(), w_.size);
    for_each_phase([x](A* phase, int64_t first, int64_t step, int64_t n) {
      if (step == 1) return static_cast<void>(std::copy_n(x + first, n, phase));
      for (int64_t j = 0; j < n; j++) phase[j] = x[first + step * j];
    });
  }

  void collect(A* x) {
    if (w_.stride == 2) return join_two(even(), odd(), x, w_.size);
    for_each_phase([x](const A* phase, int64_t first, int64_t step, int64_t n) {
      if (step == 1) return static_cast<void>(std::copy_n(phase, n, x + first));
      for (int64_t j = 0; j < n; j++) x[first + step * j] = phase[j];
    });
  }

  void clear() { std::fill(values_.begin(), values_.end(), A(0)); }

 private:
  /// f(first value, its element of the line, elements apart, how many) for each phase.
  template <class F>
  void for_each_phase(F f) {
    for (int64_t r = 0; r < w_.stride; r++) {
      const int64_t skipped = r < w_.padding ? ceil_div(w_.padding - r, w_.stride) : 0;
      const int64_t first = skipped * w_.stride + r - w_.padding;
      if (first < w_.size) {
        f(values_.data() + r * length_ + skipped, first, w_.stride,
          ceil_div(w_.size - first, w_.stride));
      }
    }
  }

  /// Where elements 0, 2, 4 ... and 1, 3, 5 ... of the line are when the stride is 2.
  A* even() { return values_.data() + w_.padding % 2 * length_ + w_.padding / 2; }
  A* odd() { return values_.data() + (w_.padding + 1) % 2 * length_ + (w_.padding + 1) / 2; }

  const WindowAxis w_;
  const int64_t length_;
  std::vector<A> values_;
};

/// pass(t, at(t), at(t + 1), ...) over taps [first, end), up to three at a time, ascending.
template <class At, class Pass>
inline void in_threes(int64_t first, int64_t end, At at, Pass pass) {
  int64_t t = first;
  for (; t + 3 <= end; t += 3) pass(t, at(t), at(t + 1), at(t + 2));
  if (end - t == 2) pass(t, at(t), at(t + 1));
  if (end - t == 1) pass(t, at(t));
}

/// f(oz, kz, oy, ky) over the rows of windows that hold the input row (z, y), o ascending.
template <class F>
inline void for_each_window_row(const Windows& w, int64_t z, int64_t y, F f) {
  const WindowAxis &az = w.axis[0], &ay = w.axis[1];
  const int64_t end_z = az.end_window(z), first_y = ay.first_window(y), end_y = ay.end_window(y);
  for (int64_t oz = az.first_window(z); oz < end_z; oz++) {
    const int64_t kz = az.tap(oz, z);
    if (kz < 0) continue;
    for (int64_t oy = first_y; oy < end_y; oy++) {
      const int64_t ky = ay.tap(oy, y);
      if (ky >= 0) f(oz, kz, oy, ky);
    }
  }
}

/// f(z, y, kz, ky): the input rows (z, y) of the windows (oz, oy), taps ascending.
template <class F>
inline void for_each_tap_row(const Windows& w, int64_t oz, int64_t oy, F f) {
  const WindowAxis &az = w.axis[0], &ay = w.axis[1];
  const int64_t end_z = az.end_tap(oz), first_y = ay.first_tap(oy), end_y = ay.end_tap(oy);
  const int64_t start_z = az.start(oz), start_y = ay.start(oy);
  for (int64_t kz = az.first_tap(oz); kz < end_z; kz++) {
    for (int64_t ky = first_y; ky < end_y; ky++) {
      f(start_z + kz * az.dilation, start_y + ky * ay.dilation, kz, ky);
    }
  }
}

/// A place in [N, C, depth, height, width] or one of its lines.
struct Place {
  int64_t n, c, z, y, x;
};

/// f(place) for lines [begin, end) along the width of [N, channels, depth, height], or (channels 1)
/// for places of [N, depth, height, width] where `width` is not 1.
template <class F>
inline void for_each_place(int64_t begin, int64_t end, int64_t channels, int64_t depth,
                           int64_t height, int64_t width, F f) {
  const int64_t row = begin / width, plane = row / height, image = plane / depth;
  Place p{image / channels, image % channels, plane % depth, row % height, begin % width};
  for (int64_t i = begin; i < end; i++) {
    f(p);
    if (++p.x < width) continue;
    p.x = 0;
    if (++p.y < height) continue;
    p.y = 0;
    if (++p.z < depth) continue;
    p.z = 0;
    if (++p.c < channels) continue;
    p.c = 0;
    p.n++;
  }
}

}  // namespace gg
