// Attention: checks, choice of kernels, and delta = rowsum(dO o).
//
// The problem is made here from arrays (kernels/attention_problem.cuh). float16 and bfloat16 run on
// tensor cores where the device has them: on Hopper's own path what it can take
// (attention_hopper.cu), else by mma.sync (attention_mma.cu). A few queries have kernels of their
// own (attention_decode.cu); all else, and sizes 0, runs on CUDA cores (attention_simt.cu,
// attention_simt_grad.cu). The gradient needs delta first, in the workspace:
// B H M sums of the accumulation dtype, =, in a fixed order, by eight threads for each row; bytes:
// dO and o once; bound: bandwidth. Reached: not measured.

#include <algorithm>

#include "core/attention_checks.h"
#include "core/index.h"
#include "kernels/attention_hopper.cuh"
#include "kernels/attention_launch.cuh"
#include "kernels/attention_mma.cuh"
#include "ops/arrays.h"

namespace gg {
namespace {

constexpr int kDeltaThreads = 256;
constexpr int kDeltaLanes = 8;

/// V elements `step` apart, widened; those from `count` on are 0 and not touched.
template <class A, int V, class T>
GG_DEVICE Vec<A, V> read_group(const T* p, int64_t step, int count, bool vector) {
  Vec<A, V> values;
  if (vector && count >= V) {
    const Vec<T, V> whole = load_vec<V>(p);
#pragma unroll
    for (int i = 0; i < V; i++) values[i] = convert<A>(whole[i]);
  } else {
#pragma unroll
    for (int i = 0; i < V; i++) values[i] = i < count ? convert<A>(p[i * step]) : A(0);
  }
  return values;
}

template <class A>
__global__ void __launch_bounds__(kDeltaThreads)
    sum_delta(const __grid_constant__ AttentionProblem p) {
  constexpr int V = 16 / sizeof(A);
  const int lane = threadIdx.x % kDeltaLanes;
  const int64_t rows = p.batch * p.heads * p.m;
  const int64_t step = int64_t{gridDim.x} * (kDeltaThreads / kDeltaLanes);
  int64_t block_row = int64_t{blockIdx.x} * (kDeltaThreads / kDeltaLanes);
  for (; block_row < rows; block_row += step) {
    const int64_t row = block_row + threadIdx.x / kDeltaLanes;
    const int64_t i = row % p.m, h = row / p.m % p.heads, b = row / p.m / p.heads;
    A sum = 0;
    with_attention_storage<A>(p.dtype, [&](auto zero) {
      using T = decltype(zero);
      const T* const dy = static_cast<const T*>(p.d_o.data) + p.d_o.offset(b, h, i);
      const T* const y = static_cast<const T*>(p.o.data) + p.o.offset(b, h, i);
      for (int c = lane * V; row < rows && c < p.d; c += kDeltaLanes * V) {
        const auto a = read_group<A, V>(dy + c * p.d_o.column, p.d_o.column, p.d - c, p.d_o.vector);
        const auto o = read_group<A, V>(y + c * p.o.column, p.o.column, p.d - c, p.o.vector);
#pragma unroll
        for (int e = 0; e < V; e++) sum += a[e] * o[e];
      }
    });
#pragma unroll
    for (int mask = 1; mask < kDeltaLanes; mask *= 2) sum += shuffle_xor(sum, mask);
    if (lane == 0 && row < rows) static_cast<A*>(p.delta)[row] = sum;
  }
}

void launch_delta(Stream stream, const AttentionProblem& p) {
  const int64_t rows = p.batch * p.heads * p.m, of_block = kDeltaThreads / kDeltaLanes;
  const int64_t blocks =
      std::min<int64_t>((rows + of_block - 1) / of_block, int64_t{16} * multiprocessors());
  launch(p.dtype == DType::f64 ? sum_delta<double> : sum_delta<float>,
         static_cast<unsigned>(blocks), kDeltaThreads, 0, stream, p);
}

// ---- from arrays to the problem ----------------------------------------------------------------

AttentionTensor tensor(const Array& a) {
  AttentionTensor t{};
  if (!a) return t;
  const int size = dtype_size(a.dtype);
  t.data = a.data;
  t.batch = a.stride[0];
  t.head = a.stride[1];
  t.row = a.stride[2];
  t.column = a.ndim == 4 ? a.stride[3] : 0;
  int64_t starts = reinterpret_cast<intptr_t>(a.data);
  for (int axis = 0; axis < 3; axis++) {
    if (a.shape[axis] > 1) starts |= a.stride[axis] * size;
  }
  t.vector = (t.column == 1 || a.shape[3] == 1) && starts % 16 == 0;
  if (t.vector) t.column = 1;
  return t;
}

AttentionBias bias(const Array& a, const Array& q, const Array& k) {
  AttentionBias result{};
  if (!a) return result;
  const Array scores{nullptr, a.dtype, 4, {q.shape[0], q.shape[1], q.shape[2], k.shape[2]}, {}};
  result.data = a.data;
  result.dtype = a.dtype;
  result.batch = broadcast_stride(a, scores, 0);
  result.head = broadcast_stride(a, scores, 1);
  result.row = broadcast_stride(a, scores, 2);
  result.column = broadcast_stride(a, scores, 3);
  return result;
}

AttentionDropout dropout(const AttentionOptions& options) {
  const double p = options.dropout;
  if (p == 0) return {};
  return {options.state.as<int64_t>(), options.call, unit_threshold(p), p < 1 ? 1 / (1 - p) : 0.0};
}

void set_options(AttentionProblem& p, const AttentionOptions& options) {
  constexpr int64_t beyond = int64_t{1} << 32;  // no axis is as long
  if (options.q_offsets) {
    p.q_offsets = options.q_offsets.as<int32_t>();
    p.k_offsets = options.k_offsets.as<int32_t>();
    p.sequences = static_cast<int>(options.q_offsets.shape[0] - 1);
  }
  if (options.k_lengths) {
    p.k_lengths = options.k_lengths.as<int32_t>();
    p.lengths_stride = options.k_lengths.stride[0];
  }
  p.dropout = dropout(options);
  p.scale = options.scale;
  p.left = std::min(options.left, beyond);
  p.right = std::min(options.right, beyond);
  p.align_end = options.align_end;
}

AttentionProblem problem(const Array& q, const Array& k, const Array& v, const Array& o,
                         const Array& lse, const AttentionOptions& options) {
  AttentionProblem p{};
  p.q = tensor(q);
  p.k = tensor(k);
  p.v = tensor(v);
  p.o = tensor(o);
  p.lse = tensor(lse);
  p.bias = bias(options.bias, q, k);
  p.batch = q.shape[0];
  p.heads = q.shape[1];
  p.groups = k.shape[1];
  p.per_group = p.groups ? p.heads / p.groups : 0;
  p.m = static_cast<int>(q.shape[2]);
  p.n = static_cast<int>(k.shape[2]);
  p.d = static_cast<int>(q.shape[3]);
  p.dtype = q.dtype;
  set_options(p, options);
  return p;
}

bool on_tensor_cores(const AttentionProblem& p) {
  return is_floating(p.dtype) && dtype_size(p.dtype) == 2 && p.m > 0 && p.n > 0 && p.heads > 0 &&
         attention_mma_takes(p, p.dtype);
}

}  // namespace

int64_t attention_workspace(const Array& q, const Array& k, const Array&) {
  return attention_decode_workspace(q, k);
}

void attention(Stream stream, const Array& q, const Array& k, const Array& v,
               const AttentionOptions& options, MatmulPrecision, const Array& o, const Array& lse,
               const Array& workspace) {
  check_attention(q, k, v, options, o, lse);
  if (o.size() == 0) return;
  const AttentionProblem p = problem(q, k, v, o, lse, options);
  if (attention_decode_takes(p)) {
    check_workspace("attention", workspace, attention_workspace(q, k, o));
    return launch_attention_decode(stream, p, workspace.data);
  }
  if (attention_hopper_takes(p)) return launch_attention_hopper(stream, p);
  if (on_tensor_cores(p)) return launch_attention_mma(stream, p, p.dtype);
  launch_attention_simt(stream, p);
}

int64_t attention_grad_workspace(const Array& q, const Array&) {
  int64_t rows = 1;  // attention_grad checks that there are three such axes
  for (int axis = 0; axis < std::min(q.ndim, 3); axis++) rows *= q.shape[axis];
  return rows * dtype_size(accumulation(q.dtype));
}

void attention_grad(Stream stream, const Array& d_o, const Array& q, const Array& k, const Array& v,
                    const Array& o, const Array& lse, const AttentionOptions& options,
                    MatmulPrecision, const Array& dq, const Array& dk, const Array& dv,
                    const Array& dbias, const Array& workspace) {
  check_attention_grad(d_o, q, k, v, o, lse, options, {dq, dk, dv, dbias});
  check_workspace("attention_grad", workspace, attention_grad_workspace(q, k));
  AttentionProblem p = problem(q, k, v, o, lse, options);
  p.d_o = tensor(d_o);
  p.dq = tensor(dq);
  p.dk = tensor(dk);
  p.dv = tensor(dv);
  if (dbias) {
    p.dbias = bias(dbias, q, k);
    fill(stream, dbias, Scalar{});
  }
  p.delta = workspace.data;
  if (q.size() > 0) launch_delta(stream, p);
  if (attention_hopper_takes(p) && !p.dbias.data) return launch_attention_grad_hopper(stream, p);
  if (on_tensor_cores(p)) return launch_attention_grad_mma(stream, p, p.dtype);
  launch_attention_grad_simt(stream, p);
}

}  // namespace gg
