// Runs scans and sorts on arrays as large as it takes to see how they use memory, and prints the
// counts. test_order_budgets.py has what each may use.

#include <cstdlib>

#include "host_array.h"
#include "sim/counters/counters.h"

using namespace gg;

namespace {

/// An array at a multiple of 256 bytes, as cudaMalloc's.
template <class T>
Host<T> device_array(const Shape& shape) {
  Host<T> a(shape);
  const size_t bytes = (a.size * sizeof(T) + 255) / 256 * 256;
  a.data = std::shared_ptr<T[]>(static_cast<T*>(aligned_alloc(256, bytes)), free);
  for (int64_t i = 0; i < a.size; i++) a.data[i] = convert<T>(noise(i));
  return a;
}

template <class T>
int64_t bytes(const Host<T>& a) {
  return a.size * static_cast<int64_t>(sizeof(T));
}

/// Counts what `run` does; it reads and writes so many bytes at the least.
template <class F>
void count(int64_t read, int64_t written, F run) {
  sim::reset_counters();
  run();
  printf("NOTE read %ld\nNOTE written %ld\n", read, written);
  sim::print_counters();
}

template <class T>
void count_scan(const Shape& shape) {
  const Host<T> x = device_array<T>(shape), y = device_array<T>(shape);
  count(bytes(x), bytes(y), [&] { scan(nullptr, Scan::sum, x, y); });
}

template <class T>
void count_sort(const Shape& shape) {
  const Host<T> x = device_array<T>(shape), y = device_array<T>(shape);
  const Host<int64_t> index = device_array<int64_t>(shape);
  const Host<uint8_t> space = device_array<uint8_t>({sort_workspace(x)});
  count(bytes(x), bytes(y) + bytes(index), [&] { sort(nullptr, x, false, y, index, space); });
}

}  // namespace

// clang-format off
CASE(scan_short_rows) { count_scan<float>({256, 512}); }
CASE(scan_rows_f16) { count_scan<f16>({16, 4096}); }
CASE(scan_in_parts) { count_scan<float>({2, 65536}); }
CASE(sort_short_rows) { count_sort<float>({64, 64}); }
CASE(sort_rows_of_a_block) { count_sort<float>({4, 2048}); }
CASE(sort_long_row) { count_sort<float>({1, 16384}); }
// clang-format on
