// Bugs in asynchronous kernels, each beside its corrected twin: see bugs.cpp.
//
// A sum of tiles: one thread fetches them by TMA into two slots, the others add them up; or the
// other way round; or through wgmma.

#include <cmath>

#include "hopper.h"

using namespace gg;

constexpr int kTiles = 6, kThreads = 32;

enum class Bug {
  none,
  no_empty_wait,
  wrong_parity,
  no_full_wait,
  no_store_wait,
  no_proxy_fence,
  leave_early,
  early_release,
};

__global__ void sum_tiles(const float* x, float* y, Bug bug) {
  GG_SHARED(full, Mbarrier[2]);
  GG_SHARED(empty, Mbarrier[2]);
  float* slot = shared_dynamic<float>();
  if (threadIdx.x == 0) {
    for (int i = 0; i < 2; i++) {
      mbarrier_init(&full[i], 1);
      mbarrier_init(&empty[i], kThreads);
    }
    fence_mbarrier_init();
  }
  __syncthreads();
  if (threadIdx.x == kThreads) {
    for (int t = 0; t < kTiles; t++) {
      const int s = t % 2, parity = t / 2 % 2 ^ (bug == Bug::wrong_parity ? 0 : 1);
      if (bug != Bug::no_empty_wait) mbarrier_wait(&empty[s], parity);  // BUG: wrong_parity
      mbarrier_expect_tx(&full[s], 128);                                // BUG: no_empty_wait
      bulk_load(slot + s * 32, x + t * 32, 128, &full[s]);
    }
  } else if (threadIdx.x < kThreads) {
    float sum = 0;
    for (int t = 0; t < kTiles; t++) {
      const int s = t % 2;
      if (bug != Bug::no_full_wait) mbarrier_wait(&full[s], t / 2 % 2);
      sum += slot[s * 32 + threadIdx.x];  // BUG: no_full_wait
      mbarrier_arrive(&empty[s]);
    }
    y[threadIdx.x] = sum;
  }
}

// A tile is stored while it is written again; or stored before the writes are fenced.
__global__ void store_tiles(float* y, Bug bug) {
  float* tile = shared_dynamic<float>();
  for (int t = 0; t < kTiles; t++) {
    const int value = t * kThreads + static_cast<int>(threadIdx.x);
    tile[threadIdx.x] = static_cast<float>(value);  // BUG: no_store_wait
    if (bug != Bug::no_proxy_fence) fence_proxy_async();
    __syncwarp();
    if (threadIdx.x == 0) {
      bulk_store(y + t * kThreads, tile, 4 * kThreads);  // BUG: no_proxy_fence
      tma_store_commit();
      if (bug != Bug::no_store_wait) tma_store_wait_read<0>();
    }
    __syncwarp();
  }
  if (threadIdx.x == 0) tma_store_wait<0>();
}

// Each block of a cluster reads its neighbour's tile.
__global__ void read_neighbour(const float* x, float* y, bool early) {
  GG_SHARED(tile, float[kThreads]);
  const int i = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  tile[threadIdx.x] = x[i];
  const float* other = cluster_map(tile, cluster_rank() ^ 1);
  cluster_sync();
  if (early && cluster_rank() == 1) return;
  if (early) {
    for (int n = 0; n < 100; n++) spin_pause();  // the time in which block 1 leaves
  }
  y[i] = other[threadIdx.x];  // BUG: leave_early
  cluster_sync();
}

