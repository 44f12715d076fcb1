// Layer and group normalisation: y = (x - mean) rstd weight + bias, over rows. A row is a line of x
// [M, D], or a group of x [N, C, ...]: C / G channels and their positions. RMSNorm counts mean as
// 0. With a residual, x + residual takes the place of x and is written too: sum.
//
// A team of threads has a row: 1 to 32 neighbours up to 1024 elements, else a block. Each thread
// forms moments of its elements (two passes over a chunk of 16 bytes, joined by Chan's formula),
// and finds them again in shared memory, where a row fits; else it reads them again. Elements are
// visited in the order of memory, so channels-last groups of a vector's width move as vectors.
//
// Accumulates in float32 (float64 for float64); y, sum, mean, rstd =. Deterministic: a thread's
// elements and the tree of joins depend on shapes and strides alone. Bytes: x, residual, sum and y
// once. Bound: memory bandwidth. Reached: not measured.

#include "kernels/batch_norm.cuh"
#include "ops/norms.h"

namespace gg {
namespace {

/// Where rows lie. Index of a row: arrays x, y, residual, sum, mean, rstd, and its first weight.
struct NormRows : TeamShape {
  Layout<7> outer;
  Layout<4> inner;   ///< x, y, residual, sum along a row
  Layout<1> weight;  ///< weights along it
  bool vectors;
  bool weight_vectors;  ///< the innermost of weight's axes is whole vectors
  bool staged;

  GG_HD int rows_per_block() const { return kRowThreads / lanes; }
};

template <class T>
struct NormArrays {
  const T* x;
  T* y;
  const T* residual;
  T* sum;
  Acc<T>*mean, *rstd;
  Weights weight, bias;
  Acc<T> eps;
};

/// This thread's chunks of a row: V elements each, neighbours or a team's width apart.
template <int V>
struct Chunks {
  int64_t n, first, step;
  int within;

