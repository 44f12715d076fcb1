// What both directions of the recurrent layer have on the host: buffers of a workspace, matrices
// laid out for StepFactors, and the choice of a kernel.
#pragma once

#include "core/built_for.h"
#include "core/recurrent_checks.h"
#include "kernels/recurrent_cells.cuh"
#include "kernels/recurrent_product.cuh"
#include "ops/arrays.h"

namespace gg {

constexpr int kClusterRows = 16;   ///< samples of a cluster
constexpr int kClusterUnits = 32;  ///< units of a block of it

/// Hands out parts of a workspace, each aligned to 256 bytes; of a null workspace it only counts.
class Buffers {
 public:
  explicit Buffers(void* data) : data_(static_cast<char*>(data)) {}

  template <class T>
  T* take(int64_t count) {
    T* const part = data_ ? reinterpret_cast<T*>(data_ + bytes_) : nullptr;
    bytes_ += (count * static_cast<int64_t>(sizeof(T)) + 255) / 256 * 256;
    return part;
  }
  int64_t bytes() const { return bytes_; }

 private:
  char* data_;
  int64_t bytes_ = 0;
};

/// An Array over rows of `data`, `pitch` elements apart.
inline Array pitched(void* data, DType dtype, int64_t rows, int64_t columns, int64_t pitch) {
  Array a;
  a.data = data, a.dtype = dtype, a.ndim = 2;
  a.shape[0] = rows, a.shape[1] = columns;
  a.stride[0] = pitch, a.stride[1] = 1;
  return a;
}

inline Array transposed_matrix(Array a) {
  std::swap(a.shape[0], a.shape[1]);
  std::swap(a.stride[0], a.stride[1]);
  return a;
}

template <class T>
Grid2<T> grid2(const Array& a) {
  if (!a) return {};
  return {a.as<T>(), a.stride[0], a.stride[1]};
}

template <class T>
Grid3<T> grid3(const Array& a) {
  if (!a) return {};
  return {a.as<T>(), a.stride[0], a.stride[1]};
}

/// Kernels count what w has in 16 bytes, in 32 bits: 64 GiB.
inline bool in_reach(int64_t rows, int64_t pitch, int64_t size) {
  return pitch >= 0 && rows * pitch <= (int64_t{1} << 36) / size;
}

/// Are the rows of a matrix whole chunks at multiples of 16 bytes, as StepFactors wants them?
inline bool in_chunks(const Array& a) {
  const int64_t size = dtype_size(a.dtype);
  return a.stride[1] == 1 && a.shape[1] * size % kStepChunk == 0 && a.stride[0] * size % 16 == 0 &&
         reinterpret_cast<uintptr_t>(a.data) % 16 == 0 && in_reach(a.shape[0], a.stride[0], size);
}

/// Rows of a matrix that StepFactors can read.
template <class T>
struct Rows2 {
  T* data;
  int64_t pitch;
};

/// Lays a matrix out in a buffer, rows padded to whole chunks. What pads them was set to zero.
template <class T>
Rows2<const T> lay_out(Stream stream, const Array& matrix, T* buffer) {
  const int64_t pitch = padded_k<T>(matrix.shape[1]);
  GG_CHECK(in_reach(matrix.shape[0], pitch, sizeof(T)), "recurrent",
           "weights must be smaller than 64 GiB, got ", matrix);
  copy(stream, matrix, pitched(buffer, matrix.dtype, matrix.shape[0], matrix.shape[1], pitch));
  return {buffer, pitch};
}

/// The product of float32: tensor cores where the precision lets them and the code has them.
enum class StepMath { fma, plain, three };

inline StepMath step_math(DType dtype, MatmulPrecision precision) {
  if (dtype == DType::f64 || code_architecture(GG_BUILT_FOR, architecture()) < 80) {
    return StepMath::fma;
  }
  if (dtype != DType::f32 || precision == MatmulPrecision::tf32) return StepMath::plain;
  return precision == MatmulPrecision::high ? StepMath::three : StepMath::fma;
}

/// Blocks of 32 units in a cluster, 16 samples of which a sequence in one launch has; 0 where the
/// code has no clusters or w does not fit their registers. k: of a product, padded.
template <class T>
int cluster_blocks(StepMath math, int64_t units, int64_t k, int64_t most_bytes) {
  if (math == StepMath::fma || !runs_hopper_code(GG_BUILT_FOR, architecture())) return 0;
  if (k * static_cast<int64_t>(sizeof(T)) > most_bytes) return 0;
  const int64_t blocks = (units + kClusterUnits - 1) / kClusterUnits;
  return blocks > 8 ? 0 : blocks > 4 ? 8 : blocks > 2 ? 4 : static_cast<int>(blocks);
}

/// Calls f with the product of N fragments that T and `math` ask for.
template <class T, int N, class F>
auto with_product(StepMath math, F f) {
  if constexpr (is_half<T>) {
    if (math == StepMath::plain) return f(Tag<MmaProduct<HalfMath<T>, N>>{});
  } else if constexpr (std::is_same_v<T, float>) {
    if (math == StepMath::plain) return f(Tag<MmaProduct<Tf32Math, N>>{});
    if (math == StepMath::three) return f(Tag<MmaProduct<Tf32x3Math, N>>{});
  }
  return f(Tag<FmaProduct<T, N>>{});
}

/// Blocks of a step: along samples, and along units.
template <class T>
dim3 step_grid(const StepFactors<T>& p, int n) {
  const int64_t units = p.block_units(n);
  return dim3(static_cast<unsigned>((p.rows + kStepRows - 1) / kStepRows),
              static_cast<unsigned>((p.units + units - 1) / units));
}

}  // namespace gg