// Products of tiles that wgmma reads after the slot was given back.
__global__ void product_tiles(const bf16* x, float* y, Bug bug) {
  GG_SHARED(full, Mbarrier[1]);
  GG_SHARED(empty, Mbarrier[1]);
  bf16* slot = shared_dynamic<bf16>();  // A [64][16] and B [8][16] without a swizzle
  if (threadIdx.x == 0) {
    mbarrier_init(full, 1);
    mbarrier_init(empty, 128);
    fence_mbarrier_init();
  }
  __syncthreads();
  if (threadIdx.x == 128) {
    for (int t = 0; t < kTiles; t++) {
      mbarrier_wait(empty, t % 2 ^ 1);
      mbarrier_expect_tx(full, 2304);
      bulk_load(slot, x + t * 1152, 2304, full);
    }
  } else if (threadIdx.x < 128) {
    float d[4] = {};
    for (int t = 0; t < kTiles; t++) {
      mbarrier_wait(full, t % 2);
      wgmma_fence();
      wgmma<bf16, 8>(d, wgmma_descriptor(slot, 1024, 128, Swizzle::none),
                     wgmma_descriptor(slot + 1024, 128, 128, Swizzle::none), true);
      wgmma_commit();
      if (bug == Bug::early_release) mbarrier_arrive(empty);
      wgmma_wait<0>();
      if (bug != Bug::early_release) mbarrier_arrive(empty);
    }
    wgmma_pin(d);
    y[threadIdx.x] = d[0] + d[1] + d[2] + d[3];
  }
}

// wgmma of a tile that threads wrote themselves.
__global__ void product_of_written(const bf16* x, float* y, bool fenced) {
  bf16* tile = shared_dynamic<bf16>();
  for (int i = threadIdx.x; i < 1152; i += 128) tile[i] = x[i];
  if (fenced) fence_proxy_async();
  __syncthreads();
  const uint64_t a = wgmma_descriptor(tile, 1024, 128, Swizzle::none);
  const uint64_t b = wgmma_descriptor(tile + 1024, 128, 128, Swizzle::none);
  float d[4];
  wgmma_fence();
  wgmma<bf16, 8>(d, a, b, false);  // BUG: unfenced_product
  wgmma_commit();
  wgmma_wait<0>();
  y[threadIdx.x] = d[0] + d[1] + d[2] + d[3];
}

// One thread's writes are fenced after everybody has issued the product, or before.
__global__ void product_of_one(const bf16* x, float* y, bool late) {
  bf16* tile = shared_dynamic<bf16>();
  if (threadIdx.x == 5) {
    for (int i = 0; i < 1152; i++) tile[i] = x[i];
    if (!late) fence_proxy_async();
  }
  __syncthreads();
  float d[4] = {};
  const uint64_t a = wgmma_descriptor(tile, 1024, 128, Swizzle::none);
  const uint64_t b = wgmma_descriptor(tile + 1024, 128, 128, Swizzle::none);
  wgmma_fence();
  wgmma<bf16, 8>(d, a, b, false);  // BUG: late_fence
  if (late) fence_proxy_async();
  wgmma_commit();
  wgmma_wait<0>();
  y[threadIdx.x] = d[0] + d[1] + d[2] + d[3];
}

// Accumulators are looked at before their product is waited for.
__global__ void early_look(const bf16* x, float* y, bool waits) {
  bf16* tile = shared_dynamic<bf16>();
  for (int i = threadIdx.x; i < 1152; i += 128) tile[i] = x[i];
  fence_proxy_async();
  __syncthreads();
  float d[4] = {};
  wgmma_fence();
  wgmma<bf16, 8>(d, wgmma_descriptor(tile, 1024, 128, Swizzle::none),
                 wgmma_descriptor(tile + 1024, 128, 128, Swizzle::none), false);
  wgmma_commit();
  if (waits) wgmma_wait<0>();
  const float sum = d[0] + d[1] + d[2] + d[3];  // BUG: early_look
  if (!waits) wgmma_wait<0>();
  y[threadIdx.x] = sum;
}

static void say(bool right) {
  puts(right ? "right" : "wrong");
}

static void run_sum(Bug bug) {
  Aligned<float> x(kTiles * 32), y(32);
  for (size_t i = 0; i < x.size; i++) x[i] = static_cast<float>(i * i % 97);
  launch(sum_tiles, 1, 64, 256, nullptr, x.data, y.data, bug);
  bool right = true;
  for (int i = 0; i < 32; i++) {
    float sum = 0;
    for (int t = 0; t < kTiles; t++) sum += x[t * 32 + i];
    right &= y[i] == sum;
  }
  say(right);
}

