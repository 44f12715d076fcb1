// attention_grad of ops/attention.h on CPU threads: the tiles of attention.cpp again, with the
// probabilities formed anew from lse.
//
// A thread takes one head of k and v of one sequence, with the heads of q that share it: so dk and
// dv of a tile of keys, and dq of all its queries, are its own. For a tile of keys and a tile of
// queries: scores and dO v^T, a block of queries at a time; from them p and ds where they lie; then
// dv += p^T dO, dk += ds^T q, dq += ds k, all from tiles in the caches.
//
// Accumulation: float32, float64 for float64; dk and dv in the order of heads, then queries, dq in
// the order of keys, whatever the threads. Outputs: =. 10 B H M N D FLOP here (scores are formed
// once for all five products) and B H M N exponentials; bound by both.
// Reached where attention.cpp says: 117 GFLOP/s.
#include "cpu/attention_problem.h"

#include "core/parallel.h"

namespace gg {
namespace {

constexpr int64_t kKeys = 128;    ///< of a tile
constexpr int64_t kQueries = 64;  ///< of a tile, about

struct Arguments {
  const Array &d_o, &q, &k, &v, &o, &lse;
  const AttentionOptions& options;
  const Array &dq, &dk, &dv, &dbias;
};

template <class T>
class AttentionGradient {
 public:
  using A = Wide<T>;

  explicit AttentionGradient(const Arguments& a)
      : a_(a),
        loops_(attention_row_loops<A>()),
        sequences_(attention_sequences(a.q, a.k, a.options)),
        lanes_(conv_tiles<A>().lanes),
        groups_(a.k.shape[1]),
        shared_(groups_ ? a.q.shape[1] / groups_ : 0),
        d_(a.q.shape[3]),
        vectors_((d_ + lanes_ - 1) / lanes_),
        width_(vectors_ * lanes_),
        column_at_(tile_offsets(d_, lanes_)),
        plane_at_(tile_offsets(kTileSteps, kTilePlane)),
        key_at_(tile_offsets(kKeys, width_)) {}

  void run() const {
    parallel_for(static_cast<int64_t>(sequences_.size()) * groups_, 1,
                 [&](int64_t begin, int64_t end) {
                   for (int64_t i = begin; i < end; i++) {
                     group(sequences_[i / groups_], i % groups_);
                   }
                 });
  }

 private:
  /// One head of k and v with its buffers.
  struct Group {
    const AttentionSequence& s;
    int64_t g;
    TileRows<A> queries, keys;       ///< blocks of a tile
    int64_t tile, rows;              ///< queries of a whole tile; of a head, padded
    int64_t pitch;                   ///< of dq, dk, dv
    A *q = nullptr, *d_o = nullptr;  ///< of a tile, planar
    A *k = nullptr, *kt = nullptr,
      *vt = nullptr;                 ///< of a tile: scale k as rows, k and v as columns
    A *p = nullptr, *ds = nullptr;   ///< [queries of a tile][kTilePlane]
    A *dk = nullptr, *dv = nullptr;  ///< of a tile
    A *dq = nullptr, *lse = nullptr, *delta = nullptr;  ///< of all queries of all heads
    A* factors = nullptr;
  };

  /// A tile of queries of one head against a tile of keys.
  struct Tile {
    const HeadOptions<A>& options;
    int64_t h, shared;  ///< the head of q, and its number in the group
    int64_t q0, queries, k0, keys;
  };

  void group(const AttentionSequence& s, int64_t g) const {
    Group u{s, g, {kQueries, kKeys / lanes_}, {kKeys, vectors_}, 0, 0, 0};
    u.pitch = std::max(u.queries.room(vectors_), u.keys.room(vectors_));
    u.tile = (kQueries + u.queries.height() / 2) / u.queries.height() * u.queries.height();
    u.rows = (s.m + u.tile - 1) / u.tile * u.tile;
    const int64_t planes = u.tile * kTilePlane, keys = u.keys.padded();
    const int64_t all = shared_ * u.rows;
    ConvScratch<A> scratch(4 * planes + kKeys * (width_ + 2 * d_ + 1) + 2 * keys * u.pitch +
                           all * (u.pitch + 2) + 13 * 64);
    u.q = scratch.take(planes), u.d_o = scratch.take(planes);
    u.p = scratch.take(planes), u.ds = scratch.take(planes);
    u.k = scratch.take(kKeys * width_), u.kt = scratch.take(kKeys * d_);
    u.vt = scratch.take(kKeys * d_), u.factors = scratch.take(kKeys);
    u.dk = scratch.take(keys * u.pitch), u.dv = scratch.take(keys * u.pitch);
    u.dq = scratch.take(all * u.pitch), u.lse = scratch.take(all), u.delta = scratch.take(all);
    for (int64_t i = 0; i < u.tile; i++) {  // those beyond the end are read, too
      std::fill_n(u.q + i * kTilePlane, d_, A(0));
      std::fill_n(u.d_o + i * kTilePlane, d_, A(0));
    }
    std::fill(u.dq, u.dq + all * u.pitch, A(0));
    for (int64_t i = 0; i < shared_; i++) statistics(u, i);
    for (int64_t tile = 0; tile < s.all; tile += kKeys) keys_tile(u, tile);
    for (int64_t i = 0; i < shared_; i++) write_queries(u, i);
  }

