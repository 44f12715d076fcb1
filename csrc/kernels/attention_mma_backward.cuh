// Attention's gradient on tensor cores: one kernel, two ways. attention_mma_grad.cu starts it.
//
//   of queries    a block owns queries and walks over the keys they see: dq, dbias
//   ByKeys        a block owns keys and walks over the queries that see them, head after head of
//                 those that share its k: dk, dv
//
// Own rows are x and x2 (q and dO; by keys k and v), what it walks over is y and y2 (k and v; q and
// dO):  s = x y^T,  dp = x2 y2^T,  p = exp2(s - lse),  ds = p (dp - delta);  sums += ds y, by keys
// also sums2 += p y2. Either way p and ds stay in the registers of the warp that owns their rows.
//
// Each tile of y and y2 is on its way to shared memory while the one before is multiplied, where
// shared memory has room for two. By keys and D > 128, a block sums up half of the columns.
#pragma once

#include "kernels/attention_mma_grid.cuh"
#include "kernels/attention_mma_scores.cuh"

namespace gg {

template <int D_, bool ByKeys_, bool Turing>
struct GradShape {
  static constexpr int kD = D_;
  static constexpr bool kByKeys = ByKeys_, kAsync = !Turing, kTuring = Turing;
  static constexpr int kGroups = Turing || kD == 256 || (kByKeys && kD == 128) ? 1 : 2;
  static constexpr int kRows = 64 * kGroups, kColumns = kD == 256 ? 16 : 32;
  static constexpr int kPairs = kColumns / 16, kParts = kByKeys && kD == 256 ? 2 : 1;
  static constexpr int kSums = kD / 16 / kParts, kOwnQueries = kByKeys ? 1 : kRows;
  static constexpr int kOwnTile = kRows * kRowBytes<kD>, kTile = kColumns * kRowBytes<kD>;
  /// y, y2, and by keys lse and delta of the queries.
  static constexpr int kStage = 2 * kTile + (kByKeys ? 2 * kColumns * 4 : 0);
  static constexpr int bytes(int stages) { return 2 * kOwnTile + stages * kStage; }
};

/// What a block knows of its work, in shared memory (ForwardWork says why).
template <class Shape>
struct GradWork {
  RowBounds<Shape::kRows> bounds;
  SeenColumns seen[kAttentionWarps];
  LanePlaces places;
  ScoreScale scale;
  int64_t batch, head, group;  ///< head: of q, or by keys of k; group: of k
  int row0, row_end;           ///< the block's first row, and where its sequence's end
  int part;                    ///< the block's part of the columns of D
  int first, end, tiles;       ///< columns to visit, and in how many tiles of y, all heads together
  float lse[Shape::kOwnQueries], delta[Shape::kOwnQueries];  ///< of the block's rows
};

/// The tile of y being multiplied or loaded.
struct GradStep {
  int head, column;  ///< head: of q

  /// On to the next: along the columns, then the heads.
  template <class Shape>
  __device__ __forceinline__ GradStep next(const GradWork<Shape>& work) const {
    if (column + Shape::kColumns < work.end) return {head, column + Shape::kColumns};
    return {head + 1, work.first};
  }
};

/// A number for each query of a lane's part of a tile: its rows, or by keys its columns.
template <int Pairs, int Groups, bool ByKeys>
struct Queries {
  float value[ByKeys ? 4 * Pairs : 2 * Groups];

  /// of: those of the warp's rows, or of the tile's columns.
  __device__ __forceinline__ explicit Queries(const float* of) {
#pragma unroll
    for (int i = 0; i < (ByKeys ? 2 * Pairs : 2 * Groups); i++) {
      if constexpr (ByKeys) {
        const Vec<float, 2> two = load_vec<2>(of + 8 * i + lane_id() % 4 * 2);
        value[2 * i] = two[0], value[2 * i + 1] = two[1];
      } else {
        value[i] = of[8 * i + lane_id() / 4];
      }
    }
  }
  __device__ __forceinline__ float operator()(int pair, int g, int h, int e) const {
    return value[ByKeys ? 4 * pair + 2 * h + e % 2 : 2 * g + e / 2];
  }
};

template <class T, class Shape>
struct GradBlock {
  static constexpr int kGroups = Shape::kGroups, kPairs = Shape::kPairs, kD = Shape::kD;
  static constexpr int kColumns = Shape::kColumns, kRows = Shape::kRows;
  static constexpr bool kByKeys = Shape::kByKeys, kAsync = Shape::kAsync;
  using Scores = float[kPairs][kGroups][2][4];
  using Sums = float[Shape::kSums][kGroups][2][4];

