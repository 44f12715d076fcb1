// Convolutions of ops.h: from arrays to a problem (conv_problem.cu), to a plan (conv_plan.cu), to
// kernels. Windows of one element without stride are a plain matrix product, and go to gemm. Host
// only.

#include "core/checks.h"
#include "kernels/conv_launch.cuh"

namespace gg {
namespace {

// ---- a plain matrix product --------------------------------------------------------------------

/// Do windows of one element visit each position of x once?
bool is_product(const ConvArrays& a, const ConvWindow& window) {
  bool product = window.groups == 1;
  for (int i = 0; i < a.x.ndim - 2; i++) {
    product &= a.w.shape[i + 2] == 1 && window.stride[i] == 1 && window.padding[i] == 0 &&
               a.x.shape[i + 2] == a.y.shape[i + 2];
  }
  return product;
}

/// [N, C, spatial...] as [N, spatial..., C].
Array channels_inside(const Array& x) {
  if (!x) return x;
  Array y = x;
  for (int i = 1; i < x.ndim; i++) {
    const int from = i + 1 < x.ndim ? i + 1 : 1;
    y.shape[i] = x.shape[from], y.stride[i] = x.stride[from];
  }
  return y;
}

/// w [K, C, 1...] as [K, C].
Array matrix_of(const Array& w) {
  Array matrix = w;
  matrix.ndim = 2;
  return matrix;
}

Array swapped(const Array& matrix) {
  Array y = matrix;
  std::swap(y.shape[0], y.shape[1]);
  std::swap(y.stride[0], y.stride[1]);
  return y;
}

/// y = a b with the arrays of a product.
struct Product {
  Array a, b, y;
};

/// All positions of x [N, C, spatial...] as the rows of one matrix [rows, C]; none where they are
/// not equally far apart.
Array rows_of(const Array& x) {
  Layout<1> rows;
  rows.push(x.shape[0], {x.stride[0]});
  for (int i = 2; i < x.ndim; i++) rows.push(x.shape[i], {x.stride[i]});
  rows.finish();
  if (rows.ndim > 1) return {};
  Array matrix;
  matrix.data = x.data, matrix.dtype = x.dtype, matrix.ndim = 2;
  matrix.shape[0] = rows.size, matrix.stride[0] = rows.stride[0][0];
  matrix.shape[1] = x.shape[1], matrix.stride[1] = x.stride[1];
  return matrix;
}

/// The product that a convolution is; its y is none where it is not one.
Product product_of(const ConvArrays& a, const ConvWindow& window) {
  if (!is_product(a, window)) return {};
  const Array w = matrix_of(a.w);
  if (a.kind == ConvKind::fprop) return {channels_inside(a.x), swapped(w), channels_inside(a.y)};
  if (a.kind == ConvKind::dgrad) return {channels_inside(a.y), w, channels_inside(a.x)};
  const Array x = rows_of(a.x), dy = rows_of(a.y);
  if (!x || !dy) return {};
  return {swapped(dy), x, w};
}

/// The residual broadcast to y, with y's axes in the order of the product.
Array product_residual(const Array& residual, const Array& y) {
  if (!residual) return residual;
  Array full = y;
  full.data = residual.data;
  for (int i = 0; i < y.ndim; i++) full.stride[i] = broadcast_stride(residual, y, i);
  return channels_inside(full);
}

// ---- copies ------------------------------------------------------------------------------------

Array image_array(const ConvImage& x, const ConvProblem& p, int64_t channels,
                  int ConvAxis::* length) {
  Array a;
  a.data = x.data, a.dtype = p.dtype, a.ndim = 0;
  const auto push = [&](int64_t n, int64_t stride) {
    a.shape[a.ndim] = n, a.stride[a.ndim++] = stride;
  };
  push(p.n, x.n);
  for (int i = 0; i < kConvAxes; i++) push(p.axis[i].*length, x.at[i]);
  push(p.groups, x.group);
  push(channels, x.c);
  return a;
}

Array filter_array(const ConvFilter& w, const ConvProblem& p) {
  const ConvImage as_image{w.data, w.k, w.group, w.c, {w.tap[0], w.tap[1], w.tap[2]}};
  Array a = image_array(as_image, p, p.c, &ConvAxis::taps);
  a.shape[0] = p.k;
  return a;
}

/// Zeros where channels are padded: with x's zeros there, a NaN would make NaN.
void clear_padding(Stream stream, const ConvProblem& p, int64_t bytes) {
  if (p.c == padded_channels(p.c, p.dtype)) return;
  Array all;
  all.data = p.w.data, all.dtype = DType::f32, all.ndim = 1;
  all.shape[0] = bytes / 4, all.stride[0] = 1;
  fill(stream, all, {});
}

/// Copies what the plan copies to the workspace.
void pack(Stream stream, ConvProblem& p, const ConvPlan& plan, char* space, bool x_is_packed) {
  const ConvProblem from = p;
  char* const w = space + plan.x_bytes;
  set_packed(p, plan.x_bytes ? space : nullptr, plan.w_bytes ? w : nullptr,
             plan.y_bytes ? w + plan.w_bytes : nullptr);
  if (plan.x_bytes && !x_is_packed) {
    copy(stream, image_array(from.x, p, p.c, &ConvAxis::in),
         image_array(p.x, p, p.c, &ConvAxis::in));
  }
  if (plan.w_bytes) {
    clear_padding(stream, p, plan.w_bytes);
    copy(stream, filter_array(from.w, p), filter_array(p.w, p));
  }
  if (plan.y_bytes) {
    copy(stream, image_array(from.y, p, p.k, &ConvAxis::out),
         image_array(p.y, p, p.k, &ConvAxis::out));
  }
}

// ---- kernels -----------------------------------------------------------------------------------

/// The planned tensor-core kernel.
void run_mma(Stream stream, const ConvMma& c, const ConvPlan& plan, bool wgrad) {
  if (plan.tile == ConvTile::hopper) {
    return wgrad ? launch_conv_hopper_wgrad(stream, c) : launch_conv_hopper(stream, c);
  }
  LaunchConvMma* const run = plan.math == GemmMath::f16    ? launch_conv_mma_f16
                             : plan.math == GemmMath::bf16 ? launch_conv_mma_bf16
                             : plan.math == GemmMath::tf32 ? launch_conv_mma_tf32
                                                           : launch_conv_mma_tf32x3;
  run(stream, c, wgrad, plan.tile == ConvTile::large);
}

/// The planned kernel of a gather.
void run_gather(Stream stream, ConvProblem p, const ConvPlan& plan, void* space, bool x_is_packed) {
  if (plan.kernel == ConvKernel::depthwise) return launch_conv_depthwise(stream, p);
  if (plan.kernel == ConvKernel::stem) return launch_conv_stem(stream, p);
  if (plan.kernel == ConvKernel::simt) return launch_conv_simt(stream, p);
  char* const bytes = static_cast<char*>(space);
  pack(stream, p, plan, bytes, x_is_packed);
  void* const partial = plan.rest_bytes ? bytes + plan.workspace() - plan.rest_bytes : nullptr;
  const ConvMma c = conv_mma_problem(p, plan, false, partial);
  run_mma(stream, c, plan, false);
  if (plan.splits > 1) launch_conv_split_sum(stream, c);
}

void run_wgrad(Stream stream, ConvProblem p, const ConvPlan& plan, void* space) {
  if (plan.kernel == ConvKernel::depthwise) return launch_conv_depthwise_wgrad(stream, p, space);
  if (plan.kernel == ConvKernel::stem) return launch_conv_stem_wgrad(stream, p, space);
  if (plan.kernel == ConvKernel::simt) return launch_conv_simt_wgrad(stream, p, space);
  char* const bytes = static_cast<char*>(space);
  pack(stream, p, plan, bytes, false);
  const ConvMma c = conv_mma_problem(p, plan, true, bytes + plan.workspace() - plan.rest_bytes);
  run_mma(stream, c, plan, true);
  launch_conv_wgrad_sum(stream, c, p.w);
}

/// Calls f(problem, plan) for each phase of dgrad that writes something.
template <class F>
void for_each_phase(const ConvArrays& a, const ConvWindow& window, const GemmEpilogue& epilogue,
                    MatmulPrecision precision, const F& f) {
  const GemmDevice device = gemm_device();
  const int64_t phases = conv_phases(a, window);
  for (int64_t i = 0; i < phases; i++) {
    const ConvProblem p = conv_phase_problem(a, window, epilogue, i);
    f(p, plan_conv(p, false, precision, device));
  }
}

/// Workspace of dgrad: phases follow one another and share it.
int64_t phases_workspace(const ConvArrays& a, const ConvWindow& window, MatmulPrecision precision) {
  int64_t bytes = 0;
  for_each_phase(a, window, {}, precision, [&](const ConvProblem&, const ConvPlan& plan) {
    bytes = std::max(bytes, plan.workspace());
  });
  return bytes;
}

}  // namespace

int64_t conv_fprop_workspace(const Array& x, const Array& w, const Array& y,
                             const ConvWindow& window, MatmulPrecision precision) {
  const ConvArrays arrays{ConvKind::fprop, x, w, y};
  check_conv(arrays, window, {});
  if (y.size() == 0) return 0;
  if (const Product g = product_of(arrays, window); g.y) {
    return gemm_workspace(g.a, g.b, g.y, precision);
  }
  return plan_conv(conv_problem(arrays, window, {}), false, precision, gemm_device()).workspace();
}

void conv_fprop(Stream stream, const Array& x, const Array& w, const Array& y,
                const ConvWindow& window, const GemmEpilogue& epilogue, MatmulPrecision precision,
                const Array& workspace) {
  const ConvArrays arrays{ConvKind::fprop, x, w, y};
  check_conv(arrays, window, epilogue);
  if (y.size() == 0) return;
  if (const Product g = product_of(arrays, window); g.y) {
    GemmEpilogue product = epilogue;
    product.residual = product_residual(epilogue.residual, y);
    return gemm(stream, g.a, g.b, g.y, product, precision, workspace);
  }
  const ConvProblem p = conv_problem(arrays, window, epilogue);
  const ConvPlan plan = plan_conv(p, false, precision, gemm_device());
  check_workspace("conv_fprop", workspace, plan.workspace());
  run_gather(stream, p, plan, workspace.data, false);
}

int64_t conv_dgrad_workspace(const Array& dy, const Array& w, const Array& dx,
                             const ConvWindow& window, MatmulPrecision precision) {
  const ConvArrays arrays{ConvKind::dgrad, dx, w, dy};
  check_conv(arrays, window, {});
  if (dx.size() == 0) return 0;
  if (const Product g = product_of(arrays, window); g.y) {
    return gemm_workspace(g.a, g.b, g.y, precision);
  }
  return phases_workspace(arrays, window, precision);
}

void conv_dgrad(Stream stream, const Array& dy, const Array& w, const Array& dx,
                const ConvWindow& window, const GemmEpilogue& epilogue, MatmulPrecision precision,
                const Array& workspace) {
  const ConvArrays arrays{ConvKind::dgrad, dx, w, dy};
  check_conv(arrays, window, epilogue);
  if (dx.size() == 0) return;
  if (const Product g = product_of(arrays, window); g.y) {
    GemmEpilogue product = epilogue;
    product.residual = product_residual(epilogue.residual, dx);
    return gemm(stream, g.a, g.b, g.y, product, precision, workspace);
  }
  bool packed = false;  // dy is the same for all phases, and lies first
  for_each_phase(arrays, window, epilogue, precision,
                 [&](const ConvProblem& p, const ConvPlan& plan) {
                   check_workspace("conv_dgrad", workspace, plan.workspace());
                   run_gather(stream, p, plan, workspace.data, packed);
                   packed |= plan.x_bytes > 0;
                 });
}

int64_t conv_wgrad_workspace(const Array& x, const Array& dy, const Array& dw,
                             const ConvWindow& window, MatmulPrecision precision) {
  const ConvArrays arrays{ConvKind::wgrad, x, dw, dy};
  check_conv(arrays, window, {});
  if (dw.size() == 0 || dy.size() == 0) return 0;
  if (const Product g = product_of(arrays, window); g.y) {
    return gemm_workspace(g.a, g.b, g.y, precision);
  }
  return plan_conv(conv_problem(arrays, window, {}), true, precision, gemm_device()).workspace();
}

void conv_wgrad(Stream stream, const Array& x, const Array& dy, const Array& dw,
                const ConvWindow& window, MatmulPrecision precision, const Array& workspace) {
  const ConvArrays arrays{ConvKind::wgrad, x, dw, dy};
  check_conv(arrays, window, {});
  if (dw.size() == 0) return;
  if (dy.size() == 0 || x.size() == 0) return fill(stream, dw, {});
  if (const Product g = product_of(arrays, window); g.y) {
    return gemm(stream, g.a, g.b, g.y, {}, precision, workspace);
  }
  const ConvProblem p = conv_problem(arrays, window, {});
  const ConvPlan plan = plan_conv(p, true, precision, gemm_device());
  check_workspace("conv_wgrad", workspace, plan.workspace());
  run_wgrad(stream, p, plan, workspace.data);
}

}  // namespace gg
