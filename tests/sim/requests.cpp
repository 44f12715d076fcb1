// Kernels whose memory requests can be worked out by hand; test_counters.py has the answers.

#include "check.h"
#include "device/hopper.h"
#include "sim/counters/counters.h"

using namespace gg;

namespace {

/// Memory at a multiple of 256 bytes, as cudaMalloc's; on the heap, because stacks are not counted.
struct Memory {
  explicit Memory(size_t bytes) : p(aligned_alloc(256, (bytes + 255) / 256 * 256)) {
    memset(p, 0, bytes);
  }
  ~Memory() { free(p); }
  template <class T>
  T* as() const {
    return static_cast<T*>(p);
  }
  void* p;
};

template <class... P, class... A>
void count(void (*kernel)(P...), unsigned threads, A... arguments) {
  sim::reset_counters();
  launch(kernel, 1, threads, 0, nullptr, arguments...);
  sim::print_counters();
}

// ---- global memory -----------------------------------------------------------------------------

__global__ void copy_strided(const float* x, float* y, int stride) {
  y[threadIdx.x] = x[threadIdx.x * stride];
}

CASE(stride_1) {
  Memory x(4 * 64), y(4 * 64);
  count(copy_strided, 64, x.as<float>(), y.as<float>(), 1);
}
CASE(stride_2) {
  Memory x(4 * 64), y(4 * 32);
  count(copy_strided, 32, x.as<float>(), y.as<float>(), 2);
}
CASE(stride_32) {
  Memory x(4 * 32 * 32), y(4 * 32);
  count(copy_strided, 32, x.as<float>(), y.as<float>(), 32);
}
CASE(off_by_one) {
  Memory x(4 * 33), y(4 * 32);
  count(copy_strided, 32, x.as<float>() + 1, y.as<float>(), 1);
}
CASE(broadcast) {
  Memory x(4), y(4 * 32);
  count(copy_strided, 32, x.as<float>(), y.as<float>(), 0);
}

template <class T, int N>
__global__ void copy_vectors(const T* x, T* y) {
  store_vec(y + threadIdx.x * N, load_vec<N>(x + threadIdx.x * N));
}

CASE(vectors_of_16_bytes) {
  Memory x(16 * 32), y(16 * 32);
  count(copy_vectors<float, 4>, 32, x.as<float>(), y.as<float>());
}
CASE(halves) {
  Memory x(2 * 32), y(2 * 32);
  count(copy_vectors<f16, 1>, 32, x.as<f16>(), y.as<f16>());
}

__global__ void take_tickets(int* ticket, int* y) {
  y[threadIdx.x] = atomicAdd(ticket, 1);
}

CASE(atomics) {
  Memory x(4), y(4 * 32);
  count(take_tickets, 32, x.as<int>(), y.as<int>());
}

/// Registers, parameters, constants and threadIdx are no memory; a loop makes a request each turn.
__constant__ volatile float factors[4] = {1, 2, 3, 4};
__global__ void sum_rows(const float* x, float* y, int rows) {
  volatile float held[4] = {};
  for (int i = 0; i < rows; i++) held[i % 4] = x[i * blockDim.x + threadIdx.x] * factors[rows % 4];
  y[threadIdx.x] = held[0] + held[1] + held[2] + held[3];
}

CASE(turns_of_a_loop) {
  Memory x(4 * 32 * 10), y(4 * 32);
  count(sum_rows, 32, x.as<float>(), y.as<float>(), 10);
}

// ---- shared memory -----------------------------------------------------------------------------

/// Writes a 32 x 32 tile by rows and reads it by columns.
template <int Pitch>
__global__ void transpose(float* y) {
  GG_SHARED(tile, float[32][Pitch]);
  tile[threadIdx.y][threadIdx.x] = 1;
  __syncthreads();
  y[threadIdx.y * 32 + threadIdx.x] = tile[threadIdx.x][threadIdx.y];
}

template <int Pitch>
void count_transpose() {
  Memory y(4 * 32 * 32);
  sim::reset_counters();
  launch(transpose<Pitch>, 1, dim3(32, 32), 0, nullptr, y.as<float>());
  sim::print_counters();
}

CASE(columns_of_32) {
  count_transpose<32>();
}
CASE(columns_of_33) {
  count_transpose<33>();
}
CASE(columns_of_34) {
  count_transpose<34>();
}

/// Lane i reads the vector at row i, chunk 0 (or i % 8 after the XOR swizzle), of rows of 128
/// bytes.
template <int N, bool Swizzled>
__global__ void read_rows(float* y) {
  GG_SHARED(rows, float[32][32]);
  for (int i = 0; i < 32; i++) rows[i][threadIdx.x] = 0;
  __syncthreads();
  const int row = threadIdx.x, chunk = Swizzled ? row % 8 : 0;
  y[row] = load_vec<N>(&rows[row][chunk * 4])[0];
}

CASE(rows_of_16_bytes) {
  Memory y(4 * 32);
  count(read_rows<4, false>, 32, y.as<float>());
}
CASE(rows_of_16_bytes_swizzled) {
  Memory y(4 * 32);
  count(read_rows<4, true>, 32, y.as<float>());
}
CASE(rows_of_8_bytes) {
  Memory y(4 * 32);
  count(read_rows<2, false>, 32, y.as<float>());
}

__global__ void read_one_word(float* y) {
  GG_SHARED(word, float[1]);
  word[0] = 3;
  __syncthreads();
  y[threadIdx.x] = word[0];
}

CASE(one_word_for_all) {
  Memory y(4 * 32);
  count(read_one_word, 32, y.as<float>());
}

// ---- copies and matrices -----------------------------------------------------------------------

/// Fills 32 rows of 64 bytes by cp.async, and reads the first 16 bytes of each as matrices.
template <bool Swizzled>
__global__ void copy_and_load_matrices(const f16* x, float* y) {
  GG_SHARED(rows, f16[32][32]);
  const int row = threadIdx.x;
  for (int chunk = 0; chunk < 4; chunk++) {
    const int at = Swizzled ? chunk ^ (row / 2 % 4) : chunk;
    cp_async<16>(&rows[row][at * 8], x + row * 32 + chunk * 8);
  }
  cp_async_commit();
  cp_async_wait<0>();
  __syncwarp();
  uint32_t r[4];
  ldmatrix<4>(r, &rows[row][Swizzled ? row / 2 % 4 * 8 : 0]);
  y[row] = static_cast<float>(r[0] + r[3]);
}

template <bool Swizzled>
void count_matrices() {
  Memory x(32 * 64), y(4 * 32);
  count(copy_and_load_matrices<Swizzled>, 32, x.as<f16>(), y.as<float>());
}

CASE(matrices) {
  count_matrices<false>();
}
CASE(matrices_swizzled) {
  count_matrices<true>();
}

/// A box of 64 rows of 128 bytes.
__global__ void load_box(const __grid_constant__ TensorMap map, float* y) {
  GG_SHARED(full, Mbarrier[1]);
  auto* tile = shared_dynamic<float>();
  if (threadIdx.x == 0) {
    mbarrier_init(full, 1);
    fence_mbarrier_init();
    mbarrier_expect_tx(full, 64 * 128);
    tma_load(tile, &map, full, 0, 0);
  }
  __syncthreads();
  mbarrier_wait(full, 0);
  y[threadIdx.x] = tile[threadIdx.x];
}

CASE(box) {
  Memory x(64 * 256), y(4 * 32);
  const int64_t dims[2] = {64, 64}, strides[1] = {256};
  const int box[2] = {32, 64};
  sim::set_architecture(90);
  const TensorMap map =
      tensor_map_tiled(TensorType::f32, 2, x.p, dims, strides, box, Swizzle::k128);
  sim::reset_counters();
  launch(load_box, 1, 32, 64 * 128, nullptr, map, y.as<float>());
  sim::print_counters();
}

}  // namespace
