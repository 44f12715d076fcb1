// Every Hopper primitive once, so that nvcc compiles it and the PTX can be looked at
// (test_hopper.py). Never run.

#include "device/device.h"
#include "device/hopper.h"

using namespace gg;

__global__ void barriers(int* out) {
  if constexpr (kDeviceHasHopper) {
    GG_SHARED(bar, Mbarrier[4]);
    if (threadIdx.x == 0) {
      mbarrier_init(&bar[0], 1);
      mbarrier_init(&bar[1], 32);
      fence_mbarrier_init();
    }
    cluster_sync();
    mbarrier_expect_tx(&bar[0], 64);
    mbarrier_expect_tx_only(&bar[0], 64);
    mbarrier_arrive(&bar[1]);
    mbarrier_arrive_remote(&bar[1], cluster_rank() ^ 1);
    mbarrier_wait(&bar[0], 0);
    mbarrier_wait(&bar[1], 1);
    while (!mbarrier_test(&bar[1], 0)) spin_pause();
    GG_SHARED(cell, int[1]);
    *cluster_map(cell, cluster_size() - 1) = 1;
    cluster_arrive();
    cluster_wait();
    mbarrier_invalidate(&bar[0]);
    out[0] = cell[0];
  }
}

__global__ void copies(const __grid_constant__ TensorMap map, float* x, int c) {
  if constexpr (kDeviceHasHopper) {
    GG_SHARED(bar, Mbarrier[1]);
    float* tile = shared_dynamic<float>();
    tma_prefetch(&map);
    tma_load(tile, &map, bar, c);
    tma_load(tile, &map, bar, c, c + 1);
    tma_load(tile, &map, bar, c, c + 1, c + 2);
    tma_load(tile, &map, bar, c, c + 1, c + 2, c + 3);
    tma_load(tile, &map, bar, c, c + 1, c + 2, c + 3, c + 4);
    tma_load_multicast(tile, &map, bar, 3, c, c);
    tma_load_multicast(tile, &map, bar, 3, c, c, c, c, c);
    tma_load_im2col(tile, &map, bar, TmaOffsets{1}, c, c, c);
    tma_load_im2col(tile, &map, bar, TmaOffsets{1, 2}, c, c, c, c);
    tma_load_im2col(tile, &map, bar, TmaOffsets{1, 2, 3}, c, c, c, c, c);
    bulk_load(tile, x, 256, bar);
    mbarrier_wait(bar, 0);
    fence_proxy_async();
    fence_proxy_async_global();
    tma_store(&map, tile, c);
    tma_store(&map, tile, c, c, c);
    tma_reduce_add(&map, tile, c, c);
    tma_reduce_min(&map, tile, c, c, c);
    tma_reduce_max(&map, tile, c, c, c, c, c);
    bulk_store(x, tile, 256);
    tma_store_commit();
    tma_store_wait_read<1>();
    tma_store_wait<0>();
  }
}

template <class A, int N, bool TransA, bool TransB, class B>
__global__ void products(WgmmaAcc<A>* y, int steps) {
  if constexpr (kDeviceHasHopper) {
    char* tile = shared_dynamic<char>();
    WgmmaAcc<A> d[N / 2];
    const uint32_t registers[4] = {threadIdx.x, 1, 2, 3};
    uint64_t a = wgmma_descriptor(tile, 16, 1024, Swizzle::k128);
    const uint64_t b = wgmma_descriptor(tile + 32768, 16, 1024, Swizzle::k64);
    wgmma_pin(d);
    wgmma_fence();
    for (int i = 0; i < steps; i++) {
      wgmma<A, N, TransA, TransB, B>(d, a, b, i > 0);
      wgmma<A, N, TransB, B>(d, registers, b, true);
      a = wgmma_advance(a, 32);
    }
    wgmma_commit();
    wgmma_wait<0>();
    wgmma_pin(d);
    for (int i = 0; i < N / 2; i++) y[threadIdx.x + 128 * i] = d[i];
  }
}

__global__ __launch_bounds__(384, 1) void registers(int* out) {
  if constexpr (kDeviceHasHopper) {
    if (warp_id() < 4) {
      registers_decrease<40>();
    } else {
      registers_increase<232>();
    }
    out[threadIdx.x] = 1;
  }
}

/// What the host side compiles to; nvcc must not need libcuda.
void launch_all(Stream stream, float* x, int* out) {
  const int64_t dims[3] = {64, 8, 8}, strides[2] = {256, 2048};
  const int box[3] = {32, 8, 8}, one[1] = {1}, zero[1] = {0};
  const TensorMap tiled =
      tensor_map_tiled(TensorType::f32, 3, x, dims, strides, box, Swizzle::k128);
  const TensorMap im2col = tensor_map_im2col(TensorType::f32, 3, x, dims, strides,
                                             {zero, zero, one, 32, 8}, Swizzle::k128);
  launch_cluster(copies, 2, 128, 2, 65536, stream, tiled, x, 0);
  launch(copies, 1, 128, 65536, stream, im2col, x, 0);
  launch_cluster(barriers, 2, 128, dim3(2), 0, stream, out);
  launch(registers, 1, 384, 0, stream, out);
  launch(products<f16, 8, true, false, f16>, 1, 128, 65536, stream, x, 2);
  launch(products<bf16, 24, false, true, bf16>, 1, 128, 65536, stream, x, 2);
  launch(products<bf16, 256, true, true, bf16>, 1, 128, 65536, stream, x, 2);
  launch(products<tf32, 64, false, false, tf32>, 1, 128, 65536, stream, x, 2);
  launch(products<f8e4m3, 128, false, false, f8e4m3>, 1, 128, 65536, stream, x, 2);
  launch(products<f8e4m3, 16, false, false, f8e5m2>, 1, 128, 65536, stream, x, 2);
  launch(products<f8e5m2, 16, false, false, f8e4m3>, 1, 128, 65536, stream, x, 2);
  launch(products<f8e5m2, 16, false, false, f8e5m2>, 1, 128, 65536, stream, x, 2);
  launch(products<int8_t, 96, false, false, int8_t>, 1, 128, 65536, stream, out, 2);
  launch(products<uint8_t, 24, false, false, uint8_t>, 1, 128, 65536, stream, out, 2);
}
