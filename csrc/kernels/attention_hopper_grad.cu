// Attention's gradient on Hopper's own tensor-core path: TMA, mbarrier, wgmma. sm_90a.
//
//   p = exp(score - lse), dp = dO v^T, ds = p (dp - delta), delta = rowsum(dO o):
//   dv = p^T dO,  dk = scale ds^T q,  dq = scale ds k
//
// Shapes, dtypes and what is left to attention_mma_grad.cu as in attention_hopper.cu. Two passes of
// one kernel, each with 128 rows of one head for a block:
//
//   of queries    a block owns queries and walks over the keys they see: dq
//   ByKeys        a block owns keys and walks over the queries that see them, head after head of
//                 those that share its k: dk, dv
//
// Own rows are x and x2 (q and dO; by keys k and v), what it walks over is y and y2 (k and v; q and
// dO):  s = x y^T,  dp = x2 y2^T,  sums += ds y,  by keys sums2 += p y2. One warp loads x and x2
// once, y and y2 through a ring of 4 tiles, by keys with lse and delta of their queries. Two
// warpgroups have 64 own rows each; while one takes exponentials the other multiplies. p and ds
// stay in registers, as first operands; y and y2 are used both ways round from the same tiles.
//
// Products and sums in float32; p and ds rounded once to 16 bits before they meet dO, q or k. dq,
// dk, dv =. Deterministic: each gradient is summed up in one block, heads and tiles in order.
//
// 14 B H M N D FLOP, half if causal: seven products where atomic sums of dq would need five. Bound:
// tensor peak for long sequences. Reached: not measured.

#include "kernels/attention_hopper.cuh"
#include "kernels/attention_hopper_backward.cuh"
#include "kernels/attention_launch.cuh"

namespace gg {
namespace {

template <class T, class Shape>
void start_pass(Stream stream, const AttentionProblem& p, const HopperGradMaps& maps) {
  const int64_t heads = Shape::kByKeys ? p.groups : p.heads, rows = Shape::kByKeys ? p.n : p.m;
  const bool reversed = !Shape::kByKeys && p.right >= 0;
  for_each_attention_grid(p.batch, heads, row_tiles(p, rows, kHopperRows), reversed,
                          [&](const AttentionGrid& grid, unsigned blocks) {
                            launch(attention_grad_hopper<T, Shape::kD, Shape::kByKeys>, blocks,
                                   kHeadThreads, Shape::kBytes, stream, p, maps, grid);
                          });
}

template <class T, int kD>
void start(Stream stream, const AttentionProblem& p) {
  using ByKeys = HopperGradShape<kD, true>;
  using OfQueries = HopperGradShape<kD, false>;
  start_pass<T, ByKeys>(
      stream, p,
      {key_map<64>(p, p.k), key_map<64>(p, p.v), query_map<ByKeys::kColumns>(p, p.q),
       query_map<ByKeys::kColumns>(p, p.d_o)});
  start_pass<T, OfQueries>(
      stream, p,
      {query_map<64>(p, p.q), query_map<64>(p, p.d_o), key_map<OfQueries::kColumns>(p, p.k),
       key_map<OfQueries::kColumns>(p, p.v)});
}

}  // namespace

void launch_attention_grad_hopper(Stream stream, const AttentionProblem& p) {
  with_padded_size(p, [&](auto type, auto size) {
    start<typename decltype(type)::type, decltype(size)::value>(stream, p);
  });
}

}  // namespace gg
