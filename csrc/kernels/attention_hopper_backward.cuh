// Hopper's attention, gradient: one kernel, two ways. attention_hopper_grad.cu starts it and has
// what it computes.
#pragma once

#include "kernels/attention_hopper_tile.cuh"

namespace gg {

// Of the 168 for each thread that a block of 384 starts with.
constexpr int kGradLoadRegisters = 40, kGradGroupRegisters = 232;

struct HopperGradMaps {
  TensorMap x, x2, y, y2;
};

template <int D_, bool ByKeys_>
struct HopperGradShape {
  static constexpr int kD = D_;
  static constexpr bool kByKeys = ByKeys_;
  /// Rows of y, as many as registers allow: a thread holds kColumns / 2 scores and as many of dp,
  /// half of either rounded, and D / 2 sums, by keys D.
  static constexpr int kColumns = kByKeys ? 64 : 128;
  static constexpr int kOwn = kHeadTileBytes<64, kD>;  ///< of x or x2, for a warpgroup
  static constexpr int kSlot = kHeadTileBytes<kColumns, kD>;
  static constexpr int kBytes = 2 * kHopperGroups * kOwn + kHopperSlots * kSlot;
};

/// lse in powers of 2 and delta of a tile's queries.
template <int N>
struct HopperQueryValues {
  float lse[N], delta[N];
};

/// What a block knows of its work, in shared memory: registers are scarce.
template <class Shape>
struct HopperGradWork {
  static constexpr bool kByKeys = Shape::kByKeys;
  static constexpr int kColumns = Shape::kColumns;

  RowBounds<kHopperRows> bounds;
  SeenColumns seen[kHopperWarps];
  HopperQueryValues<kColumns> values[kByKeys ? kHopperSlots / 2 : 1];  ///< of each pair of slots
  HopperRing ring;
  Mbarrier own, arrived;  ///< x and x2 are there; a tile is, but for its zeros
  int64_t batch, head;    ///< of x
  float factor;           ///< scores times this are powers of 2
  int row0, row_end;      ///< the first own row, and where its sequence's end
  int lines;              ///< own rows up to the last that sees a column
  int begin, end;         ///< columns to visit

  /// Of one head.
  __device__ __forceinline__ int tiles() const {
    return begin < end ? (end - begin + kColumns - 1) / kColumns : 0;
  }

  /// By all threads. Ends with a barrier.
  __device__ __forceinline__ void fill(const AttentionProblem& p, const AttentionGrid& grid) {
    const AttentionPlace place(grid);
    const Interval rows = rows_of_tile(p, kByKeys, place.tile, kHopperRows);
    const int existing = rows.end - rows.begin;
    if (threadIdx.x == 0) {
      mbarrier_init(&own, 1);
      mbarrier_init(&arrived, 1);
      ring_init(ring, kHopperWarps);
      batch = place.batch, head = place.head;
      row0 = rows.begin, row_end = rows.end;
      factor = score_scale(p).factor;
    }
    bounds.template fill<kByKeys>(p, place.batch, rows.begin, rows.end);
    if (warp_id() < kHopperWarps) {
      const SeenColumns mine = bounds.seen(16 * warp_id(), 16, existing);
      if (lane_id() == 0) seen[warp_id()] = mine;
    } else if (warp_id() == kHopperWarps) {
      const SeenColumns all = bounds.seen(0, kHopperRows, existing);
      const int last = bounds.lines();
      if (lane_id() == 0) begin = all.begin, end = all.end, lines = last;
    }
    __syncthreads();
  }

  __device__ __forceinline__ int64_t first_head(const AttentionProblem& p) const {
    return kByKeys ? head * p.per_group : head / p.per_group;
  }
  /// Heads of y that a block walks over.
  __device__ __forceinline__ int heads(const AttentionProblem& p) const {
    return kByKeys ? static_cast<int>(p.per_group) : 1;
  }
};

template <class Shape>
struct HopperGradTiles {
  char* base;

