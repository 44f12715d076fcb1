// One recurrent layer in one direction in a single launch, for layers whose weights fit the
// registers of a cluster: H up to 256 in float16 and bfloat16, up to 128 in float32 (recurrent.cu
// has the others). sm_90a.
//
//   for every step:  u = w h + bias;  h, c = cell(gates[t], u, c);  y[t] = h
//
// A cluster of up to 8 blocks has 16 samples, a block 32 units, a warp all gates of 4 units: their
// rows of w stay in its registers from the first step to the last, as do c and the gates of the
// step to come. Columns are dealt out so that a lane's accumulators are the gates of one unit of
// two samples: nothing goes through shared memory on the way to the cell. A step begins by
// copying the cluster's h from L2 to the shared memory of each block and ends with the cluster's
// barrier, which also orders these writes and reads; buffers alternate, so one is enough.
//
// Accumulates in float32; float32 by `precision`. Results =. Deterministic. Bytes of a step: h for
// each block, gates once, y and saved once. Bound: latency: copy, product, cell and barrier of a
// step. Reached: not measured.
#include "device/cluster.h"
#include "kernels/recurrent_step.cuh"

namespace gg {
namespace {

constexpr int kThreads = 256, kWarpUnits = 4;
constexpr int kMostChunks = 8;                                      // of k, in registers
constexpr int kStagePitch = kMostChunks * kStepChunk + kStepChunk;  // rows 64 bytes apart in banks

/// The warp's rows of w, and their product with the rows of h in shared memory.
template <class Math>
class HeldWeights {
 public:
  using T = typename Math::Element;

  /// Column c of fragment f is gate 2 f + c % 2 of unit c / 2.
  __device__ __forceinline__ HeldWeights(const StepFactors<T>& p, int gates, int64_t first_unit)
      : chunks_(static_cast<int>(p.k * static_cast<int64_t>(sizeof(T)) / kStepChunk)) {
    const int lane = static_cast<int>(threadIdx.x) % 32, column = lane / 4;
    const int64_t unit = first_unit + column / 2;
#pragma unroll
    for (int f = 0; f < 2; f++) {
      const int gate = 2 * f + column % 2;
      const bool there = gate < gates && unit < p.units;
      const T* const row = p.w + (there ? gate * p.gate_rows + unit : 0) * p.w_pitch;
#pragma unroll
      for (int c = 0; c < kMostChunks; c++) {
        w_[c][f] = {};
        if (there && c < chunks_) w_[c][f] = load_vec<4>(words(row) + 16 * c + lane % 4 * 4);
      }
    }
  }

  /// Accumulators of both fragments. Chunks alternate between two sums, halving their chain.
  __device__ __forceinline__ void multiply(const char* stage, float (&d)[2][4]) const {
    typename Math::template Sums<1, 2> sums[2];
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const char* const from = stage + lane / 4 * kStagePitch + lane % 4 * 16;
#pragma unroll
    for (int c = 0; c < kMostChunks; c++) {
      if (c >= chunks_) break;
      const Words upper = load_vec<4>(words(from + c * kStepChunk));
      const Words lower = load_vec<4>(words(from + 8 * kStagePitch + c * kStepChunk));
#pragma unroll
      for (int s = 0; s < 4; s += 2) {
        Fragments<1, 2> now;
#pragma unroll
        for (int q = 0; q < 4; q++) now.a[0][q] = q % 2 ? lower[s + q / 2] : upper[s + q / 2];
#pragma unroll
        for (int q = 0; q < 4; q++) now.b[q / 2][q % 2] = w_[c][q / 2][s + q % 2];
        Math::multiply(sums[c % 2], now);
      }
    }
    Math::finish(sums[0]);
    Math::finish(sums[1]);
#pragma unroll
    for (int e = 0; e < 8; e++)
      d[e / 4][e % 4] = sums[0].d[0][e / 4][e % 4] + sums[1].d[0][e / 4][e % 4];
  }

 private:
  using Words = Vec<uint32_t, 4>;

  template <class P>
  static __device__ __forceinline__ const uint32_t* words(const P* p) {
    return reinterpret_cast<const uint32_t*>(p);
  }

  int chunks_;
  Words w_[kMostChunks][2];
};

/// The rows of h from row0 on to shared memory; those beyond the last repeat it. Nothing
/// would be found in L1: the barrier empties it.
template <class T>
GG_DEVICE void stage_rows(const Rows2<const T>& h, int64_t row0, int64_t rows, int64_t k,
                          char* stage) {
  constexpr int V = 16 / static_cast<int>(sizeof(T));
  const int row = static_cast<int>(threadIdx.x) / 16, count = static_cast<int>(k) / V;
  const int64_t from = row0 + row < rows ? row0 + row : rows - 1;
  for (int v = static_cast<int>(threadIdx.x) % 16; v < count; v += 16) {
    const Vec<T, V> vector = load_vec_streaming<V>(h.data + from * h.pitch + v * V);
    store_vec(reinterpret_cast<T*>(stage + row * kStagePitch + v * 16), vector);
  }
}

/// A lane's unit of two samples, 8 apart.
template <class T>
struct Seat {
  int64_t sample, unit;
  bool there[2];
  Carried<T> carried[2];
  Acc<T> gates[2][kMostGates];

