// What a convolution kernel is told. conv_problem.cu makes it from arrays; all GPU convolution
// kernels take it.
//
// One form serves fprop and dgrad, a gather:
//
//   y[n, g, k, o] = epilogue(sum over c, q of w[g, k, c, q] x[n, g, c, i(o, q)])
//   i(o, q) = o step + offset + q tap_step, along each of three spatial axes; those that an image
//   lacks have length 1. Where i is outside x, nothing is added.
//
//   fprop   step = stride, offset = -padding, tap_step = dilation
//   dgrad   dx is gathered from dy. Positions of dx that agree modulo the stride meet the same
//           taps, so each such "phase" is a problem of its own, with its own strides of dx and of
//           w, step = 1 and a negative tap_step: taps that meet nothing are not walked. A phase may
//           have no tap at all: then y = epilogue(0).
//   wgrad   dw[g, k, c, q] = sum over n, o of y[n, g, k, o] x[n, g, c, i(o, q)]: fprop's problem
//           with y = dy read and w = dw written.
//
// As a matrix product, a row of a gather is an output position, a column a channel of one group,
// and groups are the batch: `gemm` says what follows the sums, and Epilogue with ConvRows does it.
#pragma once

#include "kernels/gemm_epilogue.cuh"
#include "ops/images.h"

namespace gg {

constexpr int kConvAxes = 3;

/// [n, groups, channels of a group, positions]; strides in elements.
struct ConvImage {
  void* data;
  int64_t n, group, c, at[kConvAxes];
};

/// [groups, k, c, taps]; strides in elements. dgrad: k is the channel of dx, c that of dy.
struct ConvFilter {
  void* data;
  int64_t group, k, c, tap[kConvAxes];
};

/// Output o meets input o * step + offset + q * tap_step at tap q, if that lies in [0, in).
struct ConvAxis {
  int in, out, taps;  ///< lengths
  int step, offset, tap_step;
};

struct ConvProblem {
  ConvImage x, y;
  ConvFilter w;
  ConvAxis axis[kConvAxes];
  int64_t n, groups, c, k;  ///< c and k: channels of one group
  DType dtype;              ///< of x, y and w

  // What follows the sums of a gather:
  GemmProblem gemm;  ///< m = n * positions of y, n = k, k = taps * c, batch: x, w, y, residual
                     ///< by group; out, split. Its a and b are not set.
  Layout<2> pixels;  ///< where row m begins in y and in the residual

  GG_HD int taps() const { return axis[0].taps * axis[1].taps * axis[2].taps; }
  GG_HD int64_t positions() const {  ///< of y
    return int64_t{axis[0].out} * axis[1].out * axis[2].out;
  }
};

/// Rows of Epilogue that are output positions.
struct ConvRows {
  const Layout<2>& pixels;
  int64_t column;

  __device__ __forceinline__ int64_t y(const GemmProblem&, int64_t row) const {
    return offset(0, row);
  }
  __device__ __forceinline__ int64_t residual(const GemmProblem&, int64_t row) const {
    return offset(1, row);
  }

 private:
  /// pixels.offset, but small: an epilogue has it in many places, and y is mostly one axis.
  __device__ __forceinline__ int64_t offset(int k, int64_t row) const {
    int64_t at = 0;
#pragma unroll 1
    for (int axis = pixels.ndim - 1; axis > 0; axis--) {
      const int64_t rest = pixels.divide(row, axis);
      at += (row - rest * pixels.length[axis]) * pixels.stride[k][axis];
      row = rest;
    }
    return at + row * pixels.stride[k][0];
  }
};

/// Writes sums (of type A) of output positions `row` and channels `col` of a group.
/// T: dtype of the arrays where the kernel is for one; void if it may be any.
///   conv_epilogue<float, f16>(p, group, split).write(row, step, col, sums);
template <class A, class T = void>
GG_DEVICE Epilogue<A, T, ConvRows> conv_epilogue(const ConvProblem& p, int64_t group,
                                                 int64_t split) {
  return {p.gemm, epilogue_place(p.gemm, group, split), ConvRows{p.pixels, group * p.k}};
}

/// The same for R rows, one after the other: the epilogue's code is there once.
template <class E, int R, int N>
GG_DEVICE void write_rows(const E& epilogue, int64_t row, int64_t step, int64_t col,
                          const float (&sums)[R][N]) {
  float left[R][N];
#pragma unroll
  for (int i = 0; i < R * N; i++) left[i / N][i % N] = sums[i / N][i % N];
#pragma unroll 1
  for (int r = 0; r < R; r++, row += step) {
    const float (&next)[1][N] = reinterpret_cast<const float (&)[1][N]>(left[0]);
    epilogue.write(row, 1, col, next);
    shift_rows(left);
  }
}

// ---- host: conv_problem.cu -------------------------------------------------------------------

enum class ConvKind : int8_t { fprop, dgrad, wgrad };

/// The caller's arrays, whichever of them is written.
struct ConvArrays {
  ConvKind kind;
  const Array& x;  ///< x or dx [N, C, in...]
  const Array& w;  ///< w or dw [K, C / groups, taps...]
  const Array& y;  ///< y or dy [N, K, out...]
};

/// Throws std::invalid_argument where the arguments break the contract of the operation.
void check_conv(const ConvArrays& a, const ConvWindow& window, const GemmEpilogue& epilogue);

/// fprop's and wgrad's problem.
ConvProblem conv_problem(const ConvArrays& a, const ConvWindow& window,
                         const GemmEpilogue& epilogue);

/// Phases that dgrad has: one for each position of dx modulo the strides.
int64_t conv_phases(const ConvArrays& a, const ConvWindow& window);

/// dgrad's problem for a phase: x = dy, y = the phase's positions of dx.
ConvProblem conv_phase_problem(const ConvArrays& a, const ConvWindow& window,
                               const GemmEpilogue& epilogue, int64_t phase);

// ---- host: kernels without tensor cores, any strides, nothing to be packed ---------------------
//
// A launcher gets problems that write something (no size 0 in y, or in w for wgrad), but c, taps
// or n may be 0 in what is summed. `takes` looks at shapes, strides and dtype only. wgrad writes
// dw (p.w) itself, through a workspace of its own.

/// conv_simt.cu: takes everything.
void launch_conv_simt(Stream stream, const ConvProblem& p);
void launch_conv_simt_wgrad(Stream stream, const ConvProblem& p, void* workspace);
int64_t conv_simt_wgrad_workspace(const ConvProblem& p);

/// conv_depthwise.cu: several groups, of one input or output channel or of at most eight of both.
bool conv_depthwise_takes(const ConvProblem& p);
void launch_conv_depthwise(Stream stream, const ConvProblem& p);
bool conv_depthwise_wgrad_takes(const ConvProblem& p);
void launch_conv_depthwise_wgrad(Stream stream, const ConvProblem& p, void* workspace);
int64_t conv_depthwise_wgrad_workspace(const ConvProblem& p);

/// conv_stem.cu: one to four input channels and one group, on tensor cores: float32 as tf32, where
/// the precision says so.
bool conv_stem_takes(const ConvProblem& p, MatmulPrecision precision);
void launch_conv_stem(Stream stream, const ConvProblem& p);
bool conv_stem_wgrad_takes(const ConvProblem& p, MatmulPrecision precision);
void launch_conv_stem_wgrad(Stream stream, const ConvProblem& p, void* workspace);
int64_t conv_stem_wgrad_workspace(const ConvProblem& p);

}  // namespace gg
