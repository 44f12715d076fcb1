// Bags of rows of a table: y[b, :] = sum, mean or max of weight[index[j], :] over the j of bag b.
//
// A bag's team is `columns` threads, each with 16 bytes of columns, times `slices`, each with an
// equal stretch of the bag in the order of j; slices are joined in order through shared memory. How
// wide a team is depends on shapes alone (the mean length of a bag, D). A team's first column
// writes which bag a position is in and how many count.
//
// Accumulates in float32 (float64 for float64); y, bag, count, winner =. Deterministic: a thread's
// terms and the order of joins are fixed. Bytes: rows that count once, y once, winner once.
// Bound: bandwidth. Reached: not measured.
#include "core/embedding_checks.h"
#include "device/device.h"
#include "kernels/embedding.cuh"
#include "ops/text.h"

namespace gg {
namespace {

constexpr int kThreads = kTableThreads;
constexpr int kMostColumns = 32;
constexpr int64_t kSliceTerms = 4;  // worth a slice

struct Bags {
  int64_t bags, positions;
  int64_t limit, width;  ///< rows and columns of the table
  int64_t padding;
  int64_t weight_row, weight_step, y_row, y_step, winner_row, winner_step;
  int64_t index_stride, offsets_stride, scale_stride, bag_stride, count_stride;
  Reduce mode;
  bool vectors;
  int columns, slices;

  GG_HD int per_block() const { return kThreads / (columns * slices); }
};

template <class T>
struct BagArrays {
  const T *weight, *scale;
  const int64_t *index, *offsets;
  T* y;
  int64_t *bag, *count, *winner, *flag;
};

constexpr uint32_t kNobody = UINT32_MAX;

/// What is known of V columns of a bag, or of a part of it.
template <class A, int V>
struct Part {
  A value[V];
  uint32_t winner[V];
  int64_t count;

