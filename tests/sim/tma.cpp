// TMA against plain loops: every rank, swizzle and direction, boxes that stick out, reductions;
// and what is wrong to do.

#include <algorithm>
#include <cmath>

#include "hopper.h"

using namespace gg;

#define AT(comment) check_line(__FILE__, comment)

/// A tensor's shape and box with a position, contiguous dimension first.
struct Box {
  int rank;
  int dims[5], box[5], at[5];
  int64_t strides[4];

  int volume() const {
    int n = 1;
    for (int i = 0; i < rank; i++) n *= box[i];
    return n;
  }
  int64_t tensor_volume() const { return strides[rank == 1 ? 0 : rank - 2] * last(); }
  int last() const { return rank == 1 ? 1 : dims[rank - 1]; }
};

/// Strides with `padding` elements after each row.
Box make_box(int rank, const int (&dims)[5], const int (&box)[5], const int (&at)[5], int padding) {
  Box b{rank, {}, {}, {}, {}};
  std::copy_n(dims, 5, b.dims);
  std::copy_n(box, 5, b.box);
  std::copy_n(at, 5, b.at);
  b.strides[0] = dims[0] + padding;
  for (int i = 1; i < 4; i++) b.strides[i] = b.strides[i - 1] * dims[i];
  return b;
}

template <class T>
TensorMap box_map(TensorType type, const Box& b, const T* data, Swizzle swizzle) {
  int64_t dims[5], strides[4];
  for (int i = 0; i < 5; i++) dims[i] = b.dims[i];
  for (int i = 0; i < 4; i++) strides[i] = b.strides[i] * int64_t{sizeof(T)};
  return tensor_map_tiled(type, b.rank, data, dims, strides, b.box, swizzle);
}

/// The tensor's element under element i of the box; -1 outside.
int64_t element(const Box& b, int i) {
  int64_t offset = 0;
  for (int d = 0; d < b.rank; d++) {
    const int x = b.at[d] + i % b.box[d];
    i /= b.box[d];
    if (x < 0 || x >= b.dims[d]) return -1;
    offset += d == 0 ? x : x * b.strides[d - 1];
  }
  return offset;
}

__device__ void load_box(void* tile, const TensorMap* map, Mbarrier* full, const Box& b) {
  const int* c = b.at;
  if (b.rank == 1) tma_load(tile, map, full, c[0]);
  if (b.rank == 2) tma_load(tile, map, full, c[0], c[1]);
  if (b.rank == 3) tma_load(tile, map, full, c[0], c[1], c[2]);
  if (b.rank == 4) tma_load(tile, map, full, c[0], c[1], c[2], c[3]);
  if (b.rank == 5) tma_load(tile, map, full, c[0], c[1], c[2], c[3], c[4]);
}

__device__ void store_box(void* tile, const TensorMap* map, const Box& b) {
  const int* c = b.at;
  if (b.rank == 1) tma_store(map, tile, c[0]);
  if (b.rank == 2) tma_store(map, tile, c[0], c[1]);
  if (b.rank == 3) tma_store(map, tile, c[0], c[1], c[2]);
  if (b.rank == 4) tma_store(map, tile, c[0], c[1], c[2], c[3]);
  if (b.rank == 5) tma_store(map, tile, c[0], c[1], c[2], c[3], c[4]);
}

/// Loads a box, shows its bytes, doubles its 32-bit words, and stores it with another map.
__global__ void there_and_back(const __grid_constant__ TensorMap from,
                               const __grid_constant__ TensorMap to, Box b, int bytes,
                               uint32_t* shown) {
  GG_SHARED(full, Mbarrier[1]);
  uint32_t* tile = shared_dynamic<uint32_t>();
  set_up(full);
  if (threadIdx.x == 0) {
    tma_prefetch(&from);
    mbarrier_expect_tx(full, bytes);
    load_box(tile, &from, full, b);
  }
  mbarrier_wait(full, 0);
  for (int i = threadIdx.x; i < bytes / 4; i += 32) {
    shown[i] = tile[i];
    tile[i] *= 2;
  }
  fence_proxy_async();
  __syncwarp();
  if (threadIdx.x == 0) {
    store_box(tile, &to, b);
    tma_store_commit();
    tma_store_wait<0>();
  }
}

