// Clusters: indices, barrier, other blocks' shared memory, multicast, remote arrivals; and what is
// wrong to do.

#include "hopper.h"

using namespace gg;

#define AT(comment) check_line(__FILE__, comment)

// Each block says which it is; sizes that divide the grid in two dimensions.
__global__ void who(int* rank, int* size) {
  const int block = static_cast<int>(blockIdx.x + gridDim.x * blockIdx.y);
  if (threadIdx.x == 0) rank[block] = static_cast<int>(cluster_rank());
  if (threadIdx.x == 0) size[block] = static_cast<int>(cluster_size());
}

CASE(cluster_ranks) {
  Aligned<int> rank(24), size(24);
  run_cluster(who, dim3(6, 4), 32, dim3(3, 2), 0, rank.data, size.data);
  for (int i = 0; i < 24; i++) {
    CHECK_EQ(rank[i], i % 6 % 3 + i / 6 % 2 * 3);
    CHECK_EQ(size[i], 6);
  }
  run(who, 2, 32, 0, rank.data, size.data);
  CHECK_EQ(rank[1], 0);
  CHECK_EQ(size[1], 1);
}

// Each block writes into its right neighbour and reads from its left one, several times.
__global__ void rotate(const int* x, int* y, int rounds) {
  GG_SHARED(from_left, int[64]);
  GG_SHARED(own, int[64]);
  const unsigned rank = cluster_rank(), size = cluster_size();
  const int i = threadIdx.x, global = static_cast<int>(blockIdx.x) * 64 + i;
  int v = x[global];
  for (int r = 0; r < rounds; r++) {
    cluster_map(from_left, (rank + 1) % size)[63 - i] = v;
    own[i] = v;
    cluster_arrive();
    cluster_wait();
    v = from_left[i] + cluster_map(own, (rank + 1) % size)[i];
    cluster_sync();
  }
  y[global] = v;
}

CASE(cluster_shared_memory) {
  constexpr int blocks = 8, cluster = 4, rounds = 3;
  Aligned<int> x(blocks * 64), y(blocks * 64);
  int next[blocks * 64], expected[blocks * 64];
  for (int i = 0; i < blocks * 64; i++) expected[i] = x[i] = i * i % 1000;
  for (int r = 0; r < rounds; r++) {
    for (int i = 0; i < blocks * 64; i++) {
      const int b = i / 64, base = b / cluster * cluster;
      const int left = base + (b - base + cluster - 1) % cluster;
      const int right = base + (b - base + 1) % cluster;
      next[i] = expected[left * 64 + 63 - i % 64] + expected[right * 64 + i % 64];
    }
    memcpy(expected, next, sizeof next);
  }
  run_cluster(rotate, blocks, 64, cluster, 0, x.data, y.data, rounds);
  for (int i = 0; i < blocks * 64; i++) CHECK_EQ(y[i], expected[i]);
}

// A cluster of two shares its loads: each block fetches half of every tile for both. A slot is free
// when both blocks' consumers have said so to both producers.
__global__ void multicast_sum(const __grid_constant__ TensorMap map, int tiles, float* y) {
  GG_SHARED(full, Mbarrier[2]);
  GG_SHARED(empty, Mbarrier[2]);
  float* slot = shared_dynamic<float>();  // [2][2][128]
  const unsigned rank = cluster_rank();
  if (threadIdx.x == 0) {
    for (int i = 0; i < 2; i++) {
      mbarrier_init(&full[i], 1);
      mbarrier_init(&empty[i], 2 * 128);
    }
    fence_mbarrier_init();
  }
  cluster_sync();
  if (threadIdx.x == 128) {
    for (int t = 0; t < tiles; t++) {
      const int s = t % 2;
      mbarrier_wait(&empty[s], t / 2 % 2 ^ 1);
      mbarrier_expect_tx(&full[s], 1024);
      tma_load_multicast(slot + s * 256 + rank * 128, &map, &full[s], 3, 0, 8 * t + 4 * rank);
    }
  }
  float sum = 0;
  for (int t = 0; t < tiles && threadIdx.x < 128; t++) {
    const int s = t % 2;
    mbarrier_wait(&full[s], t / 2 % 2);
    sum += slot[s * 256 + threadIdx.x] - 2 * slot[s * 256 + 128 + threadIdx.x];
    for (unsigned r = 0; r < 2; r++) mbarrier_arrive_remote(&empty[s], r);
  }
  if (threadIdx.x < 128) y[blockIdx.x * 128 + threadIdx.x] = sum;
  cluster_sync();
}