  /// lse and delta of all queries of a head; zeros in dbias.
  void statistics(const Group& u, int64_t shared) const {
    const int64_t b = u.s.b, h = u.g * shared_ + shared;
    const HeadRows<T> d_o(a_.d_o, b, h), o(a_.o, b, h);
    const A* const lse = a_.lse.as<A>() + b * a_.lse.stride[0] + h * a_.lse.stride[1];
    for (int64_t i = 0; i < u.s.m; i++) {
      const int64_t at = u.s.q0 + i;
      u.delta[shared * u.rows + i] = loops_.dot(d_o.view(at, u.p), o.view(at, u.ds), d_);
      u.lse[shared * u.rows + i] = lse[at * a_.lse.stride[2]];
      if (a_.dbias) zero_bias(b, h, at);
    }
  }

  A* dbias_row(int64_t b, int64_t h, int64_t i) const {
    const int64_t* const stride = a_.dbias.stride;
    return a_.dbias.as<A>() + b * stride[0] + h * stride[1] + i * stride[2];
  }

  void zero_bias(int64_t b, int64_t h, int64_t i) const {
    A* const row = dbias_row(b, h, i);
    for (int64_t j = 0; j < a_.dbias.shape[3]; j++) row[j * a_.dbias.stride[3]] = 0;
  }

  /// Keys tile .. of the group: their dk and dv, and their part of dq.
  void keys_tile(const Group& u, int64_t tile) const {
    const AttentionSequence& s = u.s;
    const int64_t owned = std::min(kKeys, s.all - tile);
    const int64_t count = std::clamp<int64_t>(s.n - tile, 0, kKeys);
    const HeadRows<T> k(a_.k, s.b, u.g), v(a_.v, s.b, u.g);
    k.read(s.k0 + tile, count, u.k, width_, width_, static_cast<A>(a_.options.scale));
    k.read_columns(s.k0 + tile, count, lanes_, u.kt);
    v.read_columns(s.k0 + tile, count, lanes_, u.vt);
    std::fill(u.dk, u.dk + u.keys.padded() * u.pitch, A(0));
    std::fill(u.dv, u.dv + u.keys.padded() * u.pitch, A(0));
    for (int64_t i = 0; count > 0 && i < shared_; i++) {
      const int64_t h = u.g * shared_ + i;
      const HeadOptions<A> options(a_.options, a_.q.shape[1], a_.q.shape[2], a_.k.shape[2], s.b, h);
      for (int64_t q0 = 0; q0 < s.m; q0 += u.tile) {
        pair(u, {options, h, i, q0, std::min(u.tile, s.m - q0), tile, count});
      }
    }
    const HeadRows<T> dk(a_.dk, s.b, u.g), dv(a_.dv, s.b, u.g);
    for (int64_t j = 0; j < owned; j++) {
      dk.write(s.k0 + tile + j, u.dk + j * u.pitch);
      dv.write(s.k0 + tile + j, u.dv + j * u.pitch);
    }
  }

  /// All that a tile of queries and a tile of keys give each other.
  void pair(const Group& u, const Tile& t) const {
    const KeyRange seen = keys_of(u.s, a_.options, t.q0, t.queries);
    const KeyRange range = stripes(seen, t.k0, t.keys);
    if (range.begin == range.end) return;
    const HeadRows<T> q(a_.q, u.s.b, t.h), d_o(a_.d_o, u.s.b, t.h);
    const A scale = static_cast<A>(a_.options.scale);
    q.read(u.s.q0 + t.q0, t.queries, u.q, kTilePlane, width_, scale);
    d_o.read(u.s.q0 + t.q0, t.queries, u.d_o, kTilePlane, width_);
    for (int64_t row = 0; row < t.queries; row += u.queries.height()) block(u, t, row);
    const TileColumns<A> queries{u.q, vectors_, lanes_, plane_at_.data()};
    const TileColumns<A> gradients{u.d_o, vectors_, lanes_, plane_at_.data()};
    u.keys.across(range.begin, range.end, t.queries, u.p, gradients, u.dv, u.pitch, true);
    u.keys.across(range.begin, range.end, t.queries, u.ds, queries, u.dk, u.pitch, true);
  }

