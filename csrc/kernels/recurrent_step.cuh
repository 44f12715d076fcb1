// One step of a recurrent layer, unit by unit: what recurrent.cu and recurrent_hopper.cu do with
// the sums of a step's product.
#pragma once

#include "kernels/recurrent_launch.cuh"

namespace gg {

/// A call of recurrent: what stays the same from step to step.
template <class T>
struct Layer {
  using A = Acc<T>;
  Cell cell;
  int64_t steps, batch, hidden;
  bool reverse;
  Grid3<const T> gates;
  Grid2<const T> bias;           ///< row 0 for every sample, or null
  Grid2<const T> c0;             ///< lstm, else null
  Grid2<const int64_t> lengths;  ///< null: every sample has every step
  A* c;                          ///< [B, H], carried from launch to launch
  Rows2<T> inner;                ///< what the projection reads, else null
  Grid3<T> y;
  Grid2<T> hn, cn;
  Grid3<A> saved;  ///< null: inference

  __device__ int64_t time(int64_t i) const { return reverse ? steps - 1 - i : i; }
};

/// Step number i of the walk.
template <class T>
struct Moment {
  int64_t i;
  Rows2<const T> before;  ///< h of the step before
  Rows2<T> h;             ///< and for the next
  bool projects;          ///< this is the projection after the cell
};

/// A unit of a sample from one step to the next. h is there for a gru and where samples end.
template <class T>
struct Carried {
  Acc<T> c;
  T h;
};

template <class T>
GG_DEVICE bool has_step(const Layer<T>& s, int64_t t, int64_t sample) {
  return !s.lengths.data || t < s.lengths(sample, 0);
}

/// A gate before the recurrent part, with its bias, but for that of n, which belongs to u.
template <class T>
GG_DEVICE Acc<T> load_gate(const Layer<T>& s, int64_t t, int64_t sample, int gate, int64_t unit) {
  using A = Acc<T>;
  const int64_t column = gate * s.hidden + unit;
  A value = convert<A>(s.gates(t, sample, column));
  const bool apart = s.cell == Cell::gru && gate == 2;
  if (s.bias.data && !apart) value += convert<A>(s.bias(0, column));
  return value;
}

template <class T>
GG_DEVICE bool carries_h(const Layer<T>& s) {
  return s.cell == Cell::gru || s.lengths.data;
}

/// h of a unit to y, to the next step and to hn.
template <class T>
GG_DEVICE void write_h(const Layer<T>& s, const Moment<T>& now, int64_t sample, int64_t unit,
                       Acc<T> h, bool active, Carried<T>& carried) {
  T value = convert<T>(h);
  s.y(s.time(now.i), sample, unit) = active ? value : convert<T>(Acc<T>(0));
  if (!active) value = carried.h;
  carried.h = value;
  now.h.data[sample * now.h.pitch + unit] = value;
  if (now.i == s.steps - 1) s.hn(sample, unit) = value;
}

/// rnn, and a projection: a is all there is before the non-linearity.
template <class T>
GG_DEVICE void plain_unit(const Layer<T>& s, const Moment<T>& now, int64_t sample, int64_t unit,
                          Acc<T> a, bool active, Carried<T>& carried) {
  if (!now.projects) {
    a = s.cell == Cell::rnn_tanh ? std::tanh(a) : a > Acc<T>(0) || a != a ? a : Acc<T>(0);
  }
  write_h(s, now, sample, unit, a, active, carried);
}

/// lstm and gru; a: the gates.
template <class T>
GG_DEVICE void gated_unit(const Layer<T>& s, const Moment<T>& now, int64_t sample, int64_t unit,
                          Acc<T> (&a)[kMostGates], const Acc<T> (&sums)[kMostGates], bool active,
                          Carried<T>& carried) {
  using A = Acc<T>;
  A kept[kMostSaved] = {}, h;
  if (s.cell == Cell::lstm) {
#pragma unroll
    for (int f = 0; f < kMostGates; f++) a[f] += sums[f];
    h = lstm_unit(a, carried.c, kept);
    if (active) carried.c = kept[4];
    if (now.i == s.steps - 1) s.cn(sample, unit) = convert<T>(carried.c);
  } else {
    A u = sums[2];
    if (s.bias.data) u += convert<A>(s.bias(0, 2 * s.hidden + unit));
    a[0] += sums[0], a[1] += sums[1];
    h = gru_unit(a, u, convert<A>(carried.h), kept);
  }
  if (s.saved.data) {
    const int count = s.cell == Cell::lstm ? 5 : 4;
#pragma unroll
    for (int i = 0; i < kMostSaved; i++) {
      const int64_t column = i * s.hidden + unit;
      if (i < count) s.saved(s.time(now.i), sample, column) = active ? kept[i] : A(0);
    }
  }
  if (s.inner.data) {
    s.inner.data[sample * s.inner.pitch + unit] = convert<T>(h);
  } else {
    write_h(s, now, sample, unit, h, active, carried);
  }
}

/// recurrent_hopper.cu: the whole sequence in one launch, where that is possible (else false).
/// `product` is the first step's; states: two buffers of padded rows. T: f16, bf16 or float.
template <class T>
bool launch_recurrent_cluster(Stream stream, StepMath math, const Layer<T>& layer,
                              const StepFactors<T>& product, T* const (&states)[2]);

}  // namespace gg
