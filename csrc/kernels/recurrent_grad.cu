// Gradients of the recurrent layer (recurrent.cu), a launch for each step, from the last to the
// first (two with a projection), and one for dh0.
//
//   dh = past + du[t + 1] w + dy[t];   dgates[t], du[t], past, dc = unit_grad(dh, dc)
//   with a projection: doutput[t] = past + du[t + 1] w + dy[t];  dh = doutput[t] projection
//
// past is what of a step's dh does not go through w: dh z of a gru, all of it where a sample has
// ended. A block forms dh of 16 units of 32 samples and, from the same sums, their gates'
// gradients: recurrent_product.cuh. w and the projection are transposed once for each call; du and,
// before the projection, doutput are read from buffers of padded rows, written beside the results.
// What does not depend on the step before (w, saved, y, dy) is loaded while that step still runs.
//
// Accumulates in float32 (float64 for float64), past and dc carried so; what is multiplied is
// rounded to the dtype, as the results are. float32 by `precision`, as gemm. Results =.
// Deterministic: warps' parts of k are added in order. Bytes of a step: w and du from L2, saved, y
// and dy once, dgates twice. FLOP: 2 B G H R. Bound: latency, a launch for each step. Reached: not
// measured.
#include "kernels/recurrent_grad_step.cuh"
#include "ops/text.h"

namespace gg {
namespace {

constexpr int N = 2;  // fragments of a block

/// Where a unit keeps what it carries from launch to launch; null where that is nothing.
template <class T>
struct CarriedPlace {
  Acc<T>*past, *dc;

  __device__ CarriedPlace(const GradLayer<T>& s, Stage stage, int64_t sample, int64_t unit) {
    const bool own = stage != Stage::units || !s.projects;
    past = s.past && own ? s.past + sample * s.outputs + unit : nullptr;
    dc = s.dc && stage == Stage::units ? s.dc + sample * s.hidden + unit : nullptr;
  }
};

template <class T>
GG_DEVICE CarriedGrad<Acc<T>> load_carried(const GradLayer<T>& s, const GradMoment<T>& now,
                                           int64_t sample, int64_t unit) {
  if (now.i == 0) return first_carried(s, now.stage, sample, unit);
  const CarriedPlace<T> from(s, now.stage, sample, unit);
  return {from.past ? *from.past : Acc<T>(0), from.dc ? *from.dc : Acc<T>(0)};
}

/// Units that a thread finishes.
template <class Product>
constexpr int kEach = kStepRows * kStepUnits / Product::kThreads * N;

/// f(e, row, column) for those units, by number e, that the result has.
template <class Product, class F>
GG_DEVICE void for_each_unit(const StepPlace& at, F f) {
#pragma unroll
  for (int e = 0; e < kEach<Product>; e++) {
    const int pair = e / N * Product::kThreads + threadIdx.x;
    const int row = pair / kStepUnits, column = e % N * kStepUnits + pair % kStepUnits;
    if (row < at.rows && column < at.units) f(e, row, column);
  }
}

template <class Product, class T = typename Product::T>
__global__ void __launch_bounds__(Product::kThreads, Product::kBlocks)
    recurrent_grad_step(const __grid_constant__ GradLayer<T> s,
                        const __grid_constant__ StepFactors<T> p,
                        const __grid_constant__ GradMoment<T> now) {
  using A = typename Product::A;
  if constexpr (Product::kRuns) {
    GG_SHARED(parts, StepParts<A, N>);
    GG_SHARED(place, StepPlace);  // for the end: until then registers are scarce
    const StepPlace at(p, N);
    if (threadIdx.x == 0) place = at;
    UnitInput<T> in[kEach<Product>] = {};
    CarriedGrad<A> carried[kEach<Product>] = {};
    for_each_unit<Product>(at, [&](int e, int row, int column) {
      in[e] = load_unit(s, now.i, now.stage, at.row0 + row, at.unit0 + column);
    });
    Product product(p, at);
    grid_dependency_wait();
    grid_dependency_launch();
    for_each_unit<Product>(at, [&](int e, int row, int column) {
      carried[e] = load_carried(s, now, at.row0 + row, at.unit0 + column);
    });
    product.run(parts);
    __syncthreads();
    for_each_unit<Product>(place, [&](int e, int row, int column) {
      const int64_t sample = place.row0 + row, unit = place.unit0 + column;
      finish_unit(s, now, sample, unit, in[e], sum_parts<A, N>(parts, row, column), carried[e]);
      const CarriedPlace<T> to(s, now.stage, sample, unit);
      if (to.past) *to.past = carried[e].past;
      if (to.dc) *to.dc = carried[e].dc;
    });
  } else {
    __trap();  // the host does not launch it
  }
}

/// The buffers of a call. w and projection: transposed.
template <class T>
struct Workspace {
  T *du[2], *doutput, *w, *projection;
  Acc<T>*past, *dc;
  int64_t bytes;

