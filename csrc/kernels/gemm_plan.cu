// The cost model behind gemm_plan.cuh. Host only.

#include "kernels/gemm_plan.cuh"

#include <algorithm>
#include <cstdlib>

#include "kernels/gemm_hopper.cuh"

namespace gg {
namespace {

constexpr int kSkinny = 8;              // rows or columns that the skinny kernels take
constexpr double kBytesPerClock = 12;   // memory, per multiprocessor: A100 10, H100 14, H200 20
constexpr double kTileOverhead = 1500;  // clocks: filling the pipeline, writing the tile
constexpr double kLaunchOverhead = 4000;

/// Multiply-adds per clock and multiprocessor, from the vendor's white papers. Tensor figures are
/// with float32 accumulation, where GeForce chips (sm_86, sm_89, sm_120) run at half rate. From
/// mma.sync an sm_90 gets 63 % of its tensor peak (arXiv 2501.12084).
struct Peak {
  int architecture;  // this and later ones, up to the next row
  double fma, half, tf32, byte;
};
constexpr Peak kPeaks[] = {
    {75, 64, 512, 0, 1024},     {80, 64, 1024, 512, 2048},  {86, 128, 256, 128, 1024},
    {89, 128, 256, 128, 1024},  {90, 128, 1290, 645, 2580}, {100, 128, 1024, 512, 2048},
    {120, 128, 256, 128, 1024},
};

}  // namespace

double gemm_peak(GemmMath math, int architecture) {
  Peak found = kPeaks[0];
  for (const Peak& p : kPeaks) {
    if (p.architecture <= architecture) found = p;
  }
  switch (math) {
    case GemmMath::fma:
      return found.fma;
    case GemmMath::f16:
    case GemmMath::bf16:
      return found.half;
    case GemmMath::tf32:
      return found.tf32;
    case GemmMath::tf32x3:
      return found.tf32 / 3;
    default:
      return found.byte;
  }
}

namespace {

/// Below this k, 3xTF32 can have a larger error than float32: a product loses about 2 * 2^-24 of
/// itself in the split, at random, while float32 sums lose more the longer they are. (k terms: 2
/// sqrt(k) against 0.3 k, in units of 2^-24 of a term.)
constexpr int64_t kMinK3x = 128;

/// What tensor cores would do for these dtypes; fma where they do not help.
GemmMath tensor_math(DType inputs, MatmulPrecision precision, const GemmProblem& g,
                     GemmDevice device) {
  const bool modern = device.code >= 80;
  if (g.k == 0 || g.k >= int64_t{1} << 29) return GemmMath::fma;  // kernels count bytes of k in int
  switch (inputs) {
    case DType::f16:
      return GemmMath::f16;  // sm_75 has m16n8k8 for it
    case DType::bf16:
      return modern ? GemmMath::bf16 : GemmMath::fma;
    case DType::f32:
      if (!modern || precision == MatmulPrecision::exact) return GemmMath::fma;
      if (precision == MatmulPrecision::tf32) return GemmMath::tf32;
      return g.k >= kMinK3x ? GemmMath::tf32x3 : GemmMath::fma;
    case DType::i8:
      return GemmMath::s8;
    case DType::u8:
    case DType::boolean:
      return GemmMath::u8;
    default:
      return GemmMath::fma;
  }
}

bool tile_exists(const GemmProblem& g, const GemmTile& tile, GemmMath math, DType inputs,
                 GemmDevice device) {
  if (tile.kernel == GemmKernel::hopper) {
    return math != GemmMath::fma && gemm_hopper_fits(g, inputs, device.architecture);
  }
  if (tile.kernel == GemmKernel::mma) {
    const bool wide_exists = math == GemmMath::f16 || math == GemmMath::bf16;
    return math != GemmMath::fma && (tile.n < 256 || (wide_exists && device.code >= 80));
  }
  if (tile.kernel != GemmKernel::tile || math != GemmMath::fma) return false;
  if (inputs == DType::f32) return true;
  return tile.m == (is_floating(inputs) ? 64 : 32);
}

// ---- operands as tensor cores want them ---------------------------------------------------------

/// Copied first: rows that are not contiguous or not aligned to 16 bytes, and 8-bit operands that
/// are not contiguous along k (ldmatrix transposes 16-bit elements only).
bool needs_packing(const GemmProblem& g, const GemmOperand& o, int element, int k) {
  const bool along_k = o.k == 1;
  if (element == 1 && !along_k) return true;
  return !groups_align(g, o.data, element, 16, along_k ? o.k : o.row, along_k ? o.row : o.k, k);
}

int64_t round_up(int64_t n, int64_t to) {
  return (n + to - 1) / to * to;
}

/// Matrices of an operand that differ: batch axes along which it repeats do not count.
int64_t matrices(const GemmProblem& g, int k) {
  int64_t count = 1;
  for (int i = 0; i < g.batch.ndim; i++) {
    if (g.batch.stride[k][i] != 0) count *= g.batch.length[i];
  }
  return count;
}

struct Packing {
  int64_t a_bytes = 0, b_bytes = 0;  // 0: used where it lies
  double clocks = 0;                 // that copying takes
};

Packing packing(const GemmProblem& g, GemmDevice device, int element) {
  Packing p;
  const int64_t pitch = round_up(g.k * element, 16);
  if (needs_packing(g, g.a, element, 0)) p.a_bytes = matrices(g, 0) * g.m * pitch;
  if (needs_packing(g, g.b, element, 1)) p.b_bytes = matrices(g, 1) * g.n * pitch;
  for (const int64_t bytes : {p.a_bytes, p.b_bytes}) {
    if (bytes == 0) continue;
    p.clocks += 2 * double(bytes) / (device.multiprocessors * kBytesPerClock) + kLaunchOverhead;
  }
  return p;
}

int64_t blocks(const GemmProblem& g, const GemmTile& tile) {
  return (g.m + tile.m - 1) / tile.m * ((g.n + tile.n - 1) / tile.n) * g.batch.size;
}

/// Predicted clocks of one multiprocessor.
double cost(const GemmProblem& g, const GemmTile& tile, GemmMath math, DType inputs, int splits,
            GemmDevice device) {
  const double sms = device.multiprocessors, batch = static_cast<double>(g.batch.size);
  const int64_t rounds =
      (blocks(g, tile) * splits + device.multiprocessors - 1) / device.multiprocessors;
  const double work = double(tile.m) * tile.n * static_cast<double>((g.k + splits - 1) / splits);
  const double block =
      work / (gemm_peak(math, device.architecture) * tile.efficiency) + kTileOverhead;
  const double m = double(g.m), n = double(g.n), k = double(g.k);
  const double bytes =
      batch * (m * k + k * n) * dtype_size(inputs) + batch * m * n * dtype_size(g.out.dtype);
  double clocks = std::max(double(rounds) * block, bytes / (sms * kBytesPerClock));
  if (splits > 1) {
    clocks += 8 * splits * batch * m * n / (sms * kBytesPerClock) + kLaunchOverhead;
  }
  return clocks;
}

// ---- choices ------------------------------------------------------------------------------------

/// Into about `splits` parts of k, each a multiple of `step`.
void split(GemmProblem& g, GemmPlan& plan, int64_t splits, int64_t step, int sum_size) {
  if (splits == 1) return;
  plan.split_k = round_up((g.k + splits - 1) / splits, step);
  plan.splits = static_cast<int>((g.k + plan.split_k - 1) / plan.split_k);
  plan.partial_bytes = plan.splits * g.partial_size() * sum_size;
}

int sum_size(DType inputs) {
  return dtype_size(inputs) == 8 ? 8 : 4;
}

/// At least this k for one split: below it, writing and adding partial sums costs more.
constexpr int64_t kMinSplit = 256;

void plan_tiles(GemmProblem& g, DType inputs, GemmMath math, GemmDevice device, GemmPlan& plan) {
  double best = 0;
  int64_t splits = 1;
  const int element = dtype_size(inputs);
  const Packing pack = packing(g, device, element);
  GemmProblem packed = g;
  if (pack.a_bytes) set_packed(packed, 0, element, nullptr);
  if (pack.b_bytes) set_packed(packed, 1, element, nullptr);
  for (const GemmTile& tile : kGemmTiles) {
    const bool tensor = tile.kernel != GemmKernel::tile;
    const GemmMath candidate = tensor ? math : GemmMath::fma;
    if (!tile_exists(packed, tile, candidate, inputs, device)) continue;
    // Splitting further is of no use once all multiprocessors have two blocks.
    const int64_t most = 4 * device.multiprocessors / std::max<int64_t>(blocks(g, tile), 1);
    for (int64_t s = 1; s == 1 || (s <= most && s <= 64 && g.k / s >= kMinSplit); s *= 2) {
      double clocks = cost(g, tile, candidate, inputs, static_cast<int>(s), device);
      if (tensor) clocks += pack.clocks;
      if (best != 0 && clocks >= best) continue;
      best = clocks, splits = s;
      plan.kernel = tile.kernel, plan.math = candidate, plan.m = tile.m, plan.n = tile.n;
    }
  }
  if (plan.kernel != GemmKernel::tile) {
    plan.pack_a_bytes = pack.a_bytes, plan.pack_b_bytes = pack.b_bytes;
    plan.pack_a = pack.a_bytes > 0, plan.pack_b = pack.b_bytes > 0;
  }
  split(g, plan, splits, 64, sum_size(inputs));
}

/// Blocks of a skinny kernel read b; where they do not fill the machine, k is split between more.
void plan_skinny(GemmProblem& g, DType inputs, GemmDevice device, GemmPlan& plan) {
  const bool dot = g.b.along_k || g.n <= kSkinny;
  plan.kernel = dot ? GemmKernel::skinny_dot : GemmKernel::skinny_sweep;
  const int64_t blocks = (g.n + (dot ? 3 : 7)) / (dot ? 4 : 8) * g.batch.size;
  const int64_t wanted = (2 * device.multiprocessors + blocks - 1) / std::max<int64_t>(blocks, 1);
  const int64_t most = std::max<int64_t>(g.k / 4096, 1);
  split(g, plan, std::min({wanted, most, int64_t{64}}), 8, sum_size(inputs));
}

}  // namespace

GemmPlan plan_gemm(GemmProblem& g, DType inputs, MatmulPrecision precision, GemmDevice device) {
  GemmPlan plan{};
  const bool skinny = is_floating(inputs) && g.k >= 32 && std::min(g.m, g.n) <= kSkinny;
  plan.transposed = skinny ? g.m > kSkinny : std::abs(g.out.y_m) < std::abs(g.out.y_n) && g.m > 1;
  if (plan.transposed) transpose(g);
  set_access(g, inputs);
  plan.splits = 1, plan.split_k = g.k;
  if (skinny) {
    plan_skinny(g, inputs, device, plan);
  } else {
    const GemmMath math = tensor_math(inputs, precision, g, device);
    plan_tiles(g, inputs, math, device, plan);
  }
  g.split.count = plan.splits, g.split.k = plan.split_k;
  g.exact_overflow = plan.math == GemmMath::tf32x3;
  return plan;
}

}  // namespace gg
