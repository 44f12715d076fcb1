// The choices behind gemm_plan.cuh: candidates are compared by gemm_cost.cuh. Host only.

#include "kernels/gemm_plan.cuh"

#include <cstdlib>

#include "kernels/gemm_cost.cuh"
#include "kernels/gemm_hopper.cuh"

namespace gg {
namespace {

using namespace gemm_cost;

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

/// Of tiles that are not Hopper's.
bool tile_exists(const GemmTile& tile, GemmMath math, DType inputs, GemmDevice device) {
  if (tile.kernel == GemmKernel::mma) {
    const bool wide_exists = math == GemmMath::f16 || math == GemmMath::bf16;
    return math != GemmMath::fma && (tile.n < 256 || (wide_exists && device.code >= 80));
  }
  if (tile.kernel != GemmKernel::tile) return false;
  if (inputs == DType::f32) return true;
  return tile.m == (is_floating(inputs) ? 64 : 32);
}

// ---- operands as tensor cores want them ---------------------------------------------------------

/// Copied first for mma.sync: rows that are not contiguous or not aligned to 16 bytes, and 8-bit
/// operands that are not contiguous along k (ldmatrix transposes 16-bit elements only).
bool needs_packing(const GemmProblem& g, const GemmOperand& o, int element, int k) {
  const bool along_k = o.k == 1;
  if (element == 1 && !along_k) return true;
  return !groups_align(g, o.data, element, 16, along_k ? o.k : o.row, along_k ? o.row : o.k, k);
}

/// Which operands are copied, into that many bytes. 0: used where it lies.
struct Packing {
  int64_t a_bytes = 0, b_bytes = 0;

  Packing() = default;
  Packing(const GemmProblem& g, int element, bool a, bool b) {
    const int64_t pitch = round_up(g.k * element, 16);
    if (a) a_bytes = matrices(g, 0) * g.m * pitch;
    if (b) b_bytes = matrices(g, 1) * g.n * pitch;
  }

  /// What copying takes.
  double clocks(GemmDevice device) const {
    const bool modern = device.architecture == 90;
    const double bytes_per_clock = modern ? hopper::kMemoryPerClock : kBytesPerClock;
    const double launch = modern ? hopper::kLaunch : kLaunchOverhead;
    double sum = 0;
    for (const int64_t bytes : {a_bytes, b_bytes}) {
      if (bytes) sum += 2 * double(bytes) / (device.multiprocessors * bytes_per_clock) + launch;
    }
    return sum;
  }
};

/// Copied first for Hopper's kernels: what TMA cannot read, and what is not contiguous along k
/// where wgmma wants that. g becomes the problem with the copies.
Packing hopper_packing(GemmProblem& g, DType inputs) {
  const int element = dtype_size(inputs);
  const bool a = !gemm_hopper_reads(g, 0, inputs), b = !gemm_hopper_reads(g, 1, inputs);
  const Packing packing(g, element, a, b);
  if (a) set_packed(g, 0, element, nullptr);
  if (b) set_packed(g, 1, element, nullptr);
  return packing;
}

// ---- candidates ---------------------------------------------------------------------------------

struct Choice {
  const GemmTile* tile = nullptr;
  GemmMath math{};
  int splits = 1, cluster = 1;
  bool swapped = false;
  Packing packing{};
  double clocks = 0;

