// Gradients of the recurrent layer in a single launch, for layers whose weights fit the registers
// of a cluster: H up to 256 in float16 and bfloat16, up to 128 in float32 (recurrent_grad.cu has
// the others, and the formulas). sm_90a.
//
// A cluster of up to 8 blocks has 16 samples, a block 32 units; its 8 warps share the gates of all
// units, along which the product sums: a warp's part of the transposed w stays in its registers
// from the first step to the last. Partial sums of the warps meet in shared memory; then a thread
// has two units of one or two samples, whose past and dc it keeps in registers. du goes from block
// to block through L2; the cluster's barrier at the end of a step orders that, and buffers
// alternate, so one is enough. What the next step reads of the forward pass is loaded while the
// barrier is under way.
//
// Accumulates in float32; float32 by `precision`. Results =. Deterministic: parts of k are added in
// order. Bytes of a step: du for each block, saved, y and dy once, dgates twice. Bound: latency:
// du from L2, product, cell and barrier of a step. Reached: not measured.
#include "device/cluster.h"
#include "kernels/recurrent_grad_step.cuh"

namespace gg {
namespace {

constexpr int kThreads = 256, kWarps = 8, kN = kClusterUnits / 8;
constexpr int kMostChunks = 4;                                  // of k, in a warp's registers
constexpr int kEach = kClusterRows * kClusterUnits / kThreads;  // units that a thread finishes

using Parts = float[kWarps][kClusterRows][kStepPitch<kN>];

/// The warp's part of w along k, and its product with du.
template <class Math>
class HeldWeights {
 public:
  using T = typename Math::Element;

  __device__ __forceinline__ HeldWeights(const StepFactors<T>& p, int64_t unit0, int64_t row0)
      : chunks_(p.k * static_cast<int64_t>(sizeof(T)) / kStepChunk, kWarps) {
    const int lane = static_cast<int>(threadIdx.x) % 32, g = lane / 4;
    first_ = chunks_.begin * kWords + lane % 4 * 4;
    row_ = row0 + g < p.rows ? row0 + g : p.rows - 1;
    lower_ = row0 + g + 8 < p.rows ? row0 + g + 8 : p.rows - 1;
#pragma unroll
    for (int f = 0; f < kN; f++) {
      const int64_t unit = unit0 + 8 * f + g;
      const uint32_t* const row = words(p.w + (unit < p.units ? unit : 0) * p.w_pitch) + first_;
#pragma unroll
      for (int c = 0; c < kMostChunks; c++) {
        w_[c][f] = {};
        if (unit < p.units && c < chunks_.count) w_[c][f] = load_vec<4>(row + c * kWords);
      }
    }
  }

  /// Nothing of du would be found in L1: the barrier empties it.
  /// zero: not a constant. Without it the compiler would convert all of a float32 w ahead of the
  /// steps, for which there are not the registers.
  __device__ __forceinline__ void multiply(const Rows2<const T>& du, uint32_t zero,
                                           Parts& parts) const {
    typename Math::template Sums<1, kN> sums;
    const uint32_t* const upper = words(du.data + row_ * du.pitch) + first_;
    const uint32_t* const lower = words(du.data + lower_ * du.pitch) + first_;
#pragma unroll
    for (int c0 = 0; c0 < kMostChunks; c0 += kAtOnce) {
      Words a[kAtOnce][2];
#pragma unroll
      for (int c = 0; c < kAtOnce; c++) {
        if (c0 + c >= chunks_.count) break;
        a[c][0] = load_vec_streaming<4>(upper + (c0 + c) * kWords);
        a[c][1] = load_vec_streaming<4>(lower + (c0 + c) * kWords);
      }
#pragma unroll
      for (int e = 0; e < 2 * kAtOnce; e++) {
        const int c = e / 2, s = e % 2 * 2;
        if (c0 + c >= chunks_.count) break;
        Fragments<1, kN> now;
#pragma unroll
        for (int q = 0; q < 4; q++) now.a[0][q] = a[c][q % 2][s + q / 2];
#pragma unroll
        for (int q = 0; q < 2 * kN; q++) {
          now.b[q / 2][q % 2] = w_[c0 + c][q / 2][s + q % 2] ^ zero;
        }
        Math::multiply(sums, now);
      }
    }
    Math::finish(sums);
    store(sums.d[0], parts);
  }

 private:
  using Words = Vec<uint32_t, 4>;
  static constexpr int kWords = kStepChunk / 4;
  static constexpr int kAtOnce = Math::kPrefetch ? kMostChunks : 1;  // of du, in registers

  static __device__ __forceinline__ const uint32_t* words(const T* p) {
    return reinterpret_cast<const uint32_t*>(p);
  }
  static __device__ __forceinline__ void store(const float (&d)[kN][4], Parts& parts) {
    const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
    for (int e = 0; e < 2 * kN; e++) {
      const int f = e / 2, half = e % 2;
      Vec<float, 2> pair;
      pair[0] = d[f][2 * half], pair[1] = d[f][2 * half + 1];
      store_vec(&parts[warp][8 * half + lane / 4][8 * f + lane % 4 * 2], pair);
    }
  }

