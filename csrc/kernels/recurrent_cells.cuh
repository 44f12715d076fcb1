// The arithmetic of one hidden unit in one step: recurrent cells and their gradients, in the
// accumulation dtype A. ops/text.h has the formulas.
#pragma once

#include <cmath>

#include "core/functors.h"
#include "core/math_unary.h"
#include "device/device.h"

namespace gg {

/// Elements (row, column) of a matrix of any strides; data may be null.
template <class T>
struct Grid2 {
  T* data = nullptr;
  int64_t row = 0, column = 0;

  __device__ T& operator()(int64_t i, int64_t j) const { return data[i * row + j * column]; }
};

/// Elements (step, sample, column) of a [T, B, n], dense along the last axis; data may be null.
template <class T>
struct Grid3 {
  T* data = nullptr;
  int64_t step = 0, row = 0;

  __device__ T& operator()(int64_t t, int64_t i, int64_t j) const {
    return data[t * step + i * row + j];
  }
};

constexpr int kMostGates = 4, kMostSaved = 5;

/// a: i f g o before their non-linearities; kept: these after, and c. Returns h.
template <class A>
GG_DEVICE A lstm_unit(const A (&a)[kMostGates], A c, A (&kept)[kMostSaved]) {
  kept[0] = logistic(a[0]), kept[1] = logistic(a[1]), kept[2] = std::tanh(a[2]);
  kept[3] = logistic(a[3]);
  kept[4] = kept[1] * c + kept[0] * kept[2];
  return kept[3] * std::tanh(kept[4]);
}

/// a: r and z before their non-linearities, and n's gate; u: n's recurrent part; kept: r z n u.
template <class A>
GG_DEVICE A gru_unit(const A (&a)[kMostGates], A u, A h, A (&kept)[kMostSaved]) {
  kept[0] = logistic(a[0]), kept[1] = logistic(a[1]);
  kept[2] = std::tanh(a[2] + kept[0] * u);
  kept[3] = u;
  return (A(1) - kept[1]) * kept[2] + kept[1] * h;
}

/// What a unit's gradient reads of the forward pass; `before`: c (lstm) or h (gru) a step earlier.
template <class A>
struct UnitKept {
  A y, before, kept[kMostSaved];
};

/// What it gives: of the gates, of n's recurrent part (gru), and what of dh goes on past w.
template <class A>
struct UnitGrad {
  A gates[kMostGates], inner, past;
};

/// dc becomes the gradient of c a step earlier (lstm).
template <class A>
GG_DEVICE UnitGrad<A> unit_grad(Cell cell, A dh, const UnitKept<A>& k, A& dc) {
  UnitGrad<A> d = {};
  const A one = 1;
  if (cell == Cell::rnn_tanh) {
    d.gates[0] = dh * (one - k.y * k.y);
  } else if (cell == Cell::rnn_relu) {
    d.gates[0] = k.y > A(0) ? dh : A(0);
  } else if (cell == Cell::lstm) {
    const A i = k.kept[0], f = k.kept[1], g = k.kept[2], o = k.kept[3];
    const A squashed = std::tanh(k.kept[4]);
    dc += dh * o * (one - squashed * squashed);
    d.gates[0] = dc * g * i * (one - i);
    d.gates[1] = dc * k.before * f * (one - f);
    d.gates[2] = dc * i * (one - g * g);
    d.gates[3] = dh * squashed * o * (one - o);
    dc *= f;
  } else {
    const A r = k.kept[0], z = k.kept[1], n = k.kept[2], u = k.kept[3];
    const A dn = dh * (one - z) * (one - n * n);
    d.gates[0] = dn * u * r * (one - r);
    d.gates[1] = dh * (k.before - n) * z * (one - z);
    d.gates[2] = dn;
    d.inner = dn * r;
    d.past = dh * z;
  }
  return d;
}

}  // namespace gg