template <class T>
void check_there_and_back(TensorType type, const Box& b, int span) {
  const size_t n = static_cast<size_t>(b.rank == 1 ? b.dims[0] : b.tensor_volume());
  Aligned<T> x(n), y(n);
  for (size_t i = 0; i < n; i++) x[i] = static_cast<T>(i * 7 + 1), y[i] = static_cast<T>(99);
  const Swizzle swizzle = static_cast<Swizzle>(span);
  const int bytes = b.volume() * static_cast<int>(sizeof(T));
  Aligned<uint32_t> shown(bytes / 4);
  run(there_and_back, 1, 32, bytes, box_map(type, b, x.data, swizzle),
      box_map(type, b, y.data, swizzle), b, bytes, shown.data);
  std::vector<T> expected(n, static_cast<T>(99));
  for (int i = 0; i < b.volume(); i++) {
    const int64_t from = element(b, i);
    const T value = from < 0 ? T(0) : x[from];
    T got;
    const int place = swizzled_place(i * static_cast<int>(sizeof(T)), span);
    memcpy(&got, reinterpret_cast<char*>(&shown[0]) + place, sizeof got);
    CHECK_EQ(got, value);
    if (from >= 0 && sizeof(T) == 4) expected[from] = value * 2;
  }
  // Doubling words carries between narrower elements.
  for (size_t i = 0; i < n && sizeof(T) == 4; i++) CHECK_EQ(y[i], expected[i]);
}

CASE(tma_ranks_and_edges) {
  const int dims[5] = {20, 5, 4, 3, 3}, box[5] = {8, 3, 2, 2, 2};
  const int positions[4][5] = {
      {4, 1, 1, 0, 1}, {-4, -1, -1, -1, -1}, {16, 4, 3, 2, 2}, {100, 50, 50, 50, 50}};
  for (int rank = 1; rank <= 5; rank++) {
    for (const int (&at)[5] : positions) {
      check_there_and_back<uint32_t>(TensorType::u32, make_box(rank, dims, box, at, 4), 0);
    }
  }
}

CASE(tma_swizzles) {
  for (int span : {32, 64, 128}) {
    const int dims[5] = {200, 40}, at[5] = {16, -3};
    const int box4[5] = {span / 4, 32}, box2[5] = {span / 2, 20}, box1[5] = {span, 9};
    check_there_and_back<uint32_t>(TensorType::u32, make_box(2, dims, box4, at, 0), span);
    check_there_and_back<uint16_t>(TensorType::u16, make_box(2, dims, box2, at, 0), span);
    check_there_and_back<uint8_t>(TensorType::u8, make_box(2, dims, box1, at, 8), span);
  }
}

// ---- tf32 --------------------------------------------------------------------------------------

__global__ void load_tf32(const __grid_constant__ TensorMap map, uint32_t* y) {
  GG_SHARED(full, Mbarrier[1]);
  uint32_t* tile = shared_dynamic<uint32_t>();
  set_up(full);
  if (threadIdx.x == 0) {
    mbarrier_expect_tx(full, 128);
    tma_load(tile, &map, full, -2);
  }
  mbarrier_wait(full, 0);
  y[threadIdx.x] = tile[threadIdx.x];
}

CASE(tma_rounds_to_tf32) {
  constexpr uint32_t numbers[][2] = {
      {0x3f800000, 0x3f800000}, {0x3f800fff, 0x3f800000},  // below half
      {0x3f801000, 0x3f800000}, {0x3f803000, 0x3f804000},  // ties, to even
      {0xbf801001, 0xbf802000}, {0x3fffffff, 0x40000000},  // above half; carries
      {0x7f7fffff, 0x7f800000}, {0x00001800, 0x00002000},  // to infinity; a subnormal
      {0x7f800000, 0x7f800000}, {0xff800000, 0xff800000},  // infinities
      {0x7f800001, 0x7f800001}, {0x7fffffff, 0x7fffffff},  // NaN
  };
  constexpr int n = 12;
  Aligned<uint32_t> x(n), y(32);
  for (int i = 0; i < n; i++) x[i] = numbers[i][0];
  const int64_t dims[1] = {n}, strides[1] = {0};
  const int box[1] = {32};
  const auto load = [&](TensorType type) {
    run(load_tf32, 1, 32, 128, tensor_map_tiled(type, 1, x.data, dims, strides, box, Swizzle::none),
        y.data);
  };
  load(TensorType::tf32);  // two words of the box lie before the tensor, 18 behind it
  for (int i = 0; i < 32; i++) CHECK_EQ(y[i], i >= 2 && i < n + 2 ? numbers[i - 2][1] : 0);
  load(TensorType::f32);
  for (int i = 0; i < n; i++) CHECK_EQ(y[i + 2], x[i]);
}

