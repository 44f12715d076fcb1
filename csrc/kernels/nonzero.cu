// Positions of true elements, in row-major order.
//
// Three launches: each block counts its 4096 elements; one block turns the counts into sums of
// those before; each block writes its positions from there on. A thread owns 16 neighbouring
// elements, so the order follows from prefix sums alone. y is overwritten.
//
// Bytes: the mask twice, 8 ndim bytes for a true element. Bound: bandwidth. Reached: not measured.
#include "core/checks.h"
#include "core/index.h"
#include "device/device.h"
#include "kernels/scan.cuh"
#include "ops/arrays.h"

namespace gg {
namespace {

constexpr int kThreads = 256, kOwn = 16;
constexpr int64_t kChunk = int64_t{kThreads} * kOwn;

struct Mask {
  const bool* data;
  Layout<1> layout;
};

/// Bit k: is element first + k true?
GG_DEVICE unsigned own_bits(const Mask& mask, int64_t first) {
  unsigned bits = 0;
  for (int k = 0; k < kOwn && first + k < mask.layout.size; k++) {
    if (mask.data[mask.layout.offset(0, first + k)]) bits |= 1u << k;
  }
  return bits;
}

GG_DEVICE int64_t first_of_thread() {
  return blockIdx.x * kChunk + int64_t{kOwn} * threadIdx.x;
}

__global__ void __launch_bounds__(kThreads) count_true(const Mask mask, int64_t* counts) {
  const int mine = __popc(own_bits(mask, first_of_thread()));
  const int total = block_exclusive_sum(mine).total;
  if (threadIdx.x == 0) counts[blockIdx.x] = total;
}

/// counts[i] = sum of counts[0 .. i-1], in place, by one block.
__global__ void __launch_bounds__(kThreads) sum_before(int64_t* counts, int64_t n) {
  const int64_t share = (n + kThreads - 1) / kThreads;
  const int64_t begin = share * threadIdx.x, end = begin + share < n ? begin + share : n;
  int64_t mine = 0;
  for (int64_t i = begin; i < end; i++) mine += counts[i];
  int64_t before = block_exclusive_sum(mine).before;
  for (int64_t i = begin; i < end; i++) {
    const int64_t count = counts[i];
    counts[i] = before;
    before += count;
  }
}

struct Positions {
  int64_t* data;
  int64_t rows, row_stride, axis_stride;
  int ndim;
  int64_t shape[kMaxDims];
};

__global__ void __launch_bounds__(kThreads)
    write_positions(const Mask mask, const int64_t* before, const Positions y) {
  const int64_t first = first_of_thread();
  unsigned bits = own_bits(mask, first);
  int64_t row = before[blockIdx.x] + block_exclusive_sum(__popc(bits)).before;
  for (; bits != 0; bits &= bits - 1, row++) {
    if (row >= y.rows) return;  // the caller counted fewer
    int64_t rest = first + __ffs(static_cast<int>(bits)) - 1;
    for (int axis = y.ndim - 1; axis >= 0; axis--) {
      const int64_t outer = rest / y.shape[axis];
      y.data[row * y.row_stride + axis * y.axis_stride] = rest - outer * y.shape[axis];
      rest = outer;
    }
  }
}

int64_t chunks_of(const Array& mask) {
  return (mask.size() + kChunk - 1) / kChunk;
}

}  // namespace

void nonzero(Stream stream, const Array& mask, const Array& y, const Array& workspace) {
  check_dtype("nonzero", "mask", mask, DType::boolean);
  check_dtype("nonzero", "y", y, DType::i64);
  GG_CHECK(y.ndim == 2 && y.shape[1] == mask.ndim, "nonzero", "y must have shape (count, ",
           mask.ndim, "), got ", y);
  check_workspace("nonzero", workspace, nonzero_workspace(mask));
  if (y.size() == 0) return;
  Mask source{mask.as<bool>(), {}};
  Positions positions{y.as<int64_t>(), y.shape[0], y.stride[0], y.stride[1], mask.ndim, {}};
  for (int axis = 0; axis < mask.ndim; axis++) {
    source.layout.push(mask.shape[axis], {mask.stride[axis]});
    positions.shape[axis] = mask.shape[axis];
  }
  source.layout.finish();
  int64_t* const counts = workspace.as<int64_t>();
  const unsigned blocks = static_cast<unsigned>(chunks_of(mask));
  launch(count_true, blocks, kThreads, 0, stream, source, counts);
  launch(sum_before, 1, kThreads, 0, stream, counts, blocks);
  launch(write_positions, blocks, kThreads, 0, stream, source, counts, positions);
}

int64_t nonzero_workspace(const Array& mask) {
  return chunks_of(mask) * static_cast<int64_t>(sizeof(int64_t));
}

}  // namespace gg