  const AttentionProblem& p;
  GradWork<Shape>& work;
  char* const shared;

  __device__ __forceinline__ GradBlock(const AttentionProblem& problem, GradWork<Shape>& w,
                                       char* dynamic)
      : p(problem), work(w), shared(dynamic) {}

  __device__ __forceinline__ int line() const { return warp_id() * 16 * kGroups; }
  __device__ __forceinline__ char* own(int which) const {
    return shared + which * Shape::kOwnTile + line() * kRowBytes<kD>;
  }
  __device__ __forceinline__ char* stage(int number) const {
    return shared + 2 * Shape::kOwnTile + number * Shape::kStage;
  }

  /// lse (which 0) or delta (1) of a query.
  __device__ __forceinline__ const float* query_value(int which, int64_t head, int64_t row) const {
    if (which == 0)
      return static_cast<const float*>(p.lse.data) + p.lse.offset(work.batch, head, row);
    return static_cast<const float*>(p.delta) + (work.batch * p.heads + head) * p.m + row;
  }

  __device__ __forceinline__ void load_own(const AttentionTensor& x, int which, int end) const {
    load_rows<kD, kRows, kAsync>(shared + which * Shape::kOwnTile,
                                 head_rows<T>(x, work.batch, work.head, p.d), work.row0, end);
  }

  __device__ __forceinline__ void load(const GradStep& at, int number) const {
    char* const to = stage(number);
    const int64_t head = kByKeys ? at.head : work.group;
    load_rows<kD, kColumns, kAsync>(to, head_rows<T>(kByKeys ? p.q : p.k, work.batch, head, p.d),
                                    at.column, work.end);
    load_rows<kD, kColumns, kAsync>(to + Shape::kTile,
                                    head_rows<T>(kByKeys ? p.d_o : p.v, work.batch, head, p.d),
                                    at.column, work.end);
    const int t = static_cast<int>(threadIdx.x);
    if (kByKeys && t < 2 * kColumns) {
      const int row = at.column + t % kColumns, which = t / kColumns;
      float* const value = reinterpret_cast<float*>(to + 2 * Shape::kTile) + t;
      const bool exists = row < work.end;
      const float* const from = query_value(which, head, exists ? row : 0);
      if constexpr (kAsync) {
        cp_async<4>(value, from, exists ? 4 : 0);
      } else {
        *value = exists ? *from : 0.0f;
      }
    }
    close_copies<kAsync>();
  }

  /// Starts on the block's own rows.
  __device__ __forceinline__ void begin(const AttentionGrid& grid) const {
    const AttentionPlace place(grid);
    const Interval rows = rows_of_tile(p, kByKeys, place.tile / Shape::kParts, kRows);
    work.places.template fill<kD>();
    if (threadIdx.x == 0) {
      work.scale = score_scale(p);
      work.batch = place.batch, work.head = place.head;
      work.group = kByKeys ? place.head : place.head / p.per_group;
      work.row0 = rows.begin, work.row_end = rows.end;
      work.part = place.tile % Shape::kParts;
    }
    work.bounds.template fill<kByKeys>(p, place.batch, rows.begin, rows.end);
    const SeenColumns mine = work.bounds.seen(line(), 16 * kGroups, rows.end - rows.begin);
    const SeenColumns all = work.bounds.seen(0, kRows, kRows);
    if (lane_id() == 0) work.seen[warp_id()] = mine;
    if (threadIdx.x == 0) {
      const int first = first_column(p, all.begin, kColumns);
      const int tiles = all.begin < all.end ? (all.end - first + kColumns - 1) / kColumns : 0;
      work.first = first, work.end = all.end;
      work.tiles = kByKeys ? tiles * static_cast<int>(p.per_group) : tiles;
    }
    if constexpr (!kByKeys) fill_query_values();
    __syncthreads();
    if (all.begin >= all.end) return;
    const int end = kByKeys ? rows.begin + work.bounds.lines() : rows.end;
    load_own(kByKeys ? p.k : p.q, 0, end);
    load_own(kByKeys ? p.v : p.d_o, 1, end);
  }

