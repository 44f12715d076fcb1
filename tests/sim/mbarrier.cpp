// mbarriers: phases, bytes, waiting, and what is wrong to do with them.

#include "hopper.h"

using namespace gg;

#define AT(comment) check_line(__FILE__, comment)

// A ring of two cells, filled by the first warp and emptied by the second, for many rounds.
__global__ void ring(const int* x, int* y, int rounds) {
  GG_SHARED(full, Mbarrier[2]);
  GG_SHARED(empty, Mbarrier[2]);
  GG_SHARED(cell, int[2][32]);
  if (threadIdx.x == 0) {
    for (int i = 0; i < 2; i++) {
      mbarrier_init(&full[i], 32);
      mbarrier_init(&empty[i], 32);
    }
    fence_mbarrier_init();
  }
  __syncthreads();
  const int lane = lane_id();
  for (int r = 0; r < rounds; r++) {
    const int s = r % 2, parity = r / 2 % 2;
    if (warp_id() == 0) {
      mbarrier_wait(&empty[s], parity ^ 1);
      cell[s][lane] = x[r * 32 + lane];
      mbarrier_arrive(&full[s]);
    } else {
      if (r % 3 == 0) {
        while (!mbarrier_test(&full[s], parity)) spin_pause();
      } else {
        mbarrier_wait(&full[s], parity);
      }
      y[r * 32 + lane] = cell[s][31 - lane];
      mbarrier_arrive(&empty[s]);
    }
  }
}

CASE(mbarrier_ring) {
  constexpr int rounds = 9;
  Aligned<int> x(rounds * 32), y(rounds * 32);
  for (int i = 0; i < rounds * 32; i++) x[i] = i;
  run(ring, 1, 64, 0, x.data, y.data, rounds);
  for (int i = 0; i < rounds * 32; i++) CHECK_EQ(y[i], i / 32 * 32 + 31 - i % 32);
}

// Two copies report their bytes to one phase; the barrier's memory serves again afterwards.
__global__ void two_copies(const int* x, int* y) {
  GG_SHARED(full, Mbarrier[1]);
  GG_SHARED(tile, int[128]);
  set_up(full);
  if (threadIdx.x == 0) {
    bulk_load(tile, x, 256, full);  // before anybody expects it
    mbarrier_expect_tx_only(full, 256);
    mbarrier_expect_tx(full, 256);
    bulk_load(tile + 64, x + 64, 256, full);
  }
  mbarrier_wait(full, 0);
  const int v = tile[threadIdx.x] + tile[threadIdx.x + 64];
  __syncthreads();
  if (threadIdx.x == 0) {
    mbarrier_invalidate(full);
    mbarrier_init(full, 64);
    fence_mbarrier_init();
  }
  __syncthreads();
  mbarrier_arrive(full);
  mbarrier_wait(full, 0);
  y[threadIdx.x] = v;
}

CASE(mbarrier_counts_bytes) {
  Aligned<int> x(128), y(64);
  for (int i = 0; i < 128; i++) x[i] = i * i;
  run(two_copies, 1, 64, 0, x.data, y.data);
  for (int i = 0; i < 64; i++) CHECK_EQ(y[i], i * i + (i + 64) * (i + 64));
}

#if GG_SIMULATOR
// ---- misuse ------------------------------------------------------------------------------------

enum class Mistake {
  none,
  no_init,
  init_twice,
  count,
  too_many,
  overwritten,
  invalidate_in_use,
  invalidated,
  no_bytes,
  parity_2,
  not_fenced,
  outside,
  bytes,
};

__global__ void misuse(Mistake mistake, int* global) {
  GG_SHARED(bar, Mbarrier[1]);
  GG_SHARED(tile, int[32]);
  if (threadIdx.x == 0 && mistake != Mistake::no_init) {
    mbarrier_init(bar, mistake == Mistake::count ? 0 : 1);      // init
    if (mistake == Mistake::init_twice) mbarrier_init(bar, 1);  // init_twice
    if (mistake != Mistake::not_fenced) fence_mbarrier_init();
  }
  __syncthreads();
  if (mistake == Mistake::invalidated && threadIdx.x == 0) mbarrier_invalidate(bar);  // gone
  if (mistake == Mistake::overwritten && threadIdx.x == 0) bar[0] = 7;
  if (mistake == Mistake::outside) mbarrier_arrive(reinterpret_cast<Mbarrier*>(global));  // outside
  if (threadIdx.x == 0) {
    mbarrier_expect_tx(bar, mistake == Mistake::bytes ? 1 << 21 : 128);   // expect
    if (mistake == Mistake::too_many) mbarrier_arrive(bar);               // too_many
    if (mistake == Mistake::invalidate_in_use) mbarrier_invalidate(bar);  // invalidate
    if (mistake != Mistake::no_bytes) bulk_load(tile, global, 128, bar);  // load
  }
  __syncwarp();
  mbarrier_wait(bar, mistake == Mistake::parity_2 ? 2 : 0);  // wait
}

static void make(Mistake mistake) {
  Aligned<int> global(32);
  launch(misuse, 1, 32, 0, nullptr, mistake, global.data);
}

CASE(mbarrier_misuse) {
  make(Mistake::none);
  CHECK_THROWS([] { make(Mistake::no_init); }, AT("expect"), "no mbarrier_init at");
  CHECK_THROWS([] { make(Mistake::init_twice); }, AT("init_twice"), "already set up at",
               AT("init"));
  CHECK_THROWS([] { make(Mistake::count); }, AT("init"), "count is 0");
  CHECK_THROWS([] { make(Mistake::too_many); }, AT("too_many"), "more arrivals than the 1 expected",
               "128 bytes");
  CHECK_THROWS([] { make(Mistake::overwritten); }, AT("expect"), "was overwritten", AT("init"));
  CHECK_THROWS([] { make(Mistake::invalidate_in_use); }, AT("invalidate"), "in use",
               "128 bytes are missing");
  CHECK_THROWS([] { make(Mistake::invalidated); }, AT("expect"), "was invalidated at", AT("gone"));
  CHECK_THROWS([] { make(Mistake::parity_2); }, AT("wait"), "parity is 2");
  CHECK_THROWS([] { make(Mistake::not_fenced); }, AT("load"), "no fence_mbarrier_init after",
               AT("init"));
  CHECK_THROWS([] { make(Mistake::outside); }, AT("outside"),
               "is not in this block's shared memory");
  CHECK_THROWS([] { make(Mistake::bytes); }, AT("expect"), "the limit is 1048575");
  make(Mistake::none);
}

CASE(mbarrier_deadlock_names_it) {
  CHECK_THROWS([] { make(Mistake::no_bytes); }, "deadlock", "32 threads wait in mbarrier_wait",
               "mbarrier at shared address 0x", AT("init"), "waited for with parity 0",
               "misses 0 of 1 arrivals and 128 bytes");
}
#endif
