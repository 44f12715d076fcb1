// Every Hopper primitive in a kernel that does not ask for Hopper first: on another architecture
// each traps (test_hopper.py). Never run.

#include "device/device.h"
#include "device/hopper.h"

using namespace gg;

// Its name ends in "_traps"; `bar`, `tile`, `map`, `d` and `a` are at hand.
#define TRAPS(name, ...)                                                                       \
  __global__ void name##_traps(const __grid_constant__ TensorMap map, float* out, int* flag) { \
    GG_SHARED(bar, Mbarrier[1]);                                                               \
    [[maybe_unused]] char* tile = shared_dynamic<char>();                                      \
    [[maybe_unused]] float d[4] = {};                                                          \
    [[maybe_unused]] const uint32_t a[4] = {};                                                 \
    __VA_ARGS__;                                                                               \
    *out = d[0] + static_cast<float>(*bar);                                                    \
  }

TRAPS(mbarrier_init, mbarrier_init(bar, 1))
TRAPS(fence_mbarrier_init, fence_mbarrier_init())
TRAPS(mbarrier_invalidate, mbarrier_invalidate(bar))
TRAPS(mbarrier_arrive, mbarrier_arrive(bar))
TRAPS(mbarrier_expect_tx, mbarrier_expect_tx(bar, 64))
TRAPS(mbarrier_expect_tx_only, mbarrier_expect_tx_only(bar, 64))
TRAPS(mbarrier_arrive_remote, mbarrier_arrive_remote(bar, 1))
TRAPS(mbarrier_test, *flag = mbarrier_test(bar, 0))
TRAPS(mbarrier_wait, mbarrier_wait(bar, 0))
TRAPS(cluster_arrive, cluster_arrive())
TRAPS(cluster_wait, cluster_wait())
TRAPS(cluster_map, *cluster_map(tile, 1) = 1)
TRAPS(tma_load, tma_load(tile, &map, bar, 0, 0))
TRAPS(tma_load_multicast, tma_load_multicast(tile, &map, bar, 3, 0, 0))
TRAPS(tma_load_im2col, tma_load_im2col(tile, &map, bar, TmaOffsets{}, 0, 0, 0))
TRAPS(bulk_load, bulk_load(tile, out, 64, bar))
TRAPS(tma_prefetch, tma_prefetch(&map))
TRAPS(tma_store, tma_store(&map, tile, 0, 0))
TRAPS(tma_reduce, tma_reduce_add(&map, tile, 0, 0))
TRAPS(bulk_store, bulk_store(out, tile, 64))
TRAPS(tma_store_commit, tma_store_commit())
TRAPS(tma_store_wait, tma_store_wait<0>())
TRAPS(tma_store_wait_read, tma_store_wait_read<0>())
TRAPS(fence_proxy_async, fence_proxy_async())
TRAPS(fence_proxy_async_global, fence_proxy_async_global())
TRAPS(registers_increase, registers_increase<240>())
TRAPS(registers_decrease, registers_decrease<40>())
TRAPS(wgmma_shared, wgmma<bf16, 8>(d, 0, 0, true))
TRAPS(wgmma_registers, wgmma<bf16, 8>(d, a, 0, true))
TRAPS(wgmma_fence, wgmma_fence())
TRAPS(wgmma_commit, wgmma_commit())
TRAPS(wgmma_wait, wgmma_wait<0>())

// What may be asked anywhere.
__global__ void answers(unsigned* out) {
  *out = cluster_rank() + cluster_size();
}
