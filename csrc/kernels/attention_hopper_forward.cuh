// Hopper's attention, forward: the kernel. attention_hopper.cu starts it and has what it computes.
#pragma once

#include "kernels/attention_hopper_tile.cuh"

namespace gg {

constexpr int kHopperKeys = 128;  // of a tile

using HopperScores = float[kHopperKeys / 2];
using HopperWeights = uint32_t[kHopperKeys / 16][4];  // probabilities as wgmma takes them

struct HopperForwardMaps {
  TensorMap q, k, v;
};

// Of the 168 for each thread that a block of 384 starts with.
constexpr int kForwardLoadRegisters = 72, kForwardGroupRegisters = 216;

/// Named barriers: a warpgroup's turn to multiply, and the rows' intervals are there.
GG_DEVICE int turn_of(int w) {
  return 1 + w;
}
constexpr int kBoundsAreThere = 1 + 2 * kHopperGroups;

/// Where tiles lie: q of two items as 64 rows for each warpgroup, then the ring's.
template <int kD>
struct HopperForwardTiles {
  static constexpr int kQueries = kHeadTileBytes<64, kD>, kSlot = kHeadTileBytes<kHopperKeys, kD>;
  static constexpr int kBytes = 2 * kHopperGroups * kQueries + kHopperSlots * kSlot;
  char* base;

  __device__ __forceinline__ char* q(int item, int w) const {
    return base + (item * kHopperGroups + w) * kQueries;
  }
  __device__ __forceinline__ char* slot(int number) const { return q(2, 0) + number * kSlot; }
};

/// The items of a block: 128 queries of a head each. Where there are few, every block has one, and
/// the hardware hands out blocks. Where there are many, a block for each multiprocessor goes on to
/// its next item without a pause, and has them in pairs, as many from the end of a head as from
/// its beginning: however much causality hides, all pairs are alike. (Not where sequences are
/// packed: each is causal by itself, and some tiles have no rows.)
struct HopperSchedule {
  AttentionGrid grid;
  unsigned units, units_of_head;
  int items_of_unit;  ///< 1 or 2

  template <class F>
  __device__ __forceinline__ void for_each(const F& f) const {
    const auto tiles = static_cast<unsigned>(grid.tiles);
#pragma unroll 1
    for (unsigned unit = blockIdx.x; unit < units; unit += gridDim.x) {
      const unsigned head = unit / units_of_head, first = unit - head * units_of_head;
#pragma unroll 1
      for (int i = 0; i < items_of_unit; i++) {
        const unsigned number = i == 0 ? first : tiles - 1 - first;
        if (i > 0 && number == first) break;  // the middle of an odd number of tiles
        f(AttentionPlace(grid, head * tiles + number));
      }
    }
  }
};

/// What a block knows of an item, in shared memory: registers are scarce.
struct HopperForwardItem {
  RowBounds<kHopperRows> bounds;
  int64_t batch, head;
  int row0, row_end, begin, end;  ///< queries, and the keys that any sees

  __device__ __forceinline__ int tiles() const {
    return begin < end ? (end - begin + kHopperKeys - 1) / kHopperKeys : 0;
  }
};

/// Two items are known at a time: of the second, loads begin while the first is computed.
struct HopperForwardWork {
  HopperForwardItem item[2];
  SeenColumns seen[kHopperWarps];  ///< each warp's own
  RingBarriers<2> items;           ///< full: with their q
  HopperRing ring;
  Mbarrier arrived;  ///< a tile of v is there, but for its zeros
  float factor;      ///< scores times this are powers of 2

  /// By all threads. Ends with a barrier.
  __device__ __forceinline__ void fill(const AttentionProblem& p) {
    if (threadIdx.x == 0) {
      mbarrier_init(&arrived, 1);
      ring_init(items, kHopperWarps);
      ring_init(ring, kHopperWarps);
      factor = score_scale(p).factor;
    }
    __syncthreads();
  }
};

// ---- the warp that loads -----------------------------------------------------------------------

/// The first warp loads; its warpgroup finds out what the queries see.
template <int kD>
struct HopperForwardLoads {
  using Tiles = HopperForwardTiles<kD>;

