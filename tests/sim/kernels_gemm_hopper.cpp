// The Hopper GEMM (TMA, mbarrier, wgmma) on small shapes, against plain loops, on every tile, with
// clusters of one and of two blocks, and with asynchronous work completing at once, at its wait,
// and at random. What follows the sums is in kernels_gemm_hopper_epilogue.cpp.

#include <array>

#include "gemm_hopper_ways.h"

using namespace gg;

namespace {

/// What gemm() would run on an H100 of that many multiprocessors.
GemmKernel planned(const Array& a, const Array& b, const Array& y, int multiprocessors) {
  GemmProblem g = gemm_problem(a, b, y, {});
  return plan_gemm(g, a.dtype, MatmulPrecision::tf32, {90, multiprocessors}).kernel;
}

/// In the simulator, with operands contiguous along k.
template <class T>
GemmKernel planned_along_k(int64_t m, int64_t n, int64_t k) {
  const Matrix<T> a(m, k, false), b(k, n, true);
  return planned(a.array, b.array, Host<T>({1, m, n}), 4);
}

}  // namespace

// ---- the plan ----------------------------------------------------------------------------------

/// gemm() takes this kernel: for the sizes of tests/contract/test_gemm_hopper.py, where kernels
/// have no name, on the simulator's four multiprocessors; for large ones on a real H100's 132.
CASE(hopper_gemm_is_planned) {
  const int64_t sizes[][4] = {{1, 200, 300, 130}, {1, 264, 520, 64},  {1, 264, 520, 328},
                              {1, 530, 520, 72},  {3, 136, 264, 72},  {3, 136, 256, 72},
                              {6, 130, 130, 64},  {1, 150, 270, 128}, {1, 200, 300, 264},
                              {1, 200, 304, 136}, {6, 136, 136, 64}};
  for (const auto& [batch, m, n, k] : sizes) {
    const Matrix<f16> a(m, k, false, 1, batch), b(k, n, false, 2, batch);
    CHECK(planned(a.array, b.array, Host<f16>({batch, m, n}), 4) == GemmKernel::hopper);
  }
  for (const auto& [m, n, k] : {std::array{150, 270, 128}, std::array{200, 300, 264}}) {
    const Matrix<bf16> a(m, k, false), b(k, n, false);
    CHECK(planned(a.array, b.array, Host<float>({1, m, n}), 4) == GemmKernel::hopper);
  }
  for (const auto& [m, n, k] : {std::array{200, 300, 270}, {264, 520, 264}, {256, 256, 128}}) {
    CHECK(planned_along_k<float>(m, n, k) == GemmKernel::hopper);
  }
  for (const auto& [m, n, k] : {std::array{200, 300, 272}, {264, 520, 640}}) {
    CHECK(planned_along_k<int8_t>(m, n, k) == GemmKernel::hopper);
    CHECK(planned_along_k<uint8_t>(m, n, k) == GemmKernel::hopper);
  }
  const Matrix<bf16> large(4096, 4096, false);
  CHECK(planned(large.array, large.array, large.array, 132) == GemmKernel::hopper);
}

/// gemm() launches what was planned.
CASE(hopper_gemm_is_launched) {
  const Hopper hopper;
  const Matrix<f16> a(200, 130, false, 1), b(130, 300, false, 2);
  const Host<f16> y({1, 200, 300}), expected({1, 200, 300});
  const MatmulPrecision exact = MatmulPrecision::exact;
  const int64_t bytes = gemm_workspace(a.array, b.array, y, exact);
  gemm(nullptr, a.array, b.array, y, {}, exact, workspace(bytes));
  run(a.array, b.array, expected);
  for (int64_t i = 0; i < y.size; i++) CHECK_EQ(y[i], expected[i]);
}

// ---- products ----------------------------------------------------------------------------------

/// Every orientation; tails in m, n and k; k shorter than the ring. More tiles than blocks, which
/// go on to their next tile in the middle of the ring; an odd number of rows of tiles, so that of
/// one cluster a block has nothing to write.
CASE(hopper_gemm_orientations) {
  in_turns(4, [](int turn) {
    const Matrix<bf16> a(300, 72, turn & 1, 1), b(72, 264, turn & 2, 2);
    check_ways<bf16>(a.array, b.array, turn, 7);
  });
}

/// The same of the other types; those of 8 bits and tf32 are contiguous along k.
CASE(hopper_gemm_types) {
  in_turns(2, [](int turn) {
    const Matrix<f16> a(72, 130, false, 1), b(130, 264, true, 2);
    check_ways<float>(a.array, b.array, turn, 7);
    const Matrix<float> c(136, 75, false, 1), d(75, 264, true, 2);
    check_ways<float>(c.array, d.array, turn, 7);
    const Matrix<int8_t> e(136, 270, false, 1), f(270, 264, true, 2);
    turn == 0 ? check_ways<int32_t>(e.array, f.array, turn, 7)
              : check_ways<float>(e.array, f.array, turn, 7);
    const Matrix<uint8_t> g(136, 270, false, 1), h(270, 264, true, 2);
    turn == 0 ? check_ways<uint8_t>(g.array, h.array, turn, 7)
              : check_ways<int32_t>(g.array, h.array, turn, 7);
  });
}

