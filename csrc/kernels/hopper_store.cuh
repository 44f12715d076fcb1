// The epilogue that leaves by TMA: from wgmma's accumulators to rows of y.
//
//   y = act(alpha row_scale scale sum + bias)      bit for bit what gemm_epilogue.cuh computes
//
// y's rows are contiguous, at multiples of 16 bytes; its elements have 16 or 32 bits. A warp passes
// its 16 rows through boxes of 128 bytes' width in shared memory (two in turn, its own), from which
// TMA stores run on under the next tile's products. What lies outside of y is not written.
//
// Writing a box has no bank conflicts for 16-bit types (stmatrix), two-way ones for 32-bit types.
#pragma once

#include "core/math.h"
#include "device/fast_math.h"
#include "device/matrix.h"
#include "kernels/gemm_epilogue.cuh"
#include "kernels/hopper_accumulator.cuh"
#include "kernels/hopper_tiles.cuh"

namespace gg {

constexpr int kStoreRows = 16;  // of a box, and of a warp in a slab
constexpr int kStoreBoxBytes = kStoreRows * 128, kStoreBoxes = 2;

/// Columns of a box of elements of so many bytes, in a tile of N columns.
template <int N>
GG_HD constexpr int store_columns(int bytes) {
  return N * bytes < 128 ? N : 128 / bytes;
}

/// A warp's boxes, aligned to 1024 bytes.
class StoreBoxes {
 public:
  __device__ __forceinline__ explicit StoreBoxes(char* boxes) : boxes_(boxes) {}

  /// The next box, once TMA has read what was in it. By the whole warp, as what follows.
  __device__ __forceinline__ char* take() {
    if (threadIdx.x % 32 == 0) tma_store_wait_read<kStoreBoxes - 1>();
    __syncwarp();
    index_ ^= 1;
    return box();
  }
  __device__ __forceinline__ char* box() const { return boxes_ + index_ * kStoreBoxBytes; }

  /// Starts storing the box, which all lanes have written.
  __device__ __forceinline__ void store(const TensorMap* map, int row, int column,
                                        const TileBatch& batch) const {
    fence_proxy_async();
    __syncwarp();
    if (threadIdx.x % 32 != 0) return;
    const int* c = batch.c;
    tma_store(map, box(), column, row, c[0], c[1], c[2]);
    tma_store_commit();
  }

  /// Before the warp ends.
  __device__ __forceinline__ void finish() const {
    if (threadIdx.x % 32 == 0) tma_store_wait_read<0>();
  }

 private:
  char* boxes_;
  int index_ = 0;
};

constexpr int kChunk = kQuadColumns / 2;  // a thread's share of 16 rows by 32 columns: 2 rows by 8

/// x = d[first .. first + 15]. Registers have no index at run time: it is looked for.
template <int First = 0, class Sum, int M>
GG_DEVICE void take_chunk(int first, const Sum (&d)[M], Sum (&x)[kChunk]) {
  if (first == First) {
#pragma unroll
    for (int i = 0; i < kChunk; i++) x[i] = d[First + i];
  } else if constexpr (First + kChunk < M) {
    take_chunk<First + kChunk>(first, d, x);
  }
}

/// Where a thread's chunk lies in y.
struct ChunkPlace {
  int64_t row, column;  ///< of its element 0

