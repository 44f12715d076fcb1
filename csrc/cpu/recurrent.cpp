// recurrent of ops/text.h on CPU threads: a whole layer in one direction over a whole sequence.
//
// Threads take slices of samples through all steps, so none waits for another between steps. w is
// packed once, in the workspace, for the tiles of conv_tile.h; in a step the sums of all gates of a
// slice, u = w h, are formed from states that stay in the cache, and the gates (recurrent_cell.h)
// follow while these sums are there.
//
// Accumulation: float32, float64 for float64, in the order of R, so nothing depends on slices or
// threads. Outputs: =. 2 B T G H R FLOP; bound by the fused multiply-adds and the exponentials,
// and for small H by the memory of gates, y and saved. Reached, one thread of a 2.6 GHz Xeon with
// AVX-512 (its peak is about 200 GFLOP/s), float32, lstm, B 32: 93 GFLOP/s with H 100, 112 with
// 256. Subnormal numbers count as zeros.
#include "cpu/recurrent_problem.h"
#include "ops/text.h"

namespace gg {
namespace {

struct Arguments {
  Cell cell;
  const Array &gates, &w, &bias, &projection, &h0, &c0, &lengths, &y, &hn, &cn, &saved;
  bool reverse;
};

template <class T>
class Layer {
 public:
  using A = Wide<T>;

  Layer(const Arguments& a, const RecurrentSizes& n, A* workspace)
      : a_(a),
        n_(n),
        parts_(a.cell == Cell::lstm  ? 5
               : a.cell == Cell::gru ? 4
                                     : 1),
        pitch_(cell_pitch(n.hidden)),
        columns_(n.outputs, n.gates * n.hidden),
        outputs_(n.hidden, a.projection ? n.outputs : 0),
        step_(cell_step<A>(a.cell)),
        gates_(a.gates),
        y_(a.y),
        saved_(a.saved),
        at_(tile_offsets(kTileSteps, conv_tiles<A>().lanes)),
        bias_(n.gates * n.hidden),
        packed_(workspace),
        packed_projection_(workspace + ConvScratch<A>::padded(columns_.elements())) {}

  void run() {
    pack_transposed<T>(a_.w, columns_, packed_);
    if (a_.projection) pack_transposed<T>(a_.projection, outputs_, packed_projection_);
    if (a_.bias) read_run(a_.bias.as<T>(), a_.bias.stride[0], bias_.data(), n_.gates * n_.hidden);
    for_each_slice(n_.batch, [this](int64_t first, int64_t last) { slice(first, last); });
  }

 private:
  /// States and sums of a slice.
  struct Slice {
    int64_t first, count;
    TileRows<A> rows, projected;
    A *planes = nullptr, *u = nullptr;    ///< h of all samples as the tiles read it; w h
    A *inner = nullptr, *sums = nullptr;  ///< the same of a projection
    A *h = nullptr, *c = nullptr;         ///< states, a row for each sample
    A *a = nullptr, *x = nullptr;         ///< gates of one sample
  };

  void slice(int64_t first, int64_t last) const {
    const int64_t count = last - first;
    Slice s{first, count, {count, columns_.vectors()}, {count, outputs_.vectors()}};
    const int64_t most = std::max(n_.hidden, n_.outputs), room = cell_pitch(most);
    const int64_t planes = columns_.planes(s.rows), sums = s.rows.padded() * columns_.pitch(s.rows);
    const int64_t inner = a_.projection ? outputs_.planes(s.projected) : 0;
    const int64_t projected =
        a_.projection ? s.projected.padded() * outputs_.pitch(s.projected) : 0;
    const int64_t states = count * room;
    const int64_t x = std::max(n_.gates * n_.hidden, pitch_);
    ConvScratch<A> scratch(planes + sums + inner + projected + 2 * states + parts_ * pitch_ + x +
                           9 * 64);
    s.planes = scratch.take(planes), s.u = scratch.take(sums);
    s.inner = scratch.take(inner), s.sums = scratch.take(projected);
    s.h = scratch.take(states), s.c = scratch.take(states);
    s.a = scratch.take(parts_ * pitch_), s.x = scratch.take(x);
    std::fill(s.planes, s.x, A(0));
    begin(s, room);
    const int64_t used = most_steps(a_.lengths, n_.steps, first, last);
    for (int64_t i = 0; i < n_.steps; i++) {
      const int64_t t = a_.reverse ? n_.steps - 1 - i : i;
      if (t < used)
        columns_.multiply(s.rows, s.planes, packed_, at_.data(), s.u, columns_.pitch(s.rows));
      advance(s, room, t);
    }
    finish(s, room);
  }

  void begin(const Slice& s, int64_t room) const {
    const SequenceRows<T> h0(a_.h0), c0(a_.c0);
    for (int64_t r = 0; r < s.count; r++) {
      A* const h = s.h + r * room;
      h0.read(0, s.first + r, h);
      if (c0) c0.read(0, s.first + r, s.c + r * room);
      put_planar(h, n_.outputs, r, s.rows.padded(), s.planes);
    }
  }

