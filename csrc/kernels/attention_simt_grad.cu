// The gradient of attention on ordinary CUDA cores: every dtype, every stride, head sizes 1 to 256.
//
//   p = exp(score - lse), z the dropout factor, dp = (dO v^T) z, ds = p (dp - delta);
//   dq = scale ds k, dbias = ds;  dv = (p z)^T dO, dk = scale ds^T q     ops/attention.h has more
//
// Two kernels of the same make. attend_dq: a block has queries and walks over the keys they see,
// three products each: scores, dp, dq. attend_dkv: a block has keys and walks over the queries that
// see them, of every head of q that shares the head of k, four products each: scores, dp, dv, dk.
// Scores are formed again in both. Tiles wholly hidden are not visited.
//
// Accumulates in float32, float64 for float64; nothing is rounded on the way. dq, dk, dv =; dbias =
// where a key is seen, the caller has cleared it. Deterministic: each gradient is formed in one
// block, in order; no atomics.
//
// 14 D FLOP for each pair of query and key seen. Bound: shared memory (a 16-byte read for 8 to 11
// FMA), then FP32 peak. Reached: not measured.

#include <cmath>

#include "kernels/attention_launch.cuh"
#include "kernels/attention_simt_scores.cuh"

namespace gg {
namespace {

/// exp(score - lse); 0 of a query that saw no key, and of what is hidden, whatever lse is.
template <class A>
GG_DEVICE A probability(A score, A lse) {
  const A none = minus_infinity<A>();
  return lse == none || score == none ? A(0) : std::exp(score - lse);
}

/// p (dp z - delta), and 0 of what is hidden, whatever lies there.
template <class A>
GG_DEVICE A score_grad(A p, A dp, A delta) {
  return p == A(0) ? A(0) : p * (dp - delta);
}

/// lse and delta of a query; those of none make probabilities 0.
template <class A>
struct QueryNumbers {
  A lse, delta;

  __device__ QueryNumbers(const AttentionProblem& p, int64_t b, int64_t h, int i) {
    const bool exists = i < p.m;
    lse = exists ? static_cast<const A*>(p.lse.data)[p.lse.offset(b, h, i)] : minus_infinity<A>();
    delta = exists ? static_cast<const A*>(p.delta)[(b * p.heads + h) * p.m + i] : A(0);
  }
};

/// What both kernels keep in shared memory: two matrices of rows, weights, stages, and what the
/// rows see.
template <class A, class Tile>
struct GradShared {
  A *first, *second, *weights, *stages;
  Interval* seen;

  __device__ explicit GradShared(int rows) {
    first = shared_dynamic<A>();
    second = first + rows * Tile::kRowPitch;
    weights = second + rows * Tile::kRowPitch;
    stages = weights + rows * Tile::kWeightPitch;
    seen = reinterpret_cast<Interval*>(stages + 2 * Tile::kStage);
  }
};

/// acc = rows . columns, over all slices of the head, which the feed brings.
template <class Tile, class Feed, class A, int R, int C>
GG_DEVICE void form_products(Feed& feed, const A* rows, int d, A (&acc)[R][C]) {
#pragma unroll
  for (int e = 0; e < R * C; e++) acc[e / C][e % C] = 0;
  for (int done = 0; done < d; done += kSlice) {
    const A* const columns = feed.next() + threadIdx.x % 8 * Tile::kStagePitch;
    add_scores<Tile>(rows + done, columns, d - done < kSlice ? d - done : kSlice, acc);
  }
}

template <class Tile, class Feed, class A, int S, int R>
GG_DEVICE void add_gradient(Feed& feed, const A* weights, int d, A (&out)[S][R][8]) {
  __syncwarp();
#pragma unroll
  for (int s = 0; s < S; s++) {
    if (s * kSlice < d) add_weighted<Tile>(weights, feed.next(), out[s]);
  }
}

/// A block's queries, and what it has summed up for them.
template <class A, int S, int R, int C>
struct QueryGradients {
  using Tile = SimtTile<A, S, R, C>;
  A dq[S][R][8] = {};

