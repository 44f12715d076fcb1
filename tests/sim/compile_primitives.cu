// Every primitive of matrix.h, mma.h, cp_async.h, named_barrier.h, cache.h, pdl.h and redux, for
// test_primitives_compile.py to compile. Nothing runs it.

#include "device/device.h"

using namespace gg;

template <int N>
__device__ uint32_t sum(const uint32_t (&r)[N]) {
  uint32_t total = 0;
  for (uint32_t x : r) total += x;
  return total;
}

template <int N>
__global__ void matrices(uint32_t* y) {
  GG_SHARED(tile, uint16_t[32][8]);
  uint32_t r[N], t[N];
  ldmatrix<N>(r, tile[lane_id()]);
  ldmatrix_trans<N>(t, tile[lane_id()]);
  if constexpr (GG_ARCH_AT_LEAST(90)) {
    stmatrix<N>(tile[lane_id()], t);
    stmatrix_trans<N>(tile[lane_id()], r);
  }
  y[threadIdx.x] = sum(r) + sum(t) + tile[threadIdx.x][0];
}
template __global__ void matrices<1>(uint32_t*);
template __global__ void matrices<2>(uint32_t*);
template __global__ void matrices<4>(uint32_t*);

template <class Op>
__device__ void multiply_tile(const uint32_t* x, typename Op::Sum* y) {
  typename Op::Sum d[2][2][Op::kD] = {};
  uint32_t a[2][Op::kA], b[2][Op::kB];
  for (int i = 0; i < 2 * Op::kA; i++) (&a[0][0])[i] = x[i];
  for (int i = 0; i < 2 * Op::kB; i++) (&b[0][0])[i] = x[i + 16];
  mma_tile<Op>(d, a, b);
  for (int i = 0; i < 4 * Op::kD; i++) y[i] += (&d[0][0][0])[i];
}

__global__ void tiles_from_75(const uint32_t* x, float* y, int32_t* z) {
  multiply_tile<MmaM16N8K8<f16>>(x, y);
  multiply_tile<MmaM8N8K16<int8_t>>(x, z);
  multiply_tile<MmaM8N8K16<uint8_t>>(x, z);
}

__global__ void tiles_from_80(const uint32_t* x, float* y, int32_t* z) {
  if constexpr (kDeviceHas80) {
    multiply_tile<MmaM16N8K16<f16>>(x, y);
    multiply_tile<MmaM16N8K16<bf16>>(x, y);
    multiply_tile<MmaM16N8K8Tf32>(x, y);
    multiply_tile<MmaM16N8K32<int8_t>>(x, z);
    multiply_tile<MmaM16N8K32<uint8_t>>(x, z);
  }
}

__global__ void singles(const float* x, float* y, int32_t* z) {
  float d[4] = {};
  int32_t i[4] = {}, j[2] = {};
  const uint32_t a[4] = {to_tf32(x[0]), to_tf32(x[1]), 1, 2}, b[2] = {to_tf32(x[2]), 3};
  const uint32_t a2[2] = {a[0], a[1]}, a1[1] = {a[2]}, b1[1] = {b[0]};
  mma_m16n8k16<f16>(d, a, b);
  mma_m16n8k16<bf16>(d, a, b);
  mma_m16n8k8<f16>(d, a2, b1);
  mma_m16n8k8_tf32(d, a, b);
  mma_m16n8k32<int8_t>(i, a, b);
  mma_m16n8k32<uint8_t>(i, a, b);
  mma_m8n8k16<int8_t>(j, a1, b1);
  mma_m8n8k16<uint8_t>(j, a1, b1);
  *y = d[0] + d[1] + d[2] + d[3];
  *z = i[0] + i[1] + i[2] + i[3] + j[0] + j[1];
}

__global__ void copies(const unsigned char* x, uint32_t* y, int bytes) {
  GG_SHARED(tile, uint32_t[32]);
  cp_async<4>(tile, x);
  cp_async<8>(tile + 2, x);
  cp_async<16>(tile + 4, x);
  cp_async_commit();
  cp_async<4>(tile + 8, x, bytes);
  cp_async<8>(tile + 10, x, bytes);
  cp_async<16>(tile + 12, x, bytes);
  cp_async_commit();
  cp_async_wait<1>();
  cp_async_wait<0>();
  __syncthreads();
  y[threadIdx.x] = tile[threadIdx.x];
}

__global__ void barriers(uint32_t* y) {
  grid_dependency_wait();
  grid_dependency_launch();
  if (warp_id() == 0) {
    barrier_arrive(1, 64);
  } else {
    barrier_sync(1, 64);
  }
  *y = 1;
}

template <class T>
__global__ void redux(const T* x, T* y) {
  const T v = *x;
  *y = warp_redux_add(v) + warp_redux_min(v) + warp_redux_max(v) + warp_redux_and(v) +
       warp_redux_or(v) + warp_redux_xor(v);
}
template __global__ void redux<int>(const int*, int*);
template __global__ void redux<unsigned>(const unsigned*, unsigned*);

template <class T, int N>
__global__ void streams(const T* x, T* y) {
  prefetch_l2(x + 1024);
  store_vec_streaming(y, load_vec_streaming<N>(x));
}
template __global__ void streams<uint8_t, 1>(const uint8_t*, uint8_t*);
template __global__ void streams<uint8_t, 2>(const uint8_t*, uint8_t*);
template __global__ void streams<float, 1>(const float*, float*);
template __global__ void streams<float, 2>(const float*, float*);
template __global__ void streams<float, 4>(const float*, float*);

__global__ void floats(const float* x, f8e4m3* y, f8e5m2* z, float* w) {
  *y = from_float<f8e4m3>(x[0]);
  *z = from_float<f8e5m2>(x[1]);
  *w = to_float(y[1]) + to_float(z[1]);
}

void start(uint32_t* y, Stream stream) {
  launch_dependent(barriers, 1, 64, 0, stream, y);
  launch(matrices<4>, architecture() >= 90 ? 2 : 1, 32, 0, stream, y);
}
