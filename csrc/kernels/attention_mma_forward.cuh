// Attention's forward pass on tensor cores: the kernel. attention_mma.cu starts it.
//
// A block has 64 Groups queries of one head, a warp 16 Groups of them; it walks over the keys that
// any of them sees, 64 at a time. While it multiplies q k^T, v is on its way to shared memory;
// during softmax and p v, the next k. Tiles no row of a warp sees are left out by that warp, and
// only tiles some row does not see whole are masked.
#pragma once

#include "kernels/attention_mma_grid.cuh"
#include "kernels/attention_mma_scores.cuh"

namespace gg {

template <class T, int kD, bool Turing>
struct ForwardShape {
  static constexpr int kGroups = kD <= 128 && !Turing ? 2 : 1;
  static constexpr int kRows = 64 * kGroups, kKeys = 64, kPairs = kKeys / 16;
  static constexpr int kBytes = (kRows + 2 * kKeys) * kRowBytes<kD>;
};

/// Of each thread's rows: the largest score, in its lane's own units, and the sum of exponentials
/// in the columns that the thread holds. In shared memory, each thread's own.
template <int Groups>
struct SoftmaxRows {
  float top[2 * Groups][kAttentionThreads], total[2 * Groups][kAttentionThreads];

  __device__ __forceinline__ void clear() {
#pragma unroll
    for (int r = 0; r < 2 * Groups; r++) {
      top[r][threadIdx.x] = -INFINITY, total[r][threadIdx.x] = 0;
    }
  }
};

/// s becomes exp(s - top); what was summed before, p v too, is brought to the new top.
template <int Pairs, int Columns, int Groups>
GG_DEVICE void softmax_step(float (&s)[Pairs][Groups][2][4], float factor,
                            SoftmaxRows<Groups>& rows, float (&sums)[Columns][Groups][2][4]) {
  float base[2 * Groups], correction[2 * Groups], total[2 * Groups];
#pragma unroll
  for (int r = 0; r < 2 * Groups; r++) {
    const float before = rows.top[r][threadIdx.x];
    float best = before;
#pragma unroll
    for (int i = 0; i < Pairs * 4; i++) {
      best = fmaxf(best, s[i / 4][r / 2][i / 2 % 2][r % 2 * 2 + i % 2]);
    }
    best = fmaxf(best, shuffle_xor(best, 1));
    best = fmaxf(best, shuffle_xor(best, 2));
    base[r] = best == -INFINITY ? 0.0f : best * factor;
    correction[r] = exp2_approx(before * factor - base[r]);
    rows.top[r][threadIdx.x] = best;
    total[r] = rows.total[r][threadIdx.x] * correction[r];
  }
  for_each_score<Columns, Groups>(
      [&](int pair, int g, int h, int e) { sums[pair][g][h][e] *= correction[2 * g + e / 2]; });
  for_each_score<Pairs, Groups>([&](int pair, int g, int h, int e) {
    float& x = s[pair][g][h][e];
    x = exp2_approx(x * factor - base[2 * g + e / 2]);
    total[2 * g + e / 2] += x;
  });
#pragma unroll
  for (int r = 0; r < 2 * Groups; r++) rows.total[r][threadIdx.x] = total[r];
}

/// What a block knows of its work. In shared memory, for registers are scarce: what is read after
/// a barrier does not stay in one over the loop.
template <class T, int Groups>
struct ForwardWork {
  RowBounds<64 * Groups> bounds;
  SoftmaxRows<Groups> rows;
  SeenColumns seen[kAttentionWarps];
  LanePlaces places;
  ScoreScale scale;
  HeadRows<T> k, v;
  int64_t batch, head;
  int row0, row_end;  ///< the block's first query, and where its sequence's end
};

template <class T, int kD, bool Turing>
struct ForwardBlock {
  using Shape = ForwardShape<T, kD, Turing>;
  static constexpr int kGroups = Shape::kGroups, kRows = Shape::kRows, kKeys = Shape::kKeys;
  static constexpr int kPairs = Shape::kPairs;
  static constexpr bool kAsync = !Turing;
  static_assert(Shape::kBytes + padded_static(sizeof(ForwardWork<T, kGroups>)) <= 99 * 1024,
                "sm_86 has 99 KiB");
  using Scores = float[kPairs][kGroups][2][4];
  using Sums = float[kD / 16][kGroups][2][4];

  const AttentionProblem& p;
  ForwardWork<T, kGroups>& work;
  char *const q_tile, *const k_tile, *const v_tile;

  __device__ __forceinline__ ForwardBlock(const AttentionProblem& problem,
                                          ForwardWork<T, kGroups>& w, char* shared)
      : p(problem),
        work(w),
        q_tile(shared),
        k_tile(shared + kRows * kRowBytes<kD>),
        v_tile(k_tile + kKeys * kRowBytes<kD>) {}

  /// The warp's first row in the block's tile.
  __device__ __forceinline__ int line() const { return warp_id() * 16 * kGroups; }

  __device__ __forceinline__ void load(const HeadRows<T>& from, char* tile, int key0,
                                       int end) const {
    load_rows<kD, kKeys, kAsync>(tile, from, key0, end);
    close_copies<kAsync>();
  }

