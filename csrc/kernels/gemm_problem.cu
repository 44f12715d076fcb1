// From arrays to a GemmProblem. Host only.

#include "kernels/gemm_problem.cuh"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "core/checks.h"

namespace gg {
namespace {

constexpr const char* kOp = "gemm";

bool is_byte(DType t) {
  return t == DType::i8 || t == DType::u8;
}

bool may_write(DType inputs, DType output) {
  if (is_float8(inputs)) return is_floating(output) && output != DType::f64;
  if (inputs == output) return true;
  if (inputs == DType::f16 || inputs == DType::bf16) return output == DType::f32;
  return is_byte(inputs) && (output == DType::i32 || output == DType::f32);
}

void check_epilogue(const Array& y, const GemmEpilogue& e) {
  const int64_t m = y.shape[y.ndim - 2], n = y.shape[y.ndim - 1];
  GG_CHECK(!e.bias || (e.bias.ndim == 1 && e.bias.shape[0] == n && e.bias.dtype == y.dtype), kOp,
           "bias must be ", y.dtype, " (", n, ",), as y ", y, ", got ", e.bias);
  GG_CHECK(!e.scale || (e.scale.ndim == 1 && e.scale.dtype == DType::f32 &&
                        (e.scale.shape[0] == n || e.scale.shape[0] == 1)),
           kOp, "scale must be float32 (1,) or (", n, ",), got ", e.scale);
  GG_CHECK(!e.row_scale || (e.row_scale.ndim == 1 && e.row_scale.dtype == DType::f32 &&
                            (e.row_scale.shape[0] == m || e.row_scale.shape[0] == 1)),
           kOp, "row_scale must be float32 (1,) or (", m, ",), got ", e.row_scale);
  GG_CHECK(!e.residual || (e.residual.dtype == y.dtype && broadcasts_to(e.residual, y)), kOp,
           "residual must have y's dtype and broadcast to y ", y, ", got ", e.residual);
  if (is_floating(y.dtype)) return;
  GG_CHECK(e.act == Activation::none, kOp, "activation ", kActivation[static_cast<int>(e.act)],
           " needs a floating y, got ", y.dtype);
  GG_CHECK(!e.scale && !e.row_scale, kOp, "scales need a floating y, got ", y.dtype);
  GG_CHECK(e.alpha == std::trunc(e.alpha) && e.beta == std::trunc(e.beta), kOp,
           "alpha and beta must be whole for ", y.dtype, ", got ", e.alpha, " and ", e.beta);
}

Layout<4> batch_axes(const Array& a, const Array& b, const Array& y, const Array& residual) {
  Layout<4> batch;
  for (int i = 0; i < y.ndim - 2; i++) {
    const int64_t residual_step = residual ? broadcast_stride(residual, y, i) : 0;
    batch.push(y.shape[i],
               {broadcast_stride(a, y, i), broadcast_stride(b, y, i), y.stride[i], residual_step});
  }
  batch.finish();
  return batch;
}

/// Batch axes of y longer than 1, without those that have become rows. The batch layout may have
/// joined some, which a residual can keep apart; a plan must not depend on that.
int most_axes(const Array& y, int64_t matrices) {
  int count = 0;
  for (int i = 0; i < y.ndim - 2 && matrices > 1; i++) {
    if (y.shape[i] > 1) count++;
    matrices /= std::max<int64_t>(y.shape[i], 1);
  }
  return count;
}

/// A batch of matrices over one b is one matrix with more rows, where strides allow.
void fold_batch_into_rows(GemmProblem& g) {
  while (g.batch.size > 1) {
    const int i = g.batch.ndim - 1;
    const int64_t a_step = g.batch.stride[0][i], y_step = g.batch.stride[2][i];
    const int64_t residual_step = g.batch.stride[3][i];
    if (g.m == 1) g.a.row = a_step, g.out.y_m = y_step, g.out.residual_m = residual_step;
    if (g.batch.stride[1][i] != 0 || a_step != g.m * g.a.row || y_step != g.m * g.out.y_m ||
        residual_step != g.m * g.out.residual_m) {
      return;
    }
    g.m *= g.batch.length[i];
    g.batch.size /= g.batch.length[i];
    g.batch.length[i] = 1;
    if (i > 0) g.batch.ndim--;
  }
}

GemmOutput output(const Array& y, const GemmEpilogue& e) {
  GemmOutput out{};
  out.y = y.data, out.y_m = y.stride[y.ndim - 2], out.y_n = y.stride[y.ndim - 1];
  out.dtype = y.dtype;
  out.boolean = y.dtype == DType::boolean;
  out.alpha = e.alpha, out.beta = e.beta, out.act = e.act;
  if (e.scale) {
    out.scale = e.scale.as<const float>();
    out.scale_n = e.scale.shape[0] == 1 ? 0 : e.scale.stride[0];
  }
  if (e.row_scale) {
    out.row_scale = e.row_scale.as<const float>();
    out.row_scale_m = e.row_scale.shape[0] == 1 ? 0 : e.row_scale.stride[0];
  }
  if (e.bias) out.bias = e.bias.data, out.bias_n = e.bias.stride[0];
  if (e.residual) {
    out.residual = e.residual.data;
    out.residual_m = broadcast_stride(e.residual, y, y.ndim - 2);
    out.residual_n = broadcast_stride(e.residual, y, y.ndim - 1);
  }
  return out;
}

}  // namespace

void check_gemm(const Array& a, const Array& b, const Array& y, const GemmEpilogue& epilogue) {
  GG_CHECK(a && b && y, kOp, "a, b and y must be arrays, got ", a, ", ", b, " and ", y);
  GG_CHECK(a.ndim >= 2 && b.ndim >= 2 && y.ndim >= 2, kOp,
           "a, b and y need at least 2 axes, got a ", a, ", b ", b, ", y ", y);
  GG_CHECK(a.dtype == b.dtype || (is_float8(a.dtype) && is_float8(b.dtype)), kOp,
           "a and b must have one dtype, got a ", a, ", b ", b);
  GG_CHECK(may_write(a.dtype, y.dtype), kOp, "y must have the dtype of a and b (or float32 for ",
           "float16 and bfloat16; int32 or float32 for int8 and uint8; float16, bfloat16 or ",
           "float32 for 8-bit floats), got a ", a, ", y ", y);
  const int64_t m = y.shape[y.ndim - 2], n = y.shape[y.ndim - 1], k = a.shape[a.ndim - 1];
  GG_CHECK(b.shape[b.ndim - 2] == k, kOp, "inner sizes differ: a ", a, ", b ", b);
  GG_CHECK(a.shape[a.ndim - 2] == m && b.shape[b.ndim - 1] == n, kOp, "a ", a, " times b ", b,
           " does not give y ", y);
  Array a_batch = a, b_batch = b, y_batch = y;
  for (Array* batch : {&a_batch, &b_batch, &y_batch}) batch->ndim -= 2;
  GG_CHECK(broadcasts_to(a_batch, y_batch) && broadcasts_to(b_batch, y_batch), kOp,
           "batch axes of a ", a, " and b ", b, " do not broadcast to those of y ", y);
  check_epilogue(y, epilogue);
}

GemmProblem gemm_problem(const Array& a, const Array& b, const Array& y,
                         const GemmEpilogue& epilogue, bool fold) {
  GemmProblem g{};
  const int ai = a.ndim - 2, bi = b.ndim - 2, yi = y.ndim - 2;
  g.a.data = a.data, g.a.row = a.stride[ai], g.a.k = a.stride[ai + 1];
  g.b.data = b.data, g.b.row = b.stride[bi + 1], g.b.k = b.stride[bi];
  g.m = y.shape[yi], g.n = y.shape[yi + 1], g.k = a.shape[ai + 1];
  g.out = output(y, epilogue);
  g.batch = batch_axes(a, b, y, epilogue.residual);
  g.most_axes = most_axes(y, g.batch.size);
  g.split = {nullptr, (g.n + 3) / 4 * 4, g.k, 1};
  const bool rows_differ = epilogue.row_scale && epilogue.row_scale.shape[0] != 1;
  if (!fold || rows_differ) return g;  // folded, a row's number is no longer that in its matrix
  GemmProblem folded = g;
  fold_batch_into_rows(folded);
  folded.most_axes = most_axes(y, folded.batch.size);
  // A residual whose strides do not fold: then nothing is folded, so that there are two cases for
  // the workspace and no more.
  if (epilogue.residual && gemm_problem(a, b, y, {}, true).m != folded.m) return g;
  return folded;
}

void transpose(GemmProblem& g) {
  std::swap(g.a, g.b);
  std::swap(g.m, g.n);
  std::swap(g.out.y_m, g.out.y_n);
  std::swap(g.out.row_scale, g.out.scale);
  std::swap(g.out.row_scale_m, g.out.scale_n);
  std::swap(g.out.bias_m, g.out.bias_n);
  std::swap(g.out.residual_m, g.out.residual_n);
  std::swap(g.batch.stride[0], g.batch.stride[1]);
  g.split.pitch = (g.n + 3) / 4 * 4;
}

void set_packed(GemmProblem& g, int k, int element, void* to) {
  const int64_t chunk = 16 / element, pitch = (g.k + chunk - 1) / chunk * chunk;
  int64_t step = (k == 0 ? g.m : g.n) * pitch;
  for (int i = g.batch.ndim - 1; i >= 0; i--) {
    int64_t& stride = g.batch.stride[k][i];
    if (stride == 0 || g.batch.length[i] == 1) continue;
    stride = step, step *= g.batch.length[i];
  }
  (k == 0 ? g.a : g.b) = {to, pitch, 1, true, true};
}

bool groups_align(const GemmProblem& g, const void* data, int element, int64_t bytes, int64_t fast,
                  int64_t slow, int k) {
  int64_t offsets = reinterpret_cast<intptr_t>(data) | (slow * element);
  for (int i = 0; i < g.batch.ndim; i++) {
    if (g.batch.length[i] > 1) offsets |= g.batch.stride[k][i] * element;
  }
  return fast == 1 && offsets % bytes == 0;
}

void set_access(GemmProblem& g, DType inputs) {
  const int element = dtype_size(inputs), written = dtype_size(g.out.dtype);
  for (int k = 0; k < 2; k++) {
    GemmOperand& o = k == 0 ? g.a : g.b;
    o.along_k = o.k == 1 || (o.row != 1 && std::abs(o.k) < std::abs(o.row));
    const int64_t bytes = element == 1 ? 4 : 16;
    o.vector = groups_align(g, o.data, element, bytes, o.fast(), o.slow(), k);
  }
  GemmOutput& out = g.out;
  const int64_t bytes = std::min(4 * written, 16);
  out.y_vector = groups_align(g, out.y, written, bytes, out.y_n, out.y_m, 2);
  out.residual_vector =
      groups_align(g, out.residual, written, bytes, out.residual_n, out.residual_m, 3);
}

}  // namespace gg
