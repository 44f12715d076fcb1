// From sums to y = act(alpha scale sum + bias + residual + beta y), a run of one channel at a time.
#pragma once

#include <algorithm>

#include "core/index.h"
#include "core/math.h"
#include "cpu/conv_plan.h"
#include "cpu/runs.h"

namespace gg {

template <class T>
class ConvOutput {
 public:
  using A = Wide<T>;

  ConvOutput(const Array& y, const GemmEpilogue& epilogue)
      : e_(epilogue), y_(y.as<T>()), stride_(y), residual_stride_(y) {
    if (!e_.residual) return;
    Array r = y;
    r.data = e_.residual.data;
    for (int i = 0; i < y.ndim; i++) r.stride[i] = broadcast_stride(e_.residual, y, i);
    residual_stride_ = ConvStrides(r);
  }

  /// Sums of channel c for the windows origin .. origin + count - 1 of an image, in rows of extents
  /// extent[1] and extent[2]. `axes` says which positions of y these are. Overwrites sum.
  void write(const ConvAxis* axes, int64_t image, int64_t c, const int64_t* origin,
             const int64_t* count, const int64_t* extent, A* sum) const {
    const Line line{axes[2].step * stride_.axis[2], axes[2].step * residual_stride_.axis[2],
                    factor(c), bias(c)};
    T* y = y_ + place(stride_, axes, image, c, origin);
    const T* r = e_.residual ? e_.residual.as<T>() + place(residual_stride_, axes, image, c, origin)
                             : nullptr;
    int64_t run = count[2], rows = count[1];
    const int64_t y1 = axes[1].step * stride_.axis[1], r1 = axes[1].step * residual_stride_.axis[1];
    if (rows == 1 ||
        (extent[2] == run && y1 == run * line.step && r1 == run * line.residual_step)) {
      run *= rows, rows = 1;
    }
    for (int64_t o0 = 0; o0 < count[0]; o0++) {
      const int64_t y0 = o0 * axes[0].step * stride_.axis[0];
      const int64_t r0 = o0 * axes[0].step * residual_stride_.axis[0];
      for (int64_t o1 = 0; o1 < rows; o1++) {
        write_line(line, sum + (o0 * extent[1] + o1) * extent[2], y + y0 + o1 * y1,
                   r ? r + r0 + o1 * r1 : nullptr, run);
      }
    }
  }

 private:
  struct Line {
    int64_t step, residual_step;
    A factor, bias;
  };

  void write_line(const Line& line, A* __restrict sum, T* __restrict y, const T* r,
                  int64_t n) const {
    if constexpr (std::is_same_v<T, A>) {
      if (line.step == 1 && !r && e_.beta == 0 && e_.act == Activation::none) {
        for (int64_t i = 0; i < n; i++) y[i] = sum[i] * line.factor + line.bias;
        return;
      }
    }
    for (int64_t i = 0; i < n; i++) sum[i] = sum[i] * line.factor + line.bias;
    if (r) add(A(1), r, line.residual_step, sum, n);
    if (e_.beta != 0) add(static_cast<A>(e_.beta), y, line.step, sum, n);
    if (e_.act == Activation::relu) {
      for (int64_t i = 0; i < n; i++) sum[i] = UnaryMath<A>::relu(sum[i], A(0), A(0));
    } else if (e_.act != Activation::none) {
      for (int64_t i = 0; i < n; i++) sum[i] = activate(e_.act, sum[i]);
    }
    write_run(sum, y, line.step, n);
  }

  static int64_t place(const ConvStrides& s, const ConvAxis* axes, int64_t image, int64_t c,
                       const int64_t* o) {
    int64_t at = image * s.image + c * s.channel;
    for (int i = 0; i < 3; i++) at += (axes[i].first + o[i] * axes[i].step) * s.axis[i];
    return at;
  }

  A factor(int64_t c) const {
    if (!e_.scale) return static_cast<A>(e_.alpha);
    const int64_t at = e_.scale.shape[0] == 1 ? 0 : c * e_.scale.stride[0];
    return static_cast<A>(e_.alpha) * static_cast<A>(e_.scale.as<float>()[at]);
  }

  A bias(int64_t c) const {
    return e_.bias ? convert<A>(e_.bias.as<T>()[c * e_.bias.stride[0]]) : A(0);
  }

  static void add(A factor, const T* x, int64_t step, A* sum, int64_t n) {
    for (int64_t i = 0; i < n; i++) sum[i] += factor * convert<A>(x[i * step]);
  }

  const GemmEpilogue& e_;
  T* y_;
  ConvStrides stride_, residual_stride_;
};

}  // namespace gg
