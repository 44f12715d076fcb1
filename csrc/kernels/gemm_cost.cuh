// The cost model of gemm_plan.cu: predicted clocks of a multiprocessor for a matrix product on a
// tile. Host only.
#pragma once

#include <algorithm>

#include "kernels/gemm_plan.cuh"

namespace gg {

/// Of mma.sync and of CUDA cores; in gemm_plan.cu.
double gemm_peak(GemmMath math, int architecture);

namespace gemm_cost {

constexpr double kBytesPerClock = 12;   // memory, per multiprocessor: A100 10, H100 14
constexpr double kTileOverhead = 1500;  // clocks: filling the pipeline, writing the tile
constexpr double kLaunchOverhead = 4000;

inline int64_t ceil_div(int64_t n, int64_t by) {
  return (n + by - 1) / by;
}

inline int64_t round_up(int64_t n, int64_t to) {
  return ceil_div(n, to) * to;
}

/// Matrices of an operand that differ: batch axes along which it repeats do not count.
inline int64_t matrices(const GemmProblem& g, int k) {
  int64_t count = 1;
  for (int i = 0; i < g.batch.ndim; i++) {
    if (g.batch.stride[k][i] != 0) count *= g.batch.length[i];
  }
  return count;
}

/// Tiles of y, of all matrices.
inline int64_t tiles(const GemmProblem& g, const GemmTile& tile) {
  return ceil_div(g.m, tile.m) * ceil_div(g.n, tile.n) * g.batch.size;
}

/// A tile of GemmKernel::tile or mma, a block for each, before sm_90.
inline double block_tiles(const GemmProblem& g, const GemmTile& tile, GemmMath math, DType inputs,
                          int splits, GemmDevice device) {
  const double sms = device.multiprocessors, batch = static_cast<double>(g.batch.size);
  const int64_t rounds =
      (tiles(g, tile) * splits + device.multiprocessors - 1) / device.multiprocessors;
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

/// GemmKernel::hopper: a block for each multiprocessor, which takes tile after tile and loads
/// ahead. All sizes below are those of H100 and H200, which have one chip.
namespace hopper {

constexpr int kStage = 128;  // bytes of k that are loaded and multiplied at once

/// Multiply-adds per clock: 989 TFLOP/s of 16 bits at 1.83 GHz with 132 multiprocessors are 2048,
/// half as many in tf32, twice as many in 8 bits (H100 white paper). So a stage takes a clock for
/// 32 elements of the tile, whatever the type.
constexpr double kTilePerClock = 32;

/// Shared memory's bytes per clock (white paper, as A100's): TMA writes a stage once; wgmma reads b
/// again for every 64 rows of a.
constexpr double kSharedPerClock = 128;

/// L2's bytes per clock: of one multiprocessor, and of all (what DeepGEMM reckons with: 8 TB/s at
/// 1.3 GHz).
constexpr double kL2Port = 64, kL2PerClock = 6154;
constexpr double kL2Holds = 32 << 20;  // of 50 MB, what was written and is soon read again

/// Memory's bytes per clock and multiprocessor: H200's 4.8 TB/s, of which copies reach 0.9.
constexpr double kMemoryPerClock = 18;

/// The epilogue's: stores go out at 32 bytes per clock, as a 32-byte sector for each 4 rows of 8
/// columns where y is not contiguous along n.
constexpr double kWritePerClock = 32, kScattered = 4;

constexpr double kFill = 1500;  // launch to the first stage: about 0.8 us of latency

/// A round of tiles, beside its products and stores: the last wgmma, the accumulators' way through
/// shared memory, the first wait for the next tile. Some hundred clocks of latency, not measured.
constexpr double kRound = 500;

constexpr double kLaunch = 2500;  // another kernel: 1.3 us (Hazy Research's "No Bubbles", H100)

/// Of the lesser of computing and memory time, what the greater does not hide.
constexpr double kUnhidden = 0.25;

/// Rounds of tiles, where clusters of that many blocks take neighbours along m.
inline int64_t waves(const GemmProblem& g, const GemmTile& tile, int splits, int cluster,
                     GemmDevice device) {
  const int64_t units = ceil_div(ceil_div(g.m, tile.m), cluster) * ceil_div(g.n, tile.n);
  return ceil_div(units * g.batch.size * splits, std::max(device.multiprocessors / cluster, 1));
}

/// Blocks that share b's tiles: two, where that costs no round. In one round there is nothing to
/// save, since L2 keeps up.
inline int cluster(const GemmProblem& g, const GemmTile& tile, int splits, GemmDevice device) {
  const int64_t alone = waves(g, tile, splits, 1, device);
  if (g.m <= tile.m || alone == 1) return 1;
  return waves(g, tile, splits, 2, device) <= alone ? 2 : 1;
}

/// Writing a tile of y, or its partial sums.
inline double write(const GemmProblem& g, const GemmTile& tile, int splits) {
  const double rows = double(std::min<int64_t>(g.m, tile.m));
  const double columns = double(std::min<int64_t>(g.n, tile.n));
  const double scattered = splits == 1 && g.out.y_n != 1 ? kScattered : 1;
  const double element = splits == 1 ? dtype_size(g.out.dtype) : 4;
  return rows * columns * element * scattered / kWritePerClock;
}

/// A tile's main loop over k.
inline double main_loop(const GemmProblem& g, const GemmTile& tile, GemmMath math, DType inputs,
                        int splits, int cluster, GemmDevice device) {
  const double stages = double(ceil_div(ceil_div(g.k, splits) * dtype_size(inputs), kStage));
  const double rows = double(std::min<int64_t>(g.m, tile.m));  // zeros are not read
  const double columns = double(std::min<int64_t>(g.n, tile.n));
  const double blocks = double(std::min<int64_t>(tiles(g, tile) * splits, device.multiprocessors));
  const double products = math == GemmMath::tf32x3 ? 3 : 1;
  const double tensor = products * tile.m * tile.n / kTilePerClock;
  const double reads = tile.m / 64 * (64 + tile.n), writes = tile.m + tile.n;
  const double shared = kStage * (reads + writes) / kSharedPerClock;
  const double l2 = kStage * (rows + columns / cluster) / std::min(kL2Port, kL2PerClock / blocks);
  return stages * std::max(std::max(tensor, shared) / tile.efficiency, l2);
}

/// Partial sums are written, read and added.
inline double split_sum(const GemmProblem& g, int splits, GemmDevice device) {
  if (splits == 1) return 0;
  const double bytes = 8.0 * splits * double(g.batch.size) * double(g.m) * double(g.n);
  const double memory = device.multiprocessors * kMemoryPerClock;
  const double l2 = std::min(kL2Port * device.multiprocessors, kL2PerClock);
  return bytes / (bytes <= 2 * kL2Holds ? l2 : memory) + kLaunch;
}

/// What every kernel must read and write.
inline double memory(const GemmProblem& g, DType inputs, GemmDevice device) {
  const double m = double(g.m), n = double(g.n), k = double(g.k);
  const double read = double(matrices(g, 0)) * m * k + double(matrices(g, 1)) * k * n;
  const double bytes =
      read * dtype_size(inputs) + double(g.batch.size) * m * n * dtype_size(g.out.dtype);
  return bytes / (device.multiprocessors * kMemoryPerClock);
}

/// Computing with what must be read and written beside it, and the sum of splits after it.
inline double with_memory(const GemmProblem& g, double computing, DType inputs, int splits,
                          GemmDevice device) {
  const double moving = memory(g, inputs, device);
  return std::max(computing, moving) + kUnhidden * std::min(computing, moving) +
         split_sum(g, splits, device);
}

inline double clocks(const GemmProblem& g, const GemmTile& tile, GemmMath math, DType inputs,
                     int splits, int cluster, GemmDevice device) {
  const double loop = main_loop(g, tile, math, inputs, splits, cluster, device);
  const double rest = write(g, tile, splits) + kRound;
  const double rounds = double(waves(g, tile, splits, cluster, device));
  // Ping-pong: one warpgroup writes while the other multiplies.
  const double computing =
      tile.ping_pong ? rounds * std::max(loop, (loop + rest) / 2) + rest : rounds * (loop + rest);
  return kFill + with_memory(g, computing, inputs, splits, device);
}

/// A tile of GemmKernel::tile or mma on sm_90: a block for each, which fills its own pipeline.
inline double block_clocks(const GemmProblem& g, const GemmTile& tile, GemmMath math, DType inputs,
                           int splits, GemmDevice device) {
  const double peak = gemm_peak(math, device.architecture) * tile.efficiency;
  const double loop = double(tile.m) * tile.n * double(ceil_div(g.k, splits)) / peak;
  const double rounds = double(waves(g, tile, splits, 1, device));
  const double rest = write(g, tile, splits) + kRound;
  const double computing = rounds * (loop + rest) + (rounds - 1) * kFill;
  return kFill + with_memory(g, computing, inputs, splits, device);
}

/// How k is split and b's tiles are shared.
struct Way {
  int splits = 1, cluster = 1;
  double clocks = 0;
};

/// The best way for this tile. k is split so that one, two or three rounds of tiles are full.
inline Way best_way(const GemmProblem& g, const GemmTile& tile, GemmMath math, DType inputs,
                    GemmDevice device) {
  constexpr int64_t min_stages = 4;  // of one split
  const int64_t stages = g.k * dtype_size(inputs) / kStage;
  const int64_t most = std::clamp<int64_t>(stages / min_stages, 1, 64);
  Way best;
  for (int64_t rounds = 0, last = 0; rounds <= 3; rounds++) {
    const int64_t full = rounds * device.multiprocessors / tiles(g, tile);
    const int64_t splits = std::clamp<int64_t>(full, 1, most);
    if (splits == last) continue;
    last = splits;
    Way way{static_cast<int>(splits)};
    way.cluster = cluster(g, tile, way.splits, device);
    way.clocks = clocks(g, tile, math, inputs, way.splits, way.cluster, device);
    if (rounds == 0 || way.clocks < best.clocks) best = way;
  }
  return best;
}

}  // namespace hopper
}  // namespace gemm_cost
}  // namespace gg
