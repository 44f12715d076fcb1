// Stable sort along the last axis, with where each element came from.
//
// Elements become unsigned keys of the same order (sort_keys.cuh; for descending order, their
// complements), so that two widths of keys serve ten dtypes and both directions. Then
//   short rows   a block holds a tile of 2048 places, as many rows as fit when each is filled up to
//                a power of two, and sorts (key, index) pairs in shared memory by a bitonic
//                network. No two pairs are equal, so the order is that of a stable sort.
//   long rows    radix_sort.cuh, several rows side by side.
// Either way the keys only give the order; y is gathered from x, so that zeros keep their signs and
// NaNs their bits. y and index are overwritten, x has any strides.
//
// Deterministic: the order is unique. Bytes: short rows x twice (the second time from the cache), y
// and index once. Long rows moreover, with keys of k bytes, 3 k + 12 an element for each 8 bits of
// a dtype. Bound: shared memory, bandwidth. Reached: not measured.
#include "core/checks.h"
#include "kernels/lanes.cuh"
#include "kernels/radix_sort.cuh"
#include "kernels/sort_keys.cuh"
#include "ops/arrays.h"

namespace gg {
namespace {

/// Places of a block that sorts short rows; the longest of these.
constexpr int kPlaces = 2048;

/// Tiles of long rows sorted at once, for each multiprocessor: enough to fill it, few enough for
/// keys and numbers to stay in the cache of a large device. (A longer row is sorted by itself.)
constexpr int64_t kTiles = 16;

struct Sort {
  Layout<3> rows;  ///< x, y, index over all axes but the last
  int64_t row_count, length;
  int64_t x_stride, y_stride, index_stride;
  KeyForm form;
  const void* x;
  void* y;  ///< null: not wanted
  int64_t* index;

  /// Place i of a row is element `from` of it.
  __device__ void store(int64_t row, int64_t i, int64_t from) const {
    index[rows.offset(2, row) + i * index_stride] = from;
    if (!y) return;
    copy_element(form.itemsize, x, rows.offset(0, row) + from * x_stride, y,
                 rows.offset(1, row) + i * y_stride);
  }
};

// ---- short rows --------------------------------------------------------------------------------

template <class Key>
struct Places {
  Key key[kPlaces];
  uint16_t index[kPlaces];

