// recurrent_grad of ops/text.h on CPU threads: the steps of recurrent.cpp the other way.
//
// Threads take slices of samples through all steps. w is packed once, in the workspace; in a step
// the gates' gradients of a slice (recurrent_cell.h) are formed and stored, and while they are in
// the cache dh of the step before, du w. Products over all steps (dw and what follows from dgates)
// are the caller's.
//
// Accumulation: float32, float64 for float64, in the order of G H, so nothing depends on slices or
// threads. Outputs: =. 2 B T G H R FLOP; bound by the fused multiply-adds, for small H by the
// memory of saved and dgates. Reached where recurrent.cpp says: 67 GFLOP/s with H 100, 105 with
// 256. Subnormal numbers count as zeros: gradients of long sequences pass through them.
#include "cpu/recurrent_problem.h"
#include "ops/text.h"

namespace gg {
namespace {

struct Arguments {
  Cell cell;
  const Array &dy, &dhn, &dcn, &w, &projection, &h0, &c0, &lengths, &y, &saved;
  const Array &dgates, &dinner, &doutput, &dh0, &dc0;
  bool reverse;
};

template <class T>
class LayerGradient {
 public:
  using A = Wide<T>;

  LayerGradient(const Arguments& a, const RecurrentSizes& n, A* workspace)
      : a_(a),
        n_(n),
        columns_(n.gates * n.hidden, n.outputs),
        inputs_(n.outputs, a.projection ? n.hidden : 0),
        step_(cell_grad_step<A>(a.cell)),
        dy_(a.dy),
        y_(a.y),
        h0_(a.h0),
        c0_(a.c0),
        dgates_(a.dgates),
        dinner_(a.dinner),
        doutput_(a.doutput),
        saved_(a.saved),
        at_(tile_offsets(kTileSteps, conv_tiles<A>().lanes)),
        packed_(workspace),
        packed_projection_(workspace + ConvScratch<A>::padded(columns_.elements())) {}

  void run() {
    pack_as_is<T>(a_.w, columns_, packed_);
    if (a_.projection) pack_as_is<T>(a_.projection, inputs_, packed_projection_);
    for_each_slice(n_.batch, [this](int64_t first, int64_t last) { slice(first, last); });
  }

 private:
  /// States and sums of a slice.
  struct Slice {
    int64_t first, count;
    TileRows<A> rows, projected;
    A *planes = nullptr, *sums = nullptr;    ///< du of all samples as the tiles read it; du w
    A *whole = nullptr, *inner = nullptr;    ///< the same of a projection
    A *dh = nullptr, *dc = nullptr;          ///< a row for each sample
    A *dgates = nullptr, *dinner = nullptr;  ///< of one sample
    A *before = nullptr, *now = nullptr;     ///< buffers: h or c of the step before; y, tanh c
    A* squashed = nullptr;
  };

  void slice(int64_t first, int64_t last) const {
    const int64_t count = last - first;
    Slice s{first, count, {count, columns_.vectors()}, {count, inputs_.vectors()}};
    const int64_t room = cell_pitch(std::max(n_.hidden, n_.outputs));
    const int64_t planes = columns_.planes(s.rows), sums = s.rows.padded() * columns_.pitch(s.rows);
    const int64_t whole = a_.projection ? inputs_.planes(s.projected) : 0;
    const int64_t inner = a_.projection ? s.projected.padded() * inputs_.pitch(s.projected) : 0;
    const int64_t gates = n_.gates * n_.hidden;
    ConvScratch<A> scratch(planes + sums + whole + inner + 2 * count * room + 2 * gates + 3 * room +
                           11 * 64);
    s.planes = scratch.take(planes), s.sums = scratch.take(sums);
    s.whole = scratch.take(whole), s.inner = scratch.take(inner);
    s.dh = scratch.take(count * room), s.dc = scratch.take(count * room);
    s.dgates = scratch.take(gates), s.dinner = scratch.take(gates);
    s.before = scratch.take(room), s.now = scratch.take(room), s.squashed = scratch.take(room);
    std::fill(s.planes, s.squashed + room, A(0));
    begin(s, room);
    const int64_t used = most_steps(a_.lengths, n_.steps, first, last);
    for (int64_t i = n_.steps - 1; i >= 0; i--) {
      const int64_t t = a_.reverse ? n_.steps - 1 - i : i;
      if (t < used) {
        back(s, room, t);
      } else {
        for (int64_t b = first; b < last; b++) zero(t, b);
      }
    }
    finish(s, room);
  }

  void begin(const Slice& s, int64_t room) const {
    const SequenceRows<T> dhn(a_.dhn), dcn(a_.dcn);
    for (int64_t r = 0; r < s.count; r++) {
      if (dhn) dhn.read(0, s.first + r, s.dh + r * room);
      if (dcn) dcn.read(0, s.first + r, s.dc + r * room);
    }
  }

  void finish(const Slice& s, int64_t room) const {
    const SequenceRows<T> dh0(a_.dh0), dc0(a_.dc0);
    for (int64_t r = 0; r < s.count; r++) {
      dh0.write(0, s.first + r, s.dh + r * room);
      if (dc0) dc0.write(0, s.first + r, s.dc + r * room);
    }
  }

  bool active(const Slice& s, int64_t r, int64_t t) const {
    return t < sample_steps(a_.lengths, n_.steps, s.first + r);
  }

  void zero(int64_t t, int64_t b) const {
    dgates_.zero(t, b);
    if (dinner_) dinner_.zero(t, b);
    if (doutput_) doutput_.zero(t, b);
  }

