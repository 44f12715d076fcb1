// Gradients of layer normalisation of rows x [M, D] (RMSNorm: mean is 0).
//
//   h = (x - mean) rstd,  g = dy weight
//   dx = rstd (g - mean(g) - h mean(g h)) + dsum    dweight = sum over rows of dy h    dbias = sum
//   of dy
//
// A team of threads has a row: 1 to 32 neighbours up to 256 elements, else a block. Both x and dy
// are read once where a row fits shared memory, in which a thread finds its own elements again.
// Each thread sums dy h and dy of its columns over the rows its block takes, in shared memory (in
// the workspace where rows are too long); a block adds its teams' sums and writes them to the
// workspace, and a second kernel adds those of all blocks, in order.
//
// Accumulates in float32 (float64 for float64); results =. Deterministic: which rows a block takes
// depends on the shape alone. Bytes: dy, x, dsum, dx once, and 2 D words for each block. Bound:
// memory bandwidth. Reached: not measured.

#include "kernels/batch_norm_sums.cuh"
#include "ops/norms.h"

namespace gg {
namespace {

constexpr int64_t kShortRow = 256;     // of less than a block
constexpr int64_t kFewBlocks = 256;    // fill a device
constexpr int64_t kManyBlocks = 1024;  // where each still has kRowsEach
constexpr int64_t kRowsEach = 16;

struct GradRows : TeamShape {
  int64_t rows, n;
  int64_t outer[4], inner[4];  ///< strides of x, dy, dx, dsum
  int64_t mean_stride, rstd_stride;
  int64_t chunks;  ///< of a thread
  int64_t blocks;
  bool vectors;
  bool staged;  ///< rows and sums are in shared memory
  bool sums;    ///< dweight or dbias is wanted

  GG_HD int rows_per_block() const { return kRowThreads / lanes; }
};

template <class T>
struct GradArrays {
  const T *x, *dy;
  T* dx;
  const T* dsum;
  const Acc<T>*mean, *rstd;
  Weights weight;
  Acc<T>* partial;  ///< [blocks, 2, n]: sums of dy h and of dy
  Acc<T>* columns;  ///< [blocks, 2, chunks, kRowThreads, V] where not staged
};

/// A thread's chunk: V columns from `first` on, `within` apart; `count` of them are there.
struct Chunk {
  int64_t first;
  int within, count;
};

template <int V>
GG_DEVICE Chunk chunk_of(const GradRows& r, int64_t j, bool present) {
  const int lane = threadIdx.x % r.lanes;
  const int64_t first = j * r.lanes * V + (r.vectors ? lane * V : lane);
  const int within = r.vectors ? 1 : r.lanes;
  return {first, within, present ? count_below(first, within, V, r.n) : 0};
}

template <class T, int V>
GG_DEVICE void load_chunk(const T* row, int64_t stride, const Chunk& chunk, bool vectors,
                          Acc<T> (&to)[V]) {
  if (vectors && chunk.count == V) {
    const Vec<T, V> raw = load_vec_streaming<V>(row + chunk.first);
#pragma unroll
    for (int v = 0; v < V; v++) to[v] = convert<Acc<T>>(raw[v]);
    return;
  }
#pragma unroll
  for (int v = 0; v < V; v++) {
    const int64_t at = (chunk.first + v * chunk.within) * stride;
    to[v] = v < chunk.count ? convert<Acc<T>>(row[at]) : Acc<T>(0);
  }
}

/// What a thread keeps of chunk j: x and dy of the row, and its columns' sums.
template <class T, int V>
struct Kept {
  Vec<T, V>* rows;
  Vec<Acc<T>, V>* sums;  ///< of dy h; those of dy lie `pitch` further
  int64_t pitch;

