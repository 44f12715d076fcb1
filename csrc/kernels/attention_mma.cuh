// Attention on tensor cores by mma.sync: what attention.cu calls. Host only.
#pragma once

#include "kernels/attention_problem.cuh"

namespace gg {

/// float16 from sm_75 on (there D up to 128), bfloat16 from sm_80 on; D up to 256; any
/// strides; H M below 2^31 tiles of 16 queries.
bool attention_mma_takes(const AttentionProblem& p, DType dtype);

/// o and lse, every element of them.
void launch_attention_mma(Stream stream, const AttentionProblem& p, DType dtype);

/// dq, dk, dv, every element of them, and dbias where a query of a tile sees a key of it (0 if that
/// pair is hidden): elsewhere the caller has put zeros. p.delta is there.
void launch_attention_grad_mma(Stream stream, const AttentionProblem& p, DType dtype);

}  // namespace gg
