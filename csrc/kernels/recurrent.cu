// One recurrent layer in one direction, a launch for each step (two with a projection).
//
//   u = w h + bias;  h, c = cell(gates[t], u, c);  y[t] = h        ops/text.h has the cells
//
// A block computes all gates of 8 units (rnn: 32 units) of 32 samples and then, from the same sums,
// their states: recurrent_product.cuh. gates, y [T, B, ...] dense along the last axis; h of the
// step before is read from a buffer of padded rows, written beside y, so that any H is read in
// vectors and samples that have ended keep theirs. What does not depend on the step before (w, the
// gates) is loaded while that step still runs (programmatic dependent launch, where the code was
// compiled for sm_90 and up). Small layers on sm_90a: recurrent_hopper.cu.
//
// Accumulates in float32 (float64 for float64), c carried so; h rounded at each step, as is what a
// projection reads. float32 by `precision`, as gemm. Results =. Deterministic: warps' parts of k
// are added in order. Bytes of a step: w and h from L2 (weights up to some tens of MB stay there),
// gates once, y and saved once. FLOP: 2 B G H R. Bound: latency, a launch for each step. Reached:
// not measured.
#include "kernels/recurrent_step.cuh"
#include "ops/text.h"

namespace gg {
namespace {

constexpr int N = 4;  // fragments of a block

/// A pair (sample, unit) of the block: one that a thread finishes, with the gates of all fragments.
struct Pair {
  int row, unit;          ///< in the block
  int64_t sample, first;  ///< of the result; first: the unit of fragment 0

  __device__ Pair(const StepPlace& at, int number) {
    row = number / kStepUnits, unit = number % kStepUnits;
    sample = at.row0 + row, first = at.unit0 + unit;
  }
};

template <class T>
GG_DEVICE void load_gates(const Layer<T>& s, const StepFactors<T>& p, const Moment<T>& now,
                          const StepPlace& at, const Pair& pair, Acc<T> (&gates)[N]) {
#pragma unroll
  for (int f = 0; f < N; f++) {
    const int64_t unit = pair.first + f * at.unit_step;
    const bool there = f < p.fragments && unit < p.units && pair.sample < p.rows && !now.projects;
    gates[f] = 0;
    if (!there) continue;
    gates[f] = load_gate(s, s.time(now.i), pair.sample, p.gate_rows ? f : 0, unit);
  }
}

/// What lstm and gru carry to this launch.
template <class T>
GG_DEVICE Carried<T> load_carried(const Layer<T>& s, const StepFactors<T>& p, const Moment<T>& now,
                                  const Pair& pair) {
  Carried<T> carried = {};
  if (!p.gate_rows || pair.sample >= p.rows || pair.first >= p.units) return carried;
  if (s.c && now.i == 0) {
    carried.c = convert<Acc<T>>(s.c0(pair.sample, pair.first));
  } else if (s.c) {
    carried.c = s.c[pair.sample * s.hidden + pair.first];
  }
  if (carries_h(s) && !s.inner.data) {
    carried.h = now.before.data[pair.sample * now.before.pitch + pair.first];
  }
  return carried;
}

template <class T>
GG_DEVICE void finish_pair(const Layer<T>& s, const StepFactors<T>& p, const Moment<T>& now,
                           const StepPlace& at, const Pair& pair, Acc<T> (&gates)[N],
                           const Acc<T> (&sums)[N], Carried<T>& carried) {
  const int64_t sample = pair.sample, first = pair.first;
  if (sample >= p.rows || first >= p.units) return;
  const bool active = has_step(s, s.time(now.i), sample);
  if (!p.gate_rows) {
#pragma unroll
    for (int f = 0; f < N; f++) {
      const int64_t unit = first + f * at.unit_step;
      if (unit >= p.units) break;
      if (!active) carried.h = now.before.data[sample * now.before.pitch + unit];
      plain_unit(s, now, sample, unit, gates[f] + sums[f], active, carried);
    }
    return;
  }
  gated_unit(s, now, sample, first, gates, sums, active, carried);
  if (s.c) s.c[sample * s.hidden + first] = carried.c;
}

template <class Product, class T = typename Product::T>
__global__ void __launch_bounds__(Product::kThreads, Product::kBlocks)
    recurrent_step(const __grid_constant__ Layer<T> s, const __grid_constant__ StepFactors<T> p,
                   const __grid_constant__ Moment<T> now) {
  using A = typename Product::A;
  if constexpr (Product::kRuns) {
    constexpr int pairs = kStepRows * kStepUnits / Product::kThreads;
    GG_SHARED(parts, StepParts<A, N>);
    GG_SHARED(place, StepPlace);  // for the end: until then registers are scarce
    const StepPlace at(p, N);
    if (threadIdx.x == 0) place = at;
    A gates[pairs][N];
#pragma unroll
    for (int i = 0; i < pairs; i++) {
      load_gates(s, p, now, at, Pair(at, i * Product::kThreads + threadIdx.x), gates[i]);
    }
    Product product(p, at);
    grid_dependency_wait();
    grid_dependency_launch();
    Carried<T> carried[pairs];
#pragma unroll
    for (int i = 0; i < pairs; i++) {
      carried[i] = load_carried(s, p, now, Pair(at, i * Product::kThreads + threadIdx.x));
    }
    product.run(parts);
    __syncthreads();
#pragma unroll
    for (int i = 0; i < pairs; i++) {
      const Pair pair(place, i * Product::kThreads + threadIdx.x);
      A sums[N];
#pragma unroll
      for (int f = 0; f < N; f++) sums[f] = sum_parts<A, N>(parts, pair.row, 8 * f + pair.unit);
      finish_pair(s, p, now, place, pair, gates[i], sums, carried[i]);
    }
  } else {
    __trap();  // the host does not launch it
  }
}

/// The buffers of a call.
template <class T>
struct Workspace {
  T *h[2], *inner, *w, *projection;
  Acc<T>* c;
  int64_t bytes;

