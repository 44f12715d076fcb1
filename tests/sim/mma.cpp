// Tensor-core products against plain loops, for every shape and type.

#include <bit>
#include <cmath>
#include <random>

#include "check.h"

using namespace gg;

// ---- elements of each type ---------------------------------------------------------------------

struct Tf32 {
  uint32_t bits;
};

static double value_of(f16 x) {
  return to_float(x);
}
static double value_of(bf16 x) {
  return to_float(x);
}
static double value_of(Tf32 x) {
  return bits_float(x.bits & 0xffffe000u);
}
static double value_of(int8_t x) {
  return x;
}
static double value_of(uint8_t x) {
  return x;
}

template <class T>
static T random_element(std::mt19937& random) {
  if constexpr (is_half<T>) {
    return from_float<T>(std::normal_distribution<float>()(random));
  } else if constexpr (std::is_same_v<T, Tf32>) {
    return {float_bits(std::normal_distribution<float>()(random))};  // low bits set
  } else {
    return static_cast<T>(random());
  }
}

// ---- a warp multiplies M x N tiles -------------------------------------------------------------

// Fragments are filled from a [m, k] and b [n, k] element by element, by the rule in device/mma.h.
template <class Op, class T, int M, int N>
struct Fragments {
  static constexpr int kCount = 4 / sizeof(T);
  uint32_t a[M][Op::kA] = {}, b[N][Op::kB] = {};

  static uint32_t pack(const T* p) {
    uint32_t word;
    memcpy(&word, p, 4);
    return word;
  }

  Fragments(const T* from_a, const T* from_b) {
    const int g = lane_id() / 4, t = lane_id() % 4;
    for (int i = 0; i < M; i++) {
      for (int r = 0; r < Op::kA; r++) {
        const int row = g + (Op::kM == 16 ? 8 * (r % 2) : 0), half = Op::kM == 16 ? r / 2 : r;
        const int column = kCount * t + 4 * kCount * half;
        a[i][r] = pack(from_a + (i * Op::kM + row) * Op::kK + column);
      }
    }
    for (int j = 0; j < N; j++) {
      for (int r = 0; r < Op::kB; r++) {
        b[j][r] = pack(from_b + (j * 8 + g) * Op::kK + kCount * t + 4 * kCount * r);
      }
    }
  }
};

template <class Op, class T, int M, int N>
__global__ void multiply(const T* a, const T* b, typename Op::Sum* d) {
  const Fragments<Op, T, M, N> f(a, b);
  const int g = lane_id() / 4, t = lane_id() % 4;
  typename Op::Sum sum[M][N][Op::kD];
  auto each = [&](auto action) {
    for (int i = 0; i < M; i++) {
      for (int j = 0; j < N; j++) {
        for (int r = 0; r < Op::kD; r++) {
          const int row = i * Op::kM + g + 8 * (r / 2), column = j * 8 + 2 * t + r % 2;
          action(sum[i][j][r], d[row * N * 8 + column]);
        }
      }
    }
  };
  each([](auto& mine, auto& there) { mine = there; });
  mma_tile<Op>(sum, f.a, f.b);
  each([](auto& mine, auto& there) { there = mine; });
}

static float toward_zero(double x) {
  const float f = static_cast<float>(x);
  return std::fabs(f) > std::fabs(x) ? std::nextafter(f, 0.0f) : f;
}

template <class Op, class T, int M, int N>
static void check_products(unsigned seed) {
  using Sum = typename Op::Sum;
  constexpr int m = M * Op::kM, n = N * 8, k = Op::kK;
  std::mt19937 random(seed);
  std::vector<T> a(m * k), b(n * k);
  std::vector<Sum> before(m * n), d;
  for (T& x : a) x = random_element<T>(random);
  for (T& x : b) x = random_element<T>(random);
  for (Sum& x : before) {
    x = std::is_same_v<Sum, float> ? static_cast<Sum>(std::normal_distribution<float>()(random))
                                   : static_cast<Sum>(random());  // near the limits: sums wrap
  }
  d = before;
  launch(multiply<Op, T, M, N>, 1, 32, 0, nullptr, a.data(), b.data(), d.data());
  for (int row = 0; row < m; row++) {
    for (int column = 0; column < n; column++) {
      double sum = 0;
      for (int i = 0; i < k; i++) sum += value_of(a[row * k + i]) * value_of(b[column * k + i]);
      const Sum first = before[row * n + column], got = d[row * n + column];
      if constexpr (std::is_same_v<Sum, float>) {
        CHECK_EQ(got, toward_zero(sum + first));
      } else {
        CHECK_EQ(got, static_cast<int32_t>(static_cast<int64_t>(sum) + first));
      }
    }
  }
}

template <class Op, class T>
static void check_shape() {
  check_products<Op, T, 1, 1>(1);
  check_products<Op, T, 2, 3>(2);
  check_products<Op, T, 4, 4>(3);
  check_products<Op, T, 1, 7>(4);
}

CASE(mma_of_16_bit_floats) {
  check_shape<MmaM16N8K16<f16>, f16>();
  check_shape<MmaM16N8K16<bf16>, bf16>();
  check_shape<MmaM16N8K8<f16>, f16>();
}
CASE(mma_of_tf32) {
  check_shape<MmaM16N8K8Tf32, Tf32>();
}
CASE(mma_of_8_bit_integers) {
  check_shape<MmaM16N8K32<int8_t>, int8_t>();
  check_shape<MmaM16N8K32<uint8_t>, uint8_t>();
  check_shape<MmaM8N8K16<int8_t>, int8_t>();
  check_shape<MmaM8N8K16<uint8_t>, uint8_t>();
}