// ---- reductions --------------------------------------------------------------------------------

enum class Reduce { add, min, max };

template <class T>
__global__ void reduce(const __grid_constant__ TensorMap map, Reduce op, int n) {
  T* tile = shared_dynamic<T>();
  for (int i = threadIdx.x; i < n; i += 32) {
    tile[i] = from_small<T>(small_number(i + 50 * static_cast<int>(blockIdx.x)));
  }
  fence_proxy_async();
  __syncwarp();
  if (threadIdx.x == 0) {
    if (op == Reduce::add) tma_reduce_add(&map, tile, 0, -1);
    if (op == Reduce::min) tma_reduce_min(&map, tile, 0, -1);
    if (op == Reduce::max) tma_reduce_max(&map, tile, 0, -1);  // max
    tma_store_commit();
    tma_store_wait_read<0>();
  }
}

template <class T>
void check_reduce(TensorType type, Reduce op) {
  constexpr int columns = 16, rows = 4, blocks = 5;
  Aligned<T> y(rows * columns);
  for (int i = 0; i < rows * columns; i++) y[i] = from_small<T>(small_number(1000 + i));
  const std::vector<T> start(&y[0], &y[0] + y.size);
  const TensorMap map = matrix_map(type, y.data, rows, columns, rows, columns, Swizzle::none);
  run(reduce<T>, blocks, 32, sizeof(T) * y.size, map, op, rows * columns);
  for (int i = 0; i < rows * columns; i++) {
    double expected = convert<double>(start[i]);
    const int in_box = i + columns;  // the box begins one row above the tensor
    for (int b = 0; in_box < rows * columns && b < blocks; b++) {
      const double v = convert<double>(from_small<T>(small_number(in_box + 50 * b)));
      expected = op == Reduce::add   ? expected + v
                 : op == Reduce::min ? std::min(expected, v)
                                     : std::max(expected, v);
    }
    CHECK_EQ(convert<double>(y[i]), expected);
  }
}

CASE(tma_reductions) {
  for (Reduce op : {Reduce::add, Reduce::min, Reduce::max}) {
    check_reduce<int32_t>(TensorType::i32, op);
    check_reduce<uint32_t>(TensorType::u32, op);
    check_reduce<int64_t>(TensorType::i64, op);
    check_reduce<f16>(TensorType::f16, op);
    check_reduce<bf16>(TensorType::bf16, op);
  }
  check_reduce<float>(TensorType::f32, Reduce::add);
#if GG_SIMULATOR
  CHECK_THROWS([] { check_reduce<float>(TensorType::f32, Reduce::max); }, AT("max"),
               "not for this type");
#endif
}

// One element of every kind of corner: sums wrap; min and max choose the number, and -0 below +0,
// whichever side it is on.
template <class T>
__global__ void reduce_one(const __grid_constant__ TensorMap map, Reduce op, T value) {
  T* tile = shared_dynamic<T>();
  if (threadIdx.x == 0) {
    for (int i = 0; i < 16; i++) tile[i] = value;
    fence_proxy_async();
    if (op == Reduce::add) tma_reduce_add(&map, tile, 0);
    if (op == Reduce::min) tma_reduce_min(&map, tile, 0);
    if (op == Reduce::max) tma_reduce_max(&map, tile, 0);
    tma_store_commit();
    tma_store_wait<0>();
  }
}

template <class T>
T reduced(TensorType type, Reduce op, T there, T value) {
  Aligned<T> y(16);
  for (int i = 0; i < 16; i++) y[i] = there;
  const int64_t dims[1] = {16}, strides[1] = {0};
  const int box[1] = {16};
  run(reduce_one<T>, 1, 32, 128,
      tensor_map_tiled(type, 1, y.data, dims, strides, box, Swizzle::none), op, value);
  return y[15];
}

template <class T>
void check_nan_and_zero(TensorType type) {
  const T one = from_float<T>(1), nan = from_float<T>(NAN);
  const T zero = from_float<T>(0.0f), minus_zero = from_float<T>(-0.0f);
  for (Reduce op : {Reduce::min, Reduce::max}) {
    CHECK_EQ(reduced(type, op, one, nan).bits, one.bits);
    CHECK_EQ(reduced(type, op, nan, one).bits, one.bits);
    CHECK(std::isnan(to_float(reduced(type, op, nan, nan))));
    const T expected = op == Reduce::min ? minus_zero : zero;
    CHECK_EQ(reduced(type, op, zero, minus_zero).bits, expected.bits);
    CHECK_EQ(reduced(type, op, minus_zero, zero).bits, expected.bits);
  }
}

