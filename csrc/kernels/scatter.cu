// Scatter: x[indices[0][j...], ..., r...] = or += values[j..., r...], duplicates allowed.
//
// Every j gets the number of the place it goes to (row-major over the indexed axes; illegal ones
// are flagged and get a number beyond all). A stable radix sort brings equal places together, in
// the order of j. Then each place is written by one owner: `=` takes the last of its run; `+=` adds
// the run to x, element by element in the order of j up to 32 values, and beyond in fixed slices,
// slice by slice. So there are no float atomics and the same inputs give the same bits. float16,
// bfloat16 and float32 add in float32, float64 in float64, integers wrap, bool is `or`.
//
// Bytes: the values once, touched rows of x twice, about 40 n bytes for a sorting pass over n
// positions (one pass for each 8 bits of the number of places). Bound: bandwidth. Reached: not
// measured.
#include "core/scatter.h"
#include "kernels/radix_sort.cuh"
#include "ops/arrays.h"

namespace gg {
namespace {

constexpr int kThreads = 256;

/// Runs up to this long are added by one thread for each element of a row.
constexpr int kShortRun = 32;

template <class Key>
__global__ void __launch_bounds__(kThreads)
    number_places(const IndexList indices, int64_t n, int64_t limit, Key* keys, int64_t* flag) {
  const int64_t j = int64_t{kThreads} * blockIdx.x + threadIdx.x;
  if (j >= n) return;
  const Located found = indices.locate(j);
  keys[j] = static_cast<Key>(found.bad_axis < 0 ? found.offset : limit);
  if (found.bad_axis < 0) return;
  flag_index_error(flag, FlagCode::scatter, found.index, indices.limit[found.bad_axis],
                   found.bad_axis);
}

/// The sorted places and how values and x are walked. Not a template of the key, which would double
/// the number of kernels.
struct Runs {
  const void* keys;
  const uint32_t* order;
  bool wide;  ///< keys have 64 bits, else 32
  RowsOfIndices rows;
  Layout<1> places;
  int64_t n;
  int64_t limit;  ///< the key of illegal indices
  RowSplit split;