  const AttentionProblem& p;
  const HopperForwardMaps& maps;
  HopperForwardWork& work;
  const Tiles tiles;

  /// k or v of a tile of keys.
  __device__ __forceinline__ void load(const HopperForwardItem& item, const TensorMap* map,
                                       HopperPosition at, Mbarrier* full, int tile) const {
    load_head_tile<kHopperKeys, kD>(tiles.slot(at.stage), map, full,
                                    item.begin + tile * kHopperKeys, item.head / p.per_group,
                                    item.batch);
  }

  /// k of tile 0; then k of a tile and v of the one before; v of the last. By a warp.
  __device__ __forceinline__ void load_keys(const HopperForwardItem& item, HopperPosition& at,
                                            unsigned& parity) const {
    const int count = item.tiles();
    const int valid = item.end - item.begin - (count - 1) * kHopperKeys;  // rows of the last tile
    const bool padded = valid < kHopperKeys && item.end < p.n && (p.k_lengths || p.k_offsets);
#pragma unroll 1
    for (int i = 0; i < 2 * count; i++, at.advance()) {
      const bool values = (i > 0 && i % 2 == 0) || i == 2 * count - 1;
      const int tile = values ? (i - 1) / 2 : (i + 1) / 2;
      Mbarrier* const full = &work.ring.full[at.stage];
      wait_until_empty(work.ring, at);
      if (padded && values && tile == count - 1) {
        load_then_clear(
            &work.arrived, parity, full, Tiles::kSlot,
            [&](Mbarrier* arrived) { load(item, &maps.v, at, arrived, tile); },
            [&] { clear_rows<kHopperKeys, kD>(tiles.slot(at.stage), valid); });
        parity ^= 1;
      } else if (lane_id() == 0) {
        mbarrier_expect_tx(full, Tiles::kSlot);
        load(item, values ? &maps.v : &maps.k, at, full, tile);
      }
    }
  }

  /// Says what there is to do, and loads q. By a warp; the intervals are there.
  __device__ __forceinline__ void announce(HopperForwardItem& item, const AttentionPlace& place,
                                           Interval rows, int number) const {
    const SeenColumns all = item.bounds.seen(0, kHopperRows, 0);
    if (lane_id() == 0) {
      item.batch = place.batch, item.head = place.head;
      item.row0 = rows.begin, item.row_end = rows.end;
      item.begin = all.begin, item.end = all.end;
      Mbarrier* const full = &work.items.full[number];
      mbarrier_expect_tx(full, kHopperGroups * Tiles::kQueries);
#pragma unroll
      for (int w = 0; w < kHopperGroups; w++) {
        load_head_tile<64, kD>(tiles.q(number, w), &maps.q, full, item.row0 + 64 * w, item.head,
                               item.batch);
      }
    }
    __syncwarp();
  }

  /// By a warpgroup.
  __device__ __forceinline__ void run(const HopperSchedule& schedule) const {
    RingPosition<2> next;
    HopperPosition at;
    unsigned parity = 0;
    schedule.for_each([&](const AttentionPlace& place) {
      HopperForwardItem& item = work.item[next.stage];
      mbarrier_wait(&work.items.empty[next.stage], next.parity ^ 1);
      const Interval rows = rows_of_tile(p, false, place.tile, kHopperRows);
      item.bounds.set<false>(static_cast<int>(threadIdx.x) - kHeadConsumers, p, place.batch,
                             rows.begin, rows.end);
      barrier_sync(kBoundsAreThere, kHeadThreads - kHeadConsumers);
      if (warp_id() == kHopperWarps) {
        announce(item, place, rows, next.stage);
        load_keys(item, at, parity);
      }
      next.advance();
    });
  }
};

// ---- the warpgroups that compute ---------------------------------------------------------------

/// Of each of a thread's two rows: the largest score, and the sum of exponentials in the columns
/// that the thread holds.
struct HopperSoftmaxRows {
  float top[2] = {-INFINITY, -INFINITY}, total[2] = {};