  /// One tile of keys.
  __device__ void add(const AttentionProblem& p, const SimtWindow& w, SimtFeed<A, Tile>& feed,
                      const GradShared<A, Tile>& shared, int warp_row) {
    const int own = warp_row + threadIdx.x % kWarp / 8, lane = threadIdx.x % 8;
    const int first = w.row + threadIdx.x % kWarp / 8;
    A* const own_weights = shared.weights + own * Tile::kWeightPitch;
    A acc[R][C];
    form_products<Tile>(feed, shared.first + own * Tile::kRowPitch, p.d, acc);
    form_scores<Tile, Side::queries>(p, w, shared.weights + warp_row * Tile::kWeightPitch,
                                     own_weights + lane, acc);
#pragma unroll
    for (int i = 0; i < R; i++) {
      const QueryNumbers<A> query(p, w.b, w.h, first + 4 * i);
#pragma unroll
      for (int j = 0; j < C; j++) {
        own_weights[i * 4 * Tile::kWeightPitch + 8 * j + lane] = probability(acc[i][j], query.lse);
      }
    }
    form_products<Tile>(feed, shared.second + own * Tile::kRowPitch, p.d, acc);
    SimtDropout<Side::queries, R, C> dropout(p);
    dropout.draw(p, w);
#pragma unroll
    for (int i = 0; i < R; i++) {
      const QueryNumbers<A> query(p, w.b, w.h, first + 4 * i);
#pragma unroll
      for (int j = 0; j < C; j++) {
        A& weight = own_weights[i * 4 * Tile::kWeightPitch + 8 * j + lane];
        weight = score_grad(weight, dropout.apply(acc[i][j], i, j), query.delta);
        store_dbias(p, w, first + 4 * i, w.column + lane + 8 * j, weight);
      }
    }
    add_gradient<Tile>(feed, own_weights, p.d, dq);
  }

  __device__ static void store_dbias(const AttentionProblem& p, const SimtWindow& w, int i, int j,
                                     A ds) {
    const Interval seen = w.seen[i - w.row];
    if (!p.dbias.data || j < seen.begin || j >= seen.end) return;
    static_cast<A*>(p.dbias.data)[p.dbias.offset(w.b, w.h, i, j)] = ds;
  }
};

template <class A, int S, int R, int C>
__global__ void __launch_bounds__(kWarp* kSimtWarps, 2)
    attend_dq(const __grid_constant__ AttentionProblem p, const SimtLaunch start) {
  using Tile = SimtTile<A, S, R, C>;
  const int rows = blockDim.x / kWarp * Tile::kWarpRows;
  const GradShared<A, Tile> shared(rows);
  const SimtPlace at(p, start, Side::queries, rows);
  const Interval keys = visited<Tile, Side::queries>(p, at);
  if (keys.begin < keys.end) {
    load_rows(shared.first, Tile::kRowPitch, rows, p.q, at, p, start.async);
    load_rows(shared.second, Tile::kRowPitch, rows, p.d_o, at, p, start.async);
  }
  find_seen<Side::queries>(p, at, rows, shared.seen);
  SimtFeed<A, Tile> feed(p, p.k, p.v, shared.stages, at.b, at.head / p.per_group, 1, keys, 3, 0b010,
                         start.async);
  const int warp_row = threadIdx.x / kWarp * Tile::kWarpRows;
  QueryGradients<A, S, R, C> sums;
  for (int tile = keys.begin; tile < keys.end; tile += Tile::kColumns) {
    const SimtWindow window{at.b, at.head, at.first + warp_row, tile, shared.seen + warp_row};
    sums.add(p, window, feed, shared, warp_row);
  }
  A scale[R];
#pragma unroll
  for (int i = 0; i < R; i++) scale[i] = static_cast<A>(p.scale);
  const int first = at.first + warp_row, end = first + rows_there<Tile>(shared.seen + warp_row);
  store_rows<Tile>(p.dq, p.dq.offset(at.b, at.head, 0), first, end, sums.dq, scale,
                   shared.first + warp_row * Tile::kRowPitch, p);
}

/// A block's keys, and what it has summed up for them.
template <class A, int S, int R, int C>
struct KeyGradients {
  using Tile = SimtTile<A, S, R, C>;
  A dk[S][R][8] = {}, dv[S][R][8] = {};

