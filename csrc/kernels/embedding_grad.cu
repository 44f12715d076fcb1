// The gradient of an embedding: dweight[v] = sum of scale[j] dy[row[j]] over the j with index[j] =
// v.
//
// Positions are sorted by index (stable; those that add nothing come last), so that the terms of a
// row of dweight lie together, in the order of j: a run. Runs are cut into slices of 32 terms. A
// thread sums 16 bytes of columns of one slice, in order. The only slice of a run goes to dweight;
// others go to the workspace, from which a second kernel adds a run's slices in order. What a row
// gets depends on its own terms alone, and the work on the largest index only through the zeros.
//
// Accumulates in float32 (float64 for float64); dweight =. No atomics. Bytes: dweight once for the
// zeros, dy once, named rows of dweight once, a 16th of dy for slices, about 60 T for sorting (12 T
// for each 8 bits of V, and marks). Bound: bandwidth; few positions: the launches. Reached: not
// measured.
#include "core/embedding_checks.h"
#include "core/indexing.h"
#include "kernels/embedding.cuh"
#include "kernels/radix_sort.cuh"
#include "ops/arrays.h"
#include "ops/text.h"

namespace gg {
namespace {

constexpr int kThreads = kTableThreads;
constexpr int kSlice = 32;
constexpr uint32_t kNoSlice = UINT32_MAX;

__global__ void __launch_bounds__(kThreads)
    find_targets(const GradTerms terms, int64_t n, uint32_t* keys) {
  int64_t j = int64_t{kThreads} * blockIdx.x + threadIdx.x;
  for (; j < n; j += int64_t{kThreads} * gridDim.x) keys[j] = terms.target(j);
}

/// The sorted positions.
struct Runs {
  const uint32_t* keys;
  const uint32_t* order;  ///< null: as they were
  int64_t n;
  uint32_t limit;  ///< the key of what adds nothing

  /// The first position from `low` on whose key is at least `key`; `high` if none is below that.
  GG_HD int64_t lower_bound(uint32_t key, int64_t low, int64_t high) const {
    while (low < high) {
      const int64_t middle = low + (high - low) / 2;
      if (keys[middle] < key) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }
};

/// starts[i]: where the run of sorted position i begins, if a slice begins at i; else kNoSlice.
__global__ void __launch_bounds__(kThreads) mark_slices(const Runs runs, uint32_t* starts) {
  int64_t i = int64_t{kThreads} * blockIdx.x + threadIdx.x;
  for (; i < runs.n; i += int64_t{kThreads} * gridDim.x) {
    const uint32_t key = runs.keys[i];
    uint32_t start = kNoSlice;
    if (key < runs.limit) {
      const bool first = i == 0 || runs.keys[i - 1] != key;
      const bool later = i >= kSlice && runs.keys[i - kSlice] == key;
      const int64_t begin = first || !later ? i : runs.lower_bound(key, 0, i);
      if (first || (later && (i - begin) % kSlice == 0)) start = static_cast<uint32_t>(begin);
    }
    starts[i] = start;
  }
}

/// How terms, slices and rows of dweight lie. V columns move together.
struct Sums {
  Runs runs;
  const uint32_t* starts;
  GradTerms terms;
  int64_t scale_stride;
  int64_t width;
  int64_t dy_row, dy_step, dweight_row, dweight_step;
  bool vectors;  ///< 16 bytes at a time
  bool by_count;
  RowSplit split;  ///< sorted positions into groups of V columns

