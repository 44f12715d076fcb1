// Attention on ordinary CUDA cores: every dtype, every stride, head sizes 1 to 256.
//
//   o = (dropout of softmax(scale q k^T + bias, over the keys seen)) v
//   lse = logsumexp of the scores                      ops/attention.h has the contract
//
// A block has 4 R queries for each of up to four warps and one head, and walks over the keys they
// see, 8 C at a time, by online softmax (Milakov & Gimelshein 2018; Dao et al. 2022): a row keeps
// its largest score and the sum of exp(score - largest); where the largest rises, sum and output
// shrink. Tiles of keys that no query of the block sees are not visited.
//
// float16 and bfloat16 are widened on their way into shared memory. Accumulates in float32, float64
// for float64; probabilities are not rounded. o and lse =. Deterministic: a row is formed in one
// warp, keys in order.
//
// 4 D FLOP for each pair of query and key seen; a block reads the keys and values it visits once,
// mostly from L2. Bound: FP32 peak, and shared memory close behind (a 16-byte read for 16 FMA at
// best). Reached: not measured.

#include <cmath>

#include "kernels/attention_launch.cuh"
#include "kernels/attention_simt_scores.cuh"

namespace gg {
namespace {

template <class A, int S, int R>
struct OnlineSoftmax {
  A out[S][R][8] = {};
  A top[R], sum[R];  // the largest score; this thread's share of the sum

  __device__ OnlineSoftmax() {
#pragma unroll
    for (int i = 0; i < R; i++) top[i] = minus_infinity<A>(), sum[i] = 0;
  }

  /// Scores of a tile become weights.
  template <class Tile, int C, class Dropout>
  __device__ void absorb(const A (&score)[R][C], const Dropout& dropout, A* weights) {
#pragma unroll
    for (int i = 0; i < R; i++) {
      A most = top[i];
#pragma unroll
      for (int j = 0; j < C; j++) most = score[i][j] > most ? score[i][j] : most;
#pragma unroll
      for (int mask = 1; mask < 8; mask *= 2) {
        const A other = shuffle_xor(most, mask);
        most = other > most ? other : most;
      }
      const A base = most == minus_infinity<A>() ? A(0) : most;  // nothing seen so far
      const A shrink = std::exp(top[i] - base);
      top[i] = most;
      sum[i] *= shrink;
#pragma unroll
      for (int e = 0; e < S * 8; e++) out[e / 8][i][e % 8] *= shrink;
#pragma unroll
      for (int j = 0; j < C; j++) {
        const A weight = std::exp(score[i][j] - base);
        sum[i] += weight;
        weights[i * 4 * Tile::kWeightPitch + 8 * j] = dropout.apply(weight, i, j);
      }
    }
  }

  /// Writes the warp's rows, `first` and on; they pass through `rows`, as in store_rows.
  template <class Tile>
  __device__ void finish(const AttentionProblem& p, const SimtPlace& at, int first, A* rows) {
    const int end = at.first + at.count;
    A factor[R];
#pragma unroll
    for (int i = 0; i < R; i++) {
#pragma unroll
      for (int mask = 1; mask < 8; mask *= 2) sum[i] += shuffle_xor(sum[i], mask);
      factor[i] = sum[i] == A(0) ? A(0) : A(1) / sum[i];
      const int row = first + threadIdx.x % kWarp / 8 + 4 * i;
      if (threadIdx.x % 8 == 0 && row < end) {
        static_cast<A*>(p.lse.data)[p.lse.offset(at.b, at.head, row)] =
            sum[i] == A(0) ? minus_infinity<A>() : top[i] + std::log(sum[i]);
      }
    }
    store_rows<Tile>(p.o, p.o.offset(at.b, at.head, 0), first, end, out, factor, rows, p);
  }
};

template <class A, int S, int R, int C>
__global__ void __launch_bounds__(kWarp* kSimtWarps, 2)
    attend(const __grid_constant__ AttentionProblem p, const SimtLaunch start) {
  using Tile = SimtTile<A, S, R, C>;
  const int warps = blockDim.x / kWarp, rows = warps * Tile::kWarpRows;
  A* const queries = shared_dynamic<A>();
  A* const weights = queries + rows * Tile::kRowPitch;
  A* const stages = weights + rows * Tile::kWeightPitch;
  Interval* const seen = reinterpret_cast<Interval*>(stages + 2 * Tile::kStage);

  const SimtPlace at(p, start, Side::queries, rows);
  const Interval keys = visited<Tile, Side::queries>(p, at);
  if (keys.begin < keys.end) load_rows(queries, Tile::kRowPitch, rows, p.q, at, p, start.async);
  find_seen<Side::queries>(p, at, rows, seen);
  SimtFeed<A, Tile> feed(p, p.k, p.v, stages, at.b, at.head / p.per_group, 1, keys, 2, 0b10,
                         start.async);
  const int warp_row = threadIdx.x / kWarp * Tile::kWarpRows;
  const int own = warp_row + threadIdx.x % kWarp / 8, lane = threadIdx.x % 8;
  A* const own_weights = weights + own * Tile::kWeightPitch;
  OnlineSoftmax<A, S, R> softmax;
  SimtDropout<Side::queries, R, C> dropout(p);
  for (int tile = keys.begin; tile < keys.end; tile += Tile::kColumns) {
    A score[R][C] = {};
    for (int d = 0; d < p.d; d += kSlice) {
      const A* const k = feed.next() + lane * Tile::kStagePitch;
      add_scores<Tile>(queries + own * Tile::kRowPitch + d, k, p.d - d < kSlice ? p.d - d : kSlice,
                       score);
    }
    const SimtWindow window{at.b, at.head, at.first + warp_row, tile, seen + warp_row};
    form_scores<Tile, Side::queries>(p, window, weights + warp_row * Tile::kWeightPitch,
                                     own_weights + lane, score);
    dropout.draw(p, window);
    softmax.template absorb<Tile>(score, dropout, own_weights + lane);
    __syncwarp();
#pragma unroll
    for (int s = 0; s < S; s++) {
      if (s * kSlice < p.d) add_weighted<Tile>(own_weights, feed.next(), softmax.out[s]);
    }
  }
  softmax.template finish<Tile>(p, at, at.first + warp_row, queries + warp_row * Tile::kRowPitch);
}

template <class A, int S, int R, int C>
void start_attend(Stream stream, const AttentionProblem& p) {
  launch_simt<SimtTile<A, S, R, C>>(stream, p, attend<A, S, R, C>, {p.m, p.heads, 1});
}

}  // namespace

void launch_attention_simt(Stream stream, const AttentionProblem& p) {
  if (p.dtype == DType::f64) return start_attend<double, 4, 2, 4>(stream, p);
  if (p.d <= 64) return start_attend<float, 1, 8, 8>(stream, p);
  if (p.d <= 128) return start_attend<float, 2, 8, 4>(stream, p);
  start_attend<float, 4, 4, 4>(stream, p);
}

}  // namespace gg