  /// p and ds of a block of queries from `row` of the tile on, and its part of dq.
  void block(const Group& u, const Tile& t, int64_t row) const {
    const int64_t queries = std::min<int64_t>(u.queries.height(), t.queries - row);
    const KeyRange seen = keys_of(u.s, a_.options, t.q0 + row, queries);
    const KeyRange range = stripes(seen, t.k0, t.keys);
    const TileRows<A> rows = u.queries.blocks(1);
    A *const p = u.p + row * kTilePlane, *const ds = u.ds + row * kTilePlane;
    if (range.begin < range.end) {
      const int64_t vectors = (range.end - range.begin) / lanes_, from = range.begin * d_;
      const TileColumns<A> kt{u.kt + from, vectors, d_ * lanes_, column_at_.data()};
      const TileColumns<A> vt{u.vt + from, vectors, d_ * lanes_, column_at_.data()};
      rows.planar(d_, u.q + row * kTilePlane, kt, p + range.begin, kTilePlane, false);
      rows.planar(d_, u.d_o + row * kTilePlane, vt, ds + range.begin, kTilePlane, false);
    }
    for (int64_t r = 0; r < queries; r++) {
      gradient(u, t, row + r, range);
      for (A* const to : {p + r * kTilePlane, ds + r * kTilePlane}) {
        std::fill(to, to + range.begin, A(0));
        std::fill(to + range.end, to + u.keys.padded(), A(0));
      }
    }
    if (range.begin == range.end) return;
    const TileColumns<A> k{u.k + range.begin * width_, vectors_, lanes_, key_at_.data()};
    A* const dq = u.dq + (t.shared * u.rows + t.q0 + row) * u.pitch;
    rows.planar(std::min(range.end, t.keys) - range.begin, ds + range.begin, k, dq, u.pitch, true);
  }

  /// p z and ds of one query, from its scores and dO v^T.
  void gradient(const Group& u, const Tile& t, int64_t row, KeyRange range) const {
    const int64_t i = t.q0 + row, at = t.shared * u.rows + i, n = range.end - range.begin;
    A *const p = u.p + row * kTilePlane, *const ds = u.ds + row * kTilePlane;
    const KeyRange seen = keys_of(u.s, a_.options, i);
    if (n == 0) return;
    if (u.lse[at] == -std::numeric_limits<A>::infinity()) {
      std::fill(p + range.begin, p + range.end, A(0));
      std::fill(ds + range.begin, ds + range.end, A(0));
      return;
    }
    const int64_t begin = std::max(seen.begin, t.k0 + range.begin);
    const int64_t end = std::min(seen.end, t.k0 + range.end);
    hide_beside(seen.begin - t.k0, seen.end - t.k0, range, p);
    t.options.add_bias(u.s.q0 + i, u.s.k0 + begin, u.s.k0 + end, p + begin - t.k0);
    const bool drops = t.options.drops();
    if (drops) {
      t.options.factors(u.s.q0 + i, u.s.k0 + t.k0 + range.begin, n, u.factors);
    }
    loops_.gradient(p + range.begin, ds + range.begin, drops ? u.factors : nullptr, n, u.lse[at],
                    u.delta[at]);
    if (!a_.dbias) return;
    A* const dbias = dbias_row(u.s.b, t.h, u.s.q0 + i);
    const int64_t step = a_.dbias.stride[3];
    for (int64_t j = begin; j < end; j++) dbias[(u.s.k0 + j) * step] = ds[j - t.k0];
  }

  void write_queries(const Group& u, int64_t shared) const {
    const HeadRows<T> dq(a_.dq, u.s.b, u.g * shared_ + shared);
    for (int64_t i = 0; i < u.s.m; i++) {
      dq.write(u.s.q0 + i, u.dq + (shared * u.rows + i) * u.pitch);
    }
  }

  const Arguments& a_;
  const AttentionRowLoops<A>& loops_;
  const std::vector<AttentionSequence> sequences_;
  const int64_t lanes_, groups_, shared_, d_, vectors_, width_;
  const std::vector<int64_t> column_at_, plane_at_, key_at_;
};

}  // namespace

int64_t attention_grad_workspace(const Array& q, const Array& k) {
  check_attention_inputs("attention_grad", q, k, k);
  return 0;
}

void attention_grad(Stream, const Array& d_o, const Array& q, const Array& k, const Array& v,
                    const Array& o, const Array& lse, const AttentionOptions& options,
                    MatmulPrecision, const Array& dq, const Array& dk, const Array& dv,
                    const Array& dbias, const Array&) {
  check_attention_grad(d_o, q, k, v, o, lse, options, {dq, dk, dv, dbias});
  const Arguments a{d_o, q, k, v, o, lse, options, dq, dk, dv, dbias};
  dispatch_floating(q.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    AttentionGradient<T>(a).run();
  });
}

}  // namespace gg