  void finish(const Slice& s, int64_t room) const {
    const SequenceRows<T> hn(a_.hn), cn(a_.cn);
    for (int64_t r = 0; r < s.count; r++) {
      hn.write(0, s.first + r, s.h + r * room);
      if (cn) cn.write(0, s.first + r, s.c + r * room);
    }
  }

  bool active(const Slice& s, int64_t r, int64_t t) const {
    return t < sample_steps(a_.lengths, n_.steps, s.first + r);
  }

  /// Step t of every sample of the slice, from u.
  void advance(const Slice& s, int64_t room, int64_t t) const {
    for (int64_t r = 0; r < s.count; r++) {
      const int64_t b = s.first + r;
      if (!active(s, r, t)) {
        y_.zero(t, b);
        if (saved_) saved_.zero(t, b);
        continue;
      }
      A* const h = s.h + r * room;
      A* const hidden = a_.projection ? s.x : h;  // x has been read by then
      const int64_t next = a_.reverse ? t - 1 : t + 1;
      if (next >= 0 && next < n_.steps) gates_.prefetch(next, b);
      add(gates_.view(t, b, s.x), s.u + r * columns_.pitch(s.rows), s.a);
      step_({s.a, hidden, s.c + r * room, pitch_});
      if (saved_) save(s.a, saved_.at(t, b));
      if (a_.projection) {
        put_planar(hidden, n_.hidden, r, s.projected.padded(), s.inner);
      } else {
        put(s, h, r, t);
      }
    }
    if (a_.projection) project(s, room, t);
  }

  /// a: the sums of the gates, in whole vectors each.
  void add(const A* x, const A* u, A* a) const {
    const int64_t n = n_.hidden;
    const A* const bias = bias_.data();
    const bool gru = a_.cell == Cell::gru;
    for (int64_t g = 0; g < (gru ? 2 : n_.gates); g++) {
      sum(x + g * n, u + g * n, bias + g * n, a + g * pitch_);
    }
    if (!gru) return;
    std::copy_n(x + 2 * n, n, a + 2 * pitch_);
    A* const un = a + 3 * pitch_;
    for (int64_t j = 0; j < n; j++) un[j] = u[2 * n + j] + bias[2 * n + j];
  }

  void sum(const A* __restrict x, const A* __restrict u, const A* __restrict bias,
           A* __restrict a) const {
    for (int64_t j = 0; j < n_.hidden; j++) a[j] = x[j] + (u[j] + bias[j]);
  }

  void save(const A* a, A* to) const {
    for (int64_t part = 0; part < parts_; part++) {
      std::copy_n(a + part * pitch_, n_.hidden, to + part * n_.hidden);
    }
  }

  /// h of sample r, rounded, to y and to the next step.
  void put(const Slice& s, A* h, int64_t r, int64_t t) const {
    y_.write(t, s.first + r, h);
    if constexpr (!std::is_same_v<T, A>) y_.read(t, s.first + r, h);
    put_planar(h, n_.outputs, r, s.rows.padded(), s.planes);
  }

  void project(const Slice& s, int64_t room, int64_t t) const {
    outputs_.multiply(s.projected, s.inner, packed_projection_, at_.data(), s.sums,
                      outputs_.pitch(s.projected));
    for (int64_t r = 0; r < s.count; r++) {
      if (!active(s, r, t)) continue;
      A* const h = s.h + r * room;
      std::copy_n(s.sums + r * outputs_.pitch(s.projected), n_.outputs, h);
      put(s, h, r, t);
    }
  }

  const Arguments& a_;
  const RecurrentSizes n_;
  const int64_t parts_, pitch_;
  const PackedColumns<A> columns_, outputs_;
  const CellStep<A> step_;
  const SequenceRows<T> gates_, y_;
  const SequenceRows<A> saved_;
  const std::vector<int64_t> at_;
  std::vector<A> bias_;
  A *const packed_, *const packed_projection_;
};

}  // namespace

int64_t recurrent_workspace(Cell cell, const Array& gates, const Array& w, const Array& projection,
                            const Array&) {
  const RecurrentSizes n = check_recurrent_sizes("recurrent", cell, "gates", gates, w, projection);
  const auto bytes = [&]<class A>(A) {
    return packed_bytes(PackedColumns<A>(n.outputs, n.gates * n.hidden)) +
           packed_bytes(PackedColumns<A>(n.hidden, projection ? n.outputs : 0));
  };
  return gates.dtype == DType::f64 ? bytes(0.0) : bytes(0.0f);
}

void recurrent(Stream, Cell cell, const Array& gates, const Array& w, const Array& bias,
               const Array& projection, const Array& h0, const Array& c0, const Array& lengths,
               bool reverse, MatmulPrecision, const Array& y, const Array& hn, const Array& cn,
               const Array& saved, const Array& workspace) {
  const RecurrentSizes n =
      check_recurrent(cell, gates, w, bias, projection, h0, c0, lengths, y, hn, cn, saved);
  const int64_t bytes = recurrent_workspace(cell, gates, w, projection, saved);
  check_workspace("recurrent", workspace, bytes);
  const Arguments a{cell, gates, w, bias, projection, h0, c0, lengths, y, hn, cn, saved, reverse};
  dispatch_floating(gates.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    Layer<T>(a, n, workspace.as<Wide<T>>()).run();
  });
}

}  // namespace gg