  /// Puts the pairs at a < b in order.
  __device__ void order(int a, int b) {
    const Key key_a = key[a], key_b = key[b];
    const uint16_t index_a = index[a], index_b = index[b];
    if (key_a < key_b || (key_a == key_b && index_a < index_b)) return;
    key[a] = key_b;
    key[b] = key_a;
    index[a] = index_b;
    index[b] = index_a;
  }
};

/// Sorts the `used` places in runs of `width`, a power of two: runs of twice the length at a time,
/// whose second half is first compared as if it were turned round. A warp keeps to 64 neighbouring
/// places while pairs are at most 32 apart.
template <class Key>
GG_DEVICE void sort_places(Places<Key>& places, int used, int width) {
#pragma unroll 1
  for (int run = 2; run <= width; run *= 2) {
#pragma unroll 1
    for (int step = run / 2; step > 0; step /= 2) {
      const bool first = step == run / 2;
      for (int pair = threadIdx.x; pair < used / 2; pair += kBlock) {
        const int a = 2 * pair - (pair & (step - 1));
        places.order(a, first ? a ^ (run - 1) : a + step);
      }
      if (step > kWarp || (step == 1 && run >= 2 * kWarp)) {
        __syncthreads();
      } else {
        __syncwarp();
      }
    }
  }
}

/// A row has 1 << shift places.
template <class Key>
__global__ void __launch_bounds__(kBlock) sort_short_rows(const Sort s, int shift) {
  GG_SHARED(places, Places<Key>);
  const int width = 1 << shift;
  const int64_t rows = kPlaces >> shift, step = gridDim.x * rows;
  for (int64_t first = blockIdx.x * rows; first < s.row_count; first += step) {
    const int64_t left = s.row_count - first;
    const int used = static_cast<int>(left < rows ? left : rows) << shift;
    for (int at = threadIdx.x; at < used; at += kBlock) {
      const int64_t row = first + (at >> shift);
      const int i = at & (width - 1);
      Key key = static_cast<Key>(~uint64_t{0});  // no less than any, and of a larger index
      if (i < s.length) key = s.form.load<Key>(s.x, s.rows.offset(0, row) + i * s.x_stride);
      places.key[at] = key;
      places.index[at] = static_cast<uint16_t>(i);
    }
    __syncthreads();
    sort_places(places, used, width);
    __syncthreads();
    for (int at = threadIdx.x; at < used; at += kBlock) {
      const int i = at & (width - 1);
      if (i < s.length) s.store(first + (at >> shift), i, places.index[at]);
    }
    __syncthreads();
  }
}

template <class Key>
void sort_short(Stream stream, const Sort& s) {
  int shift = 0;
  while (int64_t{1} << shift < s.length) shift++;
  launch(sort_short_rows<Key>, grid_for(s.row_count, kPlaces >> shift), kBlock, 0, stream, s,
         shift);
}

// ---- long rows ---------------------------------------------------------------------------------

/// keys [rows][length] of the rows from `first` on.
template <class Key>
__global__ void __launch_bounds__(kBlock) write_keys(const Sort s, int64_t first, Key* keys) {
  const int64_t row = first + blockIdx.y, begin = s.rows.offset(0, row);
  Key* const own = keys + blockIdx.y * s.length;
  int64_t i = int64_t{kBlock} * blockIdx.x + threadIdx.x;
  for (; i < s.length; i += int64_t{kBlock} * gridDim.x) {
    own[i] = s.form.load<Key>(s.x, begin + i * s.x_stride);
  }
}

__global__ void __launch_bounds__(kBlock)
    write_sorted(const Sort s, int64_t first, const uint32_t* order) {
  const uint32_t* const own = order + blockIdx.y * s.length;
  int64_t i = int64_t{kBlock} * blockIdx.x + threadIdx.x;
  for (; i < s.length; i += int64_t{kBlock} * gridDim.x) s.store(first + blockIdx.y, i, own[i]);
}

/// Rows sorted at once.
int64_t batch_of(int64_t rows, int64_t length) {
  const int64_t fit = kTiles * multiprocessors() / SortBuffers<uint32_t>::tiles(length);
  return std::clamp<int64_t>(fit, 1, std::min(rows, kMostSortRows));
}

template <class Key>
void sort_long(Stream stream, const Sort& s, const Array& workspace) {
  const int64_t batch = batch_of(s.row_count, s.length);
  for (int64_t first = 0; first < s.row_count; first += batch) {
    const int64_t rows = std::min(batch, s.row_count - first);
    const SortBuffers<Key> buffers(workspace.data, s.length, rows);
    const dim3 grid(grid_for(s.length, kBlock), static_cast<unsigned>(rows));
    launch(write_keys<Key>, grid, kBlock, 0, stream, s, first, buffers.keys[0]);
    const auto sorted = radix_sort(stream, buffers, s.length, s.form.ones, rows);
    launch(write_sorted, grid, kBlock, 0, stream, s, first, sorted.order);
  }
}

// ---- host side ---------------------------------------------------------------------------------

Sort plan_sort(const Array& x, bool descending, const Array& y, const Array& index) {
  Sort s{};
  const int last = x.ndim - 1;
  for (int axis = 0; axis < last; axis++) {
    s.rows.push(x.shape[axis], {x.stride[axis], y ? y.stride[axis] : 0, index.stride[axis]});
  }
  s.rows.finish();
  s.row_count = s.rows.size;
  s.length = x.shape[last];
  s.x_stride = x.stride[last];
  s.y_stride = y ? y.stride[last] : 0;
  s.index_stride = index.stride[last];
  s.form = KeyForm::of(x.dtype, descending);
  s.x = x.data;
  s.y = y ? y.data : nullptr;
  s.index = index.as<int64_t>();
  return s;
}

}  // namespace

int64_t sort_workspace(const Array& x) {
  check_present("sort", "x", x);
  check_not_float8("sort", "x", x);
  GG_CHECK(x.ndim > 0, "sort", "x has no axis to sort along");
  const int64_t n = x.shape[x.ndim - 1];
  GG_CHECK(n <= kMaxFastIndex, "sort", "the last axis of x ", x,
           " is too long; at most 2^31 - 1 elements are sorted");
  if (x.size() == 0 || n <= kPlaces) return 0;
  const int64_t batch = batch_of(x.size() / n, n);
  return dtype_size(x.dtype) == 8 ? SortBuffers<uint64_t>::bytes(n, batch)
                                  : SortBuffers<uint32_t>::bytes(n, batch);
}

void sort(Stream stream, const Array& x, bool descending, const Array& y, const Array& index,
          const Array& workspace) {
  check_workspace("sort", workspace, sort_workspace(x));
  check_dtype("sort", "index", index, DType::i64);
  check_same_shape("sort", "x", x, "index", index);
  if (y) {
    check_same_dtype("sort", "x", x, "y", y);
    check_same_shape("sort", "x", x, "y", y);
  }
  if (x.size() == 0) return;
  const Sort s = plan_sort(x, descending, y, index);
  const bool is_short = s.length <= kPlaces, wide = s.form.itemsize == 8;
  if (is_short) return wide ? sort_short<uint64_t>(stream, s) : sort_short<uint32_t>(stream, s);
  return wide ? sort_long<uint64_t>(stream, s, workspace)
              : sort_long<uint32_t>(stream, s, workspace);
}

}  // namespace gg
