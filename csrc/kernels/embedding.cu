// Embedding: y[j..., :] = weight[index[j...], :], and the bound of the rows' norms.
//
// embedding: a thread moves one word of a row, the widest (up to 16 bytes) that divides rows,
// strides and addresses; neighbours read and write neighbours. y =. An illegal index is flagged and
// reads row 0. Bytes: each index once for each row (from cache within it), rows and y once.
//
// embedding_renorm: a warp for each position; the first to name a row (a bit for each row, set
// atomically) forms its norm and scales it, in place. Which position is first does not matter.
// Norms accumulate in float32 (float64 for float64), in a fixed tree. Bytes: V / 8, and named rows
// two or three times, the last from cache.
//
// Deterministic: no element depends on another. Bound: bandwidth. Reached: not measured.
#include "core/embedding_checks.h"
#include "core/indexing.h"
#include "core/optim.h"
#include "device/device.h"
#include "kernels/embedding.cuh"
#include "ops/text.h"

namespace gg {
namespace {

constexpr int kThreads = kTableThreads;

// ---- embedding ---------------------------------------------------------------------------------

/// Widths and strides in words.
struct Rows {
  Layout<2> positions;  ///< index, y over J
  int64_t limit;
  int64_t weight_row, weight_step, y_step;
  RowSplit split;
};

/// A word is N of W.
template <class W, int N>
__global__ void __launch_bounds__(kThreads)
    look_up(const Rows p, const int64_t* index, const W* weight, W* y, int64_t* flag) {
  const int64_t size = p.positions.size * p.split.row;
  int64_t e = int64_t{kThreads} * blockIdx.x + threadIdx.x;
  for (; e < size; e += int64_t{kThreads} * gridDim.x) {
    const int64_t j = p.split.row_of(e), d = e - j * p.split.row;
    int64_t v = index[p.positions.offset(0, j)];
    if (v < 0 || v >= p.limit) {
      if (d == 0) flag_index_error(flag, FlagCode::embedding, v, p.limit, 0);
      v = 0;
    }
    Vec<W, N> word{};
    if (p.limit > 0) word = load_vec<N>(weight + (v * p.weight_row + d * p.weight_step) * N);
    store_vec(y + (p.positions.offset(1, j) + d * p.y_step) * N, word);
  }
}

/// The widest word, in bytes, that all of these are multiples of.
int widest_word(const Lookup& p, const Array& weight, const Array& y) {
  const int64_t item = dtype_size(weight.dtype);
  if (p.width > 1 && (weight.stride[1] != 1 || y.stride[y.ndim - 1] != 1)) {
    return static_cast<int>(item);
  }
  uint64_t all = reinterpret_cast<uintptr_t>(weight.data) | reinterpret_cast<uintptr_t>(y.data);
  all |= static_cast<uint64_t>(p.width * item);
  all |= static_cast<uint64_t>(weight.stride[0] * item);
  for (int a = 0; a < p.positions.ndim; a++) {
    all |= static_cast<uint64_t>(p.positions.stride[1][a] * item);
  }
  int word = 16;
  while (word > item && all % static_cast<uint64_t>(word) != 0) word /= 2;
  return word;
}

Rows make_rows(const Lookup& lookup, const Array& weight, const Array& y, int64_t factor) {
  Rows rows{lookup.positions,
            lookup.limit,
            weight.stride[0] / factor,
            factor > 1 ? 1 : weight.stride[1],
            factor > 1 ? 1 : y.stride[y.ndim - 1],
            RowSplit(lookup.positions.size, lookup.width / factor)};
  for (int a = 0; a < rows.positions.ndim; a++) rows.positions.stride[1][a] /= factor;
  return rows;
}

template <class W, int N = 1>
void run(Stream stream, const Rows& rows, const Array& weight, const Array& index, const Array& y,
         const Array& flag) {
  launch(look_up<W, N>, table_grid(rows.positions.size * rows.split.row), kThreads, 0, stream, rows,
         index.as<const int64_t>(), weight.as<const W>(), y.as<W>(), flag.as<int64_t>());
}

// ---- embedding_renorm --------------------------------------------------------------------------

/// Joins partial norms of a warp.
template <class A>
struct Join {
  NormRule<A> rule;

