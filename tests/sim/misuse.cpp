// Every guard of the simulator, seen to fire, with file and line; after each the simulator works.

#include "check.h"
#include "device/grid.h"

using namespace gg;

#define HERE(line) std::string("misuse.cpp:") + std::to_string(line)

__global__ void add_one(int* x) {
  x[blockIdx.x * blockDim.x + threadIdx.x] += 1;
}

static void check_still_works() {
  int x[128] = {};
  launch(add_one, 2, 64, 0, nullptr, x);
  for (int v : x) CHECK_EQ(v, 1);
}

#define EXPECT(function, ...)          \
  CHECK_THROWS(function, __VA_ARGS__); \
  check_still_works()

// ---- launches ----------------------------------------------------------------------------------

CASE(launch_dimensions) {
  int x[1] = {};
  EXPECT([&] { launch(add_one, 1, 1025, 0, nullptr, x); }, HERE(__LINE__), "block (1025, 1, 1)",
         "1 to 1024 threads");
  EXPECT([&] { launch(add_one, 1, dim3(1, 1, 65), 0, nullptr, x); }, "at most 64 in z");
  EXPECT([&] { launch(add_one, 1, 0, 0, nullptr, x); }, "block (0, 1, 1)");
  EXPECT([&] { launch(add_one, dim3(1, 65536), 1, 0, nullptr, x); }, "grid (1, 65536, 1)");
  EXPECT([&] { launch(add_one, 1, 1, 163 * 1024 + 1, nullptr, x); }, "166913 bytes of dynamic",
         "limit of sm_80 is 166912");
  EXPECT([&] { launch_cooperative(add_one, 1000, 32, 0, nullptr, x); }, "does not fit");
}

__global__ void launch_inside(int* x) {
  launch(add_one, 1, 1, 0, nullptr, x);
}
constexpr int kLaunchLine = __LINE__ - 2;

CASE(launch_inside_a_kernel) {
  int x[1] = {};
  EXPECT([&] { launch(launch_inside, 1, 32, 0, nullptr, x); }, HERE(kLaunchLine),
         "a kernel launched a kernel", "[block (0, 0, 0) thread (", "launched at");
}

// ---- barriers ----------------------------------------------------------------------------------

__global__ void different_lines() {
  if (threadIdx.x < 32) {
    __syncthreads();  // first
  } else {
    __syncthreads();  // second
  }
}
constexpr int kFirstLine = __LINE__ - 5, kSecondLine = __LINE__ - 3;

CASE(syncthreads_at_different_lines) {
  EXPECT([] { launch(different_lines, 1, 64, 0, nullptr); }, HERE(kFirstLine), HERE(kSecondLine),
         "threads of one block are at different barriers");
}

__global__ void barrier_against_warp() {
  if (threadIdx.x < 16) __syncthreads();
  __syncwarp();
}
constexpr int kBarrierLine = __LINE__ - 3, kSyncwarpLine = __LINE__ - 2;

CASE(deadlock_says_who_waits_where) {
  EXPECT([] { launch(barrier_against_warp, 1, 40, 0, nullptr); }, "deadlock",
         "16 threads wait in __syncthreads at", HERE(kBarrierLine), "16 threads wait in __syncwarp",
         HERE(kSyncwarpLine), "8 threads exited", "block (0, 0, 0) thread (");
}

__global__ void sync_whole_grid() {
  grid_sync();
}
constexpr int kGridLine = __LINE__ - 2;

CASE(grid_sync_needs_a_cooperative_launch) {
  EXPECT([] { launch(sync_whole_grid, 2, 32, 0, nullptr); }, HERE(kGridLine),
         "not started by launch_cooperative");
  launch_cooperative(sync_whole_grid, 2, 32, 0, nullptr);
}

__global__ void sync_half_the_grid() {
  if (blockIdx.x == 0) {
    grid_sync();
  } else {
    while (true) spin_pause();
  }
}

CASE(spinning_for_ever_is_a_deadlock) {
  EXPECT([] { launch_cooperative(sync_half_the_grid, 2, 32, 0, nullptr); }, "deadlock",
         "32 threads wait in grid_sync", "32 threads wait in spin_pause");
}

// ---- warp operations ---------------------------------------------------------------------------

__global__ void not_in_mask() {
  __shfl_sync(0xfffeu, 1.0f, 2);
}
constexpr int kMaskLine = __LINE__ - 2;

CASE(lane_not_in_its_mask) {
  EXPECT([] { launch(not_in_mask, 1, 32, 0, nullptr); }, HERE(kMaskLine),
         "is not in its own mask 0x0000fffe");
}

__global__ void lane_left(int n, int* y) {
  if (static_cast<int>(threadIdx.x) >= n) return;
  y[threadIdx.x] = __shfl_xor_sync(~0u, n, 1);
}
constexpr int kLeftLine = __LINE__ - 2;