// ---- one product at a time is the same as a tile -----------------------------------------------

template <class Op, class Single>
__device__ bool agrees(Single single) {
  typename Op::Sum tile[1][1][Op::kD] = {}, one[Op::kD] = {};
  uint32_t a[1][Op::kA], b[1][Op::kB];
  for (int r = 0; r < Op::kA; r++) a[0][r] = 0x3c003c01u * (lane_id() + 3 * r + 1);
  for (int r = 0; r < Op::kB; r++) b[0][r] = 0x38013c00u * (lane_id() + 5 * r + 7);
  for (int r = 0; r < Op::kA; r++) a[0][r] &= 0x3fff3fffu;  // no infinities
  for (int r = 0; r < Op::kB; r++) b[0][r] &= 0x3fff3fffu;
  mma_tile<Op>(tile, a, b);
  single(one, a[0], b[0]);
  return memcmp(tile, one, sizeof one) == 0 && one[0] != 0;
}

__global__ void compare_singles(int* right) {
  auto count = [&](bool b) { atomicAdd(right, b ? 1 : 0); };
  count(agrees<MmaM16N8K16<f16>>([](auto& d, auto& a, auto& b) { mma_m16n8k16<f16>(d, a, b); }));
  count(agrees<MmaM16N8K16<bf16>>([](auto& d, auto& a, auto& b) { mma_m16n8k16<bf16>(d, a, b); }));
  count(agrees<MmaM16N8K8<f16>>([](auto& d, auto& a, auto& b) { mma_m16n8k8<f16>(d, a, b); }));
  count(agrees<MmaM16N8K8Tf32>([](auto& d, auto& a, auto& b) { mma_m16n8k8_tf32(d, a, b); }));
  count(agrees<MmaM16N8K32<int8_t>>(
      [](auto& d, auto& a, auto& b) { mma_m16n8k32<int8_t>(d, a, b); }));
  count(agrees<MmaM16N8K32<uint8_t>>(
      [](auto& d, auto& a, auto& b) { mma_m16n8k32<uint8_t>(d, a, b); }));
  count(
      agrees<MmaM8N8K16<int8_t>>([](auto& d, auto& a, auto& b) { mma_m8n8k16<int8_t>(d, a, b); }));
  count(agrees<MmaM8N8K16<uint8_t>>(
      [](auto& d, auto& a, auto& b) { mma_m8n8k16<uint8_t>(d, a, b); }));
}

CASE(single_products_equal_tiles) {
  int right = 0;
  launch(compare_singles, 1, 64, 0, nullptr, &right);
  CHECK_EQ(right, 8 * 64);
}

// ---- numbers at the edges ----------------------------------------------------------------------

__global__ void edge(float a, float b, float c, float* y) {
  uint32_t fa[4] = {}, fb[2] = {};
  if (lane_id() % 4 == 0) {  // one product for each element of d
    fa[0] = fa[1] = float_bits(a);
    fb[0] = float_bits(b);
  }
  float d[4] = {c, c, c, c};
  mma_m16n8k8_tf32(d, fa, fb);
  for (float x : d) {
    if (x == x ? x != d[0] : d[0] == d[0]) d[0] = -12345;
  }
  if (threadIdx.x == 5) *y = d[0];
}

static float product(float a, float b, float c) {
  float y = 0;
  launch(edge, 1, 32, 0, nullptr, a, b, c, &y);
  return y;
}

CASE(sums_truncate_and_overflow) {
  CHECK_EQ(product(1, 0x1.8p-24f, 1), 1.0f);  // to nearest: 1 + 2^-23
  CHECK_EQ(product(-1, 0x1.8p-24f, -1), -1.0f);
  CHECK_EQ(product(-1, 0x1p-26f, 1), std::nextafter(1.0f, 0.0f));  // to nearest: 1
  CHECK_EQ(product(0x1p100f, 0x1p100f, 0), INFINITY);
  CHECK_EQ(product(0x1p104f, 0x1p-1f, std::nextafter(INFINITY, 0.0f)),
           std::nextafter(INFINITY, 0.0f));  // below 2^128: the largest
  CHECK(std::isnan(product(INFINITY, 0, 1)) && std::isnan(product(NAN, 1, 1)));
  CHECK_EQ(product(bits_float(0x3f801fffu), 1, 0), 1.0f);  // low 13 bits ignored
}

CASE(tf32_rounds_half_away_from_zero) {
  const uint32_t cases[][2] = {{0x3f800000, 0x3f800000}, {0x3f800fff, 0x3f800000},
                               {0x3f801000, 0x3f802000}, {0xbf801000, 0xbf802000},
                               {0x3f803000, 0x3f804000}, {0x3fffffff, 0x40000000},
                               {0x7f7fffff, 0x7f800000}, {0x7f800000, 0x7f800000},
                               {0xff800000, 0xff800000}, {0x00000fff, 0x00000000}};
  for (const auto& c : cases) CHECK_EQ(to_tf32(bits_float(c[0])), c[1]);
  CHECK(std::isnan(bits_float(to_tf32(NAN))));
}