  /// s becomes exp(s - top); correction: what brings earlier sums to the new top.
  __device__ __forceinline__ void step(HopperScores& s, float factor, float (&correction)[2]) {
    float base[2];
#pragma unroll
    for (int r = 0; r < 2; r++) {
      float best = top[r];
#pragma unroll
      for (int i = 2 * r; i < kHopperKeys / 2; i += 4) best = fmaxf(best, fmaxf(s[i], s[i + 1]));
      best = fmaxf(best, shuffle_xor(best, 1));
      best = fmaxf(best, shuffle_xor(best, 2));
      base[r] = best == -INFINITY ? 0.0f : best * factor;
      correction[r] = exp2_approx(top[r] * factor - base[r]);
      top[r] = best;
      total[r] *= correction[r];
    }
#pragma unroll
    for (int i = 0; i < kHopperKeys / 2; i++) {
      s[i] = exp2_approx(s[i] * factor - base[i / 2 % 2]);
      total[i / 2 % 2] += s[i];
    }
  }
};

template <class T, int kD>
struct HopperForwardGroup {
  using Sums = float[kD / 2];

  const AttentionProblem& p;
  HopperForwardWork& work;
  const HopperForwardTiles<kD> tiles;
  const int w;  ///< the warpgroup

  /// Hides keys that a row does not see, and takes the exponentials.
  __device__ __forceinline__ void soften(HopperScores& s, const HopperForwardItem& item, int tile,
                                         HopperSoftmaxRows& rows, float (&correction)[2]) const {
    const int key0 = item.begin + tile * kHopperKeys;
    if (!work.seen[warp_id()].holds(key0, kHopperKeys)) {
      auto& pairs = by_pairs(s);
      hide_scores<kHopperKeys / 16, 1>(
          item.bounds, 16 * warp_id(), {0, key0},
          [&](int pair, int g, int h, int e) { pairs[pair][g][h][e] = -INFINITY; });
    }
    rows.step(s, work.factor, correction);
  }

  /// The first tile's probabilities. Only the other warpgroup overlaps with this.
  __device__ __forceinline__ void begin(const HopperForwardItem& item, const char* q,
                                        HopperPosition& at, HopperSoftmaxRows& rows,
                                        HopperWeights& weights) const {
    HopperScores s;
    float correction[2];
    ring_wait(work.ring, at);
    wgmma_fence();
    start_scores<T, kHopperKeys, kD>(s, q, tiles.slot(at.stage));
    wgmma_wait<0>();
    wgmma_pin(s);
    ring_release(work.ring, at);
    at.advance();
    soften(s, item, 0, rows, correction);
    pack_scores<T>(weights, s);
  }

  /// Scores of `tile` and p v of the one before are started together; p v runs on under
  /// softmax.
  __device__ __forceinline__ void step(const HopperForwardItem& item, const char* q, int tile,
                                       HopperPosition& at, HopperSoftmaxRows& rows,
                                       HopperWeights& weights, Sums& sums) const {
    HopperScores s;
    float correction[2];
    const HopperPosition keys = at;
    at.advance();
    ring_wait(work.ring, keys);
    barrier_sync(turn_of(w), kHeadConsumers);
    wgmma_pin(sums);
    wgmma_fence();
    start_scores<T, kHopperKeys, kD>(s, q, tiles.slot(keys.stage));
    ring_wait(work.ring, at);
    wgmma_fence();
    start_sums<T, kHopperKeys, kD>(sums, weights, tiles.slot(at.stage));
    barrier_arrive(turn_of(w ^ 1), kHeadConsumers);
    wgmma_wait<1>();
    wgmma_pin(s);
    ring_release(work.ring, keys);
    soften(s, item, tile, rows, correction);
    wgmma_wait<0>();
    wgmma_pin(sums);
    wgmma_pin(weights);
    ring_release(work.ring, at);
    at.advance();
#pragma unroll
    for (int i = 0; i < kD / 2; i++) sums[i] *= correction[i / 2 % 2];
    pack_scores<T>(weights, s);
  }

