// Which kernel, tile and copies a convolution gets: the choices of csrc/kernels/conv_plan.cu on the
// GPUs it knows, by shape, dtype, layout and precision.

#include "host_array.h"
#include "kernels/conv_launch.cuh"

using namespace gg;

constexpr GemmDevice kTuring{75, 68}, kA100{80, 108}, kGeForce{86, 82}, kHopper{90, 132},
    kSimulated{90, 4};
constexpr auto kExact = MatmulPrecision::exact, kHigh = MatmulPrecision::high,
               kTf32 = MatmulPrecision::tf32;

/// Without memory, and aligned: plans do not look.
static Array image(DType dtype, const Shape& s, bool last) {
  Array a;
  a.dtype = dtype, a.ndim = 4;
  const int order[4] = {last ? 1 : 3, last ? 3 : 2, last ? 2 : 1, 0};  // the innermost first
  int64_t stride = 1;
  for (const int axis : order) a.stride[axis] = stride, stride *= s[axis];
  for (int i = 0; i < 4; i++) a.shape[i] = s[i];
  return a;
}

struct Layer {
  int64_t n, c, k, side, taps, stride = 1, groups = 1;
  bool last = true;
};

/// The plan of fprop or wgrad of square images, padded so that sides are divided by the stride.
static ConvPlan plan(DType dtype, const Layer& z, GemmDevice device, bool wgrad = false,
                     MatmulPrecision precision = kExact) {
  const int64_t out = (z.side + z.stride - 1) / z.stride, padding = z.taps / 2;
  const Array x = image(dtype, {z.n, z.c, z.side, z.side}, z.last);
  const Array w = image(dtype, {z.k, z.c / z.groups, z.taps, z.taps}, z.last);
  const Array y = image(dtype, {z.n, z.k, out, out}, z.last);
  const ConvWindow window{{z.stride, z.stride}, {padding, padding}, {1, 1}, z.groups};
  const ConvArrays a{wgrad ? ConvKind::wgrad : ConvKind::fprop, x, w, y};
  return plan_conv(conv_problem(a, window, {}), wgrad, precision, device);
}

static void check_plan(const ConvPlan& p, GemmMath math, ConvTile tile) {
  CHECK_EQ(static_cast<int>(p.kernel), static_cast<int>(ConvKernel::mma));
  CHECK_EQ(static_cast<int>(p.math), static_cast<int>(math));
  CHECK_EQ(static_cast<int>(p.tile), static_cast<int>(tile));
}

static void check_simt(const ConvPlan& p) {
  CHECK_EQ(static_cast<int>(p.kernel), static_cast<int>(ConvKernel::simt));
}

CASE(conv_plans_halves) {
  for (const bool wgrad : {false, true}) {
    for (const Layer& z : {Layer{64, 128, 128, 28, 3}, Layer{256, 256, 512, 28, 3, 2}}) {
      check_plan(plan(DType::f16, z, kTuring, wgrad), GemmMath::f16,
                 wgrad ? ConvTile::small : ConvTile::large);
      check_simt(plan(DType::bf16, z, kTuring, wgrad));  // sm_75 has none
      check_plan(plan(DType::bf16, z, kA100, wgrad), GemmMath::bf16, ConvTile::large);
      check_plan(plan(DType::bf16, z, kHopper, wgrad), GemmMath::bf16, ConvTile::hopper);
    }
    check_plan(plan(DType::f16, {1, 64, 64, 14, 3}, kA100, wgrad), GemmMath::f16, ConvTile::small);
    // Groups stay on mma.sync.
    const Layer grouped{64, 1024, 1024, 14, 3, 1, 8};
    check_plan(plan(DType::f16, grouped, kHopper, wgrad), GemmMath::f16, ConvTile::large);
  }
}

CASE(conv_plans_precision_of_float32) {
  const Layer z{64, 128, 128, 28, 3};
  for (const bool wgrad : {false, true}) {
    check_simt(plan(DType::f32, z, kA100, wgrad, kExact));
    check_plan(plan(DType::f32, z, kA100, wgrad, kTf32), GemmMath::tf32, ConvTile::large);
    check_plan(plan(DType::f32, z, kA100, wgrad, kHigh), GemmMath::tf32x3,
               wgrad ? ConvTile::small : ConvTile::large);
    check_simt(plan(DType::f32, z, kTuring, wgrad, kHigh));
    check_simt(plan(DType::f32, z, kGeForce, wgrad, kHigh));  // its tensor cores are no faster
    check_simt(plan(DType::f64, z, kA100, wgrad, kHigh));
  }
  check_simt(plan(DType::f32, {8, 12, 64, 28, 3}, kA100, false, kHigh));  // 108 terms
}

CASE(conv_plans_what_is_copied) {
  const Layer last{8, 64, 64, 28, 3}, rows{8, 64, 64, 28, 3, 1, 1, false};
  CHECK_EQ(plan(DType::f16, last, kA100).workspace(), 0);
  const ConvPlan p = plan(DType::f16, rows, kA100), q = plan(DType::f16, rows, kA100, true);
  CHECK_EQ(p.x_bytes, 8 * 28 * 28 * 64 * 2);
  CHECK_EQ(p.w_bytes, 64 * 9 * 64 * 2);
  CHECK_EQ(p.y_bytes, 0);  // written as it lies
  CHECK_EQ(q.x_bytes, p.x_bytes);
  CHECK_EQ(q.y_bytes, p.x_bytes);
  // Channels that are no chunk of 16 bytes are padded.
  CHECK_EQ(plan(DType::f16, {8, 30, 64, 28, 3}, kA100).x_bytes, 8 * 28 * 28 * 32 * 2);
}

CASE(conv_plans_splits_where_blocks_are_few) {
  CHECK(plan(DType::f16, {1, 512, 512, 7, 3}, kA100).splits > 1);
  CHECK_EQ(plan(DType::f16, {64, 128, 128, 28, 3}, kA100).splits, 1);
  CHECK(plan(DType::f16, {64, 64, 64, 56, 3}, kA100, true).splits > 8);
}

CASE(conv_plans_little_work_without_tensor_cores) {
  check_simt(plan(DType::f16, {8, 64, 2, 28, 3}, kA100));  // two of 64 columns
}

/// Sizes of tests/contract/test_conv_hopper.py, where kernels cannot be asked for, and of
/// kernels_conv.cpp.
CASE(conv_plans_hopper_in_the_simulator) {
  for (const bool wgrad : {false, true}) {
    for (const Layer& z :
         {Layer{2, 64, 256, 16, 3}, Layer{1, 320, 320, 12, 3}, Layer{1, 64, 136, 17, 3}}) {
      check_plan(plan(DType::f16, z, kSimulated, wgrad), GemmMath::f16, ConvTile::hopper);
    }
  }
}
