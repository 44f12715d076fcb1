// Runs attention on aligned arrays and prints how its kernels used memory;
// test_attention_budgets.py has what they may use.

#include <cstdlib>

#include "host_array.h"
#include "ops/attention.h"
#include "sim/counters/counters.h"

using namespace gg;

namespace {

/// [1, 1, rows, d] at a multiple of 256 bytes, as cudaMalloc's.
template <class T>
struct Aligned {
  std::shared_ptr<T[]> memory;
  Array array;

  Aligned(int64_t rows, int64_t d)
      : memory(static_cast<T*>(aligned_alloc(256, rows * d * sizeof(T))), free) {
    for (int64_t i = 0; i < rows * d; i++) memory[i] = convert<T>(noise(i));
    array.data = memory.get(), array.dtype = dtype_of<T>(), array.ndim = 4;
    array.shape[0] = array.shape[1] = 1, array.shape[2] = rows, array.shape[3] = d;
    array.stride[0] = array.stride[1] = rows * d, array.stride[2] = d, array.stride[3] = 1;
  }
  operator Array() const { return array; }
};

template <class T>
void count(int64_t m, int64_t n, int64_t d, bool backward, int architecture = 80,
           int64_t keys = 0) {
  const auto precision = MatmulPrecision::exact;
  sim::set_architecture(architecture);
  const Aligned<T> q(m, d), k(n, d), v(n, d), o(m, d), dy(m, d), dq(m, d), dk(n, d), dv(n, d);
  const Host<Acc<T>> lse({1, 1, m});
  AttentionOptions options;
  options.scale = 0.1;
  const Host<int32_t> lengths({1}, [=](int64_t) { return static_cast<double>(keys); });
  if (keys > 0) options.k_lengths = lengths;
  sim::reset_counters();
  attention(nullptr, q, k, v, options, precision, o, lse, workspace(attention_workspace(q, k, o)));
  if (backward) {
    sim::reset_counters();
    attention_grad(nullptr, dy, q, k, v, o, lse, options, precision, dq, dk, dv, {},
                   workspace(attention_grad_workspace(q, k)));
  }
  sim::print_counters();
}

}  // namespace

// clang-format off
CASE(forward_64) { count<float>(256, 256, 64, false); }
CASE(forward_128) { count<float>(256, 256, 128, false); }
CASE(backward_64) { count<float>(256, 256, 64, true); }
CASE(backward_128) { count<float>(256, 256, 128, true); }
CASE(hopper_forward_64) { count<f16>(256, 384, 64, false, 90); }
CASE(hopper_forward_128) { count<bf16>(256, 384, 128, false, 90); }
CASE(hopper_backward_64) { count<bf16>(256, 384, 64, true, 90); }
CASE(hopper_backward_128) { count<f16>(256, 384, 128, true, 90); }
CASE(hopper_forward_padding) { count<bf16>(256, 384, 128, false, 90, 300); }
CASE(hopper_backward_padding) { count<bf16>(256, 384, 64, true, 90, 300); }
CASE(few_queries) { count<bf16>(1, 2048, 128, false); }
// clang-format on
