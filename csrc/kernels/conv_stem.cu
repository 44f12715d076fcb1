// Convolution of one to four input channels on tensor cores: the first layers of image networks.
//
//   fprop   y = act(alpha scale sum + bias + residual + beta y), the gather that conv_problem.cuh
//           describes, for float16, bfloat16 and float32 as tf32 (sm_80 and up)
//   wgrad   dw = sums over images and positions
//
// One group, two spatial axes, neighbouring taps along the last. Any strides. x is read
// once for each 64 output channels, a patch under 8 x 16 positions at a time; taps and channels are
// flattened, so that products with padded channels are not formed.
//
// Accumulates in float32. y = unless beta != 0. Deterministic: a block's tiles, then the blocks,
// are added in index order. Reads x and writes y (or dy) once; 2 * size(y) * c * taps FLOP. Bound:
// bandwidth of y. Reached: not measured.

#include <algorithm>

#include "kernels/conv_stem_gather.cuh"
#include "kernels/conv_stem_wgrad.cuh"
#include "kernels/gemm_launch.cuh"

namespace gg {
namespace {

constexpr int64_t kMostShared = 64 * 1024;
constexpr int64_t kMostTerms = 512;
constexpr int kBlocks = 4;  ///< to a multiprocessor

/// Where along an axis the windows of a position begin, relative to the position.
int lowest(const ConvAxis& axis) {
  return axis.offset + std::min((axis.taps - 1) * axis.tap_step, 0);
}

/// Input positions that the windows of `count` positions cover.
int covered(const ConvAxis& axis, int count) {
  return (count - 1) * axis.step + (axis.taps - 1) * std::abs(axis.tap_step) + 1;
}

Stem stem(const ConvProblem& p) {
  Stem s{};
  s.p = p;
  const int c = static_cast<int>(p.c), unit = p.dtype == DType::f32 ? 1 : 2;
  const ConvAxis &rows = p.axis[1], &columns = p.axis[2];
  s.by_c = FastDivision(static_cast<uint32_t>(c));
  s.height = covered(rows, kStemTileY), s.width = covered(columns, kStemTileX) * c;
  s.pitch = (s.width + 1) / 2 * 2;
  s.low_y = lowest(rows), s.low_x = lowest(columns), s.span = columns.step * c;
  s.row_units = (columns.taps * c + unit - 1) / unit;
  s.units = (rows.taps * s.row_units + 7) / 8 * 8;
  s.tiles_y = (rows.out + kStemTileY - 1) / kStemTileY;
  s.tiles_x = (columns.out + kStemTileX - 1) / kStemTileX;
  s.tiles = p.n * s.tiles_y * s.tiles_x;
  s.y_by_channel = by_channel(p.y, p.k, 1, columns.out);
  s.y_vector = channels_align(p, p.y, false);
  return s;
}

bool multiplies(const ConvProblem& p, MatmulPrecision precision) {
  if (gemm_device().code < 80) return false;
  if (p.dtype == DType::f32) return precision == MatmulPrecision::tf32;
  return p.dtype == DType::f16 || p.dtype == DType::bf16;
}

/// The shape is one for these kernels, shared memory aside.
bool fits(const ConvProblem& p) {
  const ConvAxis &depth = p.axis[0], &columns = p.axis[2];
  const bool flat = depth.in == 1 && depth.out == 1 && depth.taps == 1 && depth.offset == 0;
  const bool dense = std::abs(columns.tap_step) == 1 || columns.taps == 1;
  if (!flat || !dense || p.groups != 1 || p.n == 0 || p.c < 1 || p.c > 4) return false;
  const int64_t terms = int64_t{p.axis[1].taps} * columns.taps * p.c;
  const int64_t reach = int64_t{16} * columns.step * std::abs(p.axis[1].step) +
                        int64_t{p.axis[1].taps} * std::abs(p.axis[1].tap_step);
  return terms > 0 && terms <= kMostTerms && reach < 4096 && p.axis[1].out >= kStemTileY / 2;
}

template <class F>
void with_type(const ConvProblem& p, F f) {
  if (p.dtype == DType::f16) return f(Tag<f16>{});
  if (p.dtype == DType::bf16) return f(Tag<bf16>{});
  f(Tag<float>{});
}

int64_t gather_bytes(const Stem& s) {
  const bool half = s.p.dtype != DType::f32;
  return 4 * (half ? StemShared<f16>::words(s) : StemShared<float>::words(s));
}

int64_t wgrad_bytes(const Stem& s) {
  return s.p.dtype == DType::f32 ? stem_wgrad_bytes<float>(s) : stem_wgrad_bytes<f16>(s);
}

int64_t k_blocks(const ConvProblem& p) {
  return (p.k + kStemColumns - 1) / kStemColumns;
}

int64_t wgrad_parts(const ConvProblem& p) {
  return k_blocks(p) * ((p.taps() * p.c + kStemBlockWeights - 1) / kStemBlockWeights);
}

/// With blocks that have four tiles at least: each writes as much as it reads of one.
Stem wgrad(const ConvProblem& p) {
  Stem s = stem(p);
  const int64_t wanted = int64_t{kBlocks - 1} * multiprocessors() / wgrad_parts(p);
  s.blocks = static_cast<int>(std::max<int64_t>(std::min(wanted, s.tiles / 4), 1));
  return s;
}

}  // namespace

bool conv_stem_takes(const ConvProblem& p, MatmulPrecision precision) {
  return multiplies(p, precision) && fits(p) && gather_bytes(stem(p)) <= kMostShared;
}

void launch_conv_stem(Stream stream, const ConvProblem& p) {
  Stem s = stem(p);
  const int64_t wanted = int64_t{kBlocks} * multiprocessors() / k_blocks(p);
  s.blocks = static_cast<int>(std::max<int64_t>(std::min(wanted, s.tiles), 1));
  const auto grid = static_cast<unsigned>(s.blocks * k_blocks(p));
  with_type(p, [&](auto tag) {
    launch(conv_stem<typename decltype(tag)::type>, grid, kStemThreads,
           static_cast<size_t>(gather_bytes(s)), stream, s);
  });
}

bool conv_stem_wgrad_takes(const ConvProblem& p, MatmulPrecision precision) {
  return multiplies(p, precision) && fits(p) && wgrad_bytes(stem(p)) <= kMostShared;
}

int64_t conv_stem_wgrad_workspace(const ConvProblem& p) {
  return wgrad(p).blocks * conv_filter_size(p) * 4;
}

void launch_conv_stem_wgrad(Stream stream, const ConvProblem& p, void* workspace) {
  const Stem s = wgrad(p);
  const auto grid = static_cast<unsigned>(s.blocks * wgrad_parts(p));
  with_type(p, [&](auto tag) {
    launch(conv_stem_wgrad<typename decltype(tag)::type>, grid, kStemThreads,
           static_cast<size_t>(wgrad_bytes(s)), stream, s, static_cast<float*>(workspace));
  });
  launch_conv_filter_sum(stream, p, workspace, s.blocks);
}

}  // namespace gg