  Workspace(void* data, Cell cell, int64_t batch, int64_t hidden, const Array& w_given,
            const Array& projection_given) {
    Buffers buffers(data);
    const int64_t outputs = w_given.shape[1], pitch = padded_k<T>(outputs);
    for (T*& state : h) state = buffers.take<T>(batch * pitch);
    c = buffers.take<Acc<T>>(cell == Cell::lstm ? batch * hidden : 0);
    inner = buffers.take<T>(projection_given ? batch * padded_k<T>(hidden) : 0);
    w = buffers.take<T>(in_chunks(w_given) ? 0 : w_given.shape[0] * pitch);
    const bool copies = projection_given && !in_chunks(projection_given);
    projection = buffers.take<T>(copies ? outputs * padded_k<T>(hidden) : 0);
    bytes = buffers.bytes();
  }
};

/// The arrays of a call to recurrent, as the contract names them.
struct Given {
  Cell cell;
  Array gates, w, bias, projection, h0, c0, lengths;
  bool reverse;
  MatmulPrecision precision;
  Array y, hn, cn, saved;
};

template <class T>
class Forward {
 public:
  Forward(Stream stream, const Given& given, const RecurrentSizes& sizes, void* workspace)
      : stream_(stream),
        g_(given),
        n_(sizes),
        space_(workspace, given.cell, sizes.batch, sizes.hidden, given.w, given.projection) {
    const bool pads = padded_k<T>(n_.outputs) != n_.outputs || padded_k<T>(n_.hidden) != n_.hidden;
    if (pads) memset_async(workspace, 0, static_cast<size_t>(space_.bytes), stream);
    w_ = matrix(g_.w, space_.w);
    if (g_.projection) projection_ = matrix(g_.projection, space_.projection);
    h_ = matrix(g_.h0, space_.h[1]);
    set_layer();
    set_product();
  }

  void run() {
    const StepMath math = step_math(g_.gates.dtype, g_.precision);
    if constexpr (!std::is_same_v<T, double>) {
      if (launch_recurrent_cluster(stream_, math, layer_, product_, space_.h)) return;
    }
    const auto kernel = with_product<T, N>(
        math, [](auto tag) { return &recurrent_step<typename decltype(tag)::type>; });
    for (int64_t i = 0; i < n_.steps; i++) {
      const Rows2<T> next{space_.h[i % 2], padded_k<T>(n_.outputs)};
      Moment<T> now{i, h_, next, false};
      product_.a = h_.data, product_.a_pitch = h_.pitch;
      start(kernel, product_, now);
      now.projects = true;
      if (g_.projection) start(kernel, projection(), now);
      h_ = {next.data, next.pitch};
    }
  }

