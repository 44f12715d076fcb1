// ldmatrix and stmatrix against their definition; redux; cache hints.

#include <numeric>

#include "check.h"

using namespace gg;

// ---- ldmatrix ----------------------------------------------------------------------------------

// Rows of 8 in reversed order and 24 elements apart, so that addresses matter.
template <int N, bool trans>
__global__ void load(uint32_t* y) {
  GG_SHARED(tile, uint16_t[32][24]);
  const int lane = lane_id();
  for (int c = 0; c < 8; c++) tile[31 - lane][c] = static_cast<uint16_t>(lane * 256 + c);
  __syncwarp();
  uint32_t r[N];
  const void* row = lane < 8 * N ? tile[31 - lane] : nullptr;  // those of other lanes are not used
  if constexpr (trans) {
    ldmatrix_trans<N>(r, row);
  } else {
    ldmatrix<N>(r, row);
  }
  for (int i = 0; i < N; i++) y[lane * N + i] = r[i];
}

static uint32_t element(int matrix, int row, int column) {
  return static_cast<uint32_t>((8 * matrix + row) * 256 + column);
}

template <int N, bool trans>
static void check_load() {
  uint32_t y[32 * N];
  launch(load<N, trans>, 1, 32, 0, nullptr, y);
  for (int lane = 0; lane < 32; lane++) {
    for (int i = 0; i < N; i++) {
      const int a = lane / 4, b = 2 * (lane % 4);
      const uint32_t low = trans ? element(i, b, a) : element(i, a, b);
      const uint32_t high = trans ? element(i, b + 1, a) : element(i, a, b + 1);
      CHECK_EQ(y[lane * N + i], low | high << 16);
    }
  }
}

CASE(ldmatrix_gives_fragments) {
  check_load<1, false>();
  check_load<2, false>();
  check_load<4, false>();
  check_load<1, true>();
  check_load<2, true>();
  check_load<4, true>();
}

// ---- stmatrix ----------------------------------------------------------------------------------

template <int N, bool trans>
__global__ void store(uint16_t* y) {
  GG_SHARED(tile, uint16_t[8 * N][16]);
  const int lane = lane_id(), a = lane / 4, b = 2 * (lane % 4);
  uint32_t r[N];
  for (int i = 0; i < N; i++) {
    const int first = trans ? b * 8 + a : a * 8 + b, second = trans ? first + 8 : first + 1;
    r[i] = static_cast<uint32_t>((i * 64 + first) | (i * 64 + second) << 16);
  }
  void* row = lane < 8 * N ? tile[8 * N - 1 - lane] : nullptr;
  if constexpr (trans) {
    stmatrix_trans<N>(row, r);
  } else {
    stmatrix<N>(row, r);
  }
  __syncwarp();
  for (int i = lane; i < 64 * N; i += 32) y[i] = tile[8 * N - 1 - i / 8][i % 8];
}

template <int N, bool trans>
static void check_store() {
  uint16_t y[64 * N];
  launch(store<N, trans>, 1, 32, 0, nullptr, y);
  for (int i = 0; i < 64 * N; i++) CHECK_EQ(y[i], i);
}

CASE(stmatrix_takes_fragments) {
  sim::set_architecture(90);
  check_store<1, false>();
  check_store<2, false>();
  check_store<4, false>();
  check_store<1, true>();
  check_store<2, true>();
  check_store<4, true>();
  sim::set_architecture(80);
}

CASE(architecture_is_what_was_set) {
  CHECK_EQ(architecture(), 80);
  for (int known : {75, 80, 86, 89, 90, 100, 120}) {
    sim::set_architecture(known);
    CHECK_EQ(architecture(), known);
  }
  sim::set_architecture(80);
  CHECK_THROWS([] { sim::set_architecture(70); }, "architecture is 70", "75, 80, 86");
}

// ---- redux -------------------------------------------------------------------------------------

template <class T>
__global__ void reduce(const T* x, T* y) {
  const T v = x[threadIdx.x];
  T* row = y + threadIdx.x * 6;
  row[0] = warp_redux_add(v);
  row[1] = warp_redux_min(v);
  row[2] = warp_redux_max(v);
  row[3] = warp_redux_and(v);
  row[4] = warp_redux_or(v);
  row[5] = warp_redux_xor(v);
}

template <class T>
static void check_redux() {
  T x[64], y[64 * 6];
  for (unsigned i = 0; i < 64; i++) x[i] = static_cast<T>((i + 1) * 2654435761u | 16);
  launch(reduce<T>, 1, 64, 0, nullptr, x, y);
  for (int t = 0; t < 64; t++) {
    const T* warp = x + t / 32 * 32;
    unsigned add = 0, all = ~0u, any = 0, odd = 0;
    T least = warp[0], most = warp[0];
    for (int i = 0; i < 32; i++) {
      const unsigned bits = static_cast<unsigned>(warp[i]);
      add += bits, all &= bits, any |= bits, odd ^= bits;
      least = min(least, warp[i]), most = max(most, warp[i]);
    }
    const T wanted[6] = {T(add), least, most, T(all), T(any), T(odd)};
    for (int i = 0; i < 6; i++) CHECK_EQ(y[t * 6 + i], wanted[i]);
  }
}

CASE(redux_of_each_operation) {
  check_redux<int>();
  check_redux<unsigned>();
}

// ---- cache hints -------------------------------------------------------------------------------

template <class T, int N>
__global__ void stream(const T* x, T* y) {
  const int i = threadIdx.x * N;
  prefetch_l2(x + i);
  store_vec_streaming(y + i, load_vec_streaming<N>(x + i));
}

template <class T, int N>
static void check_stream() {
  alignas(16) T x[32 * N], y[32 * N] = {};
  for (int i = 0; i < 32 * N; i++) x[i] = T(i);
  launch(stream<T, N>, 1, 32, 0, nullptr, x, y);
  CHECK(memcmp(x, y, sizeof x) == 0);
}

CASE(streaming_loads_and_stores) {
  check_stream<uint8_t, 1>();
  check_stream<int16_t, 1>();
  check_stream<float, 1>();
  check_stream<float, 4>();
  check_stream<float, 8>();
  check_stream<double, 1>();
  check_stream<int64_t, 2>();
}
