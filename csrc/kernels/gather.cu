// Gather: y[j..., r...] = x[indices[0][j...], ..., indices[k-1][j...], r...].
//
// A thread moves one element, r fastest, so neighbours read and write neighbours. Elements are
// moved as the widest unsigned word (up to 16 bytes) that divides rows, strides and addresses: an
// embedding row goes in 16-byte pieces. y is overwritten. An illegal index is flagged and reads
// as 0; indices below 0 count from the end. No element depends on another.
//
// Bytes: each index once for each row (from cache within it), x's rows and y once. Bound:
// bandwidth. Reached: not measured.
#include "core/indexing.h"
#include "device/device.h"
#include "ops/arrays.h"

namespace gg {
namespace {

constexpr int kThreads = 256;

struct GatherProblem {
  IndexList indices;
  RowsOfIndices rows;  ///< y over J; y and x over the rest
  int64_t size;        ///< elements of y
  RowSplit split;
};

template <class W>
__global__ void __launch_bounds__(kThreads)
    gather_elements(const GatherProblem problem, const W* x, W* y, int64_t* flag) {
  int64_t i = int64_t{kThreads} * blockIdx.x + threadIdx.x;
  for (; i < problem.size; i += int64_t{kThreads} * gridDim.x) {
    const int64_t j = problem.split.row_of(i), r = i - j * problem.split.row;
    const Located found = problem.indices.locate(j);
    W value{};
    if (found.bad_axis < 0) {
      value = x[found.offset + problem.rows.rest.offset(1, r)];
    } else if (r == 0) {
      flag_index_error(flag, FlagCode::gather, found.index, problem.indices.limit[found.bad_axis],
                       found.bad_axis);
    }
    y[problem.rows.outer.offset(0, j) + problem.rows.rest.offset(0, r)] = value;
  }
}

/// The widest word, in bytes, that all of these are multiples of.
int widest_word(const GatherProblem& p, const Array& x, const Array& y) {
  const int64_t item = dtype_size(x.dtype);
  const Layout<2>& rest = p.rows.rest;
  if (rest.inner(0) != 1 || rest.inner(1) != 1) return static_cast<int>(item);
  uint64_t all = reinterpret_cast<uintptr_t>(x.data) | reinterpret_cast<uintptr_t>(y.data);
  all |= static_cast<uint64_t>(rest.length[rest.ndim - 1] * item);
  for (int a = 0; a < rest.ndim - 1; a++) {
    all |= static_cast<uint64_t>(rest.stride[0][a] * item) |
           static_cast<uint64_t>(rest.stride[1][a] * item);
  }
  for (int a = 0; a < p.rows.outer.ndim; a++) {
    all |= static_cast<uint64_t>(p.rows.outer.stride[0][a] * item);
  }
  for (int a = 0; a < p.indices.count; a++) {
    all |= static_cast<uint64_t>(p.indices.step[a] * item);
  }
  int word = 16;
  while (word > item && all % static_cast<uint64_t>(word) != 0) word /= 2;
  return word;
}

/// Counts in words of `factor` elements from here on.
void widen_by(GatherProblem& p, int64_t factor) {
  Layout<2>& rest = p.rows.rest;
  rest.length[rest.ndim - 1] /= factor;
  rest.size /= factor;
  for (int a = 0; a < rest.ndim - 1; a++) {
    for (auto& stride : rest.stride) stride[a] /= factor;
  }
  rest.finish();
  for (int a = 0; a < p.rows.outer.ndim; a++) p.rows.outer.stride[0][a] /= factor;
  for (int a = 0; a < p.indices.count; a++) p.indices.step[a] /= factor;
}

template <class W>
void run(Stream stream, const GatherProblem& p, const Array& x, const Array& y, const Array& flag) {
  const int64_t blocks = (p.size + kThreads - 1) / kThreads;
  const int64_t most = int64_t{64} * multiprocessors();
  launch(gather_elements<W>, static_cast<unsigned>(std::min(blocks, most)), kThreads, 0, stream, p,
         x.as<W>(), y.as<W>(), flag.as<int64_t>());
}

}  // namespace

void gather(Stream stream, const Array& x, const Arrays& indices, const Array& y,
            const Array& flag) {
  GatherProblem p{};
  p.indices = index_list("gather", indices, x, false);
  check_same_dtype("gather", "x", x, "y", y);
  check_dtype("gather", "flag", flag, DType::i64);
  p.rows = rows_of_indices("gather", "y", y, indices[0], x, p.indices.count);
  GG_CHECK(y.size() == p.rows.outer.size * p.rows.rest.size, "gather", "y ", y,
           " must have the shape of the indices and x's other axes");
  if (y.size() == 0) return;
  const int word = widest_word(p, x, y);
  widen_by(p, word / dtype_size(x.dtype));
  p.split = RowSplit(p.rows.outer.size, p.rows.rest.size);
  p.size = p.rows.outer.size * p.rows.rest.size;
  switch (word) {
    case 1:
      return run<uint8_t>(stream, p, x, y, flag);
    case 2:
      return run<uint16_t>(stream, p, x, y, flag);
    case 4:
      return run<uint32_t>(stream, p, x, y, flag);
    case 8:
      return run<uint64_t>(stream, p, x, y, flag);
    default:
      return run<uint4>(stream, p, x, y, flag);
  }
}

}  // namespace gg