  /// Step t of every sample of the slice.
  void back(const Slice& s, int64_t room, int64_t t) const {
    for (int64_t r = 0; r < s.count; r++) {
      if (!active(s, r, t)) {
        zero(t, s.first + r);
      } else {
        add_dy(s, s.dh + r * room, r, t);
      }
    }
    if (a_.projection) {
      inputs_.multiply(s.projected, s.whole, packed_projection_, at_.data(), s.inner,
                       inputs_.pitch(s.projected));
    }
    for (int64_t r = 0; r < s.count; r++) {
      if (active(s, r, t)) gates(s, room, r, t);
    }
    columns_.multiply(s.rows, s.planes, packed_, at_.data(), s.sums, columns_.pitch(s.rows));
    for (int64_t r = 0; r < s.count; r++) {
      if (active(s, r, t)) pass_on(s.sums + r * columns_.pitch(s.rows), s.dh + r * room);
    }
  }

  /// dh += dy: the whole gradient of h.
  void add_dy(const Slice& s, A* dh, int64_t r, int64_t t) const {
    const int64_t b = s.first + r, n = n_.outputs;
    if (dy_) {
      const A* const dy = dy_.view(t, b, s.now);
      for (int64_t j = 0; j < n; j++) dh[j] += dy[j];
    }
    if (!a_.projection) return;
    doutput_.write(t, b, dh);
    put_planar(dh, n, r, s.projected.padded(), s.whole);
  }

  /// dgates of sample r, stored, and du as the tiles read it.
  void gates(const Slice& s, int64_t room, int64_t r, int64_t t) const {
    const int64_t b = s.first + r;
    const bool gru = a_.cell == Cell::gru, lstm = a_.cell == Cell::lstm;
    const int64_t next = a_.reverse ? t + 1 : t - 1;
    if (next >= 0 && next < n_.steps) {
      saved_.prefetch(next, b);
      dy_.prefetch(next, b);
      y_.prefetch(next, b);
    }
    CellGradRow<A> row{};
    row.n = n_.hidden;
    row.saved = saved_ ? saved_.at(t, b) : nullptr;
    row.dh = a_.projection ? s.inner + r * inputs_.pitch(s.projected) : s.dh + r * room;
    row.dc = s.dc + r * room;
    row.dgates = s.dgates, row.dinner = s.dinner, row.squashed = s.squashed;
    if (lstm) {
      row.c = cell_before(s, t, b);
    } else if (gru) {
      const int64_t other = before(t, b);
      row.h = other < 0 ? h0_.view(0, b, s.before) : y_.view(other, b, s.before);
    } else {
      row.y = y_.view(t, b, s.now);
    }
    step_(row);
    dgates_.write(t, b, s.dgates);
    if (gru) dinner_.write(t, b, s.dinner);
    put_planar(gru ? s.dinner : s.dgates, n_.gates * n_.hidden, r, s.rows.padded(), s.planes);
  }

  /// The step before t of sample b, or -1 for the first states.
  int64_t before(int64_t t, int64_t b) const {
    if (!a_.reverse) return t - 1;
    return t + 1 < sample_steps(a_.lengths, n_.steps, b) ? t + 1 : -1;
  }

  const A* cell_before(const Slice& s, int64_t t, int64_t b) const {
    const int64_t other = before(t, b);
    if (other >= 0) return saved_.at(other, b) + 4 * n_.hidden;
    return c0_.view(0, b, s.before);
  }

  /// dh of the step before: du w, and for gru what went past w, which dh holds.
  void pass_on(const A* __restrict sums, A* __restrict dh) const {
    const int64_t n = n_.outputs;
    if (a_.cell == Cell::gru) {
      for (int64_t j = 0; j < n; j++) dh[j] += sums[j];
    } else {
      std::copy_n(sums, n, dh);
    }
  }

  const Arguments& a_;
  const RecurrentSizes n_;
  const PackedColumns<A> columns_, inputs_;
  const CellGradStep<A> step_;
  const SequenceRows<T> dy_, y_, h0_, c0_, dgates_, dinner_, doutput_;
  const SequenceRows<A> saved_;
  const std::vector<int64_t> at_;
  A *const packed_, *const packed_projection_;
};

}  // namespace

int64_t recurrent_grad_workspace(Cell cell, const Array& dgates, const Array& w,
                                 const Array& projection) {
  const RecurrentSizes n =
      check_recurrent_sizes("recurrent_grad", cell, "dgates", dgates, w, projection);
  const auto bytes = [&]<class A>(A) {
    return packed_bytes(PackedColumns<A>(n.gates * n.hidden, n.outputs)) +
           packed_bytes(PackedColumns<A>(n.outputs, projection ? n.hidden : 0));
  };
  return dgates.dtype == DType::f64 ? bytes(0.0) : bytes(0.0f);
}

void recurrent_grad(Stream, Cell cell, const Array& dy, const Array& dhn, const Array& dcn,
                    const Array& w, const Array& projection, const Array& h0, const Array& c0,
                    const Array& lengths, bool reverse, MatmulPrecision, const Array& y,
                    const Array& saved, const Array& dgates, const Array& dinner,
                    const Array& doutput, const Array& dh0, const Array& dc0,
                    const Array& workspace) {
  const RecurrentSizes n =
      check_recurrent_grad(cell, dy, dhn, dcn, w, projection, h0, c0, lengths, y, saved, dgates);
  check_recurrent_outputs(cell, n, dgates.dtype, projection, dinner, doutput, dh0, dc0);
  check_workspace("recurrent_grad", workspace,
                  recurrent_grad_workspace(cell, dgates, w, projection));
  const Arguments a{cell, dy,    dhn,    dcn,    w,       projection, h0,  c0,     lengths,
                    y,    saved, dgates, dinner, doutput, dh0,        dc0, reverse};
  dispatch_floating(dgates.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    LayerGradient<T>(a, n, workspace.as<Wide<T>>()).run();
  });
}

}  // namespace gg
