// From arrays to a ConvProblem. Host only.

#include "kernels/conv_problem.cuh"

#include <algorithm>
#include <numeric>

#include "core/conv_checks.h"

namespace gg {
namespace {

/// How errors name the operation and its arrays.
ConvArguments arguments(const ConvArrays& a) {
  if (a.kind == ConvKind::fprop) return {"conv_fprop", a.x, a.w, a.y, "x", "w", "y"};
  if (a.kind == ConvKind::dgrad) return {"conv_dgrad", a.x, a.w, a.y, "dx", "w", "dy"};
  return {"conv_wgrad", a.x, a.w, a.y, "x", "dw", "dy"};
}

/// Kernels count positions along an axis, padding included, in int.
void check_reach(const ConvArguments& a, const ConvWindow& window) {
  for (int i = 0; i < a.x.ndim - 2; i++) {
    const int64_t stride = window.stride[i], padding = window.padding[i];
    const int64_t dilation = window.dilation[i];
    const double reach = double(a.x.shape[i + 2]) + double(a.y.shape[i + 2]) * double(stride) +
                         double(padding) + double(a.w.shape[i + 2]) * double(dilation);
    GG_CHECK(reach < double(1 << 30), a.op, "positions along axis ", i + 2,
             " must stay below 2^30, got ", a.x_name, " ", a.x, ", ", a.w_name, " ", a.w, ", ",
             a.y_name, " ", a.y, ", stride ", stride, ", padding ", padding, ", dilation ",
             dilation);
  }
}

// ---- arrays -----------------------------------------------------------------------------------

/// The place of spatial axis i of `ndim - 2` among the three.
int place(int ndim, int i) {
  return kConvAxes - (ndim - 2) + i;
}

ConvImage image(const Array& a, int64_t groups) {
  ConvImage x{a.data, a.stride[0], a.shape[1] / groups * a.stride[1], a.stride[1], {}};
  for (int i = 0; i < a.ndim - 2; i++) x.at[place(a.ndim, i)] = a.stride[i + 2];
  return x;
}

/// As fprop reads it.
ConvFilter filter(const Array& w, int64_t groups) {
  ConvFilter f{w.data, w.shape[0] / groups * w.stride[0], w.stride[0], w.stride[1], {}};
  for (int i = 0; i < w.ndim - 2; i++) f.tap[place(w.ndim, i)] = w.stride[i + 2];
  return f;
}

void* shifted(void* data, int64_t elements, DType dtype) {
  return static_cast<char*>(data) + elements * dtype_size(dtype);
}

// ---- what follows the sums --------------------------------------------------------------------

ConvImage residual_image(const Array& residual, const Array& y, int64_t groups) {
  if (!residual) return {};
  Array like_y = y;
  like_y.data = residual.data;
  for (int i = 0; i < y.ndim; i++) like_y.stride[i] = broadcast_stride(residual, y, i);
  return image(like_y, groups);
}

void set_output(GemmOutput& out, const ConvProblem& p, const ConvImage& residual,
                const GemmEpilogue& e) {
  out.y = p.y.data, out.y_n = p.y.c, out.dtype = p.dtype;
  out.alpha = e.alpha, out.beta = e.beta, out.act = e.act;
  out.residual = residual.data, out.residual_n = residual.c;
  if (e.bias) out.bias = e.bias.data, out.bias_n = e.bias.stride[0];
  if (!e.scale) return;
  out.scale = e.scale.as<const float>();
  out.scale_n = e.scale.shape[0] == 1 ? 0 : e.scale.stride[0];
}

/// Are groups of four channels contiguous and aligned, whatever the position and the group?
bool channels_align(const ConvProblem& p, const ConvImage& image, int written) {
  int64_t offsets = reinterpret_cast<intptr_t>(image.data);
  if (p.groups > 1) offsets |= image.group * written;
  if (p.n > 1) offsets |= image.n * written;
  for (int i = 0; i < kConvAxes; i++) {
    if (p.axis[i].out > 1) offsets |= image.at[i] * written;
  }
  return image.c == 1 && offsets % std::min(4 * written, 16) == 0;
}

/// `gemm` and `pixels`, from the rest of p.
void finish(ConvProblem& p, const ConvImage& residual, const GemmEpilogue& e) {
  GemmProblem& g = p.gemm;
  g.m = p.n * p.positions(), g.n = p.k, g.k = p.taps() * p.c;
  g.batch.push(p.groups, {p.x.group, p.w.group, p.y.group, residual.group});
  g.batch.finish();
  g.split = {nullptr, (g.n + 3) / 4 * 4, g.k, 1};
  set_output(g.out, p, residual, e);
  g.out.y_vector = channels_align(p, p.y, dtype_size(p.dtype));
  g.out.residual_vector = channels_align(p, residual, dtype_size(p.dtype));
  p.pixels.push(p.n, {p.y.n, residual.n});
  for (int i = 0; i < kConvAxes; i++) p.pixels.push(p.axis[i].out, {p.y.at[i], residual.at[i]});
  p.pixels.finish();
}

// ---- phases of dgrad --------------------------------------------------------------------------

/// Positions i = residue + j stride of one axis of dx, and the taps t = first + q step of w that
/// they meet: those where i + padding - t dilation is a multiple of the stride.
struct Phase {
  int residue, stride, first, step;
  ConvAxis axis;
};

Phase phase_of(int residue, int length, int out, int taps, int stride, int padding, int dilation) {
  Phase phase{residue, stride, 0, stride / std::gcd(stride, dilation), {}};
  const auto meets = [&](int t) {
    return (residue + padding - int64_t{t} * dilation) % stride == 0;
  };
  while (phase.first < std::min(phase.step, taps) && !meets(phase.first)) phase.first++;
  const bool any = phase.first < taps && meets(phase.first);
  ConvAxis& axis = phase.axis;
  axis.in = out, axis.out = (length - residue + stride - 1) / stride, axis.step = 1;
  axis.taps = any ? (taps - phase.first + phase.step - 1) / phase.step : 0;
  axis.offset = any ? (residue + padding - phase.first * dilation) / stride : 0;
  axis.tap_step = -(dilation / std::gcd(stride, dilation));
  return phase;
}

/// Moves y, the residual and w to where the phase begins along spatial axis `i` of three.
void enter_phase(ConvProblem& p, ConvImage& residual, const Phase& phase, int i) {
  p.axis[i] = phase.axis;
  for (ConvImage* to : {&p.y, &residual}) {
    to->data = to->data ? shifted(to->data, phase.residue * to->at[i], p.dtype) : nullptr;
    to->at[i] *= phase.stride;
  }
  if (phase.axis.taps > 0) p.w.data = shifted(p.w.data, phase.first * p.w.tap[i], p.dtype);
  p.w.tap[i] *= phase.step;
}

}  // namespace

void check_conv(const ConvArrays& a, const ConvWindow& window, const GemmEpilogue& epilogue) {
  const ConvArguments named = arguments(a);
  check_conv(named, window);
  check_reach(named, window);
  const bool writes_x = a.kind == ConvKind::dgrad;
  check_conv_epilogue(named.op, writes_x ? named.x_name : named.y_name, writes_x ? a.x : a.y,
                      epilogue);
}

ConvProblem conv_problem(const ConvArrays& a, const ConvWindow& window,
                         const GemmEpilogue& epilogue) {
  ConvProblem p{};
  p.dtype = a.x.dtype, p.n = a.x.shape[0], p.groups = window.groups;
  p.c = a.x.shape[1] / p.groups, p.k = a.y.shape[1] / p.groups;
  p.x = image(a.x, p.groups), p.w = filter(a.w, p.groups), p.y = image(a.y, p.groups);
  for (ConvAxis& axis : p.axis) axis = {1, 1, 1, 1, 0, 1};
  for (int i = 0; i < a.x.ndim - 2; i++) {
    const auto number = [](int64_t x) { return static_cast<int>(x); };  // below 2^30: check_window
    p.axis[place(a.x.ndim, i)] = {number(a.x.shape[i + 2]),   number(a.y.shape[i + 2]),
                                  number(a.w.shape[i + 2]),   number(window.stride[i]),
                                  number(-window.padding[i]), number(window.dilation[i])};
  }
  finish(p, residual_image(epilogue.residual, a.y, p.groups), epilogue);
  return p;
}

int64_t conv_phases(const ConvArrays& a, const ConvWindow& window) {
  int64_t phases = 1;
  for (int i = 0; i < a.x.ndim - 2; i++) phases *= std::min(window.stride[i], a.x.shape[i + 2]);
  return phases;
}

ConvProblem conv_phase_problem(const ConvArrays& a, const ConvWindow& window,
                               const GemmEpilogue& epilogue, int64_t phase) {
  const ConvProblem whole = conv_problem(a, window, {});
  ConvProblem p{};
  p.dtype = whole.dtype, p.n = whole.n, p.groups = whole.groups;
  p.c = whole.k, p.k = whole.c, p.x = whole.y, p.y = whole.x, p.w = whole.w;
  std::swap(p.w.c, p.w.k);
  ConvImage residual = residual_image(epilogue.residual, a.x, p.groups);
  for (int i = 0; i < kConvAxes; i++) {
    const ConvAxis& axis = whole.axis[i];
    const int residues = std::min(axis.step, axis.in);
    const int residue = static_cast<int>(phase % residues);
    phase /= residues;
    enter_phase(
        p, residual,
        phase_of(residue, axis.in, axis.out, axis.taps, axis.step, -axis.offset, axis.tap_step), i);
  }
  finish(p, residual, epilogue);
  return p;
}

}  // namespace gg