  GG_HD A operator()(A a, A b) const { return rule.join(a, b); }
};

struct Bounded {
  Layout<1> positions;
  int64_t limit, width;
  int64_t row_stride, stride;
};

template <class T>
__global__ void __launch_bounds__(kThreads, 3)
    bound_rows(const Bounded p, const int64_t* index, T* weight, uint32_t* seen,
               const NormRule<Acc<T>> rule, Acc<T> max_norm, int64_t* flag) {
  using A = Acc<T>;
  constexpr int kWarps = kThreads / kWarp;
  const int lane = lane_id();
  int64_t j = int64_t{kWarps} * blockIdx.x + warp_id();
  for (; j < p.positions.size; j += int64_t{kWarps} * gridDim.x) {
    const int64_t v = index[p.positions.offset(0, j)];
    if (v < 0 || v >= p.limit) {
      if (lane == 0) flag_index_error(flag, FlagCode::embedding, v, p.limit, 0);
      continue;
    }
    const uint32_t bit = 1u << (v % 32);
    uint32_t before = 0;
    if (lane == 0) before = atomicOr(&seen[v / 32], bit);
    if (__shfl_sync(kFullMask, before, 0) & bit) continue;
    T* const row = weight + v * p.row_stride;
    A sum = rule.identity();
    for (int64_t d = lane; d < p.width; d += kWarp) {
      sum = rule.join(sum, rule.term(convert<A>(row[d * p.stride])));
    }
    sum = warp_reduce(sum, Join<A>{rule});
    const A norm = static_cast<A>(rule.root(static_cast<double>(sum)));
    if (!(norm > max_norm)) continue;
    const A factor = max_norm / (norm + static_cast<A>(1e-7));
    for (int64_t d = lane; d < p.width; d += kWarp) {
      T* const at = row + d * p.stride;
      *at = convert<T>(convert<A>(*at) * factor);
    }
  }
}

}  // namespace

void embedding(Stream stream, const Array& weight, const Array& index, const Array& y,
               const Array& flag) {
  const Lookup lookup = check_embedding(weight, index, y, flag);
  if (y.size() == 0) return;
  const int word = widest_word(lookup, weight, y);
  const Rows rows = make_rows(lookup, weight, y, word / dtype_size(weight.dtype));
  switch (word) {
    case 1:
      return run<uint8_t>(stream, rows, weight, index, y, flag);
    case 2:
      return run<uint16_t>(stream, rows, weight, index, y, flag);
    case 4:
      return run<uint32_t>(stream, rows, weight, index, y, flag);
    case 8:
      return run<uint32_t, 2>(stream, rows, weight, index, y, flag);
    default:
      return run<uint32_t, 4>(stream, rows, weight, index, y, flag);
  }
}

int64_t embedding_renorm_workspace(const Array& weight, const Array&) {
  return (weight.shape[0] + 31) / 32 * static_cast<int64_t>(sizeof(uint32_t));
}

void embedding_renorm(Stream stream, const Array& weight, const Array& index, double max_norm,
                      double ord, const Array& workspace, const Array& flag) {
  const Layout<1> positions = check_embedding_renorm(weight, index, max_norm, ord, flag);
  const int64_t bytes = embedding_renorm_workspace(weight, index);
  check_workspace("embedding_renorm", workspace, bytes);
  uint32_t* const seen = workspace ? workspace.as<uint32_t>() : nullptr;
  memset_async(seen, 0, static_cast<size_t>(bytes), stream);
  const Bounded p{positions, weight.shape[0], weight.shape[1], weight.stride[0], weight.stride[1]};
  dispatch_floating(weight.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    launch(bound_rows<T>, table_grid(positions.size * kWarp), kThreads, 0, stream, p,
           index.as<const int64_t>(), weight.as<T>(), seen, make_norm<Acc<T>>(ord),
           static_cast<Acc<T>>(max_norm), flag.as<int64_t>());
  });
}

}  // namespace gg
