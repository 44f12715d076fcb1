// Scatter: x[indices[0][j...], ..., r...] = or o= values[j..., r...], o being +, *, max or min;
// duplicates allowed.
//
// Every j gets the number of the place it goes to (row-major over the indexed axes; illegal ones
// are flagged and get a number beyond all). A stable radix sort brings equal places together, in
// the order of j. Then each place is written by one owner: `=` takes the last of its run; `o=`
// joins the run to x, element by element in the order of j up to 32 values, and beyond in fixed
// slices, slice by slice. So there are no float atomics and the same inputs give the same bits.
// float16, bfloat16 and float32 are joined in float32, float64 in float64, integers in int64,
// wrapping; of bool + and max are `or`, * and min `and`. NaN wins.
//
// Bytes: the values once, touched rows of x twice, about 40 n bytes for a sorting pass over n
// positions (one pass for each 8 bits of the number of places). Bound: bandwidth. Reached: not
// measured.
#include "core/scatter.h"
#include "kernels/element.cuh"
#include "kernels/radix_sort.cuh"
#include "kernels/reduce_policies.cuh"
#include "ops/arrays.h"

namespace gg {
namespace {

constexpr int kThreads = 256;

/// Runs up to this long are joined by one thread for each element of a row.
constexpr int kShortRun = 32;

/// The numbers of places, as radix_sort takes and gives them. Not a template of the key, which
/// would double the number of kernels.
struct Keys {
  void* data;
  bool wide;  ///< of 64 bits, else of 32

  GG_HD int64_t operator[](int64_t i) const {
    return wide ? static_cast<int64_t>(static_cast<const uint64_t*>(data)[i])
                : static_cast<int64_t>(static_cast<const uint32_t*>(data)[i]);
  }
  GG_HD void set(int64_t i, int64_t key) const {
    if (wide) {
      static_cast<uint64_t*>(data)[i] = static_cast<uint64_t>(key);
    } else {
      static_cast<uint32_t*>(data)[i] = static_cast<uint32_t>(key);
    }
  }
};

__global__ void __launch_bounds__(kThreads)
    number_places(const IndexList indices, int64_t n, int64_t limit, const Keys keys,
                  int64_t* flag) {
  const int64_t j = int64_t{kThreads} * blockIdx.x + threadIdx.x;
  if (j >= n) return;
  const Located found = indices.locate(j);
  keys.set(j, found.bad_axis < 0 ? found.offset : limit);
  if (found.bad_axis < 0) return;
  flag_index_error(flag, FlagCode::scatter, found.index, indices.limit[found.bad_axis],
                   found.bad_axis);
}

/// The sorted places and how values and x are walked.
struct Runs {
  Keys keys;
  const uint32_t* order;
  RowsOfIndices rows;
  Layout<1> places;
  int64_t n;
  int64_t limit;  ///< the key of illegal indices
  RowSplit split;

  GG_HD int64_t key(int64_t i) const { return keys[i]; }

  /// Element r of the row of values, and of x, of sorted position i.
  GG_HD int64_t value_at(int64_t i, int64_t r) const {
    return rows.outer.offset(0, order ? order[i] : i) + rows.rest.offset(0, r);
  }
  GG_HD int64_t x_at(int64_t i, int64_t r) const {
    return places.offset(0, key(i)) + rows.rest.offset(1, r);
  }

  /// Is sorted position i the first (last) of a run of legal places?
  GG_HD bool begins(int64_t i) const { return key(i) != limit && (i == 0 || key(i - 1) != key(i)); }
  GG_HD bool ends(int64_t i) const {
    return key(i) != limit && (i + 1 == n || key(i + 1) != key(i));
  }
};

/// `=`, by the size of an element.
__global__ void __launch_bounds__(kThreads)
    keep_last(const Runs runs, int itemsize, const void* values, void* x) {
  int64_t e = int64_t{kThreads} * blockIdx.x + threadIdx.x;
  for (; e < runs.n * runs.split.row; e += int64_t{kThreads} * gridDim.x) {
    const int64_t i = runs.split.row_of(e), r = e - i * runs.split.row;
    if (runs.ends(i)) copy_element(itemsize, values, runs.value_at(i, r), x, runs.x_at(i, r));
  }
}

/// `o=` for values of a dtype whose elements are joined as an A (with_storage).
template <class A>
struct Joining {
  Reduce op;  ///< sum, prod, max or min
  DType dtype;
  const void* values;
  void* x;