  __device__ Chunks(const NormRows& rows, bool present) {
    const int lane = threadIdx.x % rows.lanes;
    n = present ? rows.inner.size : 0;
    first = rows.vectors ? lane * V : lane;
    step = rows.lanes * V;
    within = rows.vectors ? 1 : rows.lanes;
  }
  __device__ int count(int64_t i) const { return count_below(i, within, V, n); }
};

/// Adds the residual to a chunk of x, rounds, and writes it to `sum`.
template <class T, int V>
GG_DEVICE void add_residual(const NormRows& rows, const NormArrays<T>& arrays, int64_t row,
                            int64_t i, int within, int count, Acc<T> (&v)[V]) {
  Acc<T> r[V];
  const T* const residual = arrays.residual + rows.outer.offset(2, row);
  load_elements(rows.inner, 2, residual, i, within, count, rows.vectors, r);
#pragma unroll
  for (int j = 0; j < V; j++) v[j] = convert<Acc<T>>(convert<T>(v[j] + r[j]));
  T* const sum = arrays.sum + rows.outer.offset(3, row);
  store_elements(rows.inner, 3, sum, i, within, count, rows.vectors, v);
}

template <class T, int V>
GG_DEVICE Moments<Acc<T>> read_row(const NormRows& rows, const NormArrays<T>& arrays, int64_t row,
                                   const Chunks<V>& chunks) {
  using A = Acc<T>;
  const T* const x = arrays.x + rows.outer.offset(0, row);
  Vec<T, V>* stage = shared_dynamic<Vec<T, V>>() + threadIdx.x;
  Moments<A> all{0, 0, 0};
  for (int64_t i = chunks.first; i < chunks.n; i += chunks.step) {
    A v[V];
    const int count = chunks.count(i);
    load_elements(rows.inner, 0, x, i, chunks.within, count, rows.vectors, v);
    if (arrays.residual) add_residual(rows, arrays, row, i, chunks.within, count, v);
    if (rows.staged) {
      Vec<T, V> kept;
#pragma unroll
      for (int j = 0; j < V; j++) kept[j] = convert<T>(v[j]);
      store_vec(&stage->v[0], kept);
      stage += kRowThreads;
    }
    if (arrays.mean) {
      add_moments(all, v, count);
    } else {
#pragma unroll
      for (int j = 0; j < V; j++) all.m2 += v[j] * v[j];
      all.count += static_cast<A>(count);
    }
  }
  return all;
}

template <class T, int V>
GG_DEVICE void write_row(const NormRows& rows, const NormArrays<T>& arrays, int64_t row,
                         const Chunks<V>& chunks, Acc<T> mean, Acc<T> rstd) {
  using A = Acc<T>;
  const Vec<T, V>* stage = shared_dynamic<Vec<T, V>>() + threadIdx.x;
  // What is normalised: x, or the sum that this thread has written.
  const int source = arrays.residual ? 3 : 0;
  const T* const x = (arrays.residual ? arrays.sum : arrays.x) + rows.outer.offset(source, row);
  T* const y = arrays.y + rows.outer.offset(1, row);
  const int64_t first_weight = rows.outer.offset(6, row);
  for (int64_t i = chunks.first; i < chunks.n; i += chunks.step) {
    A v[V], weight[V], bias[V];
    const int count = chunks.count(i);
    if (rows.staged) {
      const Vec<T, V> kept = load_vec<V>(&stage->v[0]);
#pragma unroll
      for (int j = 0; j < V; j++) v[j] = convert<A>(kept[j]);
      stage += kRowThreads;
    } else {
      load_elements(rows.inner, source, x, i, chunks.within, count, rows.vectors, v);
    }
    // V neighbours have one weight, or V neighbouring ones, or each its own.
    const bool whole = rows.vectors && rows.weight_vectors && count == V;
    int64_t at[V];
    locate(rows.weight, 0, i, chunks.within, whole ? 1 : count, chunks.n, at);
#pragma unroll
    for (int j = 0; j < V; j++) at[j] = first_weight + (j < count ? at[j] : 0);
    const bool run = whole && rows.weight.inner(0) == 1;
    load_weights<T>(arrays.weight, at, run, !whole, weight);
    load_weights<T>(arrays.bias, at, run, !whole, bias);
#pragma unroll
    for (int j = 0; j < V; j++) v[j] = (v[j] - mean) * rstd * weight[j] + bias[j];
    store_elements(rows.inner, 1, y, i, chunks.within, count, rows.vectors, v);
  }
}

template <class T>
__global__ void __launch_bounds__(kRowThreads, 2)
    norm_rows(const NormRows rows, const NormArrays<T> arrays) {
  using A = Acc<T>;
  constexpr int V = max_vec<T>();
  const int in_block = threadIdx.x / rows.lanes, per_block = rows.rows_per_block();
  for (int64_t first = static_cast<int64_t>(blockIdx.x) * per_block; first < rows.outer.size;
       first += static_cast<int64_t>(gridDim.x) * per_block) {
    const bool present = first + in_block < rows.outer.size;
    const int64_t row = present ? first + in_block : 0;
    const Chunks<V> chunks(rows, present);
    Moments<A> all = read_row<T, V>(rows, arrays, row, chunks);
    if (arrays.mean) {
      all = join_line(rows, all, JoinMoments(), Moments<A>{0, 0, 0});
    } else {
      all = {static_cast<A>(rows.inner.size), A(0), join_line(rows, all.m2, SumOp(), A(0))};
    }
    const A mean = arrays.mean ? average(all) : A(0);
    const A rstd = reciprocal_deviation(all, arrays.eps);
    if (present && threadIdx.x % rows.lanes == 0) {
      if (arrays.mean) arrays.mean[rows.outer.offset(4, row)] = mean;
      arrays.rstd[rows.outer.offset(5, row)] = rstd;
    }
    write_row<T, V>(rows, arrays, row, chunks, mean, rstd);
  }
}

/// x, y, residual, sum: the last two or none of them.
using Images = const Array* const (&)[4];

/// Rows whose elements are `inner` (the images, weight), sorted and merged.
void finish_rows(NormRows& rows, Layout<5> inner, Images images) {
  rows.outer.finish();
  inner.sort();
  for (int axis = 0; axis < inner.ndim; axis++) {
    rows.inner.push(inner.length[axis], {inner.stride[0][axis], inner.stride[1][axis],
                                         inner.stride[2][axis], inner.stride[3][axis]});
    rows.weight.push(inner.length[axis], {inner.stride[4][axis]});
  }
  rows.inner.finish();
  rows.weight.finish();
  const int width = 16 / dtype_size(images[0]->dtype);
  rows.vectors = all_in_vectors(rows.inner, images, width);
  for (int axis = 0; axis < rows.outer.ndim; axis++) {
    for (int k = 0; k < 4; k++) {
      const bool moves = rows.outer.length[axis] > 1;
      rows.vectors = rows.vectors && (!moves || rows.outer.stride[k][axis] % width == 0);
    }
  }
  rows.weight_vectors = rows.weight.length[rows.weight.ndim - 1] % width == 0;
  const int64_t n = rows.inner.size;
  rows.team = n <= kWarpRow ? Team::warp : Team::block;
  rows.lanes = rows.team == Team::warp ? 1 : kRowThreads;
  while (rows.lanes < kWarp && rows.lanes * (rows.vectors ? width : 1) < n) rows.lanes *= 2;
}

template <class T>
void launch_rows(Stream stream, NormRows& rows, const NormArrays<T>& arrays) {
  const int64_t chunk = static_cast<int64_t>(rows.lanes) * max_vec<T>();
  const int64_t bytes = (rows.inner.size + chunk - 1) / chunk * kRowThreads * 16;
  rows.staged = bytes + 4096 <= max_shared_bytes();
  const int64_t blocks = (rows.outer.size + rows.rows_per_block() - 1) / rows.rows_per_block();
  const unsigned grid =
      static_cast<unsigned>(std::min<int64_t>(blocks, int64_t{8} * multiprocessors()));
  launch(norm_rows<T>, grid, kRowThreads, rows.staged ? static_cast<size_t>(bytes) : 0, stream,
         rows, arrays);
}

void normalise(Stream stream, NormRows& rows, Images images, const Array& weight, const Array& bias,
               const Array& mean, const Array& rstd, double eps) {
  const DType dtype = images[0]->dtype;
  dispatch_floating(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using A = Acc<T>;
    launch_rows<T>(stream, rows,
                   {images[0]->as<const T>(), images[1]->as<T>(), images[2]->as<const T>(),
                    images[3]->as<T>(), mean.as<A>(), rstd.as<A>(), make_weights(weight, dtype, 1),
                    make_weights(bias, dtype, 0), static_cast<A>(eps)});
  });
}

}  // namespace

