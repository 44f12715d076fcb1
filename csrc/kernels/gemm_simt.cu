// GEMM on ordinary CUDA cores: every dtype, every stride.
//
//   y = act(alpha a b + bias + beta y);  a [..., m, k], b [..., k, n], bias [n], y [..., m, n]
//
// Assumes nothing of strides: an operand is read along its faster axis, four elements at once where
// they are contiguous and aligned, so all of NN, NT, TN, TT are coalesced. Batch axes that
// can be walked as one are merged; a batch over one shared b becomes more rows of one matrix. Where
// y is column-major, y^T = b^T a^T is computed instead.
//
// Accumulates in float32 (float16, bfloat16, float32), float64, or wrapping integers. y = unless
// beta != 0. Deterministic: no sum is split between blocks, and inside one the order is fixed.
//
// 2 m n k FLOP; a tile of side S reads m n k / S elements of each operand, mostly from L2.
// Bound: FP32 peak for the 128 x 128 tile, reading b once for m <= 8. Reached: not measured.

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "core/checks.h"
#include "kernels/gemm_simt_skinny.cuh"
#include "kernels/gemm_simt_tile.cuh"
#include "ops.h"

namespace gg {
namespace {

// ---- from arrays to a problem ----------------------------------------------------------------

void check(const Array& a, const Array& b, const Array& bias, const Array& y, double alpha,
           double beta, Activation act) {
  const char* const op = "gemm";
  GG_CHECK(a && b && y, op, "a, b and y must be arrays, got ", a, ", ", b, " and ", y);
  GG_CHECK(a.ndim >= 2 && b.ndim >= 2 && y.ndim >= 2, op, "a, b and y need at least 2 axes, got a ",
           a, ", b ", b, ", y ", y);
  GG_CHECK(a.dtype == b.dtype && a.dtype == y.dtype && (!bias || bias.dtype == a.dtype), op,
           "a, b, bias and y must have one dtype, got a ", a, ", b ", b, ", bias ", bias, ", y ",
           y);
  const int64_t m = y.shape[y.ndim - 2], n = y.shape[y.ndim - 1], k = a.shape[a.ndim - 1];
  GG_CHECK(b.shape[b.ndim - 2] == k, op, "inner sizes differ: a ", a, ", b ", b);
  GG_CHECK(a.shape[a.ndim - 2] == m && b.shape[b.ndim - 1] == n, op, "a ", a, " times b ", b,
           " does not give y ", y);
  GG_CHECK(!bias || (bias.ndim == 1 && bias.shape[0] == n), op, "bias must have shape (", n,
           ",), got ", bias);
  Array a_batch = a, b_batch = b, y_batch = y;
  for (Array* batch : {&a_batch, &b_batch, &y_batch}) batch->ndim -= 2;
  GG_CHECK(broadcasts_to(a_batch, y_batch) && broadcasts_to(b_batch, y_batch), op,
           "batch axes of a ", a, " and b ", b, " do not broadcast to those of y ", y);
  GG_CHECK(is_floating(a.dtype) || act == Activation::none, op, "activation ",
           kActivation[static_cast<int>(act)], " needs a floating dtype, got ", a.dtype);
  GG_CHECK(is_floating(a.dtype) || (alpha == std::trunc(alpha) && beta == std::trunc(beta)), op,
           "alpha and beta must be whole for ", a.dtype, ", got ", alpha, " and ", beta);
}

Layout<3> batch_axes(const Array& a, const Array& b, const Array& y) {
  Layout<3> batch;
  for (int i = 0; i < y.ndim - 2; i++) {
    batch.push(y.shape[i], {broadcast_stride(a, y, i), broadcast_stride(b, y, i), y.stride[i]});
  }
  batch.finish();
  return batch;
}

/// A batch of matrices over one b is one matrix with more rows, where strides allow.
void fold_batch_into_rows(GemmProblem& g) {
  while (g.batch.size > 1) {
    const int i = g.batch.ndim - 1;
    const int64_t a_step = g.batch.stride[0][i], y_step = g.batch.stride[2][i];
    if (g.m == 1) g.a.row = a_step, g.y_m = y_step;
    if (g.batch.stride[1][i] != 0 || a_step != g.m * g.a.row || y_step != g.m * g.y_m) return;
    g.m *= g.batch.length[i];
    g.batch.size /= g.batch.length[i];
    g.batch.length[i] = 1;
    if (i > 0) g.batch.ndim--;
  }
}

/// y^T = b^T a^T: rows become columns.
void transpose(GemmProblem& g) {
  std::swap(g.a, g.b);
  std::swap(g.m, g.n);
  std::swap(g.y_m, g.y_n);
  std::swap(g.bias_m, g.bias_n);
  std::swap(g.batch.stride[0], g.batch.stride[1]);
}

/// May four elements along an axis of stride `fast` be moved at once, wherever a group starts?
/// k is the array's place in the batch layout.
bool groups_align(const GemmProblem& g, const void* data, int element, int64_t fast, int64_t slow,
                  int k) {
  const int64_t bytes = std::min(4 * element, 16);
  int64_t offsets = reinterpret_cast<intptr_t>(data) | (slow * element);
  for (int i = 0; i < g.batch.ndim; i++) {
    if (g.batch.length[i] > 1) offsets |= g.batch.stride[k][i] * element;
  }
  return fast == 1 && offsets % bytes == 0;
}

void set_access(GemmProblem& g, int element) {
  for (int k = 0; k < 2; k++) {
    GemmOperand& o = k == 0 ? g.a : g.b;
    o.along_k = o.k == 1 || (o.row != 1 && std::abs(o.k) < std::abs(o.row));
    const int64_t fast = o.along_k ? o.k : o.row, slow = o.along_k ? o.row : o.k;
    o.vector = groups_align(g, o.data, element, fast, slow, k);
  }
  g.y_vector = groups_align(g, g.y, element, g.y_n, g.y_m, 2);
}

GemmProblem problem(const Array& a, const Array& b, const Array& bias, const Array& y, double alpha,
                    double beta, Activation act) {
  GemmProblem g{};
  const int ai = a.ndim - 2, bi = b.ndim - 2, yi = y.ndim - 2;
  g.a.data = a.data, g.a.row = a.stride[ai], g.a.k = a.stride[ai + 1];
  g.b.data = b.data, g.b.row = b.stride[bi + 1], g.b.k = b.stride[bi];
  g.y = y.data, g.y_m = y.stride[yi], g.y_n = y.stride[yi + 1];
  g.m = y.shape[yi], g.n = y.shape[yi + 1], g.k = a.shape[ai + 1];
  g.bias = bias ? bias.data : nullptr;
  g.bias_n = bias ? bias.stride[0] : 0;
  g.alpha = alpha, g.beta = beta, g.act = act;
  g.boolean = a.dtype == DType::boolean;
  g.batch = batch_axes(a, b, y);
  fold_batch_into_rows(g);
  return g;
}

// ---- launches --------------------------------------------------------------------------------

constexpr int64_t kMaxGrid = 0x7fffffff;

/// Grids are one axis of up to 2^31 - 1 blocks; more blocks take more launches.
template <class Launch>
void for_each_grid(int64_t blocks, Launch launch_from) {
  for (int64_t first = 0; first < blocks; first += kMaxGrid) {
    launch_from(first, static_cast<unsigned>(std::min(blocks - first, kMaxGrid)));
  }
}

int64_t tiles(const GemmProblem& g, int64_t side) {
  return ((g.m + side - 1) / side) * ((g.n + side - 1) / side) * g.batch.size;
}

template <class T, int S, int QM, int QN, int G>
void launch_tiles(Stream stream, const GemmProblem& g) {
  for_each_grid(tiles(g, S), [&](int64_t first, unsigned grid) {
    launch(gemm_tile<T, S, QM, QN, G>, grid, 2 * S, 0, stream, g, first);
  });
}

template <class T>
void launch_skinny(Stream stream, const GemmProblem& g) {
  if (g.b.along_k || g.n <= kSkinnyRows) {
    const bool whole_block = g.k >= 1024;
    const int64_t groups = (g.n + 3) / 4 * g.batch.size;
    const int64_t blocks = whole_block ? groups : (groups + kDotWarps - 1) / kDotWarps;
    for_each_grid(blocks, [&](int64_t first, unsigned grid) {
      launch(gemm_skinny_dot<T>, grid, 32 * kDotWarps, 0, stream, g, first, whole_block);
    });
  } else {
    const int lanes = g.n * g.batch.size >= 32 * multiprocessors() ? 8 : 2;
    const int64_t blocks = (g.n + 4 * lanes - 1) / (4 * lanes) * g.batch.size;
    for_each_grid(blocks, [&](int64_t first, unsigned grid) {
      launch(gemm_skinny_sweep<T>, grid, kSweepThreads, 0, stream, g, first, lanes);
    });
  }
}

/// The tile that should finish first. A multiprocessor works through its share of the tiles; the
/// smaller a tile, the fewer FLOP it does for each byte it reads from shared memory.
int best_side(const GemmProblem& g) {
  const int64_t sms = multiprocessors();
  const auto cost = [&](int64_t side, double speed) {
    return static_cast<double>((tiles(g, side) + sms - 1) / sms * side * side) / speed;
  };
  const double small = cost(32, 0.4), medium = cost(64, 0.7), large = cost(128, 1.0);
  if (large <= medium && large <= small) return 128;
  return medium <= small ? 64 : 32;
}

template <class T>
void launch_floating(Stream stream, GemmProblem& g) {
  const bool skinny = g.k >= 32 && std::min(g.m, g.n) <= kSkinnyRows;
  if (skinny ? g.m > kSkinnyRows : std::abs(g.y_m) < std::abs(g.y_n)) transpose(g);
  set_access(g, sizeof(T));
  if (skinny) return launch_skinny<T>(stream, g);
  if constexpr (std::is_same_v<T, float>) {
    const int side = best_side(g);
    if (side == 128) return launch_tiles<T, 128, 2, 2, 1>(stream, g);
    if (side == 32) return launch_tiles<T, 32, 1, 1, 4>(stream, g);
  }
  launch_tiles<T, 64, 2, 1, 2>(stream, g);
}

template <class T>
void launch_integer(Stream stream, GemmProblem& g) {
  if (std::abs(g.y_m) < std::abs(g.y_n)) transpose(g);
  set_access(g, sizeof(T));
  launch_tiles<T, 32, 1, 1, 4>(stream, g);
}

}  // namespace

void gemm(Stream stream, const Array& a, const Array& b, const Array& bias, const Array& y,
          double alpha, double beta, Activation act) {
  check(a, b, bias, y, alpha, beta, act);
  if (y.size() == 0) return;
  GemmProblem g = problem(a, b, bias, y, alpha, beta, act);
  if (is_floating(a.dtype)) {
    dispatch_floating(a.dtype,
                      [&](auto tag) { launch_floating<typename decltype(tag)::type>(stream, g); });
  } else {
    dispatch_width(a.dtype,
                   [&](auto tag) { launch_integer<typename decltype(tag)::type>(stream, g); });
  }
}

}  // namespace gg