CASE(exited_lane_in_a_shuffle) {
  int y[32];
  EXPECT([&] { launch(lane_left, 1, 32, 0, nullptr, 31, y); }, HERE(kLeftLine),
         "mask 0xffffffff names lane 31, which has exited");
  EXPECT([&] { launch(lane_left, 1, 20, 0, nullptr, 32, y); }, "names lane 20", "never existed");
}

__global__ void leave_before_vote(unsigned* y) {
  if (threadIdx.x == 5) return;
  const unsigned votes = __ballot_sync(~0u, 1);
  __syncwarp();
  if (threadIdx.x == 0) *y = votes;
}

CASE(exited_lanes_do_not_hold_up_votes) {
  unsigned y = 0;
  launch(leave_before_vote, 1, 32, 0, nullptr, &y);
  CHECK_EQ(y, ~(1u << 5));
}

__global__ void different_operations() {
  if (threadIdx.x % 2) {
    __shfl_down_sync(~0u, 1, 1);
  } else {
    __any_sync(~0u, 1);
  }
}
constexpr int kShuffleLine = __LINE__ - 5, kAnyLine = __LINE__ - 3;

CASE(different_warp_operations_meet) {
  EXPECT([] { launch(different_operations, 1, 32, 0, nullptr); }, HERE(kShuffleLine),
         HERE(kAnyLine), "__shfl_down_sync", "__any_sync", "wait for each other");
}

__global__ void different_masks() {
  __shfl_sync(threadIdx.x < 31 ? ~0u : 0x80000001u, 1, 0);
}

CASE(different_masks_meet) {
  EXPECT([] { launch(different_masks, 1, 32, 0, nullptr); }, "mask 0xffffffff", "mask 0x80000001");
}

// ---- memory ------------------------------------------------------------------------------------

__global__ void large_static() {
  GG_SHARED(small, float[16]);
  GG_SHARED(large, float[64][192]);
  small[0] = large[0][0] = 0;
}
constexpr int kLargeLine = __LINE__ - 3;

CASE(static_shared_memory_is_limited) {
  EXPECT([] { launch(large_static, 1, 32, 0, nullptr); }, HERE(kLargeLine),
         "49216 bytes of static shared memory; the limit is 49152", "small 64, large 49152");
}

__global__ void static_and_dynamic() {
  GG_SHARED(tile, float[1024]);
  tile[threadIdx.x] = 0;
}

CASE(static_and_dynamic_shared_memory_are_limited) {
  EXPECT([] { launch(static_and_dynamic, 1, 32, 163 * 1024, nullptr); },
         "171008 bytes of static and dynamic shared memory; the limit is 166912");
}

__global__ void misaligned(const float* x, float* y) {
  y[threadIdx.x] = load_vec<4>(x + 1)[0];
}
constexpr int kVecLine = __LINE__ - 2;

CASE(misaligned_vector) {
  alignas(16) float x[8] = {}, y[32];
  EXPECT([&] { launch(misaligned, 1, 32, 0, nullptr, x, y); }, HERE(kVecLine), "load_vec",
         "not aligned to 16 bytes");
}

__global__ void spin_on_load(int* flag) {
  while (load_acquire(flag) == 0) {
  }
}
__global__ void spin_on_cas(int* lock) {
  while (atomicCAS(lock, 0, 1) != 0) {
  }
}
constexpr int kLoadLine = __LINE__ - 7, kCasLine = __LINE__ - 3;

CASE(spin_without_pause) {
  int zero = 0, one = 1;
  EXPECT([&] { launch(spin_on_load, 1, 32, 0, nullptr, &zero); }, HERE(kLoadLine), "spin_pause()");
  EXPECT([&] { launch(spin_on_cas, 1, 32, 0, nullptr, &one); }, HERE(kCasLine), "spin_pause()");
}

__global__ void trap() {
  if (thread_rank() == 3) __trap();
}

CASE(trap_names_the_thread) {
  EXPECT([] { launch(trap, dim3(2, 2), dim3(2, 2, 2), 0, nullptr); }, "__trap", "thread (1, 1, 0)");
}

__global__ void fail_in_one_block(int* x) {
  if (blockIdx.x == 700 && threadIdx.x == 1) __trap();
  __syncthreads();
  atomicAdd(x, 1);
}

CASE(one_of_many_blocks_fails_on_any_worker) {
  sim::set_schedule(nullptr, nullptr, 3, 3);
  int x = 0;
  EXPECT([&] { launch(fail_in_one_block, 4000, 64, 0, nullptr, &x); }, "__trap",
         "block (700, 0, 0) thread (1, 0, 0)");
}
