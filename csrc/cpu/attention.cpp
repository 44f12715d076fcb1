// attention of ops/attention.h on CPU threads, in tiles that stay in the caches (Dao et al. 2022).
//
// Threads take parts of the queries of one head. For each tile of keys, k is transposed and v
// copied once for all queries of the part; then blocks of a few queries, one after another, form
// their scores (tile_product.h), softmax them where they lie (attention_rows.h) and add p v to
// their sums, which are scaled down where the largest score grows. Tiles and stripes that no query
// of a block sees are skipped.
//
// Accumulation: float32, float64 for float64; probabilities of halves are not rounded. Sums are
// formed in the order of keys, so nothing depends on parts or threads. Outputs: =. 4 B H M N D FLOP
// and B H M N exponentials (the share that is seen); bound by both.
// Reached, one thread of a 2.6 GHz Xeon with AVX-512 (its peak is about 200 GFLOP/s), float32,
// 8 x 8 heads of 512 tokens, D 64: 113 GFLOP/s, exponentials included.
#include "cpu/attention_problem.h"

#include "core/parallel.h"

namespace gg {
namespace {

constexpr int64_t kKeys = 256;     ///< of a tile
constexpr int64_t kQueries = 512;  ///< of a part, at most
constexpr int64_t kParts = 16;     ///< of all heads together, at least, where that leaves
constexpr int64_t kLeastQueries = 64;

struct Arguments {
  const Array &q, &k, &v;
  const AttentionOptions& options;
  const Array &o, &lse;
};

template <class T>
class Attention {
 public:
  using A = Wide<T>;

  explicit Attention(const Arguments& a)
      : a_(a),
        loops_(attention_row_loops<A>()),
        sequences_(attention_sequences(a.q, a.k, a.options)),
        lanes_(conv_tiles<A>().lanes),
        heads_(a.q.shape[1]),
        d_(a.q.shape[3]),
        vectors_((d_ + lanes_ - 1) / lanes_),
        key_at_(tile_offsets(d_, lanes_)),
        value_at_(tile_offsets(kKeys, vectors_ * lanes_)) {
    int64_t longest = 0;
    for (const AttentionSequence& s : sequences_) longest = std::max(longest, s.m);
    const int64_t units = static_cast<int64_t>(sequences_.size()) * heads_;
    const int64_t wanted = units ? (kParts + units - 1) / units : 1;
    part_ = std::clamp((longest + wanted - 1) / wanted, kLeastQueries, kQueries);
    parts_ = (longest + part_ - 1) / part_;
  }

  void run() const {
    parallel_for(static_cast<int64_t>(sequences_.size()) * heads_ * parts_, 1,
                 [&](int64_t begin, int64_t end) {
                   for (int64_t i = begin; i < end; i++) {
                     const AttentionSequence& s = sequences_[i / parts_ / heads_];
                     const int64_t first = i % parts_ * part_;
                     if (first >= s.m) continue;
                     part(s, i / parts_ % heads_, first, std::min(part_, s.m - first));
                   }
                 });
  }

 private:
  /// One part of the queries of one head, and its buffers.
  struct Part {
    const AttentionSequence& s;
    const HeadOptions<A> options;
    int64_t first, count;
    TileRows<A> rows;
    int64_t pitch;  ///< of sums
    A *q = nullptr, *keys = nullptr, *values = nullptr;
    A *scores = nullptr, *sums = nullptr, *factors = nullptr;
    RowSoftmax<A>* softmax = nullptr;
  };

  void part(const AttentionSequence& s, int64_t h, int64_t first, int64_t count) const {
    const HeadOptions<A> options(a_.options, heads_, a_.q.shape[2], a_.k.shape[2], s.b, h);
    Part p{s, options, first, count, {count, kKeys / lanes_}, 0};
    p.pitch = p.rows.room(vectors_);
    const int64_t rows = p.rows.padded(), block = p.rows.height();
    ConvScratch<A> scratch((rows + block) * kTilePlane + kKeys * (d_ + vectors_ * lanes_ + 1) +
                           rows * p.pitch + 8 * 64);
    p.q = scratch.take(rows * kTilePlane), p.keys = scratch.take(kKeys * d_);
    p.values = scratch.take(kKeys * vectors_ * lanes_);
    p.scores = scratch.take(block * kTilePlane), p.sums = scratch.take(rows * p.pitch);
    p.factors = scratch.take(kKeys);
    std::vector<RowSoftmax<A>> softmax(rows, {-std::numeric_limits<A>::infinity(), A(0)});
    p.softmax = softmax.data();
    std::fill(p.sums, p.sums + rows * p.pitch, A(0));
    const HeadRows<T> q(a_.q, s.b, h);
    q.read(s.q0 + first, count, p.q, kTilePlane, d_, static_cast<A>(a_.options.scale));
    for (int64_t i = count; i < rows; i++) std::fill_n(p.q + i * kTilePlane, d_, A(0));
    const int64_t group = h / (heads_ / a_.k.shape[1]);
    tiles(p, HeadRows<T>(a_.k, s.b, group), HeadRows<T>(a_.v, s.b, group));
    finish(p, h);
  }

