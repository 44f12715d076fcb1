// Guards of ldmatrix, mma, cp.async, named barriers and dependent launches, seen to fire.

#include "check.h"

using namespace gg;

#define HERE(line) std::string("misuse_async.cpp:") + std::to_string(line)

// ---- architectures -----------------------------------------------------------------------------

__global__ void store_matrix() {
  GG_SHARED(tile, uint16_t[8][8]);
  const uint32_t r[1] = {1};
  stmatrix<1>(tile[lane_id() % 8], r);
}
constexpr int kStoreLine = __LINE__ - 2;

__global__ void multiply() {
  float d[4] = {};
  const uint32_t a[4] = {}, b[2] = {};
  mma_m16n8k16<bf16>(d, a, b);
}
constexpr int kMultiplyLine = __LINE__ - 2;

__global__ void copy_one(const int* x) {
  GG_SHARED(cell, int[32]);
  cp_async<4>(&cell[threadIdx.x], x);
  cp_async_commit();
  cp_async_wait<0>();
}
constexpr int kCopyLine = __LINE__ - 4;

CASE(primitives_need_their_architecture) {
  int x = 0;
  CHECK_THROWS([] { launch(store_matrix, 1, 32, 0, nullptr); }, HERE(kStoreLine),
               "stmatrix<1> needs sm_90; the simulated GPU is sm_80");
  sim::set_architecture(75);
  CHECK_THROWS([] { launch(multiply, 1, 32, 0, nullptr); }, HERE(kMultiplyLine),
               "mma_m16n8k16 needs sm_80; the simulated GPU is sm_75");
  CHECK_THROWS([&] { launch(copy_one, 1, 32, 0, nullptr, &x); }, HERE(kCopyLine),
               "cp_async needs sm_80");
  sim::set_architecture(90);
  launch(store_matrix, 1, 32, 0, nullptr);
  sim::set_architecture(80);
  launch(multiply, 1, 32, 0, nullptr);
  launch(copy_one, 1, 32, 0, nullptr, &x);
}

// ---- ldmatrix, mma -----------------------------------------------------------------------------

__global__ void load_rows(const uint16_t* global, int shift, int lanes) {
  GG_SHARED(tile, uint16_t[32][8]);
  uint32_t r[4];
  tile[lane_id()][0] = 0;
  if (lane_id() >= lanes) return;
  ldmatrix<4>(r, global ? global : tile[lane_id()] + shift);
}
constexpr int kRowLine = __LINE__ - 2;

CASE(ldmatrix_addresses) {
  alignas(16) uint16_t x[8] = {};
  CHECK_THROWS([&] { launch(load_rows, 1, 32, 0, nullptr, x, 0, 32); }, HERE(kRowLine),
               "ldmatrix: address", "not in this block's shared memory");
  CHECK_THROWS([] { launch(load_rows, 1, 32, 0, nullptr, nullptr, 4, 32); }, HERE(kRowLine),
               "ldmatrix: address", "not aligned to 16 bytes");
  CHECK_THROWS([] { launch(load_rows, 1, 32, 0, nullptr, nullptr, 0, 31); }, HERE(kRowLine),
               "ldmatrix<4>: mask 0xffffffff names lane 31, which has exited");
}

__global__ void multiply_apart() {
  float d[4] = {};
  const uint32_t a[4] = {}, b[2] = {};
  if (lane_id() < 16) {
    mma_m16n8k16<f16>(d, a, b);
  } else {
    mma_m16n8k16<f16>(d, a, b);
  }
}
constexpr int kApartLine = __LINE__ - 5;

__global__ void multiply_and_load() {
  GG_SHARED(tile, uint16_t[8][8]);
  float d[4] = {};
  uint32_t a[4] = {}, b[2] = {};
  tile[lane_id() % 8][lane_id() / 8] = 0;
  __syncwarp();
  if (lane_id() < 16) {
    mma_m16n8k16<f16>(d, a, b);
  } else {
    ldmatrix_trans<1>(reinterpret_cast<uint32_t (&)[1]>(b), tile[lane_id() % 8]);
  }
}

CASE(a_warp_runs_one_instruction) {
  CHECK_THROWS([] { launch(multiply_apart, 1, 32, 0, nullptr); }, HERE(kApartLine),
               HERE(kApartLine + 2), "all lanes of a warp must run the same one");
  CHECK_THROWS([] { launch(multiply_and_load, 1, 32, 0, nullptr); }, "mma_m16n8k16",
               "ldmatrix_trans<1>", "wait for each other");
  CHECK_THROWS([] { launch(multiply, 1, 48, 0, nullptr); }, "names lane 16", "never existed");
}

// ---- cp.async ----------------------------------------------------------------------------------

__global__ void copy(void* to, const char* x, int at, int from, int bytes) {
  GG_SHARED(tile, char[64]);
  cp_async<16>(to ? to : tile + at, x + from, bytes);
  cp_async_commit();
  cp_async_wait<0>();
}
constexpr int kTileLine = __LINE__ - 4;

CASE(copies_are_checked) {
  alignas(16) char x[64] = {};
  auto run = [&](void* to, int at, int from, int bytes) {
    return [=, &x] { launch(copy, 1, 1, 0, nullptr, to, x, at, from, bytes); };
  };
  CHECK_THROWS(run(nullptr, 4, 0, 16), HERE(kTileLine), "cp_async to shared memory",
               "not aligned to 16 bytes");
  CHECK_THROWS(run(nullptr, 0, 8, 16), HERE(kTileLine), "cp_async from global memory",
               "not aligned to 16 bytes");
  CHECK_THROWS(run(nullptr, 0, 0, 17), HERE(kTileLine), "cp_async<16> of 17 bytes", "0 to 16");
  CHECK_THROWS(run(nullptr, 0, 0, -1), HERE(kTileLine), "cp_async<16> of -1 bytes");
  CHECK_THROWS(run(x, 0, 0, 16), HERE(kTileLine), "not in this block's shared memory");
  run(nullptr, 48, 8, 0)();  // of no bytes, nothing is read
}

