// Which kernel a convolution runs on, and how x, w and y must lie for it. Host only.
//
//   depthwise         one channel for each group                          conv_depthwise.cu
//   stem              one to four input channels                          conv_stem.cu
//   mma               tensor cores: x (and dy) channels-last, w [k][tap][c], copied first if not:
//                     conv_mma.cuh, and for Hopper conv_hopper.cu, conv_hopper_wgrad.cu
//   simt              everything else, at any strides                     conv_simt.cu
//
// Costs are predictions in clock cycles, as in gemm_plan.cu: the same arrays always take the same
// kernel and give the same bits.

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "kernels/conv_launch.cuh"

namespace gg {
namespace {

constexpr int64_t kMaxRows = int64_t{1} << 30;  // positions, and bytes of k: counted in int
constexpr double kMaxChunks = 1 << 30;          // of x, counted in int with room to overrun
constexpr int kMaxTapBits = 31;                 // WindowView keeps a bit for each tap of an axis

int64_t round_up(int64_t n, int64_t to) {
  return (n + to - 1) / to * to;
}

int64_t chunk_elements(DType dtype) {
  return 16 / dtype_size(dtype);
}

// ---- memory -------------------------------------------------------------------------------------

bool chunks_align(const void* data, std::initializer_list<int64_t> strides, DType dtype) {
  int64_t offsets = reinterpret_cast<intptr_t>(data);
  for (const int64_t stride : strides) offsets |= stride * dtype_size(dtype);
  return offsets % 16 == 0;
}

/// Are all channels of a position in whole, aligned chunks?
bool image_fits(const ConvImage& x, const int64_t (&lengths)[kConvAxes], const ConvProblem& p) {
  int64_t at[kConvAxes];
  for (int a = 0; a < kConvAxes; a++) at[a] = lengths[a] > 1 ? x.at[a] : 0;
  return x.c == 1 &&
         chunks_align(x.data, {p.n > 1 ? x.n : 0, p.groups > 1 ? x.group : 0, at[0], at[1], at[2]},
                      p.dtype);
}

/// The distance of positions if it is the same between all, images included, else -1.
int64_t position_pitch(const ConvImage& y, const ConvProblem& p) {
  int64_t pitch = -1, next = 0;
  const auto walk = [&](int64_t length, int64_t stride) {
    if (length == 1) return true;
    if (pitch >= 0 && stride != next) return false;
    if (pitch < 0) pitch = stride;
    next = stride * length;
    return pitch >= 0;
  };
  for (int a = kConvAxes - 1; a >= 0; a--) {
    if (!walk(p.axis[a].out, y.at[a])) return -1;
  }
  if (!walk(p.n, y.n)) return -1;
  return std::max<int64_t>(pitch, 0);
}

bool filter_fits(const ConvProblem& p) {
  int64_t expected = padded_channels(p.c, p.dtype);
  if (p.w.c != 1 || expected != p.c) return false;
  for (int a = kConvAxes - 1; a >= 0; a--) {
    if (p.axis[a].taps > 1 && p.w.tap[a] != expected) return false;
    expected *= p.axis[a].taps;
  }
  return chunks_align(p.w.data, {p.k > 1 ? p.w.k : 0, p.groups > 1 ? p.w.group : 0}, p.dtype);
}

/// Bytes of copies; 0 where x, w or y is read as it lies.
void plan_packing(const ConvProblem& p, bool wgrad, ConvPlan& plan) {
  const int64_t size = dtype_size(p.dtype);
  const int64_t in[kConvAxes] = {p.axis[0].in, p.axis[1].in, p.axis[2].in};
  const int64_t out[kConvAxes] = {p.axis[0].out, p.axis[1].out, p.axis[2].out};
  const int64_t c = padded_channels(p.c, p.dtype), k = padded_channels(p.k, p.dtype);
  if (!image_fits(p.x, in, p)) plan.x_bytes = p.n * in[0] * in[1] * in[2] * p.groups * c * size;
  if (!wgrad && !filter_fits(p)) plan.w_bytes = round_up(p.groups * p.k * p.taps() * c * size, 16);
  if (wgrad && (!image_fits(p.y, out, p) || position_pitch(p.y, p) < 0)) {
    plan.y_bytes = p.n * p.positions() * p.groups * k * size;
  }
}

/// [n, position, group, channel] at `data`.
ConvImage packed_image(void* data, int64_t groups, int64_t channels, const ConvAxis (&axis)[3],
                       int ConvAxis::* length) {
  const int64_t pixel = groups * channels;
  const int64_t row = pixel * axis[2].*length, plane = row * axis[1].*length;
  return {data, plane * axis[0].*length, channels, 1, {plane, row, pixel}};
}

ConvImage packed_input(const ConvProblem& p, void* data) {
  return packed_image(data, p.groups, padded_channels(p.c, p.dtype), p.axis, &ConvAxis::in);
}

ConvImage packed_output(const ConvProblem& p, void* data) {
  return packed_image(data, p.groups, padded_channels(p.k, p.dtype), p.axis, &ConvAxis::out);
}

/// [group, k, tap, c] at `data`.
ConvFilter packed_filter(const ConvProblem& p, void* data) {
  const int64_t c = padded_channels(p.c, p.dtype);
  const int64_t row = p.axis[2].taps * c, plane = p.axis[1].taps * row;
  const int64_t all = p.axis[0].taps * plane;
  return {data, p.k * all, all, 1, {plane, row, c}};
}

/// May x's chunks, with those that windows reach beyond it, be counted in 32 bits?
bool counts_in_int(const ConvProblem& p) {
  const double per = static_cast<double>(chunk_elements(p.dtype));
  double most =
      std::abs(double(p.x.n)) * double(p.n) + std::abs(double(p.x.group)) * double(p.groups);
  for (int a = 0; a < kConvAxes; a++) {
    const ConvAxis& axis = p.axis[a];
    const double reach = double(axis.in) + double(axis.out) * axis.step +
                         std::abs(double(axis.offset)) +
                         double(axis.taps) * std::abs(axis.tap_step);
    most += std::abs(static_cast<double>(p.x.at[a])) * reach;
  }
  return most / per < kMaxChunks;
}

// ---- which kernel -------------------------------------------------------------------------------

/// Below this many terms, 3xTF32 can have a larger error than float32: gemm_plan.cu.
constexpr int64_t kMinTerms3x = 128;

GemmMath tensor_math(const ConvProblem& p, bool wgrad, MatmulPrecision precision,
                     GemmDevice device) {
  const bool modern = device.code >= 80;
  if (p.dtype == DType::f16) return GemmMath::f16;
  if (!modern || p.dtype == DType::f64) return GemmMath::fma;
  if (p.dtype == DType::bf16) return GemmMath::bf16;
  if (precision == MatmulPrecision::exact) return GemmMath::fma;
  if (precision == MatmulPrecision::tf32) return GemmMath::tf32;
  const int64_t terms = wgrad ? p.n * p.positions() : p.taps() * p.c;
  return terms >= kMinTerms3x ? GemmMath::tf32x3 : GemmMath::fma;
}

/// Rows, columns and terms of the matrix product: `channels` of a tap, padding included.
struct Product {
  int64_t m, n, k;
};

Product product(const ConvProblem& p, bool wgrad, int64_t channels) {
  if (wgrad) return {p.k, p.taps() * channels, p.n * p.positions()};
  return {p.n * p.positions(), p.k, p.taps() * channels};
}

/// Channels of a tap: whole chunks of 16 bytes, or what a box of TMA has.
int64_t tap_channels(const ConvProblem& p, ConvTile tile) {
  return tile == ConvTile::hopper ? round_up(p.c, 64) : padded_channels(p.c, p.dtype);
}

/// Do tensor cores win, though part of a 64 x 64 tile and of the chunks is padding? In tiles that
/// small both mma.sync and SIMT kernels reach half their peak.
bool worth_padding(const ConvProblem& p, bool wgrad, GemmMath math, int architecture) {
  const Product s = product(p, wgrad, padded_channels(p.c, p.dtype));
  double useful = double(p.c) / double(padded_channels(p.c, p.dtype));
  useful *= wgrad ? double(s.m) / double(round_up(s.m, 64)) : 1;
  useful *= double(s.n) / double(round_up(s.n, 64));
  return useful * gemm_peak(math, architecture) > gemm_peak(GemmMath::fma, architecture);
}

/// p as it lies once the plan's copies are made, though not where. wgrad: y.at[2] becomes the
/// distance of positions.
ConvProblem laid_out(const ConvProblem& p, bool wgrad, const ConvPlan& plan) {
  ConvProblem q = p;
  if (plan.x_bytes > 0) q.x = packed_input(p, nullptr);
  if (plan.w_bytes > 0) q.w = packed_filter(p, nullptr);
  if (plan.y_bytes > 0) q.y = packed_output(p, nullptr);
  if (wgrad) q.y.at[kConvAxes - 1] = position_pitch(q.y, p);
  return q;
}

bool mma_takes(const ConvProblem& p, bool wgrad, GemmMath math, const ConvPlan& packing,
               int architecture) {
  if (math == GemmMath::fma || p.c == 0 || p.taps() == 0) return false;
  const Product s = product(p, wgrad, padded_channels(p.c, p.dtype));
  const int64_t bytes = s.k * dtype_size(p.dtype);
  if (p.n * p.positions() >= kMaxRows || s.n >= kMaxRows || bytes >= kMaxRows) return false;
  if (p.axis[0].taps + p.axis[1].taps + p.axis[2].taps > kMaxTapBits && !wgrad) return false;
  return counts_in_int(laid_out(p, wgrad, packing)) && worth_padding(p, wgrad, math, architecture);
}

/// The tiles there are. Efficiency: of mma.sync's peak, as gemm_plan.cuh has it.
struct Tile {
  ConvTile tile;
  int m, n;
  double efficiency;
};
constexpr Tile kTiles[2][3] = {
    {{ConvTile::hopper, 256, 128, 1.19},
     {ConvTile::large, 128, 128, 0.8},
     {ConvTile::small, 64, 64, 0.5}},
    {{ConvTile::hopper, 128, 256, 1.19},
     {ConvTile::large, 128, 128, 0.8},
     {ConvTile::small, 64, 64, 0.5}},
};

/// The tile and the number of splits with the least predicted clocks.
void plan_tiles(const ConvProblem& p, bool wgrad, GemmDevice device, ConvPlan& plan) {
  constexpr int64_t least = 256, kMaxSplits = 256;  // terms of a split; splits
  const ConvProblem lies = laid_out(p, wgrad, plan);
  const bool hopper = wgrad ? conv_hopper_wgrad_fits(lies, device.architecture)
                            : conv_hopper_fits(lies, device.architecture);
  const int64_t sms = device.multiprocessors;
  const double peak = gemm_peak(plan.math, device.architecture);
  double best = 0;
  int64_t splits = 1;
  for (const Tile& tile : kTiles[wgrad]) {
    if (tile.tile == ConvTile::hopper && !hopper) continue;
    const bool exists = !wgrad || (plan.math != GemmMath::tf32x3 && device.code >= 80);
    if (tile.tile == ConvTile::large && !exists) continue;  // kLargeWgrad
    const Product s = product(p, wgrad, tap_channels(p, tile.tile));
    const int64_t tiles =
        round_up(s.m, tile.m) / tile.m * (round_up(s.n, tile.n) / tile.n) * p.groups;
    const double work = double(tile.m) * tile.n * double(s.k) / (peak * tile.efficiency);
    const double traffic = 8.0 * double(s.m) * double(s.n) * double(p.groups) / double(sms * 12);
    // No split, or what fills all multiprocessors once, twice, ...; more is of no use.
    for (int64_t round = 0; round <= 4; round++) {
      const int64_t n = round == 0 ? 1 : round * sms / tiles;
      if (n < 1 || n > kMaxSplits || (n > 1 && s.k / n < least)) continue;
      double clocks = std::ceil(double(tiles * n) / double(sms)) * (work / double(n) + 1500);
      if (n > 1 || wgrad) clocks += traffic * double(n) + 4000;
      if (best != 0 && clocks >= best) continue;
      best = clocks, splits = n, plan.tile = tile.tile;
    }
  }
  const Product s = product(p, wgrad, tap_channels(p, plan.tile));
  plan.split_k = round_up((s.k + splits - 1) / splits, 64);
  plan.splits = static_cast<int>((s.k + plan.split_k - 1) / plan.split_k);
  if (plan.splits == 1 && !wgrad) return;
  plan.rest_bytes = plan.splits * p.groups * s.m * round_up(s.n, 4) * 4;
}

/// A kernel without tensor cores.
void plan_other(const ConvProblem& p, bool wgrad, MatmulPrecision precision, ConvPlan& plan) {
  if (wgrad ? conv_depthwise_wgrad_takes(p) : conv_depthwise_takes(p)) {
    plan.kernel = ConvKernel::depthwise;
    if (wgrad) plan.rest_bytes = conv_depthwise_wgrad_workspace(p);
  } else if (wgrad ? conv_stem_wgrad_takes(p, precision) : conv_stem_takes(p, precision)) {
    plan.kernel = ConvKernel::stem;
    if (wgrad) plan.rest_bytes = conv_stem_wgrad_workspace(p);
  } else if (wgrad) {
    plan.rest_bytes = conv_simt_wgrad_workspace(p);
  }
}

}  // namespace

int64_t padded_channels(int64_t channels, DType dtype) {
  return round_up(channels, chunk_elements(dtype));
}

ConvPlan plan_conv(const ConvProblem& p, bool wgrad, MatmulPrecision precision, GemmDevice device) {
  ConvPlan other;
  plan_other(p, wgrad, precision, other);
  if (other.kernel != ConvKernel::simt) return other;
  ConvPlan plan;
  plan.kernel = ConvKernel::mma, plan.math = tensor_math(p, wgrad, precision, device);
  plan_packing(p, wgrad, plan);
  if (!mma_takes(p, wgrad, plan.math, plan, device.architecture)) return other;
  plan_tiles(p, wgrad, device, plan);
  return plan;
}

void set_packed(ConvProblem& p, void* x, void* w, void* y) {
  const ConvProblem from = p;
  if (x) p.x = packed_input(from, x);
  if (w) p.w = packed_filter(from, w);
  if (y) p.y = packed_output(from, y);
}

ConvMma conv_mma_problem(const ConvProblem& p, const ConvPlan& plan, bool wgrad, void* partial) {
  ConvMma c{p, {}};
  const int64_t per = chunk_elements(p.dtype);
  const auto chunks = [&](int64_t stride) { return static_cast<int>(stride / per); };
  ConvWalk& walk = c.walk;
  walk.chunks = chunks(padded_channels(p.c, p.dtype));
  walk.bytes = static_cast<int>(p.c) * dtype_size(p.dtype);
  walk.group = p.groups > 1 ? chunks(p.x.group) : 0;
  walk.n = p.n > 1 ? chunks(p.x.n) : 0;
  for (int a = 0; a < kConvAxes; a++) {
    const ConvAxis& axis = p.axis[a];
    walk.at[a] = axis.in > 1 ? chunks(p.x.at[a]) : 0;
    walk.tap[a] = axis.tap_step * walk.at[a];
    walk.step[a] = axis.step * walk.at[a];
    walk.carry[a] = (a > 0 ? walk.step[a - 1] : walk.n) - axis.out * walk.step[a];
    walk.out[a] = FastDivision(static_cast<uint32_t>(axis.out));
  }
  GemmProblem& g = c.p.gemm;
  const Product s = product(p, wgrad, tap_channels(p, plan.tile));
  g.m = s.m, g.n = s.n, g.k = s.k;
  g.split = {partial, round_up(s.n, 4), plan.split_k, plan.splits};
  g.exact_overflow = plan.math == GemmMath::tf32x3;
  g.batch = {};
  g.batch.push(p.groups, {p.x.group, p.w.group, p.y.group, p.gemm.batch.stride[3][0]});
  g.batch.finish();
  if (wgrad) c.p.y.at[kConvAxes - 1] = position_pitch(p.y, p);
  return c;
}

}  // namespace gg
