// TMA's im2col loads against plain loops: what each element of a convolution's filter sees.

#include "hopper.h"

using namespace gg;

/// A convolution over an image [n, h, w, c], or less or more dimensions; W first.
struct Convolution {
  int spatial;
  int size[3], filter[3], padding[3], step[3], dilation[3];
  int images, channels;

  int outputs(int d) const {
    return (size[d] + 2 * padding[d] - dilation[d] * (filter[d] - 1) - 1) / step[d] + 1;
  }
};

__global__ void gather(const __grid_constant__ TensorMap map, Convolution v, int first, int c,
                       TmaOffsets offsets, int bytes, float* y) {
  GG_SHARED(full, Mbarrier[1]);
  float* tile = shared_dynamic<float>();
  set_up(full);
  if (threadIdx.x == 0) {
    mbarrier_expect_tx(full, bytes);
    int at[3] = {}, rest = first;
    for (int d = 0; d < v.spatial; d++) {
      const int n =
          (v.size[d] + 2 * v.padding[d] - v.dilation[d] * (v.filter[d] - 1) - 1) / v.step[d] + 1;
      at[d] = rest % n * v.step[d] - v.padding[d];
      rest /= n;
    }
    if (v.spatial == 1) tma_load_im2col(tile, &map, full, offsets, c, at[0], rest);
    if (v.spatial == 2) tma_load_im2col(tile, &map, full, offsets, c, at[0], at[1], rest);
    if (v.spatial == 3) tma_load_im2col(tile, &map, full, offsets, c, at[0], at[1], at[2], rest);
  }
  mbarrier_wait(full, 0);
  for (int i = threadIdx.x; i < bytes / 4; i += 32) y[i] = tile[i];
}

/// The input that output `pixel` sees through the filter's element f, channel c; 0 in the padding.
float expected_pixel(const Convolution& v, const float* x, int pixel, const int (&f)[3], int c) {
  int64_t offset = 0, stride = v.channels;
  for (int d = 0; d < v.spatial; d++) {
    const int at = pixel % v.outputs(d) * v.step[d] - v.padding[d] + f[d] * v.dilation[d];
    pixel /= v.outputs(d);
    if (at < 0 || at >= v.size[d]) return 0;
    offset += at * stride;
    stride *= v.size[d];
  }
  return pixel < v.images && c < v.channels ? x[offset + pixel * stride + c] : 0;
}

void check_im2col(const Convolution& v, int pixels, int channels, int first, Swizzle swizzle) {
  int64_t dims[5] = {v.channels}, strides[4] = {v.channels * 4};
  int upper[3], lower[3];
  int64_t volume = v.channels;
  for (int d = 0; d < v.spatial; d++) {
    dims[d + 1] = v.size[d];
    strides[d + 1] = strides[d] * v.size[d];
    lower[d] = -v.padding[d];
    upper[d] = v.padding[d] - v.dilation[d] * (v.filter[d] - 1);
    volume *= v.size[d];
  }
  dims[v.spatial + 1] = v.images;
  Aligned<float> x(volume * v.images), y(pixels * channels);
  for (size_t i = 0; i < x.size; i++) x[i] = static_cast<float>(i + 1);
  const TensorMap map = tensor_map_im2col(TensorType::f32, v.spatial + 2, x.data, dims, strides,
                                          {lower, upper, v.step, channels, pixels}, swizzle);
  const int filters = v.filter[0] * v.filter[1] * v.filter[2], bytes = pixels * channels * 4;
  for (int i = 0; i < filters; i++) {
    const int f[3] = {i % v.filter[0], i / v.filter[0] % v.filter[1],
                      i / v.filter[0] / v.filter[1]};
    const TmaOffsets offsets{static_cast<uint16_t>(f[0] * v.dilation[0]),
                             static_cast<uint16_t>(f[1] * v.dilation[1]),
                             static_cast<uint16_t>(f[2] * v.dilation[2])};
    run(gather, 1, 32, bytes, map, v, first, 4, offsets, bytes, y.data);
    for (int p = 0; p < pixels * channels; p++) {
      const int place = swizzled_place(p * 4, static_cast<int>(swizzle)) / 4;
      CHECK_EQ(y[place], expected_pixel(v, &x[0], first + p / channels, f, 4 + p % channels));
    }
  }
}