  Workspace(void* data, Cell cell, const RecurrentSizes& n, bool projects) {
    Buffers buffers(data);
    const int64_t pitch = padded_k<T>(n.gates * n.hidden), outputs = padded_k<T>(n.outputs);
    for (T*& rows : du) rows = buffers.take<T>(n.batch * pitch);
    w = buffers.take<T>(n.outputs * pitch);
    doutput = buffers.take<T>(projects ? n.batch * outputs : 0);
    projection = buffers.take<T>(projects ? n.hidden * outputs : 0);
    past = buffers.take<Acc<T>>(n.batch * n.outputs);
    dc = buffers.take<Acc<T>>(cell == Cell::lstm ? n.batch * n.hidden : 0);
    bytes = buffers.bytes();
  }
};

/// The arrays of a call to recurrent_grad, as the contract names them.
struct Given {
  Cell cell;
  Array dy, dhn, dcn, w, projection, h0, c0, lengths;
  bool reverse;
  MatmulPrecision precision;
  Array y, saved, dgates, dinner, doutput, dh0, dc0;
};

template <class T>
class Backward {
 public:
  Backward(Stream stream, const Given& given, const RecurrentSizes& sizes, void* workspace)
      : stream_(stream),
        g_(given),
        n_(sizes),
        space_(workspace, given.cell, sizes, static_cast<bool>(given.projection)) {
    const int64_t width = n_.gates * n_.hidden;
    const bool pads = padded_k<T>(width) != width || padded_k<T>(n_.outputs) != n_.outputs;
    if (pads) memset_async(workspace, 0, static_cast<size_t>(space_.bytes), stream);
    w_ = lay_out(stream_, transposed_matrix(g_.w), space_.w);
    if (g_.projection) {
      projection_ = lay_out(stream_, transposed_matrix(g_.projection), space_.projection);
    }
    set_layer();
  }

  void run() {
    const StepMath math = step_math(g_.y.dtype, g_.precision);
    const int64_t width = n_.gates * n_.hidden;
    if constexpr (!std::is_same_v<T, double>) {
      const StepFactors<T> product = factors(nullptr, width, w_, n_.outputs);
      if (launch_recurrent_grad_cluster(stream_, math, layer_, product, space_.du)) return;
    }
    kernel_ = with_product<T, N>(
        math, [](auto tag) { return &recurrent_grad_step<typename decltype(tag)::type>; });
    for (int64_t i = 0; i <= n_.steps; i++) {
      const Rows2<T> du{space_.du[i % 2], padded_k<T>(width)};
      StepFactors<T> product = factors(space_.du[(i + 1) % 2], width, w_, n_.outputs);
      if (i == 0) product.k = 0;
      if (i == n_.steps) {
        start(product, {i, Stage::first, du});
      } else if (!g_.projection) {
        start(product, {i, Stage::units, du});
      } else {
        start(product, {i, Stage::output, {space_.doutput, padded_k<T>(n_.outputs)}});
        start(factors(space_.doutput, n_.outputs, projection_, n_.hidden), {i, Stage::units, du});
      }
    }
  }

 private:
  StepFactors<T> factors(const T* a, int64_t k, const Rows2<const T>& w, int64_t units) const {
    return {a, w.data, padded_k<T>(k), w.pitch, n_.batch, units, 0, padded_k<T>(k), N};
  }

