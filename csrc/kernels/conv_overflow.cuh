// Sums of a convolution that are not finite, formed again by a plain float32 loop: for 3xTF32,
// whose infinities and NaN are then those of `exact`, where what pads x is a zero like any other.
// See gemm_overflow.cuh.
#pragma once

#include "kernels/conv_views.cuh"
#include "kernels/gemm_overflow.cuh"

namespace gg {

/// sum over taps q and channels of w[group, col, q] x[row's window]: one output of a gather.
GG_DEVICE float plain_output(const ConvMma& c, int64_t group, int64_t row, int64_t col) {
  const ConvProblem& p = c.p;
  const ConvPosition at(c, row);
  const float* const x = static_cast<const float*>(p.x.data) + group * p.x.group + at.n * p.x.n;
  const float* const w = static_cast<const float*>(p.w.data) + group * p.w.group + col * p.w.k;
  float sum = 0;
#pragma unroll 1
  for (int tap = 0; tap < p.taps(); tap++) {
    const ConvTap q(p, tap);
    const ConvPlace place(p, at, q);
    const float* const wq = w + q.q[0] * p.w.tap[0] + q.q[1] * p.w.tap[1] + q.q[2] * p.w.tap[2];
#pragma unroll 1
    for (int64_t i = 0; i < p.c; i++) sum += (place.inside ? x[place.offset + i] : 0.0f) * wq[i];
  }
  return sum;
}

/// sum over positions of dy[row] x[channel, at the tap]: one element of dw.
GG_DEVICE float plain_weight(const ConvMma& c, int64_t group, int64_t row, int tap,
                             int64_t channel) {
  const ConvProblem& p = c.p;
  const ConvTap q(p, tap);
  const float* const x = static_cast<const float*>(p.x.data) + group * p.x.group + channel;
  const float* const dy = static_cast<const float*>(p.y.data) + group * p.y.group + row;
  float sum = 0;
#pragma unroll 1
  for (int64_t i = 0; i < p.gemm.k; i++) {
    const ConvPosition at(c, i);
    const ConvPlace place(p, at, q);
    const float seen = place.inside ? x[at.n * p.x.n + place.offset] : 0.0f;
    sum += dy[i * p.y.at[kConvAxes - 1]] * seen;
  }
  return sum;
}

}  // namespace gg
