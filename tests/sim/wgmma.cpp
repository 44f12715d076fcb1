// wgmma against plain loops: every type, several N, every swizzle, transpositions, A in registers.
// Operands are small whole numbers, so results are exact.

#include "hopper.h"

using namespace gg;

constexpr int kRows = 128;  // two warpgroups of 64

/// How a tile of `rows` rows of M or N lies in shared memory; K is `k` elements of `bytes`.
struct TileShape {
  int rows, k, bytes, span;
  bool trans;

  GG_HD int unit() const { return span ? span : 16; }
  /// TMA loads that fill the tile, each a box of `unit` bytes by box_rows.
  GG_HD int boxes() const { return (trans ? rows * bytes : k * bytes) / unit(); }
  GG_HD int box_rows() const { return trans ? k : rows; }
  GG_HD int box_bytes() const { return unit() * box_rows(); }
  GG_HD int total() const { return rows * k * bytes; }

  GG_HD int leading() const {
    if (trans) return span ? box_bytes() : 128;
    return span ? 16 : box_bytes();
  }
  GG_HD int stride() const {
    if (trans) return span ? 8 * span : box_bytes();
    return span ? 8 * span : 128;
  }
  /// From one K step of 32 bytes (16 elements) to the next.
  GG_HD int step() const {
    if (trans) return 16 * unit();
    return span ? 32 : 2 * box_bytes();
  }
  /// To row 64.
  GG_HD int second_half() const {
    if (!trans) return 64 * unit();
    return 64 * bytes / unit() * box_bytes();
  }
};

template <class A, class B, int N, bool TransA, bool TransB, bool Registers>
__global__ void multiply(const __grid_constant__ TensorMap a_map,
                         const __grid_constant__ TensorMap b_map, TileShape at, TileShape bt,
                         const A* a_rows, WgmmaAcc<A>* y) {
  using Acc = WgmmaAcc<A>;
  GG_SHARED(full, Mbarrier[1]);
  char* a_tile = shared_dynamic<char>();
  char* b_tile = a_tile + at.total();
  set_up(full);
  if (threadIdx.x == 0) {
    mbarrier_expect_tx(full, at.total() + bt.total());
    for (int i = 0; i < at.boxes(); i++) {
      const int c = i * at.unit() / at.bytes;
      tma_load(a_tile + i * at.box_bytes(), &a_map, full, c, 0);
    }
    for (int i = 0; i < bt.boxes(); i++) {
      const int c = i * bt.unit() / bt.bytes;
      tma_load(b_tile + i * bt.box_bytes(), &b_map, full, c, 0);
    }
  }
  mbarrier_wait(full, 0);
  const int group = threadIdx.x / 128, t = threadIdx.x % 128;
  const int row = group * 64 + t / 32 * 16 + t % 32 / 4;
  const Swizzle swizzle = static_cast<Swizzle>(at.span);
  Acc d[N / 2];
#pragma unroll
  for (int i = 0; i < N / 2; i++) d[i] = Acc(12345);  // must not show: step 0 does not accumulate
  uint32_t registers[4][4] = {};
  const int steps = at.k * at.bytes / 32;
#pragma unroll
  for (int s = 0; s < 4; s++) {
    if (s == steps) break;
#pragma unroll
    for (int j = 0; j < 4; j++) {
      const char* from = reinterpret_cast<const char*>(a_rows + (row + j % 2 * 8) * at.k) + s * 32;
      memcpy(&registers[s][j], from + t % 4 * 4 + j / 2 * 16, 4);
    }
  }
#pragma unroll
  for (int s = 0; s < 4; s++) {
    if (s == steps) break;
    if (Registers || s == 0) wgmma_fence();  // each step has registers of its own
    const char* b_step = b_tile + s * bt.step();
    const uint64_t b = wgmma_descriptor(b_step, bt.leading(), bt.stride(), swizzle);
    if constexpr (Registers) {
      wgmma<A, N, TransB, B>(d, registers[s], b, s > 0);
    } else {
      const char* a_step = a_tile + group * at.second_half() + s * at.step();
      const uint64_t a = wgmma_descriptor(a_step, at.leading(), at.stride(), swizzle);
      wgmma<A, N, TransA, TransB, B>(d, a, b, s > 0);
    }
    if (s == 0) wgmma_commit();
  }
  wgmma_commit();
  wgmma_wait<1>();
  wgmma_wait<0>();
  wgmma_pin(d);
#pragma unroll
  for (int i = 0; i < N / 2; i++) {
    y[(row + i / 2 % 2 * 8) * N + i / 4 * 8 + t % 4 * 2 + i % 2] = d[i];
  }
}

