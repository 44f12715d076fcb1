// Attention by wgmma and TMA: what attention.cu calls. Host only.
#pragma once

#include "kernels/attention_problem.cuh"

namespace gg {

/// Whether the kernels of sm_90a take p, its gradient's arrays included where there are any: code
/// and device are sm_90a; float16 or bfloat16, D up to 128; no bias, no dropout, a scale above 0;
/// at least 64 queries and keys; and arrays that TMA can read: rows contiguous, base and all
/// strides multiples of 16 bytes, no axis walked backwards or repeated.
bool attention_hopper_takes(const AttentionProblem& p);

/// o and lse, every element of them.
void launch_attention_hopper(Stream stream, const AttentionProblem& p);

/// dq, dk, dv, every element of them. p.delta is there.
void launch_attention_grad_hopper(Stream stream, const AttentionProblem& p);

}  // namespace gg
