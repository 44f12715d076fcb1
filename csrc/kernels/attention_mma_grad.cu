// Attention's gradient on tensor cores: float16 and bfloat16, m16n8k16 (sm_80 and up), float16 also
// by m16n8k8 (sm_75, D up to 128).
//
//   p = exp(score - lse), dp = (dO v^T) z, ds = p (dp - delta), delta = rowsum(dO o):
//   dv = (p z)^T dO,  dk = scale ds^T q,  dq = scale ds k,  dbias = ds
//
// Two passes: dk and dv with a block for 128 (64) keys, dq and dbias with one for 128 (64) queries.
// Shapes, strides and padding of D as in attention_mma.cu. Products and sums in float32; p z and ds
// rounded once to 16 bits before they meet dO, q or k. dq, dk, dv =, dbias = where a tile is
// visited. Deterministic: each gradient is summed up in one block, heads and tiles in order.
//
// 14 B H M N D FLOP, half if causal (18 by keys where D > 128). Bound: tensor peak for long
// sequences. Reached: not measured.

#include "kernels/attention_mma.cuh"
#include "kernels/attention_mma_backward.cuh"
#include "kernels/gemm_launch.cuh"

namespace gg {
namespace {

template <class T, class Shape>
void start_pass(Stream stream, const AttentionProblem& p) {
  const int64_t heads = Shape::kByKeys ? p.groups : p.heads, rows = Shape::kByKeys ? p.n : p.m;
  const int64_t tiles = row_tiles(p, rows, Shape::kRows) * Shape::kParts;
  const int room = max_shared_bytes() - padded_static(sizeof(GradWork<Shape>));
  const int stages = Shape::bytes(2) <= room ? 2 : 1;
  const bool reversed = !Shape::kByKeys && p.right >= 0;
  for_each_attention_grid(p.batch, heads, tiles, reversed,
                          [&](const AttentionGrid& grid, unsigned blocks) {
                            launch(attention_grad_mma<T, Shape>, blocks, kAttentionThreads,
                                   Shape::bytes(stages), stream, p, grid, stages);
                          });
}

template <class T, int kD, bool Turing>
void start(Stream stream, const AttentionProblem& p) {
  start_pass<T, GradShape<kD, true, Turing>>(stream, p);
  start_pass<T, GradShape<kD, false, Turing>>(stream, p);
}

template <class T>
void start_padded(Stream stream, const AttentionProblem& p) {
  if (p.d <= 64) return start<T, 64, false>(stream, p);
  if (p.d <= 128) return start<T, 128, false>(stream, p);
  start<T, 256, false>(stream, p);
}

}  // namespace

void launch_attention_grad_mma(Stream stream, const AttentionProblem& p, DType dtype) {
  if (dtype == DType::bf16) return start_padded<bf16>(stream, p);
  if (gemm_device().code >= 80) return start_padded<f16>(stream, p);
  if (p.d <= 64) return start<f16, 64, true>(stream, p);
  start<f16, 128, true>(stream, p);
}

}  // namespace gg