 private:
  Rows2<const T> matrix(const Array& a, T* buffer) {
    if (in_chunks(a)) return {a.as<const T>(), a.stride[0]};
    return lay_out(stream_, a, buffer);
  }

  void start(void (*kernel)(Layer<T>, StepFactors<T>, Moment<T>), const StepFactors<T>& p,
             const Moment<T>& now) {
    constexpr unsigned threads = 32 * kStepWarps<Acc<T>>;
    const dim3 grid = step_grid(p, N);
    if (now.i == 0 && !now.projects)
      return launch(kernel, grid, threads, 0, stream_, layer_, p, now);
    launch_dependent(kernel, grid, threads, 0, stream_, layer_, p, now);
  }

  void set_layer() {
    layer_.cell = g_.cell, layer_.reverse = g_.reverse;
    layer_.steps = n_.steps, layer_.batch = n_.batch, layer_.hidden = n_.hidden;
    layer_.gates = grid3<const T>(g_.gates);
    if (g_.bias) layer_.bias = {g_.bias.as<const T>(), 0, g_.bias.stride[0]};
    layer_.c0 = grid2<const T>(g_.c0);
    if (g_.lengths) layer_.lengths = {g_.lengths.as<const int64_t>(), g_.lengths.stride[0], 0};
    if (g_.c0) layer_.c = space_.c;
    if (g_.projection) layer_.inner = {space_.inner, padded_k<T>(n_.hidden)};
    layer_.y = grid3<T>(g_.y);
    layer_.hn = grid2<T>(g_.hn), layer_.cn = grid2<T>(g_.cn);
    layer_.saved = grid3<Acc<T>>(g_.saved);
  }

  void set_product() {
    const bool gated = n_.gates > 1;
    product_ = {h_.data,
                w_.data,
                h_.pitch,
                w_.pitch,
                n_.batch,
                n_.hidden,
                gated ? n_.hidden : 0,
                padded_k<T>(n_.outputs),
                gated ? static_cast<int>(n_.gates) : N};
  }

  /// The product of the projection after a step of the cell.
  StepFactors<T> projection() const {
    const int64_t k = padded_k<T>(n_.hidden);
    return {space_.inner, projection_.data, k, projection_.pitch, n_.batch, n_.outputs, 0, k, N};
  }

  Stream stream_;
  const Given& g_;
  const RecurrentSizes& n_;
  Workspace<T> space_;
  Layer<T> layer_{};
  StepFactors<T> product_{};
  Rows2<const T> w_{}, projection_{}, h_{};
};

}  // namespace

void recurrent(Stream stream, Cell cell, const Array& gates, const Array& w, const Array& bias,
               const Array& projection, const Array& h0, const Array& c0, const Array& lengths,
               bool reverse, MatmulPrecision precision, const Array& y, const Array& hn,
               const Array& cn, const Array& saved, const Array& workspace) {
  const RecurrentSizes n =
      check_recurrent(cell, gates, w, bias, projection, h0, c0, lengths, y, hn, cn, saved);
  check_workspace("recurrent", workspace, recurrent_workspace(cell, gates, w, projection, saved));
  if (n.batch == 0) return;
  if (n.steps == 0) {
    copy(stream, h0, hn);
    if (cn) copy(stream, c0, cn);
    return;
  }
  const Given given{cell,    gates,   w,         bias, projection, h0, c0,
                    lengths, reverse, precision, y,    hn,         cn, saved};
  dispatch_floating(gates.dtype, [&](auto tag) {
    Forward<typename decltype(tag)::type>(stream, given, n, workspace.data).run();
  });
}

int64_t recurrent_workspace(Cell cell, const Array& gates, const Array& w, const Array& projection,
                            const Array&) {
  const RecurrentSizes n = check_recurrent_sizes("recurrent", cell, "gates", gates, w, projection);
  int64_t bytes = 0;
  dispatch_floating(gates.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    bytes = Workspace<T>(nullptr, cell, n.batch, n.hidden, w, projection).bytes;
  });
  return bytes;
}

}  // namespace gg