  /// One tile of queries of head h.
  __device__ void add(const AttentionProblem& p, const SimtWindow& w, SimtFeed<A, Tile>& feed,
                      const GradShared<A, Tile>& shared, int warp_row) {
    const int own = warp_row + threadIdx.x % kWarp / 8, lane = threadIdx.x % 8;
    A* const own_weights = shared.weights + own * Tile::kWeightPitch;
    A acc[R][C];
    form_products<Tile>(feed, shared.first + own * Tile::kRowPitch, p.d, acc);
    form_scores<Tile, Side::keys>(p, w, shared.weights + warp_row * Tile::kWeightPitch,
                                  own_weights + lane, acc);
#pragma unroll
    for (int j = 0; j < C; j++) {
      const QueryNumbers<A> query(p, w.b, w.h, w.column + lane + 8 * j);
#pragma unroll
      for (int i = 0; i < R; i++) {
        own_weights[i * 4 * Tile::kWeightPitch + 8 * j + lane] = probability(acc[i][j], query.lse);
      }
    }
    form_products<Tile>(feed, shared.second + own * Tile::kRowPitch, p.d, acc);
    SimtDropout<Side::keys, R, C> dropout(p);
    dropout.draw(p, w);
#pragma unroll
    for (int j = 0; j < C; j++) {
      const QueryNumbers<A> query(p, w.b, w.h, w.column + lane + 8 * j);
#pragma unroll
      for (int i = 0; i < R; i++) {
        A& weight = own_weights[i * 4 * Tile::kWeightPitch + 8 * j + lane];
        acc[i][j] = score_grad(weight, dropout.apply(acc[i][j], i, j), query.delta);
        weight = dropout.apply(weight, i, j);
      }
    }
    add_gradient<Tile>(feed, own_weights, p.d, dv);
    __syncwarp();
#pragma unroll
    for (int e = 0; e < R * C; e++) {
      own_weights[e / C * 4 * Tile::kWeightPitch + e % C * 8 + lane] = acc[e / C][e % C];
    }
    add_gradient<Tile>(feed, own_weights, p.d, dk);
  }
};

template <class A, int S, int R, int C>
__global__ void __launch_bounds__(kWarp* kSimtWarps, 2)
    attend_dkv(const __grid_constant__ AttentionProblem p, const SimtLaunch start) {
  using Tile = SimtTile<A, S, R, C>;
  const int rows = blockDim.x / kWarp * Tile::kWarpRows;
  const GradShared<A, Tile> shared(rows);
  const SimtPlace at(p, start, Side::keys, rows);
  const Interval queries = visited<Tile, Side::keys>(p, at);
  if (queries.begin < queries.end && p.per_group > 0) {
    load_rows(shared.first, Tile::kRowPitch, rows, p.k, at, p, start.async);
    load_rows(shared.second, Tile::kRowPitch, rows, p.v, at, p, start.async);
  }
  find_seen<Side::keys>(p, at, rows, shared.seen);
  const int64_t head = at.head * p.per_group;
  SimtFeed<A, Tile> feed(p, p.q, p.d_o, shared.stages, at.b, head, p.per_group, queries, 4, 0b0110,
                         start.async);
  const int warp_row = threadIdx.x / kWarp * Tile::kWarpRows;
  KeyGradients<A, S, R, C> sums;
  for (int64_t h = head; h < head + p.per_group; h++) {
    for (int tile = queries.begin; tile < queries.end; tile += Tile::kColumns) {
      const SimtWindow window{at.b, h, at.first + warp_row, tile, shared.seen + warp_row};
      sums.add(p, window, feed, shared, warp_row);
    }
  }
  const int first = at.first + warp_row, end = first + rows_there<Tile>(shared.seen + warp_row);
  const int in_shared = warp_row * Tile::kRowPitch;
  A factor[R];
#pragma unroll
  for (int i = 0; i < R; i++) factor[i] = static_cast<A>(p.scale);
  store_rows<Tile>(p.dk, p.dk.offset(at.b, at.head, 0), first, end, sums.dk, factor,
                   shared.first + in_shared, p);
#pragma unroll
  for (int i = 0; i < R; i++) factor[i] = 1;
  store_rows<Tile>(p.dv, p.dv.offset(at.b, at.head, 0), first, end, sums.dv, factor,
                   shared.second + in_shared, p);
}

template <class A, int S, int R, int C>
void start_gradients(Stream stream, const AttentionProblem& p) {
  using Tile = SimtTile<A, S, R, C>;
  launch_simt<Tile>(stream, p, attend_dq<A, S, R, C>, {p.m, p.heads, 2});
  launch_simt<Tile>(stream, p, attend_dkv<A, S, R, C>, {p.n, p.groups, 2});
}

}  // namespace

void launch_attention_grad_simt(Stream stream, const AttentionProblem& p) {
  if (p.dtype == DType::f64) return start_gradients<double, 4, 1, 4>(stream, p);
  if (p.d <= 64) return start_gradients<float, 1, 8, 4>(stream, p);
  if (p.d <= 128) return start_gradients<float, 2, 4, 4>(stream, p);
  start_gradients<float, 4, 2, 4>(stream, p);
}

}  // namespace gg