  GG_HD int64_t key(int64_t i) const {
    return wide ? static_cast<int64_t>(static_cast<const uint64_t*>(keys)[i])
                : static_cast<int64_t>(static_cast<const uint32_t*>(keys)[i]);
  }

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

/// `=`: W is the unsigned type of the dtype's width.
template <class W>
__global__ void __launch_bounds__(kThreads) keep_last(const Runs runs, const W* values, W* x) {
  int64_t e = int64_t{kThreads} * blockIdx.x + threadIdx.x;
  for (; e < runs.n * runs.split.row; e += int64_t{kThreads} * gridDim.x) {
    const int64_t i = runs.split.row_of(e), r = e - i * runs.split.row;
    if (runs.ends(i)) x[runs.x_at(i, r)] = values[runs.value_at(i, r)];
  }
}

/// What a T is added up in.
template <class T>
using Sum = std::conditional_t<is_float<T>, Acc<T>, uint64_t>;

GG_DEVICE bool is_long(const Runs& runs, int64_t begin) {
  return begin + kShortRun < runs.n && runs.key(begin + kShortRun) == runs.key(begin);
}

/// `+=` for runs of up to kShortRun values.
template <class T>
__global__ void __launch_bounds__(kThreads) add_short_runs(const Runs runs, const T* values, T* x) {
  int64_t e = int64_t{kThreads} * blockIdx.x + threadIdx.x;
  for (; e < runs.n * runs.split.row; e += int64_t{kThreads} * gridDim.x) {
    const int64_t begin = runs.split.row_of(e), r = e - begin * runs.split.row;
    if (!runs.begins(begin) || is_long(runs, begin)) continue;
    const int64_t key = runs.key(begin);
    const int64_t at = runs.x_at(begin, r);
    Sum<T> sum = convert<Sum<T>>(x[at]);
    for (int64_t i = begin; i < runs.n && runs.key(i) == key; i++) {
      sum += convert<Sum<T>>(values[runs.value_at(i, r)]);
    }
    x[at] = convert<T>(sum);
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

/// `+=` for longer runs. A block looks at 32 sorted positions, in which at most one such run
/// begins. `columns` threads (a power of two) take neighbouring elements of a row, and kThreads /
/// columns slices of the run are added at once; their sums are joined in order.
template <class T>
__global__ void __launch_bounds__(kThreads)
    add_long_runs(const Runs runs, int columns, const T* values, T* x) {
  GG_SHARED(part, Sum<T>[kThreads]);
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
    Sum<T> sum = 0;
    if (r < runs.split.row) {
      for (int64_t k = from; k < to; k++) sum += convert<Sum<T>>(values[runs.value_at(k, r)]);
    }
    part[thread] = sum;
    __syncthreads();
    if (slice == 0 && r < runs.split.row) {
      const int64_t at = runs.x_at(begin, r);
      sum = convert<Sum<T>>(x[at]);
      for (int s = 0; s < slices; s++) sum += part[s * columns + column];
      x[at] = convert<T>(sum);
    }
    __syncthreads();
  }
}

// ---- host side ---------------------------------------------------------------------------------

unsigned grid_for(int64_t threads) {
  const int64_t blocks = (threads + kThreads - 1) / kThreads;
  return static_cast<unsigned>(std::min<int64_t>(blocks, int64_t{64} * multiprocessors()));
}

template <class T>
void add_runs(Stream stream, const Runs& runs, const Array& values, const Array& x) {
  const T* const from = values.as<T>();
  launch(add_short_runs<T>, grid_for(runs.n * runs.split.row), kThreads, 0, stream, runs, from,
         x.as<T>());
  if (runs.n <= kShortRun) return;
  int columns = 1;
  while (columns < 32 && columns < runs.split.row) columns *= 2;
  const int64_t widths = (runs.split.row + columns - 1) / columns;
  const dim3 grid(static_cast<unsigned>((runs.n + kShortRun - 1) / kShortRun),
                  static_cast<unsigned>(std::min<int64_t>(widths, 4)));
  launch(add_long_runs<T>, grid, kThreads, 0, stream, runs, columns, from, x.as<T>());
}

/// Integers of one width wrap alike.
void write_runs(Stream stream, const Runs& runs, const Array& values, const Array& x,
                bool accumulate) {
  if (accumulate && is_floating(x.dtype)) {
    return dispatch_floating(x.dtype, [&](auto tag) {
      add_runs<typename decltype(tag)::type>(stream, runs, values, x);
    });
  }
  if (accumulate && x.dtype == DType::boolean) return add_runs<bool>(stream, runs, values, x);
  dispatch_width(x.dtype, [&](auto tag) {
    using W = typename decltype(tag)::type;
    if (accumulate) return add_runs<W>(stream, runs, values, x);
    launch(keep_last<W>, grid_for(runs.n * runs.split.row), kThreads, 0, stream, runs,
           values.as<W>(), x.as<W>());
  });
}

template <class Key>
void run(Stream stream, const ScatterProblem& p, const Array& values, const Array& x,
         bool accumulate, const Array& workspace, const Array& flag) {
  const SortBuffers<Key> buffers(workspace.data, p.count);
  const unsigned blocks = static_cast<unsigned>((p.count + kThreads - 1) / kThreads);
  launch(number_places<Key>, blocks, kThreads, 0, stream, p.indices, p.count, p.limit,
         buffers.keys[0], flag.as<int64_t>());
  const Sorted<Key> sorted = radix_sort(stream, buffers, p.count, static_cast<uint64_t>(p.limit));
  if (p.row == 0) return;
  const Runs runs{sorted.keys, sorted.order, sizeof(Key) == 8, p.rows,
                  p.places,    p.count,      p.limit,          RowSplit(p.count, p.row)};
  write_runs(stream, runs, values, x, accumulate);
}

/// Place numbers beyond 32 bits take 64-bit keys.
bool is_wide(int64_t limit) {
  return limit > int64_t{UINT32_MAX};
}

}  // namespace

void scatter(Stream stream, const Array& values, const Arrays& indices, const Array& x,
             bool accumulate, const Array& workspace, const Array& flag) {
  const ScatterProblem p = scatter_problem(values, indices, x, flag);
  if (p.count == 0) return;
  check_workspace("scatter", workspace, scatter_workspace(indices, x));
  if (is_wide(p.limit)) {
    run<uint64_t>(stream, p, values, x, accumulate, workspace, flag);
  } else {
    run<uint32_t>(stream, p, values, x, accumulate, workspace, flag);
  }
}

int64_t scatter_workspace(const Arrays& indices, const Array& x) {
  const IndexList list = index_list("scatter", indices, x, true);
  const int64_t limit = list.step[0] * list.limit[0], n = list.layout.size;
  return is_wide(limit) ? SortBuffers<uint64_t>::bytes(n) : SortBuffers<uint32_t>::bytes(n);
}

}  // namespace gg