CASE(tma_im2col) {
  const Convolution one{1, {9, 1, 1}, {3, 1, 1}, {1, 0, 0}, {1, 1, 1}, {1, 1, 1}, 3, 12};
  const Convolution two{2, {7, 6, 1}, {3, 2, 1}, {1, 1, 0}, {2, 1, 1}, {1, 2, 1}, 2, 12};
  const Convolution three{3, {5, 4, 4}, {2, 3, 2}, {0, 1, 1}, {1, 2, 1}, {2, 1, 1}, 2, 12};
  check_im2col(one, 20, 8, 0, Swizzle::none);
  check_im2col(one, 20, 8, 13, Swizzle::k32);  // runs past the last image
  check_im2col(two, 32, 8, 5, Swizzle::none);
  check_im2col(two, 32, 16, 11, Swizzle::k64);  // runs past the last channel
  check_im2col(three, 40, 4, 7, Swizzle::none);
}

#if GG_SIMULATOR
// ---- misuse ------------------------------------------------------------------------------------

#define AT(comment) check_line(__FILE__, comment)

__global__ void load_one(const __grid_constant__ TensorMap map, int rank, int w, int h, int d,
                         TmaOffsets at) {
  GG_SHARED(full, Mbarrier[1]);
  float* tile = shared_dynamic<float>();
  set_up(full);
  if (threadIdx.x == 0) {
    mbarrier_expect_tx(full, 64);
    if (rank == 3) tma_load_im2col(tile, &map, full, at, 0, w, 9);        // 3
    if (rank == 4) tma_load_im2col(tile, &map, full, at, 0, w, h, 9);     // 4
    if (rank == 5) tma_load_im2col(tile, &map, full, at, 0, w, h, d, 9);  // 5
  }
  mbarrier_wait(full, 0);
}

CASE(tma_im2col_misuse) {
  Aligned<float> x(4 * 6 * 5 * 4 * 2);
  // W is 6, H 5, D 4; pixels start at -1 and end at W - 3, H, D - 2.
  const int64_t dims[5] = {4, 6, 5, 4, 2}, strides[4] = {16, 96, 480, 1920};
  const int64_t dims4[4] = {4, 6, 5, 8}, dims3[3] = {4, 6, 40};
  const int lower[3] = {-1, 0, -1}, upper[3] = {-2, 1, -1}, step[3] = {1, 1, 1};
  const auto load = [&](int rank, int w, int h, int d, TmaOffsets at) {
    const int64_t* shape = rank == 5 ? dims : rank == 4 ? dims4 : dims3;
    launch(load_one, 1, 32, 128, nullptr,
           tensor_map_im2col(TensorType::f32, rank, x.data, shape, strides,
                             {lower, upper, step, 4, 4}, Swizzle::none),
           rank, w, h, d, at);
  };
  load(3, -1, 0, 0, {65535});
  load(4, 3, 5, 0, {255, 255});
  load(5, 3, 5, 2, {31, 31, 31});
  CHECK_THROWS([&] { load(4, 0, 0, 0, {256, 0}); }, AT("4"), "offset 256 of w", "0 to 255");
  CHECK_THROWS([&] { load(4, 0, 0, 0, {0, 256}); }, AT("4"), "offset 256 of h", "0 to 255");
  CHECK_THROWS([&] { load(5, 0, 0, 0, {0, 0, 32}); }, AT("5"), "offset 32 of d", "0 to 31");
  CHECK_THROWS([&] { load(3, -2, 0, 0, {}); }, AT("3"), "starts at w = -2", "-1 to 3");
  CHECK_THROWS([&] { load(4, 4, 0, 0, {}); }, AT("4"), "starts at w = 4", "-1 to 3");
  CHECK_THROWS([&] { load(4, 0, 6, 0, {}); }, AT("4"), "starts at h = 6", "0 to 5");
  CHECK_THROWS([&] { load(5, 0, 0, 3, {}); }, AT("5"), "starts at d = 3", "-1 to 2");
}
#endif
