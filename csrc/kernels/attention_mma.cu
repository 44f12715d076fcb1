// Attention on tensor cores, forward: float16 and bfloat16, m16n8k16 (sm_80 and up), float16 also
// by m16n8k8 (sm_75, D up to 128).
//
//   o = (dropout of softmax(scale q k^T + bias, over the keys seen)) v,  lse = logsumexp of scores
//
// q [B, H, M, D], k and v [B, G, N, D], o as q, lse [B, H, M] float32; any strides (rows aligned to
// 16 bytes are copied by cp.async, others an element at a time). D is padded to 64, 128 or 256.
// Online softmax (Milakov & Gimelshein 2018; Dao 2023, FlashAttention-2): products and sums in
// float32, probabilities rounded once to 16 bits before they meet v. o and lse =. Deterministic: a
// block owns its queries and walks the keys in order.
//
// 4 B H M N D FLOP, half if causal; k and v are read once for 128 (64) queries, mostly from L2.
// Bound: tensor peak for long N; for few queries, bandwidth. Reached: not measured.

#include "kernels/attention_mma.cuh"
#include "kernels/attention_mma_forward.cuh"
#include "kernels/gemm_launch.cuh"

namespace gg {
namespace {

template <class T, int kD, bool Turing>
void start(Stream stream, const AttentionProblem& p) {
  using Shape = ForwardShape<T, kD, Turing>;
  const int64_t tiles = row_tiles(p, p.m, Shape::kRows);
  for_each_attention_grid(p.batch, p.heads, tiles, p.right >= 0,
                          [&](const AttentionGrid& grid, unsigned blocks) {
                            launch(attention_mma<T, kD, Turing>, blocks, kAttentionThreads,
                                   Shape::kBytes, stream, p, grid);
                          });
}

template <class T>
void start_padded(Stream stream, const AttentionProblem& p) {
  if (p.d <= 64) return start<T, 64, false>(stream, p);
  if (p.d <= 128) return start<T, 128, false>(stream, p);
  start<T, 256, false>(stream, p);
}

}  // namespace

bool attention_mma_takes(const AttentionProblem& p, DType dtype) {
  const int code = gemm_device().code;
  if (p.heads * row_tiles(p, p.m, 16) > 0x7fffffff) return false;  // a block counts them in int
  if (dtype == DType::f16 && code >= 75 && p.d <= 128) return true;
  return (dtype == DType::f16 || dtype == DType::bf16) && code >= 80 && p.d <= 256;
}

void launch_attention_mma(Stream stream, const AttentionProblem& p, DType dtype) {
  if (dtype == DType::bf16) return start_padded<bf16>(stream, p);
  if (gemm_device().code >= 80) return start_padded<f16>(stream, p);
  if (p.d <= 64) return start<f16, 64, true>(stream, p);
  start<f16, 128, true>(stream, p);
}

}  // namespace gg
