// Runs attention of aligned arrays on tensor cores and prints how its kernels used memory;
// test_attention_budgets.py has what they may use.

#include <cstdlib>

#include "host_array.h"
#include "ops/attention.h"
#include "sim/counters/counters.h"

using namespace gg;

namespace {

/// [1, heads, rows, d] at a multiple of 256 bytes, as cudaMalloc's; no d: [1, heads, rows].
template <class T>
struct Aligned {
  std::shared_ptr<T[]> memory;
  Array array;

  Aligned(int64_t heads, int64_t rows, int64_t d = 0)
      : memory(static_cast<T*>(aligned_alloc(256, bytes(heads * rows * (d ? d : 1)))), free) {
    for (int64_t i = 0; i < heads * rows * (d ? d : 1); i++) memory[i] = convert<T>(noise(i));
    array.data = memory.get(), array.dtype = dtype_of<T>(), array.ndim = d ? 4 : 3;
    const int64_t shape[4] = {1, heads, rows, d};
    int64_t stride = 1;
    for (int axis = array.ndim - 1; axis >= 0; axis--) {
      array.shape[axis] = shape[axis], array.stride[axis] = stride, stride *= shape[axis];
    }
  }

  /// The same memory with one axis.
  Array workspace() const {
    Array flat = array;
    flat.ndim = 1, flat.shape[0] = array.size(), flat.stride[0] = 1;
    return flat;
  }

  static size_t bytes(int64_t size) { return (static_cast<size_t>(size) * sizeof(T) + 255) & ~255; }
};

/// Forward and gradient of 256 queries and keys; two heads of q share one of k.
template <class T>
void count(int architecture, int64_t d, int64_t right = -1) {
  sim::set_architecture(architecture);
  const Aligned<T> q(2, 256, d), k(1, 256, d), v(1, 256, d), o(2, 256, d);
  const Aligned<T> dy(2, 256, d), dq(2, 256, d), dk(1, 256, d), dv(1, 256, d);
  const Aligned<float> lse(2, 256);
  const Aligned<uint8_t> space(1, attention_grad_workspace(q.array, k.array));
  AttentionOptions options;
  options.scale = 0.1, options.right = right;
  const auto precision = MatmulPrecision::exact;
  sim::reset_counters();
  attention(nullptr, q.array, k.array, v.array, options, precision, o.array, lse.array, {});
  attention_grad(nullptr, dy.array, q.array, k.array, v.array, o.array, lse.array, options,
                 precision, dq.array, dk.array, dv.array, {}, space.workspace());
  sim::print_counters();
}

// clang-format off
CASE(f16_64) { count<f16>(80, 64); }
CASE(bf16_128) { count<bf16>(80, 128); }
CASE(bf16_128_causal) { count<bf16>(80, 128, 0); }
CASE(f16_256) { count<f16>(80, 256); }
CASE(f16_64_turing) { count<f16>(75, 64); }
CASE(f16_128_turing) { count<f16>(75, 128); }
// clang-format on

}  // namespace
