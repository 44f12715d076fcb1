// Vectors, atomics, fences and waiting, in whatever order threads run.

#include <numeric>

#include "check.h"

using namespace gg;

// ---- vectors -----------------------------------------------------------------------------------

template <class T, int N>
__global__ void copy_vec(const T* x, T* y) {
  const int i = threadIdx.x * N;
  store_vec(y + i, load_vec<N>(x + i));
}

template <class T, int N>
void check_vec() {
  alignas(16) T x[32 * N], y[32 * N] = {};
  for (int i = 0; i < 32 * N; i++) x[i] = T(i);
  launch(copy_vec<T, N>, 1, 32, 0, nullptr, x, y);
  CHECK(memcmp(x, y, sizeof x) == 0);
}

CASE(vector_loads_and_stores) {
  check_vec<float, 4>();
  check_vec<float, 8>();
  check_vec<double, 2>();
  check_vec<uint8_t, 1>();
  check_vec<int16_t, 2>();
  check_vec<uint8_t, 8>();
  check_vec<int64_t, 2>();
  static_assert(max_vec<f16>() == 8 && max_vec<double>() == 2);
}

// ---- atomics, fences, waiting ------------------------------------------------------------------

template <class T>
__global__ void atomics(T* y) {
  const T v = static_cast<T>(blockIdx.x * blockDim.x + threadIdx.x);
  atomicAdd(&y[0], v);
  atomicMax(&y[1], v);
  atomicMin(&y[2], v);
  atomicOr(&y[3], T{1} << (v % 31));
  atomicAnd(&y[4], ~(T{1} << (v % 31)));
  atomicExch(&y[5], v);
  T seen = 0, expected;
  do {
    expected = seen;
    seen = atomicCAS(&y[6], expected, expected + 2);
  } while (seen != expected);
  atomicSub(&y[7], v);
  atomicXor(&y[8], T{1} << (v % 31));
}

template <class T>
void check_atomics() {
  T y[9] = {0, 0, 1000, 0, ~T{0}, 77777, 0, 0, 0};
  launch(atomics<T>, 5, 62, 0, nullptr, y);
  const T n = 310;
  CHECK_EQ(y[0], n * (n - 1) / 2);
  CHECK_EQ(y[1], n - 1);
  CHECK_EQ(y[2], 0);
  CHECK_EQ(y[3], T{0x7fffffff});
  CHECK_EQ(y[4], ~T{0x7fffffff});
  CHECK(y[5] < n);
  CHECK_EQ(y[6], 2 * n);
  CHECK_EQ(y[7], T{0} - n * (n - 1) / 2);
  CHECK_EQ(y[8], 0);
}

CASE(all_atomics) {
  check_atomics<int>();
  check_atomics<unsigned>();
  check_atomics<long long>();
  check_atomics<unsigned long long>();
}

// The last block to finish adds up what the others left.
__global__ void sum_all(const int* x, int n, int* partial, unsigned* ticket, int* y) {
  GG_SHARED(is_last, bool);
  int v = 0;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) v += x[i];
  v = block_reduce(v, SumOp(), 0);
  if (threadIdx.x == 0) {
    partial[blockIdx.x] = v;
    __threadfence();
    is_last = atomicAdd(ticket, 1u) == gridDim.x - 1;
    __threadfence();
  }
  __syncthreads();
  if (!is_last) return;
  v = threadIdx.x < gridDim.x ? partial[threadIdx.x] : 0;
  v = block_reduce(v, SumOp(), 0);
  if (threadIdx.x == 0) *y = v;
}

CASE(last_block_sums) {
  std::vector<int> x(10007);
  std::iota(x.begin(), x.end(), 0);
  int partial[24], y = 0;
  unsigned ticket = 0;
  launch(sum_all, 24, 64, 0, nullptr, x.data(), 10007, partial, &ticket, &y);
  CHECK_EQ(y, 10006 * 10007 / 2);
}

// Block i waits for block i - 1; blocks take their numbers as they start, so none waits for one
// that has not started.
__global__ void chain(int* ticket, int64_t* done, int64_t* y) {
  const int i = atomicAdd(ticket, 1);
  int64_t before = 0;
  if (i > 0) {
    while ((before = load_acquire(&done[i - 1])) == 0) spin_pause();
  }
  y[i] = before * 2;
  store_release(&done[i], before + 1);
}

CASE(chained_blocks) {
  int ticket = 0;
  int64_t done[40] = {}, y[40];
  launch(chain, 40, 1, 0, nullptr, &ticket, done, y);
  for (int i = 0; i < 40; i++) CHECK_EQ(y[i], 2 * i);
}

__global__ void hand_over(int* flag, int* data, int* y) {
  if (threadIdx.x == 0) {
    while (load_acquire(flag) == 0) spin_pause();
    *y = *data;
  } else if (threadIdx.x == blockDim.x - 1) {
    *data = 42;
    store_release(flag, 1);
  }
}

CASE(one_thread_waits_for_another) {
  int flag = 0, data = 0, y = 0;
  launch(hand_over, 1, 64, 0, nullptr, &flag, &data, &y);
  CHECK_EQ(y, 42);
}

__global__ void flag_all(int64_t* flag) {
  flag_index_error(flag, static_cast<FlagCode>(2), 100 + threadIdx.x, 7, 1);
}

CASE(the_first_index_error_is_kept) {
  int64_t flag[4] = {};
  launch(flag_all, 1, 64, 0, nullptr, flag);
  CHECK_EQ(flag[0], 2);
  CHECK(flag[1] >= 100 && flag[1] < 164);
  CHECK_EQ(flag[2], 7);
  CHECK_EQ(flag[3], 1);
}

CASE(memory_is_set) {
  uint8_t x[100] = {};
  memset_async(x, 255, 50, nullptr);
  CHECK_EQ(x[49], 255);
  CHECK_EQ(x[50], 0);
}