__global__ void copy_within() {
  GG_SHARED(tile, char[64]);
  cp_async<16>(tile, tile + 16);
}
constexpr int kWithinLine = __LINE__ - 2;

__global__ void never_wait(const char* x, bool commit) {
  GG_SHARED(tile, char[64]);
  if (threadIdx.x == 1) cp_async<16>(tile, x);
  if (commit) cp_async_commit();
  cp_async_wait<1>();
}
constexpr int kNeverLine = __LINE__ - 4;

CASE(copies_are_waited_for) {
  alignas(16) char x[16] = {};
  CHECK_THROWS([] { launch(copy_within, 1, 1, 0, nullptr); }, HERE(kWithinLine),
               "is in shared memory");
  CHECK_THROWS([&] { launch(never_wait, 1, 32, 0, nullptr, x, true); }, HERE(kNeverLine),
               "exited without waiting for this copy [", "thread (1, 0, 0)");
  CHECK_THROWS([&] { launch(never_wait, 1, 32, 0, nullptr, x, false); }, HERE(kNeverLine),
               "exited without waiting for this copy, which it did not commit");
}

#if defined(__SANITIZE_ADDRESS__)
__global__ void copy_twice(const char* x) {
  GG_SHARED(tile, char[64]);
  cp_async<16>(tile, x);
  cp_async<16>(tile, x);
  cp_async_commit();
  cp_async_wait<0>();
}
constexpr int kTwiceLine = __LINE__ - 4;

CASE(asan_knows_what_may_be_copied) {
  std::vector<char> x(48 + 8);
  const char* p = x.data();  // aligned by the allocator
  CHECK_THROWS([&] { launch(copy, 1, 1, 0, nullptr, nullptr, p, 0, 48, 16); }, HERE(kTileLine),
               "source's 16 bytes", "out of bounds");
  CHECK_THROWS([&] { launch(copy, 1, 1, 0, nullptr, nullptr, p, 64, 0, 16); }, HERE(kTileLine),
               "outside any shared array");
  sim::set_schedule(nullptr, "lazy", 1, 1);
  CHECK_THROWS([&] { launch(copy_twice, 1, 1, 0, nullptr, p); }, HERE(kTwiceLine),
               "has a copy in flight");
}
#endif

// ---- named barriers ----------------------------------------------------------------------------

__global__ void meet_at(int id, int threads, int others) {
  barrier_sync(id, warp_id() == 0 ? threads : others);
}
constexpr int kMeetLine = __LINE__ - 2;

CASE(named_barriers_are_checked) {
  auto run = [](int id, int threads, int others) {
    return [=] { launch(meet_at, 1, 96, 0, nullptr, id, threads, others); };
  };
  CHECK_THROWS(run(0, 96, 96), HERE(kMeetLine), "barrier 0 is that of __syncthreads");
  CHECK_THROWS(run(16, 96, 96), HERE(kMeetLine), "no barrier 16; use 1 to 15");
  CHECK_THROWS(run(2, 90, 90), HERE(kMeetLine), "barrier_sync(2): 90 threads", "multiple of 32");
  CHECK_THROWS(run(2, 128, 128), HERE(kMeetLine), "barrier_sync(2): 128 threads",
               "the block has 96");
  CHECK_THROWS(run(2, 64, 96), HERE(kMeetLine), "barrier_sync(2):", "64", "96", " threads, but ");
  CHECK_THROWS(run(7, 64, 64), HERE(kMeetLine), "deadlock", "32 threads wait in barrier_sync(7)",
               "barrier 7 of block (0, 0, 0): 32 of 64 threads have arrived", "64 threads exited");
}

__global__ void arrive_twice() {
  barrier_arrive(3, 64);
  barrier_arrive(3, 64);
}
constexpr int kTwiceArriveLine = __LINE__ - 2;

__global__ void arrive_once() {
  if (warp_id() == 0) barrier_arrive(4, 64);
  if (warp_id() == 1) barrier_sync(5, 64);
}

CASE(arrivals_are_counted) {
  CHECK_THROWS([] { launch(arrive_twice, 1, 64, 0, nullptr); }, HERE(kTwiceArriveLine),
               "barrier_arrive(3): this thread arrives again before the barrier is complete");
  CHECK_THROWS([] { launch(arrive_once, 1, 64, 0, nullptr); }, "deadlock",
               "32 threads wait in barrier_sync(5)", "barrier 4 of block (0, 0, 0): 32 of 64");
}

// ---- dependent launches ------------------------------------------------------------------------

__global__ void wait_for_grid(bool all) {
  if (all || threadIdx.x > 0) grid_dependency_wait();
}

CASE(dependent_kernels_wait) {
  launch_dependent(wait_for_grid, 2, 32, 0, nullptr, true);
  CHECK_THROWS([] { launch_dependent(wait_for_grid, 2, 32, 0, nullptr, false); }, HERE(__LINE__),
               "a thread has exited without grid_dependency_wait", "thread (0, 0, 0)");
  launch_dependent(wait_for_grid, 2, 32, 0, nullptr, true);
}