  void start(const StepFactors<T>& p, const GradMoment<T>& now) {
    constexpr unsigned threads = 32 * kStepWarps<Acc<T>>;
    const dim3 grid = step_grid(p, N);
    if (p.k == 0) return launch(kernel_, grid, threads, 0, stream_, layer_, p, now);
    launch_dependent(kernel_, grid, threads, 0, stream_, layer_, p, now);
  }

  void set_layer() {
    layer_.cell = g_.cell, layer_.reverse = g_.reverse;
    layer_.projects = static_cast<bool>(g_.projection);
    layer_.steps = n_.steps, layer_.batch = n_.batch;
    layer_.hidden = n_.hidden, layer_.outputs = n_.outputs;
    if (g_.lengths) layer_.lengths = {g_.lengths.as<const int64_t>(), g_.lengths.stride[0], 0};
    layer_.dy = grid3<const T>(g_.dy);
    layer_.dhn = grid2<const T>(g_.dhn), layer_.dcn = grid2<const T>(g_.dcn);
    layer_.y = grid3<const T>(g_.y);
    layer_.saved = grid3<const Acc<T>>(g_.saved);
    layer_.initial = grid2<const T>(g_.cell == Cell::lstm ? g_.c0 : g_.h0);
    if (g_.cell == Cell::gru || g_.lengths) layer_.past = space_.past;
    if (g_.cell == Cell::lstm) layer_.dc = space_.dc;
    layer_.dgates = grid3<T>(g_.dgates), layer_.dinner = grid3<T>(g_.dinner);
    layer_.doutput = grid3<T>(g_.doutput);
    layer_.dh0 = grid2<T>(g_.dh0), layer_.dc0 = grid2<T>(g_.dc0);
  }

  Stream stream_;
  const Given& g_;
  const RecurrentSizes& n_;
  Workspace<T> space_;
  GradLayer<T> layer_{};
  Rows2<const T> w_{}, projection_{};
  void (*kernel_)(GradLayer<T>, StepFactors<T>, GradMoment<T>) = nullptr;
};

}  // namespace

void recurrent_grad(Stream stream, Cell cell, const Array& dy, const Array& dhn, const Array& dcn,
                    const Array& w, const Array& projection, const Array& h0, const Array& c0,
                    const Array& lengths, bool reverse, MatmulPrecision precision, const Array& y,
                    const Array& saved, const Array& dgates, const Array& dinner,
                    const Array& doutput, const Array& dh0, const Array& dc0,
                    const Array& workspace) {
  const RecurrentSizes n =
      check_recurrent_grad(cell, dy, dhn, dcn, w, projection, h0, c0, lengths, y, saved, dgates);
  check_recurrent_outputs(cell, n, dgates.dtype, projection, dinner, doutput, dh0, dc0);
  check_workspace("recurrent_grad", workspace,
                  recurrent_grad_workspace(cell, dgates, w, projection));
  if (n.batch == 0) return;
  if (n.steps == 0 && dc0) {
    if (dcn) copy(stream, dcn, dc0);
    if (!dcn) fill(stream, dc0, Scalar{});
  }
  const Given given{cell,    dy,        dhn, dcn,   w,      projection, h0,      c0,  lengths,
                    reverse, precision, y,   saved, dgates, dinner,     doutput, dh0, dc0};
  dispatch_floating(dgates.dtype, [&](auto tag) {
    Backward<typename decltype(tag)::type>(stream, given, n, workspace.data).run();
  });
}

int64_t recurrent_grad_workspace(Cell cell, const Array& dgates, const Array& w,
                                 const Array& projection) {
  const RecurrentSizes n =
      check_recurrent_sizes("recurrent_grad", cell, "dgates", dgates, w, projection);
  int64_t bytes = 0;
  dispatch_floating(dgates.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    bytes = Workspace<T>(nullptr, cell, n, static_cast<bool>(projection)).bytes;
  });
  return bytes;
}

}  // namespace gg