template <class T>
constexpr TensorType map_type() {
  return sizeof(T) == 1 ? TensorType::u8 : sizeof(T) == 2 ? TensorType::u16 : TensorType::f32;
}

template <class T>
int number_at(int64_t i) {
  return std::is_same_v<T, uint8_t> ? small_number(i) + 3 : small_number(i);
}

/// A matrix of `rows` x k, stored as it is or transposed.
template <class T>
void fill(Aligned<T>& x, int rows, int k, bool trans, int64_t seed) {
  for (int r = 0; r < rows; r++) {
    for (int c = 0; c < k; c++) {
      x[trans ? c * rows + r : r * k + c] = from_small<T>(small_number(seed + r * k + c));
    }
  }
}

template <class A, class B, int N, bool TransA, bool TransB, bool Registers>
void check_product(int span) {
  constexpr int bytes = sizeof(A);
  const int k = (span ? span : 64) / bytes;
  const TileShape at{kRows, k, bytes, span, TransA}, bt{N, k, bytes, span, TransB};
  Aligned<A> a(kRows * k), a_rows(kRows * k);
  Aligned<B> b(N * k);
  Aligned<WgmmaAcc<A>> y(kRows * N);
  fill(a, kRows, k, TransA, 0);
  fill(a_rows, kRows, k, false, 0);
  fill(b, N, k, TransB, 5000);
  const Swizzle swizzle = static_cast<Swizzle>(span);
  const auto map = [&](const auto& x, const TileShape& t) {
    const int rows = t.trans ? t.k : t.rows, columns = t.trans ? t.rows : t.k;
    return matrix_map(map_type<A>(), x.data, rows, columns, t.box_rows(), t.unit() / bytes,
                      swizzle);
  };
  run(multiply<A, B, N, TransA, TransB, Registers>, 1, 256, at.total() + bt.total(), map(a, at),
      map(b, bt), at, bt, a_rows.data, y.data);
  for (int i = 0; i < kRows; i++) {
    for (int j = 0; j < N; j++) {
      int sum = 0;
      for (int l = 0; l < k; l++) sum += number_at<A>(i * k + l) * number_at<B>(5000 + j * k + l);
      CHECK_EQ(static_cast<double>(y[i * N + j]), static_cast<double>(sum));
    }
  }
}

template <class A, int N, bool TransA = false, bool TransB = false, class B = A>
void check_swizzles() {
  for (int span : {0, 32, 64, 128}) {
    if (TransB && span && N % (span / 2) != 0) continue;
    check_product<A, B, N, TransA, TransB, false>(span);
  }
}

CASE(wgmma_f16) {
  check_swizzles<f16, 8>();
  check_swizzles<f16, 64, true, false>();
}

CASE(wgmma_bf16_and_transpositions) {
  check_swizzles<bf16, 24>();
  check_swizzles<bf16, 64, false, true>();
  check_swizzles<bf16, 64, true, false>();
  check_swizzles<bf16, 128, true, true>();
  check_product<bf16, bf16, 256, false, false, false>(128);
  check_product<bf16, bf16, 256, false, true, false>(128);
}

CASE(wgmma_tf32) {
  check_swizzles<tf32, 8>();
  check_product<tf32, tf32, 256, false, false, false>(128);
}

CASE(wgmma_fp8) {
  check_swizzles<f8e4m3, 24>();
  check_product<f8e4m3, f8e5m2, 16, false, false, false>(64);
  check_product<f8e5m2, f8e4m3, 16, false, false, false>(64);
  check_product<f8e5m2, f8e5m2, 40, false, false, false>(128);
}

CASE(wgmma_integers) {
  check_swizzles<int8_t, 96>();
  check_product<uint8_t, uint8_t, 24, false, false, false>(128);
  check_product<int8_t, uint8_t, 256, false, false, false>(128);
  check_product<uint8_t, int8_t, 8, false, false, false>(0);
}

CASE(wgmma_a_in_registers) {
  check_product<f16, f16, 8, false, false, true>(128);
  check_product<bf16, bf16, 64, false, true, true>(64);
  check_product<tf32, tf32, 16, false, false, true>(32);
  check_product<f8e4m3, f8e5m2, 24, false, false, true>(128);
  check_product<int8_t, int8_t, 48, false, false, true>(64);
}