  void take_if_less(const Choice& other) {
    if (!tile || other.clocks < clocks) *this = other;
  }
};

/// Every architecture's tiles, on g as it stands; of mma.sync only `with_mma`.
void try_tiles(const GemmProblem& g, DType inputs, GemmMath math, GemmDevice device, bool with_mma,
               Choice& best) {
  constexpr int64_t min_k = 256;  // of one split: below it, writing and adding sums costs more
  const int element = dtype_size(inputs);
  const Packing packing(g, element, needs_packing(g, g.a, element, 0),
                        needs_packing(g, g.b, element, 1));
  for (const GemmTile& tile : kGemmTiles) {
    const bool tensor = tile.kernel == GemmKernel::mma;
    if (tensor && !with_mma) continue;
    const GemmMath candidate = tensor ? math : GemmMath::fma;
    if (!tile_exists(tile, candidate, inputs, device)) continue;
    // Splitting further is of no use once all multiprocessors have two blocks.
    const int64_t most = 4 * device.multiprocessors / std::max<int64_t>(tiles(g, tile), 1);
    for (int64_t s = 1; s == 1 || (s <= most && s <= 64 && g.k / s >= min_k); s *= 2) {
      const int splits = static_cast<int>(s);
      Choice c{&tile, candidate, splits};
      c.clocks = device.architecture == 90
                     ? hopper::block_clocks(g, tile, candidate, inputs, splits, device)
                     : block_tiles(g, tile, candidate, inputs, splits, device);
      if (tensor) {
        c.packing = packing;
        c.clocks += packing.clocks(device);
      }
      best.take_if_less(c);
    }
  }
}

/// Hopper's tiles, on g as it stands.
void try_hopper(const GemmProblem& g, DType inputs, GemmMath math, GemmDevice device, bool swapped,
                Choice& best) {
  GemmProblem packed = g;
  const Packing packing = hopper_packing(packed, inputs);
  const double copying = packing.clocks(device);
  for (const GemmTile& tile : kGemmTiles) {
    if (!gemm_hopper_fits(packed, math, inputs, tile, device.architecture)) continue;
    const hopper::Way way = hopper::best_way(g, tile, math, inputs, device);
    best.take_if_less(
        {&tile, math, way.splits, way.cluster, swapped, packing, copying + way.clocks});
  }
}

GemmProblem swapped(GemmProblem g, DType inputs) {
  transpose(g);
  set_access(g, inputs);
  return g;
}

/// g lies so that y is contiguous along n. Hopper's tiles are tall: where there are few rows, they
/// may lie along n as well.
Choice best_tile(const GemmProblem& g, DType inputs, GemmMath math, GemmDevice device) {
  constexpr int64_t few = 128;
  Choice best;
  if (device.architecture == 90 && math != GemmMath::fma) {
    try_hopper(g, inputs, math, device, false, best);
    if (g.m < few) try_hopper(swapped(g, inputs), inputs, math, device, true, best);
  }
  // Where wgmma reads 16-bit a and b as they lie, in tiles large and small, mma.sync is no better,
  // whatever its coarser model says.
  const bool copied = best.packing.a_bytes + best.packing.b_bytes > 0;
  const bool with_mma = !best.tile || copied || dtype_size(inputs) != 2;
  try_tiles(g, inputs, math, device, with_mma, best);
  return best;
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

void plan_tile(GemmProblem& g, DType inputs, const Choice& choice, GemmPlan& plan) {
  const GemmTile& tile = *choice.tile;
  plan.kernel = tile.kernel, plan.math = choice.math, plan.m = tile.m, plan.n = tile.n;
  plan.ping_pong = tile.ping_pong, plan.cluster = choice.cluster;
  if (choice.swapped) g = swapped(g, inputs), plan.transposed = !plan.transposed;
  const Packing& p = choice.packing;
  plan.pack_a_bytes = p.a_bytes, plan.pack_b_bytes = p.b_bytes;
  plan.pack_a = p.a_bytes > 0, plan.pack_b = p.b_bytes > 0;
  // Whole stages: 64 elements, or 128 bytes.
  const int64_t step = std::max(64, hopper::kStage / dtype_size(inputs));
  split(g, plan, choice.splits, tile.kernel == GemmKernel::hopper ? step : 64, sum_size(inputs));
}

constexpr int kSkinny = 8;  // rows or columns that the skinny kernels take

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
  plan.splits = plan.cluster = 1, plan.split_k = g.k;
  if (skinny) {
    plan_skinny(g, inputs, device, plan);
  } else {
    const GemmMath math = tensor_math(inputs, precision, g, device);
    plan_tile(g, inputs, best_tile(g, inputs, math, device), plan);
  }
  g.split.count = plan.splits, g.split.k = plan.split_k;
  g.exact_overflow = plan.math == GemmMath::tf32x3;
  return plan;
}

}  // namespace gg