  __device__ A load(const void* data, int64_t at) const {
    A value = 0;
    with_storage<A>(dtype, [&](auto stored) {
      value = convert<A>(static_cast<const decltype(stored)*>(data)[at]);
    });
    return value;
  }
  __device__ void store(int64_t at, A value) const {
    with_storage<A>(dtype, [&](auto stored) {
      using M = decltype(stored);
      static_cast<M*>(x)[at] = convert<M>(value);
    });
  }
  __device__ A join(A a, A b) const { return merge_values(op, a, b); }
  __device__ A identity() const {
    if (op == Reduce::sum || op == Reduce::prod) return op == Reduce::sum ? A(0) : A(1);
    return op == Reduce::max ? kLowest<A> : mirror(kLowest<A>);
  }
};

GG_DEVICE bool is_long(const Runs& runs, int64_t begin) {
  return begin + kShortRun < runs.n && runs.key(begin + kShortRun) == runs.key(begin);
}

/// `o=` for runs of up to kShortRun values.
template <class A>
__global__ void __launch_bounds__(kThreads)
    join_short_runs(const Runs runs, const Joining<A> joining) {
  int64_t e = int64_t{kThreads} * blockIdx.x + threadIdx.x;
  for (; e < runs.n * runs.split.row; e += int64_t{kThreads} * gridDim.x) {
    const int64_t begin = runs.split.row_of(e), r = e - begin * runs.split.row;
    if (!runs.begins(begin) || is_long(runs, begin)) continue;
    const int64_t key = runs.key(begin);
    const int64_t at = runs.x_at(begin, r);
    A joined = joining.load(joining.x, at);
    for (int64_t i = begin; i < runs.n && runs.key(i) == key; i++) {
      joined = joining.join(joined, joining.load(joining.values, runs.value_at(i, r)));
    }
    joining.store(at, joined);
  }
}

/// The end of the run that begins at `begin`: the first position of a larger key.
GG_DEVICE int64_t end_of_run(const Runs& runs, int64_t begin) {
  int64_t low = begin + 1, high = runs.n;
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    if (runs.key(middle) == runs.key(begin)) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

/// `o=` for longer runs. A block looks at 32 sorted positions, in which at most one such run
/// begins. `columns` threads (a power of two) take neighbouring elements of a row, and kThreads /
/// columns slices of the run are joined at once, and then to x in order.
template <class A>
__global__ void __launch_bounds__(kThreads)
    join_long_runs(const Runs runs, int columns, const Joining<A> joining) {
  GG_SHARED(part, A[kThreads]);
  const int64_t i = int64_t{kShortRun} * blockIdx.x + lane_id();
  const bool found = i < runs.n && runs.begins(i) && is_long(runs, i);
  const unsigned lanes = __ballot_sync(kFullMask, found);
  if (lanes == 0) return;
  const int64_t begin = int64_t{kShortRun} * blockIdx.x + __ffs(static_cast<int>(lanes)) - 1;
  const int64_t length = end_of_run(runs, begin) - begin;
  const int thread = static_cast<int>(threadIdx.x), slices = kThreads / columns;
  const int column = thread % columns, slice = thread / columns;
  const int64_t from = begin + length * slice / slices;
  const int64_t to = begin + length * (slice + 1) / slices;
  const int64_t step = int64_t{gridDim.y} * columns;
  for (int64_t first = int64_t{blockIdx.y} * columns; first < runs.split.row; first += step) {
    const int64_t r = first + column;
    A joined = joining.identity();
    if (r < runs.split.row) {
      for (int64_t k = from; k < to; k++) {
        joined = joining.join(joined, joining.load(joining.values, runs.value_at(k, r)));
      }
    }
    part[thread] = joined;
    __syncthreads();
    if (slice == 0 && r < runs.split.row) {
      const int64_t at = runs.x_at(begin, r);
      joined = joining.load(joining.x, at);
      for (int s = 0; s < slices; s++) joined = joining.join(joined, part[s * columns + column]);
      joining.store(at, joined);
    }
    __syncthreads();
  }
}

// ---- host side ---------------------------------------------------------------------------------

template <class A>
void join_runs(Stream stream, const Runs& runs, const Joining<A>& joining) {
  launch(join_short_runs<A>, grid_for(runs.n * runs.split.row, kThreads), kThreads, 0, stream, runs,
         joining);
  if (runs.n <= kShortRun) return;
  int columns = 1;
  while (columns < 32 && columns < runs.split.row) columns *= 2;
  const int64_t widths = (runs.split.row + columns - 1) / columns;
  const dim3 grid(static_cast<unsigned>((runs.n + kShortRun - 1) / kShortRun),
                  static_cast<unsigned>(std::min<int64_t>(widths, 4)));
  launch(join_long_runs<A>, grid, kThreads, 0, stream, runs, columns, joining);
}

Reduce join_of(Scatter op, DType dtype) {
  const bool logic = dtype == DType::boolean;
  if (op == Scatter::add) return logic ? Reduce::max : Reduce::sum;
  if (op == Scatter::mul) return logic ? Reduce::min : Reduce::prod;
  return op == Scatter::max ? Reduce::max : Reduce::min;
}

void write_runs(Stream stream, Scatter op, const Runs& runs, const Array& values, const Array& x) {
  if (op == Scatter::set) {
    return launch(keep_last, grid_for(runs.n * runs.split.row, kThreads), kThreads, 0, stream, runs,
                  dtype_size(x.dtype), values.data, x.data);
  }
  const auto join = [&](auto zero) {
    using A = decltype(zero);
    join_runs<A>(stream, runs, {join_of(op, x.dtype), x.dtype, values.data, x.data});
  };
  const DType dtype = accumulation(x.dtype);
  if (dtype == DType::f64) return join(double{});
  if (dtype == DType::f32) return join(float{});
  join(int64_t{});
}

template <class Key>
void run(Stream stream, Scatter op, const ScatterProblem& p, const Array& values, const Array& x,
         const Array& workspace, const Array& flag) {
  constexpr bool wide = sizeof(Key) == 8;
  const SortBuffers<Key> buffers(workspace.data, p.count);
  const unsigned blocks = static_cast<unsigned>((p.count + kThreads - 1) / kThreads);
  launch(number_places, blocks, kThreads, 0, stream, p.indices, p.count, p.limit,
         Keys{buffers.keys[0], wide}, flag.as<int64_t>());
  const Sorted<Key> sorted = radix_sort(stream, buffers, p.count, static_cast<uint64_t>(p.limit));
  if (p.row == 0) return;
  const Runs runs{{sorted.keys, wide},     sorted.order, p.rows, p.places, p.count, p.limit,
                  RowSplit(p.count, p.row)};
  write_runs(stream, op, runs, values, x);
}

/// Place numbers beyond 32 bits take 64-bit keys.
bool is_wide(int64_t limit) {
  return limit > int64_t{UINT32_MAX};
}

}  // namespace

void scatter(Stream stream, Scatter op, const Array& values, const Arrays& indices, const Array& x,
             const Array& workspace, const Array& flag) {
  if (op != Scatter::set) check_not_float8("scatter", "x", x);
  const ScatterProblem p = scatter_problem(values, indices, x, flag);
  if (p.count == 0) return;
  check_workspace("scatter", workspace, scatter_workspace(indices, x));
  if (is_wide(p.limit)) {
    run<uint64_t>(stream, op, p, values, x, workspace, flag);
  } else {
    run<uint32_t>(stream, op, p, values, x, workspace, flag);
  }
}

int64_t scatter_workspace(const Arrays& indices, const Array& x) {
  const IndexList list = index_list("scatter", indices, x, true);
  const int64_t limit = list.step[0] * list.limit[0], n = list.layout.size;
  return is_wide(limit) ? SortBuffers<uint64_t>::bytes(n) : SortBuffers<uint32_t>::bytes(n);
}

}  // namespace gg