CASE(tma_reduction_corners) {
  CHECK_EQ(reduced<int32_t>(TensorType::i32, Reduce::add, INT32_MAX, 2), INT32_MIN + 1);
  CHECK_EQ(reduced<int64_t>(TensorType::i64, Reduce::add, INT64_MIN, -1), INT64_MAX);
  CHECK_EQ(reduced<uint32_t>(TensorType::u32, Reduce::add, UINT32_MAX, 2), 1u);
  check_nan_and_zero<f16>(TensorType::f16);
  check_nan_and_zero<bf16>(TensorType::bf16);
}

// Groups of stores: two under way, the older waited for before its tile is filled again.
__global__ void store_groups(float* y, int steps) {
  float* tile = shared_dynamic<float>();
  for (int s = 0; s < steps; s++) {
    float* mine = tile + s % 2 * 32;
    if (threadIdx.x == 0) tma_store_wait_read<1>();
    __syncwarp();
    mine[threadIdx.x] = static_cast<float>(s * 32 + static_cast<int>(threadIdx.x));
    fence_proxy_async();
    __syncwarp();
    if (threadIdx.x == 0) {
      bulk_store(y + s * 32, mine, 128);
      tma_store_commit();
    }
  }
  if (threadIdx.x == 0) tma_store_wait<0>();
}

CASE(tma_store_groups) {
  Aligned<float> y(7 * 32);
  run(store_groups, 1, 32, 256, y.data, 7);
  for (int i = 0; i < 7 * 32; i++) CHECK_EQ(y[i], static_cast<float>(i));
}

#if GG_SIMULATOR
// ---- misuse ---------------------------------------------------------------------

enum class Mistake {
  rank,
  not_im2col,
  not_a_map,
  alignment,
  arena,
  bulk_bytes,
  no_commit,
  no_wait,
};

__global__ void misuse(const __grid_constant__ TensorMap map, Mistake mistake, float* x) {
  GG_SHARED(full, Mbarrier[1]);
  float* tile = shared_dynamic<float>();
  set_up(full);
  if (threadIdx.x != 0) return;
  if (mistake == Mistake::rank) tma_load(tile, &map, full, 0);                         // rank
  if (mistake == Mistake::not_im2col) tma_load_im2col(tile, &map, full, {}, 0, 0, 0);  // im2col
  if (mistake == Mistake::alignment) tma_load(tile + 4, &map, full, 0, 0);             // aligned
  if (mistake == Mistake::arena) tma_load(x, &map, full, 0, 0);                        // arena
  if (mistake == Mistake::bulk_bytes) bulk_load(tile, x, 24, full);                    // bytes
  tma_store(&map, tile, 0, 0);                                                         // store
  if (mistake != Mistake::no_commit) tma_store_commit();
}

CASE(tma_misuse) {
  Aligned<float> x(32 * 32);
  const auto make = [&](Mistake mistake) {
    TensorMap map = matrix_map(TensorType::f32, x.data, 32, 32, 8, 32, Swizzle::k128);
    const int64_t dims[3] = {32, 8, 4}, strides[2] = {128, 1024};
    const int box[3] = {32, 8, 1};
    if (mistake == Mistake::not_im2col) {
      map = tensor_map_tiled(TensorType::f32, 3, x.data, dims, strides, box, Swizzle::k128);
    }
    if (mistake == Mistake::not_a_map) memset(static_cast<void*>(&map), 0, sizeof map);
    launch(misuse, 1, 32, 4096, nullptr, map, mistake, x.data);
  };
  CHECK_THROWS([&] { make(Mistake::rank); }, AT("rank"), "1 coordinates for a map of rank 2");
  CHECK_THROWS([&] { make(Mistake::not_im2col); }, AT("im2col"), "the map is not one for im2col");
  CHECK_THROWS([&] { make(Mistake::not_a_map); }, AT("store"), "not a tensor map");
  CHECK_THROWS([&] { make(Mistake::alignment); }, AT("aligned"), "is not aligned to 1024 bytes");
  CHECK_THROWS([&] { make(Mistake::arena); }, AT("arena"), "not in this block's shared memory");
  CHECK_THROWS([&] { make(Mistake::bulk_bytes); }, AT("bytes"), "24 bytes");
  CHECK_THROWS([&] { make(Mistake::no_commit); }, AT("store"), "without committing");
  CHECK_THROWS([&] { make(Mistake::no_wait); }, AT("store"), "without waiting for this TMA store");
}
#endif