  /// Starts on q and the first keys. Returns the columns that any row sees.
  __device__ __forceinline__ SeenColumns begin(const AttentionGrid& grid) const {
    const AttentionPlace place(grid);
    const Interval rows = rows_of_tile(p, false, place.tile, kRows);
    work.places.template fill<kD>();
    work.rows.clear();
    if (threadIdx.x == 0) {
      work.scale = score_scale(p);
      const int64_t group = place.head / p.per_group;
      work.k = head_rows<T>(p.k, place.batch, group, p.d);
      work.v = head_rows<T>(p.v, place.batch, group, p.d);
      work.batch = place.batch, work.head = place.head;
      work.row0 = rows.begin, work.row_end = rows.end;
    }
    work.bounds.template fill<false>(p, place.batch, rows.begin, rows.end);
    const SeenColumns mine = work.bounds.seen(line(), 16 * kGroups, rows.end - rows.begin);
    if (lane_id() == 0) work.seen[warp_id()] = mine;
    const SeenColumns all = work.bounds.seen(0, kRows, kRows);
    if (all.begin < all.end) {
      const HeadRows<T> q = head_rows<T>(p.q, place.batch, place.head, p.d);
      load_rows<kD, kRows, kAsync>(q_tile, q, rows.begin, rows.end);
    }
    return all;
  }

  /// Bias and hidden keys.
  __device__ __forceinline__ void edit(Scores& s, int key0) const {
    const ScoreTile at{work.row0 + line(), key0};
    if (work.scale.special) bring_to_powers<T, false>(s, p, work.scale, work.batch, work.head, at);
    if (work.seen[warp_id()].holds(key0, kKeys)) return;
    hide_scores<kPairs, kGroups>(work.bounds, line(), at, [&](int pair, int g, int h, int e) {
      s[pair][g][h][e] = -INFINITY;
    });
  }

  __device__ __forceinline__ void drop(Scores& s, int key0) const {
    if (!p.dropout.state) return;
    uint32_t bits[kGroups];
    const ScoreTile at{work.row0 + line(), key0};
    dropout_bits<false, kPairs>(bits, p, work.batch, work.head, at);
    for_each_score<kPairs, kGroups>([&](int pair, int g, int h, int e) {
      if (!is_kept(bits[g], pair, h, e)) s[pair][g][h][e] = 0;
    });
  }

  __device__ __forceinline__ void finish(const Sums& sums) const {
    const int first = work.row0 + line();
    const float kept = p.dropout.state ? static_cast<float>(p.dropout.factor) : 1.0f;
    float factor[2 * kGroups];
#pragma unroll
    for (int r = 0; r < 2 * kGroups; r++) {
      float total = work.rows.total[r][threadIdx.x];
      total += shuffle_xor(total, 1);
      total += shuffle_xor(total, 2);
      factor[r] = total == 0 ? 0.0f : kept / total;  // 0: the row sees no key
      const int row = first + 8 * r + lane_id() / 4;
      if (lane_id() % 4 != 0 || row >= work.row_end) continue;
      static_cast<float*>(p.lse.data)[p.lse.offset(work.batch, work.head, row)] =
          total == 0 ? -INFINITY
                     : work.rows.top[r][threadIdx.x] * work.scale.factor * kLn2 + logf(total);
    }
    store_rows<T, kD>(head_rows<T>(p.o, work.batch, work.head, p.d),
                      q_tile + line() * kRowBytes<kD>, first, work.row_end, 0, sums, factor);
  }

  __device__ __forceinline__ void run(const AttentionGrid& grid) const {
    const SeenColumns all = begin(grid);
    Sums sums = {};
    const char* const q = q_tile + line() * kRowBytes<kD>;
    const int first = first_column(p, all.begin, kKeys);
    // A round before the first only loads keys: the code of that load is there once.
#pragma unroll 1
    for (int key0 = first - kKeys; key0 < all.end; key0 += kKeys) {
      const bool meets = key0 >= first && work.seen[warp_id()].meets(key0, kKeys);
      Scores s;
      if (key0 >= first) {
        wait_for_tiles<kAsync>();
        load(work.v, v_tile, key0, all.end);
        if (meets) row_products<T, Turing, kD>(s, q, k_tile, work.places);
      }
      wait_for_tiles<kAsync>();
      if (key0 + kKeys < all.end) load(work.k, k_tile, key0 + kKeys, all.end);
      if (!meets) continue;
      edit(s, key0);
      softmax_step(s, work.scale.factor, work.rows, sums);
      drop(s, key0);
      add_products<T, Turing, kD>(sums, s, v_tile, work.places, 0);
    }
    finish(sums);
  }
};

/// Two blocks share a multiprocessor: 255 registers for a thread.
template <class T, int kD, bool Turing>
__global__ void __launch_bounds__(kAttentionThreads, 2)
    attention_mma(const __grid_constant__ AttentionProblem p, const AttentionGrid grid) {
  constexpr bool runs = Turing ? kDeviceBelow80 : kDeviceHas80;
  if constexpr (runs) {
    using Work = ForwardWork<T, ForwardShape<T, kD, Turing>::kGroups>;
    GG_SHARED(work, Work);
    ForwardBlock<T, kD, Turing>(p, work, shared_dynamic<char>()).run(grid);
  } else {
    __trap();  // the host does not launch it
  }
}

}  // namespace gg