  /// x (which 0) or x2 of a warpgroup.
  __device__ __forceinline__ char* own(int which, int w) const {
    return base + (which * kHopperGroups + w) * Shape::kOwn;
  }
  __device__ __forceinline__ char* slot(int number) const {
    return own(2, 0) + number * Shape::kSlot;
  }
};

// ---- the warp that loads -----------------------------------------------------------------------

template <class Shape>
struct HopperGradLoads {
  static constexpr int kD = Shape::kD, kColumns = Shape::kColumns;
  static constexpr bool kByKeys = Shape::kByKeys;

  const AttentionProblem& p;
  const HopperGradMaps& maps;
  HopperGradWork<Shape>& work;
  const HopperGradTiles<Shape> tiles;

  /// f(which, w) for each part of the own rows.
  template <class F>
  static __device__ __forceinline__ void for_each_own(const F& f) {
#pragma unroll
    for (int i = 0; i < 2 * kHopperGroups; i++) f(i / kHopperGroups, i % kHopperGroups);
  }

  /// parity: of `arrived`, used once for each tile that is cleared.
  __device__ __forceinline__ void load_own(unsigned& parity) const {
    constexpr int bytes = 2 * kHopperGroups * Shape::kOwn;
    const auto load = [&](Mbarrier* barrier) {
      for_each_own([&](int which, int w) {
        load_head_tile<64, kD>(tiles.own(which, w), which ? &maps.x2 : &maps.x, barrier,
                               work.row0 + 64 * w, work.head, work.batch);
      });
    };
    if (kByKeys && work.lines < kHopperRows && work.row0 + work.lines < p.n) {
      load_then_clear(&work.arrived, parity, &work.own, bytes, load, [&] {
        for_each_own([&](int which, int w) {
          clear_rows<64, kD>(tiles.own(which, w), max(0, min(64, work.lines - 64 * w)));
        });
      });
      parity ^= 1;
    } else if (lane_id() == 0) {
      mbarrier_expect_tx(&work.own, bytes);
      load(&work.own);
    }
  }

  /// y or y2 of a tile.
  __device__ __forceinline__ void load_slot(HopperPosition at, int which, int64_t head, int column,
                                            bool padded, unsigned& parity) const {
    Mbarrier* const full = &work.ring.full[at.stage];
    char* const slot = tiles.slot(at.stage);
    const auto load = [&](Mbarrier* barrier) {
      load_head_tile<kColumns, kD>(slot, which ? &maps.y2 : &maps.y, barrier, column, head,
                                   work.batch);
    };
    if (padded && column + kColumns > work.end) {
      load_then_clear(&work.arrived, parity, full, Shape::kSlot, load,
                      [&] { clear_rows<kColumns, kD>(slot, work.end - column); });
      parity ^= 1;
    } else if (lane_id() == 0) {
      mbarrier_expect_tx(full, Shape::kSlot);
      load(full);
    }
  }

  /// lse and delta of the queries of a tile.
  struct Values {
    float lse[kColumns / 32], delta[kColumns / 32];

    __device__ __forceinline__ Values(const AttentionProblem& p, int64_t batch, int64_t head,
                                      int column, int end) {
#pragma unroll
      for (int i = 0; i < kColumns / 32; i++) {
        const int row = column + 32 * i + lane_id();
        lse[i] = -INFINITY, delta[i] = 0;
        if (row >= end) continue;
        lse[i] = static_cast<const float*>(p.lse.data)[p.lse.offset(batch, head, row)];
        delta[i] = static_cast<const float*>(p.delta)[(batch * p.heads + head) * p.m + row];
      }
    }

    __device__ __forceinline__ void store(HopperQueryValues<kColumns>& to) const {
#pragma unroll
      for (int i = 0; i < kColumns / 32; i++) {
        to.lse[32 * i + lane_id()] = lse_powers(lse[i]);
        to.delta[32 * i + lane_id()] = delta[i];
      }
      __syncwarp();
    }
  };

