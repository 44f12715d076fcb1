// One step back through a recurrent layer, unit by unit: what recurrent_grad.cu and
// recurrent_grad_hopper.cu do with the sums of a step's product.
#pragma once

#include "kernels/recurrent_launch.cuh"

namespace gg {

/// A call of recurrent_grad: what stays the same from step to step.
template <class T>
struct GradLayer {
  using A = Acc<T>;
  Cell cell;
  int64_t steps, batch, hidden, outputs;
  bool reverse, projects;
  Grid2<const int64_t> lengths;  ///< null: every sample has every step
  Grid3<const T> dy;             ///< may be null, as may dhn and dcn
  Grid2<const T> dhn, dcn;
  Grid3<const T> y;
  Grid3<const A> saved;    ///< lstm, gru
  Grid2<const T> initial;  ///< c0 (lstm) or h0
  A *past, *dc;            ///< [B, R], [B, H], carried from launch to launch
  Grid3<T> dgates, dinner, doutput;
  Grid2<T> dh0, dc0;

  /// The walk goes against that of the forward pass; there is no step number `steps`.
  __device__ int64_t time(int64_t i) const { return reverse ? i : steps - 1 - i; }
};

/// What is done with the sums of a product: `units`: they are dh of the cell's units; `output`: dh
/// of the projection's outputs; `first`: dh0.
enum class Stage { units, output, first };

/// Step number i of the walk back.
template <class T>
struct GradMoment {
  int64_t i;
  Stage stage;
  Rows2<T> next;  ///< what the next product reads
};

/// A unit of a sample from one step to the one before: what of dh does not go through w (a gru's
/// dh z; all of it where the sample has ended; at first dhn), and dc.
template <class A>
struct CarriedGrad {
  A past, dc;
};

/// What a unit's gradient needs from memory that earlier launches of this walk do not write.
template <class T>
struct UnitInput {
  UnitKept<Acc<T>> kept;
  Acc<T> dy;
  bool active;
};

template <class T>
GG_DEVICE Acc<T> state_before(const GradLayer<T>& s, int64_t t, int64_t length, int64_t sample,
                              int64_t unit) {
  using A = Acc<T>;
  // Backwards in time each sample begins at a step of its own.
  const bool begins = s.reverse ? t == length - 1 : t == 0;
  if (begins) return convert<A>(s.initial(sample, unit));
  const int64_t before = s.reverse ? t + 1 : t - 1;
  if (s.cell == Cell::lstm) return s.saved(before, sample, 4 * s.hidden + unit);
  return convert<A>(s.y(before, sample, unit));
}

template <class T>
GG_DEVICE UnitInput<T> load_unit(const GradLayer<T>& s, int64_t i, Stage stage, int64_t sample,
                                 int64_t unit) {
  using A = Acc<T>;
  UnitInput<T> in = {};
  if (stage == Stage::first) return in;
  const int64_t given = s.lengths.data ? s.lengths(sample, 0) : s.steps;
  const int64_t t = s.time(i), length = given < s.steps ? given : s.steps;
  in.active = t < length;
  if (!in.active) return in;
  const bool own = stage == Stage::output || !s.projects;  // else dy is in the product
  if (s.dy.data && own) in.dy = convert<A>(s.dy(t, sample, unit));
  if (stage == Stage::output) return in;
  if (!s.saved.data) {
    in.kept.y = convert<A>(s.y(t, sample, unit));
    return in;
  }
  const int count = s.cell == Cell::lstm ? 5 : 4;
#pragma unroll
  for (int k = 0; k < kMostSaved; k++) {
    if (k < count) in.kept.kept[k] = s.saved(t, sample, k * s.hidden + unit);
  }
  in.kept.before = state_before(s, t, length, sample, unit);
  return in;
}

/// The gradients of a unit's gates, to dgates, dinner and the next product.
template <class T>
GG_DEVICE void write_gates(const GradLayer<T>& s, const GradMoment<T>& now, int64_t sample,
                           int64_t unit, const UnitGrad<Acc<T>>& d) {
  const int count = s.cell == Cell::lstm ? 4 : s.cell == Cell::gru ? 3 : 1;
  const int64_t t = s.time(now.i);
#pragma unroll
  for (int k = 0; k < kMostGates; k++) {
    if (k >= count) break;
    const int64_t at = k * s.hidden + unit;
    const T gate = convert<T>(d.gates[k]);
    const T inner = s.cell == Cell::gru && k == 2 ? convert<T>(d.inner) : gate;
    s.dgates(t, sample, at) = gate;
    if (s.dinner.data) s.dinner(t, sample, at) = inner;
    now.next.data[sample * now.next.pitch + at] = inner;
  }
}

/// dh: of the product, to which what is carried is added.
template <class T>
GG_DEVICE void finish_unit(const GradLayer<T>& s, const GradMoment<T>& now, int64_t sample,
                           int64_t unit, const UnitInput<T>& in, Acc<T> dh,
                           CarriedGrad<Acc<T>>& carried) {
  using A = Acc<T>;
  dh += carried.past;
  if (now.stage == Stage::first) {
    s.dh0(sample, unit) = convert<T>(dh);
  } else if (now.stage == Stage::output) {
    const T whole = convert<T>(in.active ? dh + in.dy : A(0));
    s.doutput(s.time(now.i), sample, unit) = whole;
    now.next.data[sample * now.next.pitch + unit] = whole;
    carried.past = in.active ? A(0) : dh;
  } else {
    UnitGrad<A> d = {};
    d.past = dh;
    if (in.active) d = unit_grad(s.cell, dh + in.dy, in.kept, carried.dc);
    write_gates(s, now, sample, unit, d);
    carried.past = d.past;
    if (s.dc0.data && now.i == s.steps - 1) s.dc0(sample, unit) = convert<T>(carried.dc);
  }
}

/// What is carried into the walk.
template <class T>
GG_DEVICE CarriedGrad<Acc<T>> first_carried(const GradLayer<T>& s, Stage stage, int64_t sample,
                                            int64_t unit) {
  using A = Acc<T>;
  const bool own = stage != Stage::units || !s.projects;
  CarriedGrad<A> carried = {};
  if (s.dhn.data && own) carried.past = convert<A>(s.dhn(sample, unit));
  if (s.dcn.data && stage == Stage::units) carried.dc = convert<A>(s.dcn(sample, unit));
  return carried;
}

/// recurrent_grad_hopper.cu: the whole walk in one launch, where that is possible (else false).
/// product: of every step but the first; du: two buffers of padded rows. T: f16, bf16 or float.
template <class T>
bool launch_recurrent_grad_cluster(Stream stream, StepMath math, const GradLayer<T>& layer,
                                   const StepFactors<T>& product, T* const (&du)[2]);

}  // namespace gg