// d + a b of one product, or four of fp8, or two of f16; with `all` of the whole of K alike.
template <class A>
__global__ void add_small(uint32_t a_bits, uint32_t b_bits, bool all, float* y) {
  char* tile = shared_dynamic<char>();
  const uint32_t first = all || threadIdx.x % 4 == 0 ? a_bits : 0, rest = all ? a_bits : 0;
  const uint32_t registers[4] = {first, rest, rest, rest};
  uint32_t* b = reinterpret_cast<uint32_t*>(tile);
  for (int i = threadIdx.x; i < 64; i += 128) b[i] = all || (i % 4 == 0 && i < 32) ? b_bits : 0;
  fence_proxy_async();
  __syncthreads();
  float d[4] = {1, -1, 1, -1};  // A is 0 in the rows of the last two, unless all are alike
  wgmma_fence();
  wgmma<A, 8>(d, registers, wgmma_descriptor(tile, 128, 128, Swizzle::none), true);
  wgmma_commit();
  wgmma_wait<0>();
  wgmma_pin(d);
  for (int i = 0; i < 4; i++) y[threadIdx.x * 4 + i] = d[i];
}

// Of 1 + v and -1 + v, where v sums products a b.
template <class A>
void check_sum(uint32_t a, uint32_t b, float above, float below, bool all = false) {
  Aligned<float> y(512);
  run(add_small<A>, 1, 128, 256, a, b, all, y.data);
  CHECK_EQ(y[0], above);
  CHECK_EQ(y[1], below);
}

// 1 + 3 * 2^-25: rounding to nearest would give 1 + 2^-23, the tensor core cuts it off.
CASE(wgmma_truncates) {
  check_sum<f16>(0x0c00, 0x0e00, 1, -1 + 0x1p-23f);               // v is 2^-12 times 1.5 * 2^-12
  check_sum<f16>(0x1000, 0x0e00, 1 + 0x1p-23f, -1 + 0x1.8p-23f);  // twice that
  check_sum<tf32>(0x3f801fff, 0x3f800fff, 2, 0);  // low 13 bits are ignored: as 1 and 1
}

// Each product is cut off 25 bits below the largest exponent of all, before they are added.
CASE(wgmma_cuts_off_each_product) {
  check_sum<f16>(0x0b000b00, 0x08000800, 1, -1, true);  // v is 16 times 1.75 * 2^-26
  check_sum<f16>(0x0c000c00, 0x08000800, 1 + 0x1p-21f, -1 + 0x1p-21f, true);  // 16 times 2^-25
  check_sum<bf16>(0x39603960, 0x39003900, 1, -1, true);                       // as the first
  check_sum<tf32>(0x39600000, 0x39000000, 1, -1, true);                       // 8 times
}

// The same of fp8, 13 bits below. e4m3: 0x01 is 2^-9, 0x08 2^-6, 0x10 2^-5, 0x18 2^-4. e5m2: 0x20
// is 2^-7, 0x24 2^-6.
CASE(wgmma_fp8_truncates) {
  check_sum<f8e4m3>(0x01, 0x08, 1, -1);  // v is 2^-15
  check_sum<f8e4m3>(0x01, 0x10, 1, -1);
  check_sum<f8e4m3>(0x01010101, 0x10101010, 1, -1);
  check_sum<f8e4m3>(0x01, 0x18, 1 + 0x1p-13f, -1 + 0x1p-13f);
  check_sum<f8e4m3>(0x01010101, 0x18181818, 1 + 0x1p-11f, -1 + 0x1p-11f);
  check_sum<f8e5m2>(0x20, 0x20, 1, -1);
  check_sum<f8e5m2>(0x20, 0x24, 1 + 0x1p-13f, -1 + 0x1p-13f);
}

// Sums of integers wrap.
__global__ void add_to_largest(int32_t* y) {
  char* tile = shared_dynamic<char>();
  for (int i = threadIdx.x; i < 256; i += 128) tile[i] = 2;
  fence_proxy_async();
  __syncthreads();
  const uint32_t registers[4] = {0x01010101, 0x01010101, 0x01010101, 0x01010101};
  int32_t d[4] = {INT32_MAX, INT32_MAX - 63, INT32_MIN, 0};
  wgmma_fence();
  wgmma<int8_t, 8>(d, registers, wgmma_descriptor(tile, 128, 128, Swizzle::none), true);
  wgmma_commit();
  wgmma_wait<0>();
  wgmma_pin(d);
  for (int i = 0; i < 4; i++) y[threadIdx.x * 4 + i] = d[i];
}