  __device__ __forceinline__ void load_tile(HopperPosition& at, int64_t head, int column,
                                            bool padded, unsigned& parity) const {
    if constexpr (kByKeys) {  // on their way while the slot is in use
      const Values values(p, work.batch, head, column, work.end);
      wait_until_empty(work.ring, at);
      values.store(work.values[at.stage / 2]);
    } else {
      wait_until_empty(work.ring, at);
    }
    load_slot(at, 0, head, column, padded, parity);
    at.advance();
    wait_until_empty(work.ring, at);
    load_slot(at, 1, head, column, padded, parity);
    at.advance();
  }

  __device__ __forceinline__ void run() const {
    if (work.tiles() == 0) return;
    unsigned parity = 0;
    load_own(parity);
    const bool padded = work.end < (kByKeys ? p.m : p.n) && (p.k_lengths || p.k_offsets);
    HopperPosition at;
    const int64_t head = work.first_head(p);
#pragma unroll 1
    for (int h = 0; h < work.heads(p); h++) {
#pragma unroll 1
      for (int column = work.begin; column < work.end; column += kColumns) {
        load_tile(at, head + h, column, padded, parity);
      }
    }
  }
};

// ---- the warpgroups that compute ---------------------------------------------------------------

template <class T, class Shape>
struct HopperGradGroup {
  static constexpr int kD = Shape::kD, kColumns = Shape::kColumns;
  static constexpr bool kByKeys = Shape::kByKeys;
  using Scores = float[kColumns / 2];
  using Weights = uint32_t[kColumns / 16][4];
  using Sums = float[kD / 2];

  const AttentionProblem& p;
  HopperGradWork<Shape>& work;
  const HopperGradTiles<Shape> tiles;
  const int w;  ///< the warpgroup

  /// Of a thread's two own queries.
  struct RowValues {
    float lse[2] = {INFINITY, INFINITY}, delta[2] = {};
  };

  /// None by keys: there they come with the tiles.
  __device__ __forceinline__ RowValues row_values() const {
    RowValues values;
#pragma unroll
    for (int r = 0; r < 2; r++) {
      const int row = work.row0 + 16 * warp_id() + 8 * r + lane_id() / 4;
      if (kByKeys || row >= work.row_end) continue;
      const float lse =
          static_cast<const float*>(p.lse.data)[p.lse.offset(work.batch, work.head, row)];
      values.lse[r] = lse_powers(lse);
      values.delta[r] =
          static_cast<const float*>(p.delta)[(work.batch * p.heads + work.head) * p.m + row];
    }
    return values;
  }

  /// f(i, value) for each element of a thread's scores with the value of its query: that of its
  /// row, or by keys of its column.
  template <class F>
  static __device__ __forceinline__ void with_queries(const float (&of_row)[2],
                                                      const float* of_column, const F& f) {
#pragma unroll
    for (int n = 0; n < kColumns / 8; n++) {
      Vec<float, 2> two = {};
      if constexpr (kByKeys) two = load_vec<2>(of_column + 8 * n + lane_id() % 4 * 2);
#pragma unroll
      for (int e = 0; e < 4; e++) f(4 * n + e, kByKeys ? two[e % 2] : of_row[e / 2]);
    }
  }

  /// s becomes p, 0 where hidden.
  __device__ __forceinline__ void probabilities(Scores& s, int column, const RowValues& rows,
                                                const float* lse) const {
    if (!work.seen[warp_id()].holds(column, kColumns)) {
      auto& pairs = by_pairs(s);
      hide_scores<kColumns / 16, 1>(
          work.bounds, 16 * warp_id(), {0, column},
          [&](int pair, int g, int h, int e) { pairs[pair][g][h][e] = -INFINITY; });
    }
    const float factor = work.factor;
    with_queries(rows.lse, lse,
                 [&](int i, float powers) { s[i] = exp2_approx(s[i] * factor - powers); });
  }