static void run_store(Bug bug) {
  Aligned<float> y(kTiles * kThreads);
  launch(store_tiles, 1, kThreads, 128, nullptr, y.data, bug);
  bool right = true;
  for (size_t i = 0; i < y.size; i++) right &= y[i] == static_cast<float>(i);
  say(right);
}

static void run_neighbour(bool early) {
  Aligned<float> x(64), y(64);
  for (int i = 0; i < 64; i++) x[i] = static_cast<float>(i);
  launch_cluster(read_neighbour, 2, kThreads, 2, 0, nullptr, x.data, y.data, early);
  bool right = true;
  for (int i = 0; i < 32; i++) right &= y[i] == x[i + 32];
  say(right);
}

/// A [64][16], B [8][16] in units of 8 rows by 8 elements, `tiles` times.
static void run_products(int tiles, void (*run)(const bf16*, float*)) {
  Aligned<bf16> x(static_cast<size_t>(tiles) * 1152);
  Aligned<float> y(128);
  for (size_t i = 0; i < x.size; i++) x[i] = from_small<bf16>(small_number(i));
  run(x.data, y.data);
  const auto at = [&](int t, int base, int rows, int row, int k) {
    return to_float(x[t * 1152 + base + k / 8 * rows * 8 + row * 8 + k % 8]);
  };
  bool right = true;
  for (int i = 0; i < 128; i++) {
    float sum = 0;
    for (int j = 0; j < 4; j++) {
      const int row = i / 32 * 16 + i % 32 / 4 + j / 2 * 8, column = i % 4 * 2 + j % 2;
      for (int t = 0; t < tiles; t++) {
        for (int k = 0; k < 16; k++) sum += at(t, 0, 64, row, k) * at(t, 1024, 8, column, k);
      }
    }
    right &= y[i] == sum;
  }
  say(right);
}

static void run_release(Bug bug) {
  static Bug which;
  which = bug;
  run_products(kTiles, [](const bf16* x, float* y) {
    launch(product_tiles, 1, 160, 2304, nullptr, x, y, which);
  });
}

static void run_written(bool fenced) {
  static bool fences;
  fences = fenced;
  run_products(1, [](const bf16* x, float* y) {
    launch(product_of_written, 1, 128, 2304, nullptr, x, y, fences);
  });
}

static void run_late(bool late) {
  static bool which;
  which = late;
  run_products(1, [](const bf16* x, float* y) {
    launch(product_of_one, 1, 128, 2304, nullptr, x, y, which);
  });
}

static void run_look(bool waits) {
  static bool which;
  which = waits;
  run_products(
      1, [](const bf16* x, float* y) { launch(early_look, 1, 128, 2304, nullptr, x, y, which); });
}

#define BOTH(name, faulty, fixed) \
  CASE(name) {                    \
    faulty;                       \
  }                               \
  CASE(name##_fixed) {            \
    fixed;                        \
  }

BOTH(no_empty_wait, run_sum(Bug::no_empty_wait), run_sum(Bug::none))
BOTH(wrong_parity, run_sum(Bug::wrong_parity), run_sum(Bug::none))
BOTH(no_full_wait, run_sum(Bug::no_full_wait), run_sum(Bug::none))
BOTH(no_store_wait, run_store(Bug::no_store_wait), run_store(Bug::none))
BOTH(no_proxy_fence, run_store(Bug::no_proxy_fence), run_store(Bug::none))
BOTH(leave_early, run_neighbour(true), run_neighbour(false))
BOTH(early_release, run_release(Bug::early_release), run_release(Bug::none))
BOTH(unfenced_product, run_written(false), run_written(true))
BOTH(late_fence, run_late(true), run_late(false))
BOTH(early_look, run_look(false), run_look(true))