  WarpChunks chunks_;
  int first_;
  int64_t row_, lower_;
  Words w_[kMostChunks][kN];
};

/// The units that a thread finishes, of samples kApart from each other, and what it carries.
template <class T>
struct Seat {
  static constexpr int kApart = kThreads / kClusterUnits;
  using Inputs = UnitInput<T>[kEach][kThreads];  ///< each thread's own: registers are scarce
  int row, column;
  int64_t sample, unit;
  CarriedGrad<float> carried[kEach] = {};

  __device__ __forceinline__ Seat(const GradLayer<T>& s, int64_t row0, int64_t unit0) {
    row = static_cast<int>(threadIdx.x) / kClusterUnits;
    column = static_cast<int>(threadIdx.x) % kClusterUnits;
    sample = row0 + row, unit = unit0 + column;
#pragma unroll
    for (int e = 0; e < kEach; e++) {
      if (there(s, e)) carried[e] = first_carried(s, Stage::units, sample + e * kApart, unit);
    }
  }
  __device__ __forceinline__ bool there(const GradLayer<T>& s, int e) const {
    return sample + e * kApart < s.batch && unit < s.hidden;
  }
  __device__ __forceinline__ void load(const GradLayer<T>& s, int64_t i, Inputs& in) const {
#pragma unroll
    for (int e = 0; e < kEach; e++) {
      if (!there(s, e)) continue;
      in[e][threadIdx.x] = load_unit(s, i, Stage::units, sample + e * kApart, unit);
    }
  }
  __device__ __forceinline__ void finish(const GradLayer<T>& s, const GradMoment<T>& now,
                                         const Inputs& in, const Parts& parts) {
#pragma unroll
    for (int e = 0; e < kEach; e++) {
      if (!there(s, e)) continue;
      float dh = 0;
#pragma unroll
      for (int w = 0; w < kWarps && now.i > 0; w++) dh += parts[w][row + e * kApart][column];
      finish_unit(s, now, sample + e * kApart, unit, in[e][threadIdx.x], dh, carried[e]);
    }
  }
};

template <class Math, class T = typename Math::Element>
__global__ void __launch_bounds__(kThreads, 1)
    recurrent_grad_cluster(const __grid_constant__ GradLayer<T> s,
                           const __grid_constant__ StepFactors<T> p, T* even, T* odd) {
  if constexpr (kDeviceHasHopper) {
    GG_SHARED(parts, Parts);
    GG_SHARED(inputs, typename Seat<T>::Inputs);
    const int64_t row0 = int64_t{blockIdx.x / cluster_size()} * kClusterRows;
    const int64_t unit0 = int64_t{cluster_rank()} * kClusterUnits;
    const HeldWeights<Math> w(p, unit0, row0);
    Seat<T> seat(s, row0, unit0);
    if (s.steps > 0) seat.load(s, 0, inputs);
#pragma unroll 1
    for (int64_t i = 0; i <= s.steps; i++) {
      const uint32_t zero = sizeof(T) == 4 ? static_cast<uint32_t>(i >> 62) : 0;
      if (i > 0) w.multiply({i % 2 ? even : odd, p.a_pitch}, zero, parts);
      __syncthreads();
      const Stage stage = i < s.steps ? Stage::units : Stage::first;
      seat.finish(s, {i, stage, {i % 2 ? odd : even, p.a_pitch}}, inputs, parts);
      cluster_arrive();
      if (i + 1 < s.steps) seat.load(s, i + 1, inputs);
      cluster_wait();
    }
  } else {
    __trap();  // the host does not launch it
  }
}

}  // namespace

template <class T>
bool launch_recurrent_grad_cluster(Stream stream, StepMath math, const GradLayer<T>& layer,
                                   const StepFactors<T>& product, T* const (&du)[2]) {
  const int blocks =
      cluster_blocks<T>(math, layer.hidden, product.k, int64_t{kWarps} * kMostChunks * kStepChunk);
  const int64_t clusters = (layer.batch + kClusterRows - 1) / kClusterRows;
  if (blocks == 0 || layer.projects || clusters > 0x7fffffff / 8) return false;
  const auto start = [&](auto kernel) {
    launch_cluster(kernel, static_cast<unsigned>(clusters * blocks), kThreads,
                   static_cast<unsigned>(blocks), 0, stream, layer, product, du[0], du[1]);
    return true;
  };
  if constexpr (is_half<T>) {
    return start(&recurrent_grad_cluster<HalfMath<T>>);
  } else {
    return start(math == StepMath::three ? &recurrent_grad_cluster<Tf32x3Math>
                                         : &recurrent_grad_cluster<Tf32Math>);
  }
}

template bool launch_recurrent_grad_cluster<f16>(Stream, StepMath, const GradLayer<f16>&,
                                                 const StepFactors<f16>&, f16* const (&)[2]);
template bool launch_recurrent_grad_cluster<bf16>(Stream, StepMath, const GradLayer<bf16>&,
                                                  const StepFactors<bf16>&, bf16* const (&)[2]);
template bool launch_recurrent_grad_cluster<float>(Stream, StepMath, const GradLayer<float>&,
                                                   const StepFactors<float>&, float* const (&)[2]);

}  // namespace gg