CASE(cluster_multicast) {
  constexpr int tiles = 5;
  Aligned<float> x(tiles * 256), y(4 * 128);
  for (size_t i = 0; i < x.size; i++) x[i] = static_cast<float>(i * 37 % 101);
  run_cluster(multicast_sum, 4, 160, 2, 2048,
              matrix_map(TensorType::f32, x.data, tiles * 8, 32, 4, 32, Swizzle::none), tiles,
              y.data);
  for (int i = 0; i < 128; i++) {
    float sum = 0;
    for (int t = 0; t < tiles; t++) sum += x[t * 256 + i] - 2 * x[t * 256 + 128 + i];
    for (int b = 0; b < 4; b++) CHECK_EQ(y[b * 128 + i], sum);
  }
}

// Threads that have exited are not waited for.
__global__ void some_leave(int* y) {
  if (threadIdx.x % 3 == 1) return;
  cluster_sync();
  y[blockIdx.x * 96 + threadIdx.x] = 1;
}

CASE(cluster_barrier_without_exited_threads) {
  Aligned<int> y(192);
  run_cluster(some_leave, 2, 96, 2, 0, y.data);
  for (int i = 0; i < 192; i++) CHECK_EQ(y[i], i % 3 != 1);
}

#if GG_SIMULATOR
// ---- misuse ------------------------------------------------------------------------------------

enum class Mistake {
  none,
  wait_only,
  arrive_twice,
  rank,
  mask,
  exited_arrive,
  exited_map,
  exited_load,
  load_in_flight,
};

__global__ void misuse(const __grid_constant__ TensorMap map, Mistake mistake) {
  GG_SHARED(full, Mbarrier[1]);
  float* tile = shared_dynamic<float>();
  set_up(full, 8);
  if (mistake == Mistake::wait_only) cluster_wait();  // wait
  cluster_arrive();
  if (mistake == Mistake::arrive_twice) cluster_arrive();  // twice
  cluster_wait();
  if (mistake == Mistake::rank) cluster_map(tile, 2);  // rank
  if (cluster_rank() == 1) return;
  if (mistake == Mistake::none) return;
  for (int i = 0; i < 1000 && mistake != Mistake::mask; i++) spin_pause();  // block 1 is gone
  if (threadIdx.x != 0) return;
  if (mistake == Mistake::exited_arrive) mbarrier_arrive_remote(full, 1);              // arrive
  if (mistake == Mistake::exited_map) cluster_map(tile, 1);                            // map
  if (mistake == Mistake::mask) tma_load_multicast(tile, &map, full, 5, 0, 0);         // mask
  if (mistake == Mistake::exited_load) tma_load_multicast(tile, &map, full, 3, 0, 0);  // load
  if (mistake == Mistake::load_in_flight) tma_load(tile, &map, full, 0, 0);            // in flight
}

CASE(cluster_misuse) {
  Aligned<float> x(32 * 32);
  const TensorMap map = matrix_map(TensorType::f32, x.data, 32, 32, 4, 32, Swizzle::none);
  const auto make = [&](Mistake mistake) {
    launch_cluster(misuse, 2, 32, 2, 1024, nullptr, map, mistake);
  };
  make(Mistake::none);
  CHECK_THROWS([&] { make(Mistake::wait_only); }, AT("wait"), "has not called cluster_arrive");
  CHECK_THROWS([&] { make(Mistake::arrive_twice); }, AT("twice"), "cluster_wait comes first");
  CHECK_THROWS([&] { make(Mistake::rank); }, AT("rank"), "rank 2 in a cluster of 2");
  CHECK_THROWS([&] { make(Mistake::mask); }, AT("mask"), "mask 0x5 in a cluster of 2");
  CHECK_THROWS([&] { make(Mistake::exited_arrive); }, AT("arrive"), "block 1 of the cluster has");
  CHECK_THROWS([&] { make(Mistake::exited_map); }, AT("map"), "its shared memory is gone");
  CHECK_THROWS([&] { make(Mistake::exited_load); }, AT("load"), "block 1 of the cluster has");
  sim::set_schedule("forward", "lazy", 1, 1);
  CHECK_THROWS([&] { make(Mistake::load_in_flight); }, AT("in flight"),
               "exits while this TMA load still writes");
}

CASE(cluster_launches) {
  int rank[8], size[8];
  const auto cluster = [&](dim3 grid, dim3 blocks) {
    launch_cluster(who, grid, 32, blocks, 0, nullptr, rank, size);
  };
  CHECK_THROWS([&] { cluster(9, 9); }, "cluster (9, 1, 1) must have 1 to 8 blocks");
  CHECK_THROWS([&] { cluster(5, 2); }, "not a multiple of the cluster (2, 1, 1)");
  sim::set_architecture(80);
  CHECK_THROWS([&] { cluster(4, 2); }, "clusters need architecture 90");
  sim::set_architecture(90);
  cluster(8, 8);
}
#endif