  void tiles(const Part& p, const HeadRows<T>& k, const HeadRows<T>& v) const {
    const KeyRange seen = keys_of(p.s, a_.options, p.first, p.count);
    for (int64_t tile = seen.begin / kKeys * kKeys; tile < seen.end; tile += kKeys) {
      const int64_t count = std::min(kKeys, p.s.n - tile);
      k.read_columns(p.s.k0 + tile, count, lanes_, p.keys);
      v.read(p.s.k0 + tile, count, p.values, vectors_ * lanes_, vectors_ * lanes_);
      for (int64_t row = 0; row < p.count; row += p.rows.height()) block(p, tile, count, row);
    }
  }

  /// A block of queries from `row` on against a tile of keys.
  void block(const Part& p, int64_t tile, int64_t count, int64_t row) const {
    const int64_t queries = std::min<int64_t>(p.rows.height(), p.count - row);
    const KeyRange seen = keys_of(p.s, a_.options, p.first + row, queries);
    const KeyRange range = stripes(seen, tile, count);
    if (range.begin == range.end) return;
    const TileRows<A> rows = p.rows.blocks(1);
    const TileColumns<A> keys{p.keys + range.begin * d_, (range.end - range.begin) / lanes_,
                              d_ * lanes_, key_at_.data()};
    rows.planar(d_, p.q + row * kTilePlane, keys, p.scores + range.begin, kTilePlane, false);
    for (int64_t r = 0; r < queries; r++) {
      softmax(p, tile, row + r, range, p.scores + r * kTilePlane);
    }
    const TileColumns<A> values{p.values + range.begin * vectors_ * lanes_, vectors_, lanes_,
                                value_at_.data()};
    rows.planar(std::min(range.end, count) - range.begin, p.scores + range.begin, values,
                p.sums + row * p.pitch, p.pitch, true);
  }

  /// Scores of one query become probabilities.
  void softmax(const Part& p, int64_t tile, int64_t row, KeyRange range, A* s) const {
    const int64_t i = p.first + row, n = range.end - range.begin;
    const KeyRange seen = keys_of(p.s, a_.options, i);
    hide_beside(seen.begin - tile, seen.end - tile, range, s);
    if (p.options.has_bias()) {
      const int64_t begin = std::max(seen.begin, tile + range.begin);
      const int64_t end = std::min(seen.end, tile + range.end);
      p.options.add_bias(p.s.q0 + i, p.s.k0 + begin, p.s.k0 + end, s + begin - tile);
    }
    const A correction = loops_.softmax(s + range.begin, n, p.softmax[row]);
    if (correction != 1) loops_.scale(p.sums + row * p.pitch, correction, vectors_ * lanes_);
    if (!p.options.drops()) return;
    p.options.factors(p.s.q0 + i, p.s.k0 + tile + range.begin, n, p.factors);
    loops_.multiply(s + range.begin, p.factors, n);
  }

  void finish(const Part& p, int64_t h) const {
    const HeadRows<T> o(a_.o, p.s.b, h);
    A* const lse = a_.lse.as<A>() + p.s.b * a_.lse.stride[0] + h * a_.lse.stride[1];
    for (int64_t r = 0; r < p.count; r++) {
      const auto [top, total] = p.softmax[r];
      const int64_t i = p.s.q0 + p.first + r;
      const bool any = total != 0;
      loops_.scale(p.sums + r * p.pitch, any ? 1 / total : A(0), vectors_ * lanes_);
      o.write(i, p.sums + r * p.pitch);
      lse[i * a_.lse.stride[2]] = any ? top + std::log(total) : top;
    }
  }

  const Arguments& a_;
  const AttentionRowLoops<A>& loops_;
  const std::vector<AttentionSequence> sequences_;
  const int64_t lanes_, heads_, d_, vectors_;
  const std::vector<int64_t> key_at_, value_at_;
  int64_t part_, parts_;
};

}  // namespace

int64_t attention_workspace(const Array& q, const Array& k, const Array&) {
  check_attention_inputs("attention", q, k, k);
  return 0;
}

void attention(Stream, const Array& q, const Array& k, const Array& v,
               const AttentionOptions& options, MatmulPrecision, const Array& o, const Array& lse,
               const Array&) {
  check_attention(q, k, v, options, o, lse);
  const Arguments a{q, k, v, options, o, lse};
  dispatch_floating(q.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    Attention<T>(a).run();
  });
}

}  // namespace gg