  static GG_HD constexpr int row_of(int i) { return i / 2 % 2 * 8; }
  static GG_HD constexpr int column_of(int i) { return i / 4 * 8 + i % 2; }
  /// Element i of the j-th of its 8 columns; i + 2 is below it.
  static GG_HD constexpr int top_of(int j) { return j / 2 * 4 + j % 2; }
};

/// value += alpha row_scale scale sum, in the order of Epilogue::add_sums.
template <class C, class Sum>
GG_DEVICE void add_chunk(const GemmProblem& g, const ChunkPlace& at, const Sum (&sums)[kChunk],
                         C (&value)[kChunk]) {
  const GemmOutput& o = g.out;
  using Whole = std::conditional_t<std::is_integral_v<C>, int64_t, C>;
  C alpha[2], scale[kChunk / 2];
#pragma unroll
  for (int r = 0; r < 2; r++) {
    alpha[r] = static_cast<C>(static_cast<Whole>(o.alpha));
    if constexpr (std::is_floating_point_v<C>) {
      const int64_t row = at.row + 8 * r;
      if (o.row_scale && row < g.m) alpha[r] *= o.row_scale[row * o.row_scale_m];
    }
  }
  if constexpr (std::is_floating_point_v<C>) {
#pragma unroll
    for (int j = 0; j < kChunk / 2; j++) {
      const int64_t column = at.column + ChunkPlace::column_of(ChunkPlace::top_of(j));
      scale[j] = o.scale && column < g.n ? o.scale[column * o.scale_n] : C(1);
    }
  }
#pragma unroll
  for (int i = 0; i < kChunk; i++) {
    C scaled = alpha[i / 2 % 2];
    if constexpr (std::is_floating_point_v<C>) scaled *= scale[i / 4 * 2 + i % 2];
    value[i] += scaled * static_cast<C>(sums[i]);
  }
}

/// value += bias, which goes along rows or along columns.
template <class Y, class C>
GG_DEVICE void add_bias(const GemmProblem& g, const ChunkPlace& at, C (&value)[kChunk]) {
  const GemmOutput& o = g.out;
  const Y* const bias = static_cast<const Y*>(o.bias);
  if (o.bias_m == 0) {
#pragma unroll
    for (int j = 0; j < kChunk / 2; j++) {
      const int i = ChunkPlace::top_of(j);
      const int64_t column = at.column + ChunkPlace::column_of(i);
      const C x = column < g.n ? static_cast<C>(widen(bias[column * o.bias_n])) : C(0);
      value[i] += x;
      value[i + 2] += x;
    }
    return;
  }
#pragma unroll
  for (int r = 0; r < 2; r++) {
    const int64_t row = at.row + 8 * r;
    const C x = row < g.m ? static_cast<C>(widen(bias[row * o.bias_m])) : C(0);
#pragma unroll
    for (int j = 0; j < kChunk / 2; j++) value[ChunkPlace::top_of(j) + 2 * r] += x;
  }
}

/// One copy of the code for four elements; the others follow one another round the registers.
template <class C>
GG_DEVICE void activate_chunk(Activation act, C (&value)[kChunk]) {
  if (act == Activation::none) return;
#pragma unroll 1
  for (int turn = 0; turn < kChunk / 4; turn++) {
    C done[4];
#pragma unroll
    for (int i = 0; i < 4; i++) done[i] = activate(act, value[i]);
#pragma unroll
    for (int i = 0; i + 4 < kChunk; i++) value[i] = value[i + 4];
#pragma unroll
    for (int i = 0; i < 4; i++) value[kChunk - 4 + i] = done[i];
  }
}

/// The byte of a box in its swizzle; `width` is its rows' length, 64 or 128 bytes.
GG_DEVICE int box_offset(int row, int byte, int width) {
  const int offset = row * width + byte;
  return offset ^ (offset >> 3 & (width - 16));
}

/// Rounds a chunk to Y and writes it from byte `first` of the box's rows on.
template <class Y, class C>
GG_DEVICE void write_chunk(char* box, int first, int width, const C (&value)[kChunk]) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  if constexpr (sizeof(Y) == 2) {
    const int row = lane % 16, byte = first + lane / 16 * 16;
#pragma unroll
    for (int half = 0; half < 2; half++) {
      uint32_t pairs[4];
#pragma unroll
      for (int j = 0; j < 4; j++) {
        pairs[j] = pack_pair<Y>(value[8 * half + 2 * j], value[8 * half + 2 * j + 1]);
      }
      stmatrix(box + box_offset(row, byte + 32 * half, width), pairs);
    }
  } else {
#pragma unroll
    for (int i = 0; i < kChunk; i += 2) {
      const int byte = first + 4 * (ChunkPlace::column_of(i) + lane % 4 * 2);
      const Vec<C, 2> pair = {{value[i], value[i + 1]}};
      char* const to = box + box_offset(lane / 4 + ChunkPlace::row_of(i), byte, width);
      store_vec(reinterpret_cast<C*>(to), pair);
    }
  }
}

