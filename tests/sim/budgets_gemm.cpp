// Runs tensor-core products of aligned matrices and prints how their kernels used memory;
// test_gemm_budgets.py has what they may use.

#include <cstdlib>

#include "host_array.h"
#include "sim/counters/counters.h"

using namespace gg;

namespace {

/// [rows, columns] at a multiple of 256 bytes, as cudaMalloc's; row-major, or column-major.
template <class T>
struct Aligned {
  std::shared_ptr<T[]> memory;
  Array array;

  Aligned(int64_t rows, int64_t columns, bool turned)
      : memory(static_cast<T*>(aligned_alloc(256, rows * columns * sizeof(T))), free) {
    for (int64_t i = 0; i < rows * columns; i++) memory[i] = convert<T>(noise(i));
    array.data = memory.get(), array.dtype = dtype_of<T>(), array.ndim = 2;
    array.shape[0] = rows, array.shape[1] = columns;
    array.stride[0] = turned ? 1 : columns, array.stride[1] = turned ? rows : 1;
  }
};

constexpr bool kRows = false, kColumns = true;

template <class T, class Y = T>
void count(int architecture, int64_t side, bool a_turned, bool b_turned,
           MatmulPrecision precision = MatmulPrecision::exact) {
  sim::set_architecture(architecture);
  const Aligned<T> a(side, 256, a_turned), b(256, side, b_turned);
  const Aligned<Y> y(side, side, false);
  const Host<uint8_t> space = workspace(gemm_workspace(a.array, b.array, y.array, precision));
  sim::reset_counters();
  gemm(nullptr, a.array, b.array, y.array, {}, precision, space);
  sim::print_counters();
}

constexpr auto kTf32 = MatmulPrecision::tf32, kHigh = MatmulPrecision::high;

// clang-format off
CASE(f16_nn) { count<f16>(80, 256, kRows, kRows); }
CASE(f16_nt) { count<f16>(80, 256, kRows, kColumns); }
CASE(f16_tn) { count<f16>(80, 256, kColumns, kRows); }
CASE(f16_tt) { count<f16, float>(80, 256, kColumns, kColumns); }
CASE(f16_wide) { count<f16>(80, 512, kRows, kRows); }
CASE(f16_wide_tt) { count<f16>(80, 512, kColumns, kColumns); }
CASE(f16_small) { count<f16>(80, 64, kRows, kRows); }
CASE(f16_small_tt) { count<f16>(80, 64, kColumns, kColumns); }
CASE(f16_turing) { count<f16>(75, 256, kRows, kColumns); }
CASE(f16_turing_tt) { count<f16>(75, 256, kColumns, kColumns); }
CASE(tf32_nn) { count<float>(80, 256, kRows, kRows, kTf32); }
CASE(tf32_tt) { count<float>(80, 256, kColumns, kColumns, kTf32); }
CASE(tf32_small) { count<float>(80, 64, kColumns, kRows, kTf32); }
CASE(tf32x3_nn) { count<float>(80, 256, kRows, kRows, kHigh); }
CASE(tf32x3_tt) { count<float>(80, 256, kColumns, kColumns, kHigh); }
CASE(tf32x3_hopper) { count<float>(90, 256, kRows, kColumns, kHigh); }
CASE(int8_nt) { count<int8_t, int32_t>(80, 256, kRows, kColumns); }
CASE(int8_turing) { count<int8_t, float>(75, 256, kRows, kColumns); }
// clang-format on

}  // namespace
