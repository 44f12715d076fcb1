// Attention on Hopper's own tensor-core path, forward: TMA, mbarrier, wgmma. sm_90a.
//
//   o = softmax(scale q k^T, over the keys seen) v,  lse = logsumexp of the scores
//
// q [B, H, M, D], k and v [B, G, N, D], float16 or bfloat16, D up to 128 (padded to 64 or 128 by
// TMA's zeros), lse [B, H, M] float32. What keys a query sees (causality, windows, lengths, packed
// sequences) is kernels/attention_problem.cuh's; bias, dropout and arrays that TMA cannot read are
// left to attention_mma.cu (attention_hopper_takes).
//
// A block has 128 queries of one head and walks over the keys that any of them sees, 128 at a
// time. One warp loads: q once, then k and v through a ring of 4 tiles. Two warpgroups have 64
// queries each. While one of their softmaxes runs, the tensor cores are kept busy twice over: by
// the warpgroup's own product p v of the tile before, and by both products of the other warpgroup,
// whose turn alternates (Shah et al. 2024, FlashAttention-3). Probabilities stay in registers, as
// the first operand of p v; v is used in the order it has in memory.
//
// Where there are many tiles of queries, blocks stay (HopperSchedule): q and the first keys of the
// next tile are loaded while the last one is computed and written.
//
// 128 keys and not 176: a thread holds 64 scores, 32 words of probabilities and 64 sums (D 128) of
// its 216 registers, the causal tile is a square, and one tile size serves all.
//
// Products and sums in float32, probabilities rounded once to 16 bits before they meet v. o and
// lse =. Deterministic: a block owns its queries and walks the keys in order.
//
// 4 B H M N D FLOP, half if causal; k and v are read once for 128 queries, mostly from L2 (64 KiB
// for 8.4 MFLOP where D is 128). Bound: tensor peak for long N; exponentials, 16 for each clock of
// a multiprocessor, take half as long as both products where D is 128, and as long where it is 64.
// Reached: not measured.

#include "kernels/attention_hopper.cuh"

#include "core/built_for.h"
#include "kernels/attention_hopper_forward.cuh"
#include "kernels/attention_launch.cuh"

namespace gg {
namespace {

constexpr int kMinRows = 64;  // of queries and keys: with fewer, most of a tile is empty

/// So many pairs for each multiprocessor make up for the last of them, which may leave most of the
/// machine idle. Those of packed sequences count tiles that have no rows, too.
constexpr int64_t kManyPairs = 8;

/// start(schedule, blocks) for each launch.
template <class Start>
void for_each_schedule(const AttentionProblem& p, const Start& start) {
  const int64_t tiles = row_tiles(p, p.m, kHopperRows), pairs = (tiles + 1) / 2;
  const int64_t all = p.batch * p.heads * pairs, room = multiprocessors();
  const bool many = all >= kManyPairs * room && p.batch * p.heads * tiles <= 0x7fffffff;
  for_each_attention_grid(
      p.batch, p.heads, tiles, p.right >= 0, [&](const AttentionGrid& grid, unsigned blocks) {
        if (!many) return start({grid, blocks, static_cast<unsigned>(tiles), 1}, blocks);
        start({grid, static_cast<unsigned>(all), static_cast<unsigned>(pairs), 2},
              static_cast<unsigned>(room));
      });
}

template <class T, int kD>
void start(Stream stream, const AttentionProblem& p) {
  const HopperForwardMaps maps{query_map<64>(p, p.q), key_map<kHopperKeys>(p, p.k),
                               key_map<kHopperKeys>(p, p.v)};
  for_each_schedule(p, [&](const HopperSchedule& schedule, unsigned blocks) {
    launch(attention_hopper<T, kD>, blocks, kHeadThreads, HopperForwardTiles<kD>::kBytes, stream, p,
           maps, schedule);
  });
}

/// x, if there is one, can be read by TMA.
bool readable(const AttentionProblem& p, const AttentionTensor& x, int64_t heads, int64_t rows) {
  if (!x.data) return true;
  const bool repeats = (heads > 1 && x.head == 0) || (p.batch > 1 && x.batch == 0);
  return x.vector && !repeats && tile_source_fits(head_source(p, x, heads, rows));
}

}  // namespace

bool attention_hopper_takes(const AttentionProblem& p) {
  if (!runs_hopper_code(GG_BUILT_FOR, architecture())) return false;
  if ((p.dtype != DType::f16 && p.dtype != DType::bf16) || p.d > 128) return false;
  if (p.bias.data || p.dropout.state) return false;
  if (!(static_cast<float>(p.scale) * kLog2E > 0)) return false;
  if (p.m < kMinRows || p.n < kMinRows || p.heads == 0 || p.batch == 0) return false;
  return readable(p, p.q, p.heads, p.m) && readable(p, p.d_o, p.heads, p.m) &&
         readable(p, p.k, p.groups, p.n) && readable(p, p.v, p.groups, p.n);
}

void launch_attention_hopper(Stream stream, const AttentionProblem& p) {
  with_padded_size(p, [&](auto type, auto size) {
    start<typename decltype(type)::type, decltype(size)::value>(stream, p);
  });
}

}  // namespace gg