/// A ring that goes round several times, whatever its stages; tiles in ping-pong begin in its
/// middle.
CASE(hopper_gemm_long_k) {
  in_turns(2, [](int turn) {
    const int64_t k = 64 * 11 + 8;
    const Matrix<f16> a(72, k, turn == 1, 1), b(k, 264, turn != 1, 2);
    check_ways<f16>(a.array, b.array, turn, 17);
  });
}

/// More rows of tiles than a group has.
CASE(hopper_gemm_second_group) {
  in_turns(2, [](int turn) {
    const int64_t m = 128 * 16 + 40, n = 40, k = 24;
    const Matrix<bf16> a(m, k, true, 1), b(k, n, true, 2);
    const Host<bf16> y({1, m, n});
    run(a.array, b.array, y, {}, {32, false, turn + 1});
    check_product<bf16>(a.array, b.array, y, 17);
  });
}

/// One tile, of which most is outside: a cluster's second block and ping-pong's second warpgroup
/// have none.
CASE(hopper_gemm_one_tile) {
  in_turns(2, [](int turn) {
    const Matrix<f16> a(7, 40, true, 1), b(40, 9, false, 2);
    check_ways<f16>(a.array, b.array, turn);
  });
}

/// Batches of both operands, and one matrix for all of them.
CASE(hopper_gemm_batches) {
  const int64_t batch = 3, m = 72, n = 136, k = 40;
  const Matrix<bf16> a(m, k, true, 1, batch), b(k, n, false, 2, batch);
  const Array one = repeated(Matrix<bf16>(b).array, 0, batch);
  in_turns(2, [&](int turn) { check_ways<bf16>(a.array, turn == 0 ? b.array : one, turn, 7); });
}

// ---- what is refused ---------------------------------------------------------------------------

/// What TMA cannot read is not taken as it stands (gemm() may copy it first), nor what other
/// machines would have to run.
CASE(hopper_gemm_refuses) {
  const Hopper hopper;
  const int64_t m = 200, n = 300, k = 152;
  const Matrix<f16> memory(m, 2 * k, false, 1), b(k, n, false, 2);
  const Host<f16> y({1, m, n});
  Array a = memory.array;
  a.shape[2] = k;
  const auto fits = [&](const Array& left, const Array& right, const Array& out, GemmMath math,
                        const GemmTile& tile, int architecture = 90) {
    const GemmProblem g = gemm_problem(left, right, out, {});
    return gemm_hopper_fits(g, math, left.dtype, tile, architecture);
  };
  const GemmTile wide = kWide.tile(), narrow{GemmKernel::hopper, 128, 64, 1};
  CHECK(fits(a, b.array, y, GemmMath::f16, wide) && fits(a, b.array, y, GemmMath::f16, narrow));
  for (int other : {75, 80, 89, 100, 120}) {
    CHECK(!fits(a, b.array, y, GemmMath::f16, wide, other));
  }
  CHECK(!fits(a, b.array, y, GemmMath::f16, {GemmKernel::hopper, 128, 128, 1}));
  CHECK(!fits(a, b.array, y, GemmMath::f16, {GemmKernel::mma, 128, 256, 1}));
  Array shifted = a, gaps = a;
  shifted.data = shifted.as<f16>() + 1;  // not aligned to 16 bytes
  gaps.stride[2] = 2;                    // not contiguous along any axis
  for (const Array& left : {shifted, gaps, backwards(a, 1)}) {
    CHECK(!fits(left, b.array, y, GemmMath::f16, wide));
    const MatmulPrecision exact = MatmulPrecision::exact;
    gemm(nullptr, left, b.array, y, {}, exact, workspace(gemm_workspace(left, b.array, y, exact)));
    check_product<f16>(left, b.array, y, 7);
  }
  Array odd_rows = a, odd_matrices = a, two = y;
  odd_rows.stride[1] += 4;
  CHECK(!fits(odd_rows, b.array, y, GemmMath::f16, wide));
  odd_matrices.shape[0] = two.shape[0] = 2, odd_matrices.stride[0] += 4;
  CHECK(!fits(odd_matrices, b.array, two, GemmMath::f16, wide));

  const Matrix<float> x(m, k, false), along_n(k, n, false), along_k(k, n, true);
  const Host<float> out({1, m, n});
  CHECK(fits(x.array, along_k.array, out, GemmMath::tf32, wide));
  CHECK(!fits(x.array, along_k.array, out, GemmMath::tf32, narrow));
  CHECK(!fits(x.array, along_n.array, out, GemmMath::tf32, wide));
  CHECK(!fits(x.array, along_k.array, out, GemmMath::tf32x3, wide));
}

/// Stages are whole: a split in the middle of one would add its products twice.
CASE(hopper_gemm_split_between_stages) {
  const Hopper hopper;
  const Matrix<int8_t> a(100, 256, false), b(256, 100, true);
  const Host<int32_t> y({1, 100, 100});
  GemmProblem g = fitting(a.array, b.array, y, {}, kWide);
  g.split.k = 64, g.split.count = 4;
  CHECK_THROWS([&] { launch_on(kWide, g, DType::i8); }, "64 elements of 1 bytes",
               "a multiple of 128 bytes");
}