  GG_HD void clear() {
    count = 0;
#pragma unroll
    for (int v = 0; v < V; v++) {
      value[v] = 0;
      winner[v] = kNobody;
    }
  }
  /// Column v meets a value of a later position: of equals the first wins, and NaN over all.
  GG_HD void take(int v, A x, uint32_t from, bool max) {
    const bool nan = x != x && value[v] == value[v];
    if (!max) {
      value[v] += x;
    } else if (from != kNobody && (winner[v] == kNobody || x > value[v] || nan)) {
      value[v] = x;
      winner[v] = from;
    }
  }
};

/// Does position j count? Illegal indices are flagged by the thread that is `first`.
template <class T>
GG_DEVICE bool counts(const Bags& p, const BagArrays<T>& arrays, int64_t j, int64_t b, bool first,
                      int64_t& v) {
  v = arrays.index[j * p.index_stride];
  const bool legal = v >= 0 && v < p.limit, yes = legal && v != p.padding;
  if (first) {
    if (!legal) flag_index_error(arrays.flag, FlagCode::embedding, v, p.limit, 0);
    arrays.bag[j * p.bag_stride] = yes ? b : -1;
  }
  return yes;
}

/// A thread's stretch of bag b: positions begin .. end - 1, columns from c on.
template <class T, int V>
GG_DEVICE void sum_part(const Bags& p, const BagArrays<T>& arrays, int64_t b, int64_t begin,
                        int64_t end, int64_t c, bool first, Part<Acc<T>, V>& part) {
  using A = Acc<T>;
#pragma unroll 2
  for (int64_t j = begin; j < end; j++) {
    int64_t v;
    if (!counts(p, arrays, j, b, first, v)) continue;
    const T* const row = arrays.weight + v * p.weight_row;
    const A factor = arrays.scale ? convert<A>(arrays.scale[j * p.scale_stride]) : A(1);
    A terms[V];
    if (p.vectors) {
      const Vec<T, V> raw = load_vec<V>(row + c);
#pragma unroll
      for (int k = 0; k < V; k++) terms[k] = convert<A>(raw[k]);
    } else {
#pragma unroll
      for (int k = 0; k < V; k++) {
        terms[k] = c + k < p.width ? convert<A>(row[(c + k) * p.weight_step]) : A(0);
      }
    }
#pragma unroll
    for (int k = 0; k < V; k++) {
      part.take(k, factor * terms[k], static_cast<uint32_t>(v), p.mode == Reduce::max);
    }
    part.count++;
  }
}

template <class T, int V>
GG_DEVICE void write_bag(const Bags& p, const BagArrays<T>& arrays, int64_t b, int64_t c,
                         const Part<Acc<T>, V>& part) {
  using A = Acc<T>;
  const bool divides = p.mode == Reduce::mean && part.count > 0;
  const A number = static_cast<A>(divides ? part.count : 1);
#pragma unroll
  for (int k = 0; k < V; k++) {
    if (c + k >= p.width) continue;
    arrays.y[b * p.y_row + (c + k) * p.y_step] = convert<T>(part.value[k] / number);
    if (!arrays.winner) continue;
    const bool nobody = part.winner[k] == kNobody;
    arrays.winner[b * p.winner_row + (c + k) * p.winner_step] =
        nobody ? -1 : int64_t{part.winner[k]};
  }
}

/// Joins the parts of a team's slices, in order, to that of slice 0. All threads of the block call.
template <class A, int V>
GG_DEVICE void join_slices(const Bags& p, Part<A, V> (&parts)[kThreads], Part<A, V>& part) {
  const int thread = static_cast<int>(threadIdx.x);
  parts[thread] = part;
  __syncthreads();
  const bool first = thread / p.columns % p.slices == 0;
  for (int s = 1; s < p.slices && first; s++) {
    const Part<A, V>& other = parts[thread + s * p.columns];
#pragma unroll
    for (int v = 0; v < V; v++) {
      part.take(v, other.value[v], other.winner[v], p.mode == Reduce::max);
    }
    part.count += other.count;
  }
  __syncthreads();
}

template <class T>
__global__ void __launch_bounds__(kThreads, 2) sum_bags(const Bags p, const BagArrays<T> arrays) {
  using A = Acc<T>;
  constexpr int V = max_vec<T>();
  GG_SHARED(parts, Part<A, V>[kThreads]);
  const int thread = static_cast<int>(threadIdx.x);
  const int column = thread % p.columns, slice = thread / p.columns % p.slices;
  const int in_block = thread / (p.columns * p.slices), per_block = p.per_block();
  const int64_t c = (int64_t{blockIdx.y} * p.columns + column) * V;
  const bool writes = blockIdx.y == 0 && column == 0;
  for (int64_t first = int64_t{per_block} * blockIdx.x; first < p.bags;
       first += int64_t{per_block} * gridDim.x) {
    const int64_t b = first + in_block;
    const bool present = b < p.bags && (c < p.width || writes);
    Part<A, V> part;
    part.clear();
    if (present) {
      // Offsets that do not ascend must not lead outside.
      int64_t begin = arrays.offsets[b * p.offsets_stride];
      int64_t end = arrays.offsets[(b + 1) * p.offsets_stride];
      begin = begin < 0 ? 0 : begin;
      end = end > p.positions ? p.positions : end;
      const int64_t length = end > begin ? end - begin : 0;
      sum_part<T>(p, arrays, b, begin + length * slice / p.slices,
                  begin + length * (slice + 1) / p.slices, c, writes, part);
    }
    if (p.slices > 1) join_slices(p, parts, part);
    if (!present || slice != 0) continue;
    write_bag<T>(p, arrays, b, c, part);
    if (writes) arrays.count[b * p.count_stride] = part.count;
  }
}

/// The largest power of two up to n and `most`, at least 1.
int power_up_to(int64_t n, int most) {
  int power = 1;
  while (power < most && 2 * power <= n) power *= 2;
  return power;
}

}  // namespace

void embedding_bag(Stream stream, const Array& weight, const Array& index, const Array& offsets,
                   const Array& scale, Reduce mode, int64_t padding, const Array& y,
                   const Array& bag, const Array& count, const Array& winner, const Array& flag) {
  check_embedding_bag(weight, index, offsets, scale, mode, y, bag, count, winner, flag);
  Bags p{count.shape[0],
         index.shape[0],
         weight.shape[0],
         weight.shape[1],
         padding,
         weight.stride[0],
         weight.stride[1],
         y.stride[0],
         y.stride[1],
         winner.stride[0],
         winner.stride[1],
         index.stride[0],
         offsets.stride[0],
         scale.stride[0],
         bag.stride[0],
         count.stride[0],
         mode,
         weight.shape[1] > 0 && moves_in_vectors(weight),
         1,
         1};
  if (p.bags == 0) return;
  const int64_t vector = 16 / dtype_size(weight.dtype);
  const int64_t words = std::max<int64_t>(1, (p.width + vector - 1) / vector);
  p.columns = power_up_to(2 * words - 1, kMostColumns);  // the power of two from words on
  p.slices = power_up_to(p.positions / p.bags / kSliceTerms, kThreads / p.columns);
  const int64_t blocks = (p.bags + p.per_block() - 1) / p.per_block();
  const dim3 grid(static_cast<unsigned>(std::min<int64_t>(blocks, 64 * multiprocessors())),
                  static_cast<unsigned>((words + p.columns - 1) / p.columns));
  dispatch_floating(weight.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    launch(sum_bags<T>, grid, kThreads, 0, stream, p,
           BagArrays<T>{weight.as<const T>(), scale.as<const T>(), index.as<const int64_t>(),
                        offsets.as<const int64_t>(), y.as<T>(), bag.as<int64_t>(),
                        count.as<int64_t>(), winner.as<int64_t>(), flag.as<int64_t>()});
  });
}

}  // namespace gg