  __device__ Kept(const GradRows& r, const GradArrays<T>& arrays) {
    pitch = r.chunks * kRowThreads;
    sums = shared_dynamic<Vec<Acc<T>, V>>();
    rows = reinterpret_cast<Vec<T, V>*>(sums + 2 * pitch);
    if (!r.staged) {
      sums = reinterpret_cast<Vec<Acc<T>, V>*>(arrays.columns) + blockIdx.x * 2 * pitch;
    }
    sums += threadIdx.x;
    rows += threadIdx.x;
  }
  __device__ void keep(int64_t j, int k, const Acc<T> (&values)[V]) const {
    Vec<T, V> raw;
#pragma unroll
    for (int v = 0; v < V; v++) raw[v] = convert<T>(values[v]);
    store_vec(&rows[j * kRowThreads + k * pitch].v[0], raw);
  }
  __device__ void again(int64_t j, int k, Acc<T> (&values)[V]) const {
    const Vec<T, V> raw = load_vec<V>(&rows[j * kRowThreads + k * pitch].v[0]);
#pragma unroll
    for (int v = 0; v < V; v++) values[v] = convert<Acc<T>>(raw[v]);
  }
  __device__ void add(int64_t j, int k, const Acc<T> (&values)[V]) const {
    Acc<T>* const at = &sums[j * kRowThreads + k * pitch].v[0];
    Vec<Acc<T>, V> sum = load_vec<V>(at);
#pragma unroll
    for (int v = 0; v < V; v++) sum[v] += values[v];
    store_vec(at, sum);
  }
};

template <class T, int V>
GG_DEVICE void load_weight(const GradArrays<T>& arrays, const Chunk& chunk, bool vectors,
                           Acc<T> (&weight)[V]) {
  int64_t at[V];
#pragma unroll
  for (int v = 0; v < V; v++) at[v] = v < chunk.count ? chunk.first + v * chunk.within : 0;
  const bool whole = vectors && chunk.count == V;
  load_weights<T>(arrays.weight, at, whole, !whole, weight);
}

/// x, dy, dx, dsum and mean, rstd of one row.
template <class T>
struct GradRow {
  const T *x, *dy;
  T* dx;
  const T* dsum;
  Acc<T> mean, rstd;
};

/// Sums of g and g (x - mean) over this thread's part of a row.
template <class T, int V>
GG_DEVICE Sums<Acc<T>> sum_row(const GradRows& r, const GradArrays<T>& arrays,
                               const GradRow<T>& row, bool present, const Kept<T, V>& kept) {
  Sums<Acc<T>> sums{0, 0};
  for (int64_t j = 0; j < r.chunks; j++) {
    const Chunk chunk = chunk_of<V>(r, j, present);
    Acc<T> x[V], dy[V], weight[V];
    load_chunk(row.x, r.inner[0], chunk, r.vectors, x);
    load_chunk(row.dy, r.inner[1], chunk, r.vectors, dy);
    if (r.staged) {
      kept.keep(j, 0, x);
      kept.keep(j, 1, dy);
    }
    load_weight(arrays, chunk, r.vectors, weight);
#pragma unroll
    for (int v = 0; v < V; v++) {
      const Acc<T> g = dy[v] * weight[v];
      sums.plain += g;
      sums.product += v < chunk.count ? g * (x[v] - row.mean) : Acc<T>(0);
    }
  }
  return sums;
}

/// dx of a row, and its part of the columns' sums.
template <class T, int V>
GG_DEVICE void write_row(const GradRows& r, const GradArrays<T>& arrays, const GradRow<T>& row,
                         bool present, const Kept<T, V>& kept, Sums<Acc<T>> sums) {
  using A = Acc<T>;
  const A n = static_cast<A>(r.n), rstd = row.rstd;
  const A shift = arrays.mean ? rstd * (sums.plain / n) : A(0);
  const A slope = rstd * rstd * rstd * (sums.product / n);
  for (int64_t j = 0; j < r.chunks; j++) {
    const Chunk chunk = chunk_of<V>(r, j, present);
    A x[V], dy[V], weight[V], dx[V];
    if (r.staged) {
      kept.again(j, 0, x);
      kept.again(j, 1, dy);
    } else {
      load_chunk(row.x, r.inner[0], chunk, r.vectors, x);
      load_chunk(row.dy, r.inner[1], chunk, r.vectors, dy);
    }
    load_weight(arrays, chunk, r.vectors, weight);
#pragma unroll
    for (int v = 0; v < V; v++) {
      const A distance = x[v] - row.mean;
      dx[v] = dy[v] * weight[v] * rstd - distance * slope - shift;
      x[v] = v < chunk.count ? dy[v] * (distance * rstd) : A(0);
    }
    if (arrays.dsum) {
      A dsum[V];
      load_chunk(row.dsum, r.inner[3], chunk, r.vectors, dsum);
#pragma unroll
      for (int v = 0; v < V; v++) dx[v] += dsum[v];
    }
    if (r.sums) {
      kept.add(j, 0, x);
      kept.add(j, 1, dy);
    }
    if (r.vectors && chunk.count == V) {
      Vec<T, V> raw;
#pragma unroll
      for (int v = 0; v < V; v++) raw[v] = convert<T>(dx[v]);
      store_vec(row.dx + chunk.first, raw);
    } else {
#pragma unroll
      for (int v = 0; v < V; v++) {
        const int64_t at = (chunk.first + v * chunk.within) * r.inner[2];
        if (v < chunk.count) row.dx[at] = convert<T>(dx[v]);
      }
    }
  }
}

/// The sums of a block's columns: those of its teams, in order, to the workspace.
template <class T, int V>
GG_DEVICE void write_partial(const GradRows& r, const GradArrays<T>& arrays) {
  using A = Acc<T>;
  const Kept<T, V> kept(r, arrays);
  const A* const all = &kept.sums[-static_cast<int>(threadIdx.x)].v[0];
  for (int64_t i = threadIdx.x; i < 2 * r.n; i += kRowThreads) {
    const int64_t column = i < r.n ? i : i - r.n, pitch = i < r.n ? 0 : kept.pitch;
    const int64_t j = column / (r.lanes * V), rest = column - j * r.lanes * V;
    const int64_t lane = r.vectors ? rest / V : rest % r.lanes;
    const int64_t v = r.vectors ? rest % V : rest / r.lanes;
    A sum = 0;
    for (int team = 0; team < r.rows_per_block(); team++) {
      sum += all[(pitch + j * kRowThreads + team * r.lanes + lane) * V + v];
    }
    arrays.partial[blockIdx.x * 2 * r.n + i] = sum;
  }
}

template <class T>
__global__ void __launch_bounds__(kRowThreads, 2)
    layer_norm_grad_rows(const GradRows r, const GradArrays<T> arrays) {
  using A = Acc<T>;
  constexpr int V = max_vec<T>();
  const Kept<T, V> kept(r, arrays);
  const A zeros[V] = {};
  for (int64_t j = 0; j < 2 * r.chunks && r.sums; j++) {
    Vec<A, V> none;
#pragma unroll
    for (int v = 0; v < V; v++) none[v] = zeros[v];
    store_vec(&kept.sums[j * kRowThreads].v[0], none);
  }
  const int in_block = threadIdx.x / r.lanes, per_block = r.rows_per_block();
  for (int64_t first = static_cast<int64_t>(blockIdx.x) * per_block; first < r.rows;
       first += static_cast<int64_t>(gridDim.x) * per_block) {
    const bool present = first + in_block < r.rows;
    const int64_t index = present ? first + in_block : 0;
    const GradRow<T> row{arrays.x + index * r.outer[0],
                         arrays.dy + index * r.outer[1],
                         arrays.dx + index * r.outer[2],
                         arrays.dsum + index * r.outer[3],
                         arrays.mean ? arrays.mean[index * r.mean_stride] : A(0),
                         arrays.rstd[index * r.rstd_stride]};
    Sums<A> sums = sum_row(r, arrays, row, present, kept);
    sums = join_line(r, sums, JoinSums(), Sums<A>{0, 0});
    write_row(r, arrays, row, present, kept, sums);
  }
  if (!r.sums) return;
  __syncthreads();
  write_partial<T, V>(r, arrays);
}

bool moves_in_vectors(const Array& a, int width) {
  const bool aligned = reinterpret_cast<uintptr_t>(a.data) % 16 == 0;
  const bool near = a.stride[1] == 1 || a.shape[1] == 1;
  return aligned && near && (a.shape[0] == 1 || a.stride[0] % width == 0);
}

GradRows make_grad_rows(const Array& x, bool vectors) {
  GradRows r{};
  const int width = 16 / dtype_size(x.dtype);
  r.rows = x.shape[0];
  r.n = x.shape[1];
  r.vectors = vectors;
  r.team = r.n <= kShortRow ? Team::warp : Team::block;
  r.lanes = r.team == Team::warp ? 1 : kRowThreads;
  while (r.lanes < kWarp && r.lanes * (vectors ? width : 1) < r.n) r.lanes *= 2;
  r.chunks = (r.n + r.lanes * width - 1) / (r.lanes * width);
  const int64_t blocks = (r.rows + r.rows_per_block() - 1) / r.rows_per_block();
  r.blocks = std::min(blocks, std::clamp(blocks / kRowsEach, kFewBlocks, kManyBlocks));
  return r;
}

/// Bytes of a block's column sums, and of the rows that it keeps.
int64_t column_bytes(const GradRows& r, DType x) {
  const int64_t slots = r.chunks * kRowThreads * (16 / dtype_size(x));
  return 2 * slots * dtype_size(accumulation(x));
}

bool fits_shared(const GradRows& r, DType x) {
  return column_bytes(r, x) + 2 * r.chunks * kRowThreads * 16 + 4096 <= max_shared_bytes();
}

int64_t partial_bytes(const GradRows& r, DType x) {
  return r.blocks * 2 * r.n * dtype_size(accumulation(x)) + 16;
}

}  // namespace

int64_t layer_norm_grad_workspace(const Array& x, const Array& dweight, const Array& dbias) {
  if (x.size() == 0 || (!dweight && !dbias)) return 0;
  int64_t most = 0;  // whether rows move in vectors is not known here
  for (bool vectors : {false, true}) {
    const GradRows r = make_grad_rows(x, vectors);
    const int64_t columns = fits_shared(r, x.dtype) ? 0 : r.blocks * column_bytes(r, x.dtype);
    most = std::max(most, partial_bytes(r, x.dtype) + columns);
  }
  return most;
}

void layer_norm_grad(Stream stream, const Array& dy, const Array& x, const Array& weight,
                     const Array& mean, const Array& rstd, const Array& dsum, const Array& dx,
                     const Array& dweight, const Array& dbias, const Array& workspace) {
  const char* const op = "layer_norm_grad";
  check_rows(op, x, mean, rstd, {&dy, &dx, &dsum}, {&weight, &dweight, &dbias});
  check_workspace(op, workspace, layer_norm_grad_workspace(x, dweight, dbias));
  const int width = 16 / dtype_size(x.dtype);
  bool vectors = true;
  for (const Array* a : {&x, &dy, &dx, &dsum}) {
    vectors = vectors && (!*a || moves_in_vectors(*a, width));
  }
  dispatch_floating(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using A = Acc<T>;
    A* const partial = workspace ? workspace.as<A>() : nullptr;
    const int64_t blocks = x.size() == 0 ? 0 : make_grad_rows(x, vectors).blocks;
    if (blocks > 0) {
      GradRows r = make_grad_rows(x, vectors);
      for (int axis = 0; axis < 2; axis++) {
        int64_t* const strides = axis == 0 ? r.outer : r.inner;
        strides[0] = x.stride[axis];
        strides[1] = dy.stride[axis];
        strides[2] = dx.stride[axis];
        strides[3] = dsum.stride[axis];
      }
      r.mean_stride = mean ? mean.stride[0] : 0;
      r.rstd_stride = rstd.stride[0];
      r.staged = fits_shared(r, x.dtype);
      r.sums = dweight || dbias;
      const int64_t shared = column_bytes(r, x.dtype) + 2 * r.chunks * kRowThreads * 16;
      const int64_t after = partial_bytes(r, x.dtype) / 16 * 16 / dtype_size(accumulation(x.dtype));
      launch(layer_norm_grad_rows<T>, static_cast<unsigned>(blocks), kRowThreads,
             r.staged ? static_cast<size_t>(shared) : 0, stream, r,
             GradArrays<T>{x.as<const T>(), dy.as<const T>(), dx.as<T>(), dsum.as<const T>(),
                           mean ? mean.as<const A>() : nullptr, rstd.as<const A>(),
                           make_weights(weight, x.dtype, 1), partial,
                           partial ? partial + after : nullptr});
    }
    add_partials(stream, partial, blocks, x.shape[1], dweight, dbias);
  });
}

}  // namespace gg
