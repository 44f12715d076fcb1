// Tensor maps: what the rules say, and that a driver takes the maps that kernels make.

#include "hopper.h"

using namespace gg;

CASE(tensor_map_rules) {
  Aligned<float> x(64 * 64);
  const auto tiled = [&](int offset, int64_t columns, int64_t stride, int box, Swizzle swizzle) {
    const int64_t dims[2] = {columns, 64}, strides[1] = {stride};
    const int boxes[2] = {box, 8};
    tensor_map_tiled(TensorType::f32, 2, x.data + offset, dims, strides, boxes, swizzle);
  };
  tiled(0, 64, 256, 32, Swizzle::k128);
  CHECK_THROWS([&] { tiled(1, 64, 256, 32, Swizzle::none); }, "aligned to 16 bytes",
               "dims (64, 64)", "strides (256)", "box (32, 8)");
  CHECK_THROWS([&] { tiled(0, 63, 252, 32, Swizzle::none); }, "strides[0] must be");
  CHECK_THROWS([&] { tiled(0, 0, 256, 32, Swizzle::none); }, "dims[0] must be 1 to 2^32");
  CHECK_THROWS([&] { tiled(0, 64, 256, 260, Swizzle::none); }, "box[0] must be 1 to 256");
  CHECK_THROWS([&] { tiled(0, 64, 256, 3, Swizzle::none); }, "row is 12 bytes", "multiple of 16");
  CHECK_THROWS([&] { tiled(0, 64, 256, 64, Swizzle::k128); }, "row is 256 bytes", "the swizzle");
  const int64_t dims[4] = {16, 8, 8, 2}, strides[3] = {64, 512, 4096};
  const auto im2col = [&](int rank, int low, int up, int step, int channels, int pixels) {
    const int lower[2] = {low, 0}, upper[2] = {up, 0}, steps[2] = {step, 1};
    tensor_map_im2col(TensorType::f32, rank, x.data, dims, strides,
                      {lower, upper, steps, channels, pixels}, Swizzle::none);
  };
  im2col(4, -1, -1, 1, 8, 32);
  CHECK_THROWS([&] { im2col(2, 0, 0, 1, 8, 32); }, "rank must be 3 to 5");
  CHECK_THROWS([&] { im2col(4, -200, 0, 1, 8, 32); }, "lower[0] must be -128 to 127");
  CHECK_THROWS([&] { im2col(4, 0, 128, 1, 8, 32); }, "upper[0] must be -128 to 127");
  CHECK_THROWS([&] { im2col(4, 0, 0, 9, 8, 32); }, "step[0] must be 1 to 8");
  CHECK_THROWS([&] { im2col(4, 3, -6, 1, 8, 32); }, "no pixel lies between");
  CHECK_THROWS([&] { im2col(4, 0, 0, 1, 257, 32); }, "channels must be 1 to 256");
  CHECK_THROWS([&] { im2col(4, 0, 0, 1, 8, 1025); }, "pixels must be 1 to 1024");
}

// Axes of length 1 have any stride; others need not grow, nor be multiples of one another. (The
// driver's documentation asks for more than that; on a GPU this shows that the driver does not.)
CASE(tensor_maps_of_kernels) {
  Aligned<float> x(64 * 64);
  const int box[5] = {32, 8, 1, 1, 1};
  const auto tiled = [&](const int64_t (&dims)[5], const int64_t (&strides)[4]) {
    tensor_map_tiled(TensorType::tf32, 5, x.data, dims, strides, box, Swizzle::k128);
  };
  tiled({64, 64, 1, 1, 1}, {256, 256, 256, 256});   // no batch
  tiled({32, 8, 4, 4, 1}, {2048, 128, 512, 2048});  // heads beside one another in a row
  tiled({20, 8, 3, 2, 1}, {80, 656, 16, 80});       // windows that overlap
  const int64_t dims[5] = {16, 1, 1, 1, 1}, strides[4] = {16, 16, 16, 16};
  const int corner[3] = {0, 0, 0}, step[3] = {1, 1, 1};
  for (int rank = 3; rank <= 5; rank++) {
    tensor_map_im2col(TensorType::f32, rank, x.data, dims, strides, {corner, corner, step, 16, 256},
                      Swizzle::k64);
  }
}