  __device__ __forceinline__ int first_head() const {
    return static_cast<int>(kByKeys ? work.head * p.per_group : work.head);
  }

  __device__ __forceinline__ void fill_query_values() const {
    const int line = static_cast<int>(threadIdx.x), row = work.row0 + line;
    if (line >= kRows) return;
    const bool exists = row < work.row_end;
    work.lse[line] = exists ? lse_powers(*query_value(0, work.head, row)) : INFINITY;
    work.delta[line] = exists ? *query_value(1, work.head, row) : 0.0f;
  }

  /// lse in powers of 2 of the queries this lane holds: by row, or of the stage's columns.
  __device__ __forceinline__ auto lse_of(const float* of_column) const {
    Queries<kPairs, kGroups, kByKeys> lse(kByKeys ? of_column : work.lse + line());
    if constexpr (kByKeys) {
#pragma unroll
      for (float& x : lse.value) x = lse_powers(x);
    }
    return lse;
  }

  /// s becomes p = exp2(s - lse), 0 where hidden.
  __device__ __forceinline__ void probabilities(Scores& s, const GradStep& at,
                                                const float* of_column) const {
    const ScoreTile tile{work.row0 + line(), at.column};
    if (work.scale.special)
      bring_to_powers<T, kByKeys>(s, p, work.scale, work.batch, at.head, tile);
    if (!work.seen[warp_id()].holds(at.column, kColumns)) {
      hide_scores<kPairs, kGroups>(work.bounds, line(), tile, [&](int pair, int g, int h, int e) {
        s[pair][g][h][e] = -INFINITY;
      });
    }
    const auto lse = lse_of(of_column);
    if (work.scale.special) {
      // A row of nothing but the most negative numbers: lse is too coarse there, and p at most 1.
      for_each_score<kPairs, kGroups>([&](int pair, int g, int h, int e) {
        float& x = s[pair][g][h][e];
        x = x > lse(pair, g, h, e) ? lse(pair, g, h, e) : x;
      });
    }
    const float factor = work.scale.factor;
    for_each_score<kPairs, kGroups>([&](int pair, int g, int h, int e) {
      float& x = s[pair][g][h][e];
      x = exp2_approx(x * factor - lse(pair, g, h, e));
    });
  }

  /// dp becomes ds = p (dp z - delta); by keys p becomes p z, but for the factor 1 / (1 - p).
  __device__ __forceinline__ void differentiate(Scores& s, Scores& dp, const GradStep& at,
                                                const float* of_column) const {
    uint32_t kept[kGroups] = {};
    const bool drops = p.dropout.state != nullptr;
    if (drops) {
      const ScoreTile tile{work.row0 + line(), at.column};
      dropout_bits<kByKeys, kPairs>(kept, p, work.batch, at.head, tile);
      const float factor = static_cast<float>(p.dropout.factor);
      for_each_score<kPairs, kGroups>([&](int pair, int g, int h, int e) {
        float& x = dp[pair][g][h][e];
        x = is_kept(kept[g], pair, h, e) ? x * factor : 0.0f;
      });
    }
    const Queries<kPairs, kGroups, kByKeys> delta(kByKeys ? of_column : work.delta + line());
    for_each_score<kPairs, kGroups>([&](int pair, int g, int h, int e) {
      float& x = dp[pair][g][h][e];
      x = s[pair][g][h][e] * (x - delta(pair, g, h, e));
    });
    if (kByKeys && drops) {
      for_each_score<kPairs, kGroups>([&](int pair, int g, int h, int e) {
        if (!is_kept(kept[g], pair, h, e)) s[pair][g][h][e] = 0;
      });
    }
  }