void layer_norm(Stream stream, const Array& x, const Array& residual, const Array& weight,
                const Array& bias, const Array& sum, const Array& y, const Array& mean,
                const Array& rstd, double eps) {
  check_residual("layer_norm", residual, sum);
  check_rows("layer_norm", x, mean, rstd, {&y, &residual, &sum}, {&weight, &bias});
  if (x.shape[0] == 0) return;
  NormRows rows{};
  rows.outer.push(x.shape[0], {x.stride[0], y.stride[0], residual.stride[0], sum.stride[0],
                               mean.stride[0], rstd.stride[0], 0});
  Layout<5> inner;
  inner.push(x.shape[1], {x.stride[1], y.stride[1], residual.stride[1], sum.stride[1], 1});
  const Array* const images[] = {&x, &y, &residual, &sum};
  finish_rows(rows, inner, images);
  normalise(stream, rows, images, weight, bias, mean, rstd, eps);
}

void group_norm(Stream stream, const Array& x, const Array& weight, const Array& bias,
                const Array& y, const Array& mean, const Array& rstd, double eps) {
  check_groups("group_norm", x, mean, rstd, {&y}, {&weight, &bias});
  const int64_t groups = rstd.shape[1], size = x.shape[1] / groups;
  if (x.shape[0] == 0) return;
  NormRows rows{};
  rows.outer.push(x.shape[0], {x.stride[0], y.stride[0], 0, 0, mean.stride[0], rstd.stride[0], 0});
  rows.outer.push(
      groups, {x.stride[1] * size, y.stride[1] * size, 0, 0, mean.stride[1], rstd.stride[1], size});
  Layout<5> inner;
  inner.push(size, {x.stride[1], y.stride[1], 0, 0, 1});
  for (int axis = 2; axis < x.ndim; axis++) {
    inner.push(x.shape[axis], {x.stride[axis], y.stride[axis], 0, 0, 0});
  }
  const Array none;
  const Array* const images[] = {&x, &y, &none, &none};
  finish_rows(rows, inner, images);
  normalise(stream, rows, images, weight, bias, mean, rstd, eps);
}

}  // namespace gg