  __device__ __forceinline__ Seat(const Layer<T>& s, int64_t row0, int64_t first_unit) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    sample = row0 + lane / 4, unit = first_unit + lane % 4;
    there[0] = unit < s.hidden && sample < s.batch;
    there[1] = unit < s.hidden && sample + 8 < s.batch;
  }
  __device__ __forceinline__ void load_states(const Layer<T>& s, const Rows2<const T>& h) {
#pragma unroll
    for (int r = 0; r < 2; r++) {
      carried[r] = {};
      if (!there[r]) continue;
      carried[r].h = h.data[(sample + 8 * r) * h.pitch + unit];
      if (s.c0.data) carried[r].c = convert<Acc<T>>(s.c0(sample + 8 * r, unit));
    }
  }
  __device__ __forceinline__ void load_gates(const Layer<T>& s, int count, int64_t t) {
#pragma unroll
    for (int e = 0; e < 2 * kMostGates; e++) {
      const int r = e / kMostGates, gate = e % kMostGates;
      gates[r][gate] = 0;
      if (there[r] && gate < count) gates[r][gate] = load_gate(s, t, sample + 8 * r, gate, unit);
    }
  }
  __device__ __forceinline__ void finish(const Layer<T>& s, const Moment<T>& now, bool gated,
                                         const float (&d)[2][4]) {
#pragma unroll
    for (int r = 0; r < 2; r++) {
      if (!there[r]) continue;
      const int64_t at = sample + 8 * r;
      const bool active = has_step(s, s.time(now.i), at);
      const float sums[kMostGates] = {d[0][2 * r], d[0][2 * r + 1], d[1][2 * r], d[1][2 * r + 1]};
      if (gated) {
        gated_unit(s, now, at, unit, gates[r], sums, active, carried[r]);
      } else {
        plain_unit(s, now, at, unit, gates[r][0] + sums[0], active, carried[r]);
      }
    }
  }
};

template <class Math, class T = typename Math::Element>
__global__ void __launch_bounds__(kThreads, 1)
    recurrent_cluster(const __grid_constant__ Layer<T> s, const __grid_constant__ StepFactors<T> p,
                      T* even, T* odd, int64_t pitch) {
  if constexpr (kDeviceHasHopper) {
    GG_SHARED(stage, char[kClusterRows * kStagePitch]);
    const int64_t row0 = int64_t{blockIdx.x / cluster_size()} * kClusterRows;
    const int64_t first_unit =
        int64_t{cluster_rank()} * kClusterUnits + threadIdx.x / 32 * kWarpUnits;
    const int count = p.gate_rows ? p.fragments : 1;
    const HeldWeights<Math> w(p, count, first_unit);
    Seat<T> seat(s, row0, first_unit);
    Rows2<const T> h{p.a, p.a_pitch};
    seat.load_states(s, h);
    seat.load_gates(s, count, s.time(0));
#pragma unroll 1
    for (int64_t i = 0; i < s.steps; i++) {
      stage_rows(h, row0, s.batch, p.k, stage);
      __syncthreads();
      float d[2][4];
      w.multiply(stage, d);
      const Rows2<T> next{i % 2 ? odd : even, pitch};
      const Moment<T> now{i, h, next, false};
      seat.finish(s, now, p.gate_rows != 0, d);
      h = {next.data, pitch};
      cluster_arrive();
      if (i + 1 < s.steps) seat.load_gates(s, count, s.time(i + 1));
      cluster_wait();
    }
  } else {
    __trap();  // the host does not launch it
  }
}

}  // namespace

template <class T>
bool launch_recurrent_cluster(Stream stream, StepMath math, const Layer<T>& layer,
                              const StepFactors<T>& product, T* const (&states)[2]) {
  const int blocks =
      cluster_blocks<T>(math, layer.hidden, product.k, int64_t{kMostChunks} * kStepChunk);
  const int64_t clusters = (layer.batch + kClusterRows - 1) / kClusterRows;
  if (blocks == 0 || layer.inner.data || clusters > 0x7fffffff / 8) return false;
  const auto start = [&](auto kernel) {
    launch_cluster(kernel, static_cast<unsigned>(clusters * blocks), kThreads,
                   static_cast<unsigned>(blocks), 0, stream, layer, product, states[0], states[1],
                   padded_k<T>(layer.hidden));
    return true;
  };
  if constexpr (is_half<T>) {
    return start(&recurrent_cluster<HalfMath<T>>);
  } else {
    return start(math == StepMath::three ? &recurrent_cluster<Tf32x3Math>
                                         : &recurrent_cluster<Tf32Math>);
  }
}

template bool launch_recurrent_cluster<f16>(Stream, StepMath, const Layer<f16>&,
                                            const StepFactors<f16>&, f16* const (&)[2]);
template bool launch_recurrent_cluster<bf16>(Stream, StepMath, const Layer<bf16>&,
                                             const StepFactors<bf16>&, bf16* const (&)[2]);
template bool launch_recurrent_cluster<float>(Stream, StepMath, const Layer<float>&,
                                              const StepFactors<float>&, float* const (&)[2]);

}  // namespace gg