  __device__ __forceinline__ void store_dbias(const Scores& ds, const GradStep& at) const {
    const ScoreTile tile{work.row0 + line(), at.column};
    float* const to = static_cast<float*>(p.dbias.data);
    for_each_score<kPairs, kGroups>([&](int pair, int g, int h, int e) {
      const int row = tile.row_of(g, e), column = tile.column_of(pair, h, e);
      if (row < work.row_end && column < work.end) {
        to[p.dbias.offset(work.batch, at.head, row, column)] = ds[pair][g][h][e];
      }
    });
  }

  /// One tile of y and y2 in stage `number`.
  __device__ __forceinline__ void step(const GradStep& at, int number, Sums& sums,
                                       Sums& sums2) const {
    const char *const y = stage(number), *const y2 = y + Shape::kTile;
    const float* const values = reinterpret_cast<const float*>(y2 + Shape::kTile);
    Scores s, dp;
    row_products<T, Shape::kTuring, kD>(s, own(0), y, work.places);
    row_products<T, Shape::kTuring, kD>(dp, own(1), y2, work.places);
    probabilities(s, at, values);
    differentiate(s, dp, at, values + kColumns);
    if (!kByKeys && p.dbias.data) store_dbias(dp, at);
    const int column0 = Shape::kParts == 1 ? 0 : work.part * 16 * Shape::kSums;
    add_products<T, Shape::kTuring, kD>(sums, dp, y, work.places, column0);
    if constexpr (kByKeys) {
      add_products<T, Shape::kTuring, kD>(sums2, s, y2, work.places, column0);
    }
  }

  __device__ __forceinline__ void store(const AttentionTensor& y, int which, const Sums& sums,
                                        float factor) const {
    float factors[2 * kGroups];
#pragma unroll
    for (int r = 0; r < 2 * kGroups; r++) factors[r] = factor;
    store_rows<T, kD>(head_rows<T>(y, work.batch, work.head, p.d), own(which), work.row0 + line(),
                      work.row_end, work.part * 16 * Shape::kSums, sums, factors);
  }

  __device__ __forceinline__ void run(const AttentionGrid& grid, int stages) const {
    begin(grid);
    Sums sums = {}, sums2 = {};
    GradStep at{first_head(), work.first};
    int number = stages - 1;
    // With two stages, round -1 only loads: the code of a load is there once.
#pragma unroll 1
    for (int tile = 1 - stages; tile < work.tiles; tile++, number ^= stages - 1) {
      const bool ahead = stages == 2 && tile >= 0;
      if (stages == 2) wait_for_tiles<kAsync>();
      if (tile + stages <= work.tiles) load(ahead ? at.next(work) : at, number ^ (stages - 1));
      if (stages == 1) wait_for_tiles<kAsync>();
      if (tile < 0) continue;
      if (work.seen[warp_id()].meets(at.column, kColumns)) step(at, number, sums, sums2);
      if (stages == 1) __syncthreads();
      at = at.next(work);
    }
    store(kByKeys ? p.dk : p.dq, 0, sums, static_cast<float>(p.scale));
    if constexpr (kByKeys) {
      store(p.dv, 1, sums2, p.dropout.state ? static_cast<float>(p.dropout.factor) : 1.0f);
    }
  }
};

/// Two blocks share a multiprocessor: 255 registers for a thread.
template <class T, class Shape>
__global__ void __launch_bounds__(kAttentionThreads, 2)
    attention_grad_mma(const __grid_constant__ AttentionProblem p, const AttentionGrid grid,
                       int stages) {
  constexpr bool runs = Shape::kTuring ? kDeviceBelow80 : kDeviceHas80;
  if constexpr (runs) {
    GG_SHARED(work, GradWork<Shape>);
    GradBlock<T, Shape>(p, work, shared_dynamic<char>()).run(grid, stages);
  } else {
    __trap();  // the host does not launch it
  }
}

}  // namespace gg