  /// p v of the last tile.
  __device__ __forceinline__ void end(HopperPosition& at, const HopperWeights& weights,
                                      Sums& sums) const {
    ring_wait(work.ring, at);
    wgmma_pin(sums);
    wgmma_fence();
    start_sums<T, kHopperKeys, kD>(sums, weights, tiles.slot(at.stage));
    wgmma_wait<0>();
    wgmma_pin(sums);
    ring_release(work.ring, at);
    at.advance();
  }

  __device__ __forceinline__ void store(const HopperForwardItem& item, char* q,
                                        const HopperSoftmaxRows& rows, Sums& sums) const {
    const int warp = warp_id(), first = item.row0 + 16 * warp;
    float factor[2];
#pragma unroll
    for (int r = 0; r < 2; r++) {
      float total = rows.total[r];
      total += shuffle_xor(total, 1);
      total += shuffle_xor(total, 2);
      factor[r] = total == 0 ? 0.0f : 1 / total;  // 0: the row sees no key
      const int row = first + 8 * r + lane_id() / 4;
      if (lane_id() % 4 != 0 || row >= item.row_end) continue;
      static_cast<float*>(p.lse.data)[p.lse.offset(item.batch, item.head, row)] =
          total == 0 ? -INFINITY : rows.top[r] * work.factor * kLn2 + logf(total);
    }
    barrier_sync(end_of(w), 128);  // no product reads q any more: its memory turns o
    store_rows<T, kD>(head_rows<T>(p.o, item.batch, item.head, p.d),
                      q + warp % 4 * 16 * kRowBytes<kD>, first, item.row_end, 0, by_pairs(sums),
                      factor);
  }

  __device__ __forceinline__ void compute(const HopperForwardItem& item, char* q,
                                          HopperPosition& at) const {
    const int count = item.tiles();
    const SeenColumns mine = item.bounds.seen(16 * warp_id(), 16, item.row_end - item.row0);
    if (lane_id() == 0) work.seen[warp_id()] = mine;
    __syncwarp();
    HopperSoftmaxRows rows;
    Sums sums = {};
    if (count > 0) {
      HopperWeights weights;
      begin(item, q, at, rows, weights);
#pragma unroll 1
      for (int tile = 1; tile < count; tile++) step(item, q, tile, at, rows, weights, sums);
      end(at, weights, sums);
    }
    store(item, q, rows, sums);
  }

  /// The first warpgroup's turn comes first; the one that it has left at the end it takes.
  __device__ __forceinline__ void run(const HopperSchedule& schedule) const {
    RingPosition<2> next;
    HopperPosition at;
    if (w == 1) barrier_arrive(turn_of(0), kHeadConsumers);
    schedule.for_each([&](const AttentionPlace&) {
      ring_wait(work.items, next);
      compute(work.item[next.stage], tiles.q(next.stage, w), at);
      fence_proxy_async();  // o was written where TMA will write q
      __syncwarp();
      ring_release(work.items, next);
      next.advance();
    });
    if (w == 0) barrier_sync(turn_of(0), kHeadConsumers);
  }
};

template <class T, int kD>
__global__ void __launch_bounds__(kHeadThreads, 1)
    attention_hopper(const __grid_constant__ AttentionProblem p,
                     const __grid_constant__ HopperForwardMaps maps,
                     const HopperSchedule schedule) {
  if constexpr (kDeviceHasHopper) {
    GG_SHARED(work, HopperForwardWork);
    const HopperForwardTiles<kD> tiles{shared_dynamic<char>()};
    if (threadIdx.x == kHeadConsumers) {
      for (const TensorMap* map : {&maps.q, &maps.k, &maps.v}) tma_prefetch(map);
    }
    work.fill(p);
    if (threadIdx.x < kHeadConsumers) {
      registers_increase<kForwardGroupRegisters>();
      HopperForwardGroup<T, kD>{p, work, tiles, warp_id() / 4}.run(schedule);
    } else {
      registers_decrease<kForwardLoadRegisters>();
      HopperForwardLoads<kD>{p, maps, work, tiles}.run(schedule);
    }
  } else {
    __trap();  // the host does not launch it
  }
}

}  // namespace gg