CASE(wgmma_integers_wrap) {
  Aligned<int32_t> y(512);
  run(add_to_largest, 1, 128, 256, y.data);
  const int32_t expected[4] = {INT32_MIN + 63, INT32_MIN, INT32_MIN + 64, 64};
  for (int i = 0; i < 512; i++) CHECK_EQ(y[i], expected[i % 4]);
}

// Two warpgroups get the registers that a third gives, as in a kernel of 384 threads: on a GPU they
// wait for ever if there are not as many as device/registers.h says.
__global__ void __launch_bounds__(384, 1) move_registers(int* y) {
  if (threadIdx.x < 256) {
    registers_increase<232>();
    y[threadIdx.x] = 232;
  } else {
    registers_decrease<40>();
    y[threadIdx.x] = 40;
  }
}

CASE(registers_move) {
  Aligned<int> y(384);
  run(move_registers, 1, 384, 0, y.data);
  for (int i = 0; i < 384; i++) CHECK_EQ(y[i], i < 256 ? 232 : 40);
}

#if GG_SIMULATOR
// ---- misuse ------------------------------------------------------------------------------------

#define AT(line) std::string("wgmma.cpp:") + std::to_string(line)

enum class Mistake {
  no_fence,
  no_commit,
  no_wait,
  half_a_warpgroup,
  different_descriptors,
  unaligned_tile,
  stride,
};

__global__ void misuse(Mistake mistake, float* y) {
  char* tile = shared_dynamic<char>();
  const int offset = mistake == Mistake::unaligned_tile ? 128 : 0;
  const int stride = mistake == Mistake::stride ? 1000 : 1024;
  const uint64_t a = wgmma_descriptor(tile + offset, 16, stride, Swizzle::k128);
  const uint64_t other = mistake == Mistake::different_descriptors && threadIdx.x == 77 ? 2 : 0;
  float d[4];
  if (mistake != Mistake::no_fence) wgmma_fence();
  if (mistake == Mistake::half_a_warpgroup && threadIdx.x >= 64) return;
  wgmma<bf16, 8>(d, a, a + other, false);
  if (mistake != Mistake::no_commit) wgmma_commit();
  if (mistake != Mistake::no_wait) wgmma_wait<0>();
  y[threadIdx.x] = d[0];
}
constexpr int kWaitLine = __LINE__ - 3, kProductLine = __LINE__ - 5,
              kDescriptorLine = __LINE__ - 11;

static void make(Mistake mistake, int threads = 128) {
  std::vector<float> y(threads);
  launch(misuse, 1, threads, 65536, nullptr, mistake, y.data());
}

CASE(wgmma_misuse) {
  CHECK_THROWS([] { make(Mistake::no_fence); }, AT(kProductLine), "wgmma_fence comes first");
  CHECK_THROWS([] { make(Mistake::no_commit); }, AT(kWaitLine), "wgmma_commit is missing",
               AT(kProductLine));
  CHECK_THROWS([] { make(Mistake::half_a_warpgroup); }, AT(kWaitLine), "deadlock",
               "issued by 64 of the warpgroup's 128 threads", AT(kProductLine));
  CHECK_THROWS([] { make(Mistake::different_descriptors); }, AT(kProductLine),
               "B's descriptors differ");
  CHECK_THROWS([] { make(Mistake::unaligned_tile); }, AT(kDescriptorLine),
               "tiles start at multiples of 1024 bytes");
  CHECK_THROWS([] { make(Mistake::stride); }, AT(kDescriptorLine), "multiples of 16");
  CHECK_THROWS([] { make(Mistake(99), 64); }, AT(kProductLine), "the block has 64 threads");
}

__global__ void leave_early() {
  char* tile = shared_dynamic<char>();
  const uint64_t a = wgmma_descriptor(tile, 16, 1024, Swizzle::k128);
  float d[4];
  wgmma_fence();
  wgmma<bf16, 8>(d, a, a, false);
  wgmma_commit();
}

CASE(wgmma_never_waited_for) {
  CHECK_THROWS([] { launch(leave_early, 1, 128, 8192, nullptr); }, AT(__LINE__ - 5),
               "exits without waiting for this wgmma");
}

CASE(wgmma_needs_hopper) {
  sim::set_architecture(100);
  CHECK_THROWS([] { launch(leave_early, 1, 128, 8192, nullptr); }, "needs architecture 90",
               "the simulated GPU is 100");
  sim::set_architecture(90);
}
#endif
