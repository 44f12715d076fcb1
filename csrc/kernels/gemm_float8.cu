// gemm of 8-bit floats. Host only.
//
// Hopper's tensor cores multiply them as they lie (gemm_hopper_float8.cu) where both are contiguous
// along k and aligned to 16 bytes. All others go the exact way round: every number
// of e4m3 and of e5m2 is a float16 and a bfloat16, so a and b are copied to the workspace, in the
// one of the two types whose products may be written as y, and multiplied by the 16-bit kernels.
//
// Bytes, the way round: 1 read and 2 written for each element of a and b, then the 16-bit
// product's.
#include "kernels/gemm_float8.cuh"

#include <cstdlib>

#include "core/checks.h"
#include "kernels/gemm_cost.cuh"
#include "kernels/gemm_launch.cuh"

namespace gg {
namespace {

using gemm_cost::round_up;

/// A copy of an operand in a 16-bit type, for the 16-bit kernels to read where it lies: the faster
/// of the matrix axes is contiguous, its lines begin at multiples of 16 bytes, and batch axes along
/// which x repeats still do.
struct HalfCopy {
  Array array;
  int64_t bytes;

  HalfCopy(const Array& x, DType dtype) : array(x) {
    const int last = x.ndim - 1;
    const bool across = std::abs(x.stride[last - 1]) < std::abs(x.stride[last]);
    const int inner = across ? last - 1 : last, outer = across ? last : last - 1;
    array.data = nullptr, array.dtype = dtype;
    array.stride[inner] = 1;
    array.stride[outer] = round_up(x.shape[inner], 8);
    int64_t step = x.shape[outer] * array.stride[outer];
    for (int i = last - 2; i >= 0; i--) {
      const bool repeats = x.stride[i] == 0 || x.shape[i] == 1;
      array.stride[i] = repeats ? 0 : step;
      if (!repeats) step *= x.shape[i];
    }
    bytes = round_up(2 * step, 256);
  }

  void fill(Stream stream, const Array& x, void* place) {
    array.data = place;
    Array from = x, to = array;
    from.ndim = to.ndim = 0;
    for (int i = 0; i < x.ndim; i++) {
      if (i < x.ndim - 2 && array.stride[i] == 0) continue;
      from.shape[from.ndim] = x.shape[i], from.stride[from.ndim++] = x.stride[i];
      to.shape[to.ndim] = x.shape[i], to.stride[to.ndim++] = array.stride[i];
    }
    copy(stream, from, to);
  }
};

/// The 16-bit type whose products may be written as y.
DType half_for(const Array& y) {
  return y.dtype == DType::bf16 ? DType::bf16 : DType::f16;
}

/// The product as Hopper's kernel computes it; `fits` is false where it cannot.
struct HopperProduct {
  GemmProblem g;
  DType a, b;
  bool fits;
  GemmPlan plan{};

  HopperProduct(const Array& left, const Array& right, const Array& y, const GemmEpilogue& e)
      : g(gemm_problem(left, right, y, e, false)), a(left.dtype), b(right.dtype) {
    const GemmDevice device = gemm_device();
    if (std::abs(g.out.y_m) < std::abs(g.out.y_n) && g.m > 1) {
      transpose(g);
      std::swap(a, b);
    }
    set_access(g, a);
    fits = gemm_hopper_float8_fits(g, device.architecture);
    if (fits) plan = plan_gemm_hopper_float8(g, device);
  }

  void run(Stream stream, void* partial) {
    if (g.split.count > 1) g.split.partial = partial;
    launch_gemm_hopper_float8(stream, g, plan, a, b);
    if (g.split.count > 1) launch_gemm_split_sum(stream, g, DType::f32);
  }
};

}  // namespace

int64_t gemm_float8_workspace(const Array& a, const Array& b, const Array& y,
                              MatmulPrecision precision) {
  const HopperProduct product(a, b, y, {});
  if (product.fits) return product.plan.workspace();
  const HalfCopy left(a, half_for(y)), right(b, half_for(y));
  return left.bytes + right.bytes + gemm_workspace(left.array, right.array, y, precision);
}

void gemm_float8(Stream stream, const Array& a, const Array& b, const Array& y,
                 const GemmEpilogue& epilogue, MatmulPrecision precision, const Array& workspace) {
  const int64_t bytes = gemm_float8_workspace(a, b, y, precision);
  check_workspace("gemm", workspace, bytes);
  HopperProduct product(a, b, y, epilogue);
  if (product.fits) return product.run(stream, workspace.data);
  HalfCopy left(a, half_for(y)), right(b, half_for(y));
  char* const space = static_cast<char*>(workspace.data);
  left.fill(stream, a, space);
  right.fill(stream, b, space + left.bytes);
  Array rest;
  rest.data = space + left.bytes + right.bytes;
  rest.dtype = DType::u8, rest.ndim = 1, rest.stride[0] = 1;
  rest.shape[0] = bytes - left.bytes - right.bytes;
  gemm(stream, left.array, right.array, y, epilogue, precision, rest);
}

}  // namespace gg
