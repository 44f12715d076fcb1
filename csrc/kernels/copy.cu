// Copies, casts and constants.
//
//   copy: y = x, cast to y's dtype; x broadcasts      fill: y = value
//
// Any shapes and strides; y is overwritten. Within a dtype, only bytes move: one kernel for each
// size of element. Casts go through float (float16, bfloat16, float32, 8-bit floats), double, or
// int64 (integers and bool), whichever holds x exactly, and are rounded once by the rules of
// device/types.h; to 8-bit floats by way of float, as PyTorch rounds them.
//
// Same order of memory: vectors of 16 bytes. A transposed matrix (or a permutation with two unit
// strides): square tiles through shared memory, so that both sides are touched row by row; rows of
// a tile are padded against bank conflicts. Else: element by element, coalesced along y.
//
// Bytes: each element read once and written once. Bound: bandwidth. Reached: not measured.
#include "core/float8.h"
#include "kernels/lanes.cuh"
#include "ops/arrays.h"

namespace gg {
namespace {

// ---- one dtype -------------------------------------------------------------------------------

/// y = x, or, where x is null, y = value.
template <class M>
__global__ void __launch_bounds__(kBlock)
    move_kernel(Walk<2> walk, const void* x, M value, void* y) {
  constexpr int N = kLanes<M>, W = width_of(sizeof(M));
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kBlock * N;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kBlock * N;
  for (int64_t base = first; base < walk.layout.size; base += stride) {
    const Tile<N> tile(walk, base);
    M values[N];
#pragma unroll
    for (int i = 0; i < N; i++) values[i] = value;
    if (tile.vectors) {
      int64_t at[2];
      if (x) {
        Raw<M, W, N> raw;
        locate_vectors(walk, 1, tile, at);
        load_vectors(walk, 1, at, x, raw);
        convert_raw(raw, values);
      }
      locate_vectors(walk, 0, tile, at);
      store_vectors<W, M>(at, y, values);
    } else {
      int64_t at[N];
      if (x) {
        locate_elements(walk, 1, tile, at);
        load_elements<M>(walk, tile, at, x, values);
      }
      locate_elements(walk, 0, tile, at);
      store_elements<M>(walk, tile, at, y, values);
    }
  }
}

/// Moves between arrays y and x (null: value) of elements as wide as M.
void launch_move(Stream stream, const Array& x, const Array& y, uint64_t value) {
  const Array* const arrays[2] = {&y, &x};
  const Walk<2> walk = make_walk(arrays, width_of(dtype_size(y.dtype)));
  dispatch_width(y.dtype, [&](auto tag) {
    using M = typename decltype(tag)::type;
    const unsigned grid = grid_for(walk.layout.size, kBlock * kLanes<M>);
    launch(move_kernel<M>, grid, kBlock, 0, stream, walk, x.data, static_cast<M>(value), y.data);
  });
}

// ---- transposes ------------------------------------------------------------------------------

/// x has unit stride along `rows`, y along `columns`; what is left is walked by batch.
struct Transpose {
  Layout<2> batch;
  int64_t rows, columns;
  int64_t x_column_stride, y_row_stride;
  FastDivision row_tiles, column_tiles;
  uint32_t row_tile_count, column_tile_count, tiles;
};

constexpr int kTransposeRows = 8;  // a block has 32 x 8 threads

template <class M>
constexpr int kTransposeTile = sizeof(M) <= 2 ? 64 : 32;

template <class M>
__global__ void __launch_bounds__(32 * kTransposeRows)
    transpose_kernel(Transpose t, const M* x, M* y) {
  constexpr int size = kTransposeTile<M>;
  constexpr int pad = sizeof(M) < 4 ? 4 / sizeof(M) : 1;  // an odd number of words in a row
  GG_SHARED(tile, M[size][size + pad]);
  for (uint32_t index = blockIdx.x; index < t.tiles; index += gridDim.x) {
    const uint32_t strip = t.column_tiles.quotient(index);
    const uint32_t batch = t.row_tiles.quotient(strip);
    const int64_t column = static_cast<int64_t>(index - strip * t.column_tile_count) * size;
    const int64_t row = static_cast<int64_t>(strip - batch * t.row_tile_count) * size;
    const M* from = x + t.batch.offset(1, batch) + row + column * t.x_column_stride;
    M* to = y + t.batch.offset(0, batch) + row * t.y_row_stride + column;
#pragma unroll
    for (int c = threadIdx.y; c < size; c += kTransposeRows) {
#pragma unroll
      for (int r = threadIdx.x; r < size; r += 32) {
        if (row + r < t.rows && column + c < t.columns) {
          tile[c][r] = from[r + c * t.x_column_stride];
        }
      }
    }
    __syncthreads();
#pragma unroll
    for (int r = threadIdx.y; r < size; r += kTransposeRows) {
#pragma unroll
      for (int c = threadIdx.x; c < size; c += 32) {
        if (row + r < t.rows && column + c < t.columns) to[r * t.y_row_stride + c] = tile[c][r];
      }
    }
    __syncthreads();
  }
}

/// The axis of the layout along which x has unit stride, where y's is the innermost and both are
/// long enough for tiles; -1 if there is none.
int transposed_axis(const Layout<2>& layout) {
  constexpr int worth = 8;
  const int last = layout.ndim - 1;
  if (layout.inner(0) != 1 || layout.inner(1) == 1 || layout.inner(1) == 0) return -1;
  if (layout.length[last] < worth) return -1;
  for (int axis = 0; axis < last; axis++) {
    if (layout.stride[1][axis] == 1 && layout.length[axis] >= worth) return axis;
  }
  return -1;
}

/// False if the tiles are too many to number; the caller then copies element by element.
bool plan_transpose(const Layout<2>& layout, int axis, int tile, Transpose& t) {
  const int last = layout.ndim - 1;
  t.rows = layout.length[axis];
  t.columns = layout.length[last];
  t.x_column_stride = layout.stride[1][last];
  t.y_row_stride = layout.stride[0][axis];
  for (int i = 0; i < last; i++) {
    if (i != axis) t.batch.push(layout.length[i], {layout.stride[0][i], layout.stride[1][i]});
  }
  t.batch.finish();
  const int64_t row_tiles = (t.rows + tile - 1) / tile;
  const int64_t column_tiles = (t.columns + tile - 1) / tile;
  if (row_tiles * column_tiles > kMaxFastIndex / t.batch.size) return false;
  t.row_tile_count = static_cast<uint32_t>(row_tiles);
  t.column_tile_count = static_cast<uint32_t>(column_tiles);
  t.tiles = static_cast<uint32_t>(row_tiles * column_tiles * t.batch.size);
  t.row_tiles = FastDivision(t.row_tile_count);
  t.column_tiles = FastDivision(t.column_tile_count);
  return true;
}

/// Copies by tiles if x lies transposed to y.
bool copy_transposed(Stream stream, const Array& x, const Array& y) {
  const Array* const arrays[2] = {&y, &x};
  const Layout<2> layout = elementwise_layout(arrays);
  const int axis = transposed_axis(layout);
  if (axis < 0) return false;
  bool done = false;
  dispatch_width(y.dtype, [&](auto tag) {
    using M = typename decltype(tag)::type;
    Transpose t{};
    done = plan_transpose(layout, axis, kTransposeTile<M>, t);
    if (!done) return;
    launch(transpose_kernel<M>, grid_for(t.tiles, 1), dim3(32, kTransposeRows), 0, stream, t,
           x.as<const M>(), y.as<M>());
  });
  return done;
}

// ---- casts -----------------------------------------------------------------------------------

constexpr int kCastLanes = 8, kCastWidth = 4;

/// f with a value of the type that dtype stores, one that T holds; an 8-bit float's code.
template <class T, class F>
GG_DEVICE void with_held(DType dtype, F f) {
  if constexpr (std::is_same_v<T, float>) {
    if (is_float8(dtype)) return f(uint8_t{});
  }
  with_storage<T>(dtype, f);
}

/// f with a value of the type that dtype stores; an 8-bit float's code.
template <class F>
GG_DEVICE void with_any(DType dtype, F f) {
  switch (dtype) {
    case DType::boolean:
      return f(bool{});
    case DType::f64:
      return f(0.0);
    case DType::f16:
    case DType::bf16:
    case DType::f32:
      return with_storage<float>(dtype, f);
    default:
      return with_storage<int64_t>(dtype, f);
  }
}

/// Codes of 8-bit floats, where `from` is one, become numbers, and numbers codes where `to` is one.
template <class T, int N>
GG_DEVICE void convert_codes(DType from, DType to, T (&values)[N]) {
  if (is_float8(from)) {
#pragma unroll
    for (int i = 0; i < N; i++) {
      values[i] = static_cast<T>(float8_to_float(from, static_cast<uint8_t>(values[i])));
    }
  }
  if (is_float8(to)) {
#pragma unroll
    for (int i = 0; i < N; i++) {
      values[i] = static_cast<T>(float_to_float8(to, static_cast<float>(values[i])));
    }
  }
}

template <class T>
__global__ void __launch_bounds__(kBlock)
    cast_kernel(Walk<2> walk, DType from, const void* x, DType to, void* y) {
  constexpr int N = kCastLanes, W = kCastWidth;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kBlock * N;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kBlock * N;
  for (int64_t base = first; base < walk.layout.size; base += stride) {
    const Tile<N> tile(walk, base);
    T values[N];
    if (tile.vectors) {
      int64_t at[2];
      locate_vectors(walk, 1, tile, at);
      with_held<T>(from, [&](auto stored) {
        Raw<decltype(stored), W, N> raw;
        load_vectors(walk, 1, at, x, raw);
        convert_raw(raw, values);
      });
      convert_codes(from, to, values);
      locate_vectors(walk, 0, tile, at);
      with_any(to, [&](auto stored) { store_vectors<W, decltype(stored)>(at, y, values); });
    } else {
      int64_t at[N];
      locate_elements(walk, 1, tile, at);
      with_held<T>(
          from, [&](auto stored) { load_elements<decltype(stored)>(walk, tile, at, x, values); });
      convert_codes(from, to, values);
      locate_elements(walk, 0, tile, at);
      with_any(to,
               [&](auto stored) { store_elements<decltype(stored)>(walk, tile, at, y, values); });
    }
  }
}

template <class T>
void launch_cast(Stream stream, const Walk<2>& walk, const Array& x, const Array& y) {
  const unsigned grid = grid_for(walk.layout.size, kBlock * kCastLanes);
  launch(cast_kernel<T>, grid, kBlock, 0, stream, walk, x.dtype, x.data, y.dtype, y.data);
}

}  // namespace

void copy(Stream stream, const Array& x, const Array& y) {
  check_present("copy", "y", y);
  check_broadcasts("copy", "x", x, y);
  if (y.size() == 0) return;
  if (x.dtype == y.dtype) {
    if (!copy_transposed(stream, x, y)) launch_move(stream, x, y, 0);
    return;
  }
  const Array* const arrays[2] = {&y, &x};
  const Walk<2> walk = make_walk(arrays, kCastWidth);
  if (x.dtype == DType::f64) {
    launch_cast<double>(stream, walk, x, y);
  } else if (is_floating(x.dtype) || is_float8(x.dtype)) {
    launch_cast<float>(stream, walk, x, y);
  } else {
    launch_cast<int64_t>(stream, walk, x, y);
  }
}

void fill(Stream stream, const Array& y, const Scalar& value) {
  check_present("fill", "y", y);
  launch_move(stream, Array(), y, number_bits(value, y.dtype));
}

}  // namespace gg