  /// Where the sum of the slice at position i, of the run that begins at `start`, is kept: slices
  /// of one run begin kSlice apart, and a run that has several is longer than that.
  GG_HD int64_t slot(int64_t i, int64_t start) const {
    const int64_t slots = runs.n / kSlice + 1;
    return ((i != start ? slots : 0) + i / kSlice) * padded();
  }
  /// Columns of a slot: whole vectors, of 16 bytes and of what they are summed in.
  GG_HD int64_t padded() const { return (width + 7) / 8 * 8; }
};

/// Columns c .. c + V - 1 of a row; those that are not there are 0.
template <int V, class T>
GG_DEVICE void load_columns(const Sums& p, const T* row, int64_t c, Acc<T> (&to)[V]) {
  if (p.vectors) {
    const Vec<T, V> raw = load_vec<V>(row + c);
#pragma unroll
    for (int v = 0; v < V; v++) to[v] = convert<Acc<T>>(raw[v]);
  } else {
#pragma unroll
    for (int v = 0; v < V; v++) {
      to[v] = c + v < p.width ? convert<Acc<T>>(row[(c + v) * p.dy_step]) : Acc<T>(0);
    }
  }
}

template <int V, class T>
GG_DEVICE void store_row(const Sums& p, T* dweight, uint32_t key, int64_t c, int64_t count,
                         Acc<T> (&sum)[V]) {
  T* const row = dweight + key * p.dweight_row;
  if (p.by_count) {
#pragma unroll
    for (int v = 0; v < V; v++) sum[v] /= static_cast<Acc<T>>(count);
  }
  if (p.vectors) {
    Vec<T, V> raw;
#pragma unroll
    for (int v = 0; v < V; v++) raw[v] = convert<T>(sum[v]);
    store_vec(row + c, raw);
  } else {
#pragma unroll
    for (int v = 0; v < V; v++) {
      if (c + v < p.width) row[(c + v) * p.dweight_step] = convert<T>(sum[v]);
    }
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads, 3)
    sum_slices(const Sums p, const T* dy, const Acc<T>* scale, T* dweight, Acc<T>* partials) {
  using A = Acc<T>;
  constexpr int V = max_vec<T>();
  const Runs& runs = p.runs;
  int64_t e = int64_t{kThreads} * blockIdx.x + threadIdx.x;
  for (; e < runs.n * p.split.row; e += int64_t{kThreads} * gridDim.x) {
    const int64_t begin = p.split.row_of(e), c = (e - begin * p.split.row) * V;
    const uint32_t start = p.starts[begin];
    if (start == kNoSlice) continue;
    const uint32_t key = runs.keys[begin];
    const int64_t most = begin + kSlice < runs.n ? begin + kSlice : runs.n;
    // The end first, so that the loads of several terms are under way together.
    const bool single = begin + 1 == runs.n || runs.keys[begin + 1] != key;
    const int64_t end = single ? begin + 1 : runs.lower_bound(key + 1, begin + 2, most);
    A sum[V] = {};
#pragma unroll 4
    for (int64_t i = begin; i < end; i++) {
      const int64_t j = runs.order ? runs.order[i] : i;
      const A factor = scale ? scale[j * p.scale_stride] : A(1);
      A term[V];
      load_columns(p, dy + p.terms.row_of(j) * p.dy_row, c, term);
#pragma unroll
      for (int v = 0; v < V; v++) sum[v] += factor * term[v];
    }
    const bool whole = start == begin && (end == runs.n || runs.keys[end] != key);
    if (whole) {
      store_row(p, dweight, key, c, end - begin, sum);
    } else {
      Vec<A, V> part;
#pragma unroll
      for (int v = 0; v < V; v++) part[v] = sum[v];
      store_vec(partials + p.slot(begin, start) + c, part);
    }
  }
}

/// Rows of several slices: block x looks at kSlice sorted positions, where at most one such run
/// begins.
template <class T>
__global__ void __launch_bounds__(kThreads)
    join_slices(const Sums p, const Acc<T>* partials, T* dweight) {
  using A = Acc<T>;
  const Runs& runs = p.runs;
  const int64_t i = int64_t{kSlice} * blockIdx.x + lane_id();
  const bool begins = i + kSlice < runs.n && p.starts[i] == static_cast<uint32_t>(i) &&
                      runs.keys[i + kSlice] == runs.keys[i];
  const unsigned lanes = __ballot_sync(kFullMask, begins);
  if (lanes == 0) return;
  const int64_t begin = int64_t{kSlice} * blockIdx.x + __ffs(static_cast<int>(lanes)) - 1;
  const uint32_t key = runs.keys[begin];
  const int64_t end = runs.lower_bound(key + 1, begin, runs.n);
  int64_t c = int64_t{kThreads} * blockIdx.y + threadIdx.x;
  for (; c < p.width; c += int64_t{kThreads} * gridDim.y) {
    A sum = 0;
    for (int64_t at = begin; at < end; at += kSlice) sum += partials[p.slot(at, begin) + c];
    if (p.by_count) sum /= static_cast<A>(end - begin);
    dweight[key * p.dweight_row + c * p.dweight_step] = convert<T>(sum);
  }
}

// ---- host side ---------------------------------------------------------------------------------

/// The workspace: partial sums, then what sorting takes.
int64_t partial_bytes(int64_t count, const Array& dweight) {
  const int64_t slots = count > kSlice ? 2 * (count / kSlice + 1) : 0;
  return slots * ((dweight.shape[1] + 7) / 8 * 8) * dtype_size(accumulation(dweight.dtype));
}

template <class T>
void add_runs(Stream stream, Sums& p, const Array& dy, const Array& scale, const Array& dweight,
              const Array& workspace) {
  constexpr int V = max_vec<T>();
  Acc<T>* const partials = workspace.as<Acc<T>>();
  p.split = RowSplit(p.runs.n, (p.width + V - 1) / V);
  launch(sum_slices<T>, table_grid(p.runs.n * p.split.row), kThreads, 0, stream, p,
         dy.as<const T>(), scale.as<const Acc<T>>(), dweight.as<T>(), partials);
  if (p.runs.n <= kSlice) return;
  const int64_t columns = std::min<int64_t>((p.width + kThreads - 1) / kThreads, 64);
  const dim3 grid(static_cast<unsigned>((p.runs.n + kSlice - 1) / kSlice),
                  static_cast<unsigned>(columns));
  launch(join_slices<T>, grid, kThreads, 0, stream, p, static_cast<const Acc<T>*>(partials),
         dweight.as<T>());
}

}  // namespace

int64_t embedding_grad_workspace(const Array& index, const Array& dweight) {
  const int64_t count = index.size();
  if (count == 0) return 0;
  return partial_bytes(count, dweight) + SortBuffers<uint32_t>::bytes(count);
}

void embedding_grad(Stream stream, const Array& dy, const Array& index, const Array& row,
                    const Array& scale, const Array& dweight, int64_t padding, bool by_count,
                    const Array& workspace) {
  check_embedding_grad(dy, index, row, scale, dweight);
  check_workspace("embedding_grad", workspace, embedding_grad_workspace(index, dweight));
  fill(stream, dweight, Scalar{});
  const int64_t count = index.shape[0];
  if (dweight.size() == 0 || count == 0) return;
  const GradTerms terms = grad_terms(dy, index, row, dweight, padding);
  const SortBuffers<uint32_t> buffers(
      static_cast<char*>(workspace.data) + partial_bytes(count, dweight), count);
  launch(find_targets, table_grid(count), kThreads, 0, stream, terms, count, buffers.keys[0]);
  const auto sorted = radix_sort(stream, buffers, count, static_cast<uint64_t>(terms.limit));
  const Runs runs{sorted.keys, sorted.order, count, static_cast<uint32_t>(terms.limit)};
  // The keys of the pass before are not needed any more.
  uint32_t* const starts = buffers.keys[sorted.keys == buffers.keys[0] ? 1 : 0];
  launch(mark_slices, table_grid(count), kThreads, 0, stream, runs, starts);
  Sums p{runs,
         starts,
         terms,
         scale.stride[0],
         dweight.shape[1],
         dy.stride[0],
         dy.stride[1],
         dweight.stride[0],
         dweight.stride[1],
         moves_in_vectors(dy) && moves_in_vectors(dweight),
         by_count,
         RowSplit()};
  dispatch_floating(dy.dtype, [&](auto tag) {
    add_runs<typename decltype(tag)::type>(stream, p, dy, scale, dweight, workspace);
  });
}

}  // namespace gg