/// A chunk of y, of type Y, computed in C.
template <class C, class T, class Sum>
GG_DEVICE void finish_chunk(const GemmProblem& g, const ChunkPlace& at, const Sum (&sums)[kChunk],
                            char* box, int first, int width) {
  C value[kChunk] = {};
  with_output<T, C>(g.out.dtype, [&](auto y) {
    if (g.out.bias) add_bias<decltype(y)>(g, at, value);
  });
  add_chunk(g, at, sums, value);
  if constexpr (std::is_floating_point_v<C>) activate_chunk(g.out.act, value);
  with_output<T, C>(g.out.dtype, [&](auto y) {
    if constexpr (sizeof(y) != 1) write_chunk<decltype(y)>(box, first, width, value);
  });
}

/// Stores a warp's rows of a tile of N columns: 16 from `row` on of each slab of 64. T is the type
/// of a and b, as in Epilogue.
template <int N, class T, class Sum, int M>
GG_DEVICE void store_tile(const GemmProblem& g, const TensorMap* map, StoreBoxes& boxes, int row,
                          int column, const TileBatch& batch, const Sum (&d)[M]) {
  const int bytes = g.out.dtype == DType::f32 || g.out.dtype == DType::i32 ? 4 : 2;
  const int columns = store_columns<N>(bytes), width = columns * bytes;
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll 1
  for (int first = 0; first < 2 * M; first += kQuadColumns) {
    const int top = row + first / N * kTmaSlab, left = column + first % N;
    if (top >= g.m || left >= g.n) continue;
    const int in_box = first % columns;
    char* const box = in_box == 0 ? boxes.take() : boxes.box();
    Sum sums[kChunk] = {};
    take_chunk(first / 2, d, sums);
    const ChunkPlace at{top + lane / 4, left + lane % 4 * 2};
    if constexpr (std::is_integral_v<Sum>) {
      if (g.out.dtype == DType::i32) {
        finish_chunk<uint32_t, T>(g, at, sums, box, in_box * bytes, width);
      } else {
        finish_chunk<float, float>(g, at, sums, box, in_box * bytes, width);
      }
    } else {
      finish_chunk<float, T>(g, at, sums, box, in_box * bytes, width);
    }
    const bool full = in_box + kQuadColumns == columns || left + kQuadColumns >= g.n;
    if (full) boxes.store(map, top, left - in_box, batch);
  }
}

// ---- host --------------------------------------------------------------------------------------

/// y as store_tile wants it: rows contiguous, strides legal for TMA, one of 16 or 32 bits; nothing
/// added that is as large as y.
inline bool store_fits(const GemmProblem& g) {
  const GemmOutput& o = g.out;
  if (g.split.partial || o.residual || o.beta != 0 || (o.bias_m != 0 && o.bias_n != 0))
    return false;
  const int bytes = dtype_size(o.dtype);
  if (!is_floating(o.dtype) ? o.dtype != DType::i32 : bytes == 8) return false;
  if (o.y_n != 1 || reinterpret_cast<uintptr_t>(o.y) % 16 != 0) return false;
  if (!tma_stride_fits(o.y_m, bytes)) return false;
  for (int i = 0; i < g.batch.ndim; i++) {
    if (g.batch.length[i] > 1 && !tma_stride_fits(g.batch.stride[2][i], bytes)) return false;
  }
  return g.batch.ndim <= kTmaBatchAxes;
}

/// The map of store_tile<N>.
template <int N>
TensorMap store_map(const GemmProblem& g) {
  const DType dtype = g.out.dtype;
  const TensorType type = dtype == DType::f16    ? TensorType::f16
                          : dtype == DType::bf16 ? TensorType::bf16
                          : dtype == DType::f32  ? TensorType::f32
                                                 : TensorType::i32;
  const int bytes = tensor_type_bytes(type), columns = store_columns<N>(bytes);
  int64_t dims[5] = {g.n, g.m, 1, 1, 1}, strides[4];
  for (int64_t& stride : strides) stride = g.out.y_m * bytes;
  for (int i = 0; i < g.batch.ndim; i++) {
    if (g.batch.length[i] == 1) continue;
    dims[2 + i] = g.batch.length[i];
    strides[1 + i] = g.batch.stride[2][i] * bytes;
  }
  const int box[5] = {columns, kStoreRows, 1, 1, 1};
  return tensor_map_tiled(type, 5, g.out.y, dims, strides, box,
                          static_cast<Swizzle>(columns * bytes));
}

}  // namespace gg