  /// One tile of y and y2. p y2 runs on under ds.
  __device__ __forceinline__ void step(HopperPosition& at, int column, const RowValues& rows,
                                       Sums& sums, Sums& sums2) const {
    const auto& values = work.values[kByKeys ? at.stage / 2 : 0];
    const HopperPosition first = at;
    const char* const y = tiles.slot(at.stage);
    Scores s, dp;
    Weights weights, weights2;
    ring_wait(work.ring, at);
    wgmma_fence();
    start_scores<T, kColumns, kD>(s, tiles.own(0, w), y);
    at.advance();
    const char* const y2 = tiles.slot(at.stage);
    ring_wait(work.ring, at);
    wgmma_fence();
    start_scores<T, kColumns, kD>(dp, tiles.own(1, w), y2);
    wgmma_wait<1>();
    wgmma_pin(s);
    probabilities(s, column, rows, values.lse);
    if constexpr (kByKeys) {
      pack_scores<T>(weights2, s);
      wgmma_pin(sums2);
      wgmma_fence();
      start_sums<T, kColumns, kD>(sums2, weights2, y2);
    }
    wgmma_wait<kByKeys ? 1 : 0>();
    wgmma_pin(dp);
    with_queries(rows.delta, values.delta, [&](int i, float d) { dp[i] = s[i] * (dp[i] - d); });
    pack_scores<T>(weights, dp);
    wgmma_pin(sums);
    wgmma_fence();
    start_sums<T, kColumns, kD>(sums, weights, y);
    wgmma_wait<0>();
    wgmma_pin(sums);
    wgmma_pin(weights);
    if constexpr (kByKeys) {
      wgmma_pin(sums2);
      wgmma_pin(weights2);
    }
    ring_release(work.ring, first);
    ring_release(work.ring, at);
    at.advance();
  }

  __device__ __forceinline__ void store(const AttentionTensor& y, int which, Sums& sums,
                                        double factor) const {
    const float factors[2] = {static_cast<float>(factor), static_cast<float>(factor)};
    const int warp = warp_id();
    store_rows<T, kD>(head_rows<T>(y, work.batch, work.head, p.d),
                      tiles.own(which, w) + warp % 4 * 16 * kRowBytes<kD>, work.row0 + 16 * warp,
                      work.row_end, 0, by_pairs(sums), factors);
  }

  __device__ __forceinline__ void run() const {
    Sums sums = {}, sums2 = {};
    if (work.tiles() > 0) {
      const RowValues rows = row_values();
      HopperPosition at;
      mbarrier_wait(&work.own, 0);
#pragma unroll 1
      for (int h = 0; h < work.heads(p); h++) {
#pragma unroll 1
        for (int column = work.begin; column < work.end; column += kColumns) {
          step(at, column, rows, sums, sums2);
        }
      }
    }
    barrier_sync(end_of(w), 128);  // no product reads x any more: its memory turns the sums
    store(kByKeys ? p.dk : p.dq, 0, sums, p.scale);
    if constexpr (kByKeys) store(p.dv, 1, sums2, 1);
  }
};

template <class T, int kD, bool ByKeys>
__global__ void __launch_bounds__(kHeadThreads, 1)
    attention_grad_hopper(const __grid_constant__ AttentionProblem p,
                          const __grid_constant__ HopperGradMaps maps, const AttentionGrid grid) {
  if constexpr (kDeviceHasHopper) {
    using Shape = HopperGradShape<kD, ByKeys>;
    GG_SHARED(work, HopperGradWork<Shape>);
    const HopperGradTiles<Shape> tiles{shared_dynamic<char>()};
    if (threadIdx.x == kHeadConsumers) {
      for (const TensorMap* map : {&maps.x, &maps.x2, &maps.y, &maps.y2}) tma_prefetch(map);
    }
    work.fill(p, grid);
    if (threadIdx.x < kHeadConsumers) {
      registers_increase<kGradGroupRegisters>();
      HopperGradGroup<T, Shape>{p, work, tiles, warp_id() / 4}.run();
    } else {
      registers_decrease<kGradLoadRegisters>();
      if (warp_id() == kHopperWarps) HopperGradLoads<Shape>{p, maps, work, tiles}.run();
    }
  } else {
    __trap();  // the host does not launch it
  }
}

}  // namespace gg
