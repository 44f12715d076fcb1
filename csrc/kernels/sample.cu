// Draws from rows of logits [B, V]: temperature, top-k, top-p, then the inverse of the distribution
// function. A block has a row and sorts nothing. Two searches do everything:
//
//   by_key    from the most probable down, the logit at which a sum reaches a target: logits as
//             ordered bits, three bits a pass. A pass sums the eight digits of the candidates left.
//   by_index  in the order of the row, the index at which a sum exceeds a target: a sixteenth of
//             the range is left after each pass.
//
// top-k: by_key of ones, then by_index among the equals of the last; top-p: the same with
// probabilities; the draw: by_index of the probabilities that stayed, at u times their sum.
//
// Sums are float64, of each thread its own elements in order, then fixed trees: deterministic; y =.
// Bytes: the row about 4 + bits / 3 times for each of top-k and top-p (16 bits for halves), from L2
// but for the first. Bound: latency of one block a row; exp in float64 for candidates only.
// Reached: not measured.
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/sample_checks.h"
#include "device/device.h"
#include "kernels/lanes.cuh"
#include "ops/text.h"

namespace gg {
namespace {

constexpr int kThreads = 512, kWarps = kThreads / kWarp;
constexpr int kDigitBits = 3, kDigits = 1 << kDigitBits;

/// Logits computed in A = float or double, as unsigned numbers of the same order.
template <class A>
using Key = std::conditional_t<std::is_same_v<A, float>, uint32_t, uint64_t>;

template <class A>
constexpr Key<A> kSign = Key<A>{1} << (8 * sizeof(A) - 1);

template <class A>
constexpr A kNothing = -std::numeric_limits<A>::infinity();

template <class A>
GG_DEVICE A cleaned(A x) {
  return x == x ? x + A(0) : kNothing<A>;  // + 0: of zeros one sign
}

template <class To, class From>
GG_DEVICE To bits_as(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  memcpy(&to, &from, sizeof(to));
  return to;
}

struct Logits {
  const void* data;
  int64_t rows, row_bytes, stride;
  int64_t n;
  DType dtype;
  int drop;  ///< low bits of a key that say nothing: those that halves do not have
  int bits;  ///< of a key
};

/// What a sum is formed of.
enum class Count { ones, equals, shares };

/// One row, and what stays of it: keys above `least`, and of those equal to it the indices below
/// `cut`.
template <class A>
struct Row {
  Logits logits;
  const void* data;
  A top;
  double inverse;  ///< of the temperature
  Key<A> least = 0;
  int64_t cut = 0;
  Count what = Count::ones;
  Key<A> equal = 0;

  __device__ A value(int64_t i) const {
    A x = 0;
    with_storage<A>(logits.dtype, [&](auto stored) {
      using S = decltype(stored);
      x = convert<A>(static_cast<const S*>(data)[i * logits.stride]);
    });
    return cleaned(x);
  }
  __device__ Key<A> key_of(A x) const {
    const Key<A> bits = bits_as<Key<A>>(x);
    return (bits & kSign<A> ? ~bits : bits | kSign<A>) >> logits.drop;
  }
  __device__ A value_of(Key<A> key) const {
    const Key<A> low = (Key<A>{1} << logits.drop) - 1, bits = key << logits.drop;
    return bits_as<A>(bits & kSign<A> ? bits ^ kSign<A> : ~(bits | low));
  }
  /// Of the most probable 1; its share when divided by the sum of all.
  __device__ double share(A x) const {
    if (x == top) return 1;
    return std::exp((static_cast<double>(x) - static_cast<double>(top)) * inverse);
  }
  __device__ double weight(int64_t i, A x, Key<A> key) const {
    if (what == Count::ones) return 1;
    const bool stays = key > least || (key == least && i < cut);
    if (!stays || (what == Count::equals && key != equal)) return 0;
    return what == Count::equals ? 1 : share(x);
  }
  __device__ double weight(int64_t i) const {
    const A x = value(i);
    return weight(i, x, key_of(x));
  }
};

struct Sums {
  double digit[kDigits][kThreads];
  double total[kWarps];
};

/// Sum of a row's weights; every thread gets it.
template <class A>
GG_DEVICE double sum_row(const Row<A>& row) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < row.logits.n; i += kThreads) sum += row.weight(i);
  return block_reduce(sum, SumOp(), 0.0);
}

/// The key at which the sum from the largest key down reaches the target, and the sum above it.
template <class A>
GG_DEVICE Key<A> by_key(const Row<A>& row, Sums& sums, double target, double& above) {
  Key<A> key = 0;
  above = 0;
  const int top_shift = (row.logits.bits - 1) / kDigitBits * kDigitBits;
  for (int shift = top_shift; shift >= 0; shift -= kDigitBits) {
    for (int d = 0; d < kDigits; d++) sums.digit[d][threadIdx.x] = 0;
    for (int64_t i = threadIdx.x; i < row.logits.n; i += kThreads) {
      const A x = row.value(i);
      const Key<A> own = row.key_of(x), rest = own >> shift;
      if (rest >> kDigitBits != key) continue;
      sums.digit[rest % kDigits][threadIdx.x] += row.weight(i, x, own);
    }
    __syncthreads();
    if (warp_id() < kDigits) {
      double sum = 0;
      for (int t = lane_id(); t < kThreads; t += kWarp) sum += sums.digit[warp_id()][t];
      sum = warp_sum(sum);
      if (lane_id() == 0) sums.total[warp_id()] = sum;
    }
    __syncthreads();
    // If rounding keeps all of them from the target: the last that has any.
    double before = above;
    int chosen = 0;
    for (int d = kDigits - 1; d >= 0; d--) {
      if (!(sums.total[d] > 0)) continue;
      chosen = d;
      above = before;
      before += sums.total[d];
      if (before >= target) break;
    }
    key = key << kDigitBits | static_cast<Key<A>>(chosen);
    __syncthreads();
  }
  return key;
}

/// The first index at which the sum of weights exceeds the target, else the last of any weight.
template <class A>
GG_DEVICE int64_t by_index(const Row<A>& row, Sums& sums, double target) {
  int64_t low = 0, high = row.logits.n;
  double before = 0;
  while (high - low > kWarp) {
    const int64_t length = (high - low + kWarps - 1) / kWarps;
    const int64_t first = low + warp_id() * length;
    const int64_t last = first + length < high ? first + length : high;
    double sum = 0;
    for (int64_t i = first + lane_id(); i < last; i += kWarp) sum += row.weight(i);
    sum = warp_sum(sum);
    if (lane_id() == 0) sums.total[warp_id()] = sum;
    __syncthreads();
    int chosen = 0;
    double sum_before = before;
    for (int w = 0; w < kWarps; w++) {
      if (!(sums.total[w] > 0)) continue;
      chosen = w;
      before = sum_before;
      sum_before += sums.total[w];
      if (sum_before > target) break;
    }
    low += chosen * length;
    high = low + length < high ? low + length : high;
    __syncthreads();
  }
  const double own = low + lane_id() < high ? row.weight(low + lane_id()) : 0;
  int64_t found = low;
  for (int lane = 0; lane < kWarp; lane++) {
    const double weight = __shfl_sync(kFullMask, own, lane);
    if (!(weight > 0)) continue;
    found = low + lane;
    before += weight;
    if (before > target) break;
  }
  return found;
}

/// The largest logit of a row; every thread gets it.
template <class A>
GG_DEVICE A largest(const Row<A>& row) {
  A top = kNothing<A>;
  for (int64_t i = threadIdx.x; i < row.logits.n; i += kThreads) {
    const A x = row.value(i);
    top = x > top ? x : top;
  }
  return block_reduce(top, MaxOp(), kNothing<A>);
}

enum Stage : int { top_k, top_p, last };

/// A loop over the stages, because each search is long code.
template <class A>
GG_DEVICE int64_t draw(Row<A>& row, Sums& sums, const SampleOptions& options, double u) {
  row.top = largest(row);
  if (row.top == kNothing<A>) return 0;
  row.cut = row.logits.n;
  const bool greedy = options.temperature == 0;
  const bool some = options.top_k > 0 && options.top_k < row.logits.n;
#pragma unroll 1
  for (int stage = greedy ? last : some ? top_k : top_p;; stage++) {
    if (stage == top_p && options.top_p == 1) continue;
    Key<A> key = row.key_of(row.top);
    double above = 0, target = static_cast<double>(options.top_k), each = 1;
    row.what = stage == top_k ? Count::ones : Count::shares;
    if (stage != top_k) target = (stage == top_p ? options.top_p : u) * sum_row(row);
    if (stage != last) {
      key = by_key(row, sums, target, above);
      if (stage == top_p) each = row.share(row.value_of(key));
    }
    if (stage != last || greedy) {
      // Of the equals of the last key, the first that it takes.
      const double m = greedy ? 1 : std::ceil((target - above) / each);
      row.what = Count::equals;
      row.equal = key;
      target = (m > 1 ? m : 1) - 0.5;
    }
    const int64_t index = by_index(row, sums, target);
    if (stage == last) return index;
    row.least = key;
    row.cut = index + 1;
  }
}

template <class A>
__global__ void __launch_bounds__(kThreads, 1)
    sample_rows(const Logits logits, const SampleOptions options, const int64_t* state,
                int64_t call, int64_t* y, int64_t y_stride) {
  GG_SHARED(sums, Sums);
  const PhiloxStream stream = philox_stream(state, call);
  for (int64_t b = blockIdx.x; b < logits.rows; b += gridDim.x) {
    Row<A> row{logits, nullptr, A(0), 1 / options.temperature};
    row.data = static_cast<const char*>(logits.data) + b * logits.row_bytes;
    const int64_t found = draw(row, sums, options, sample_uniform(stream, b));
    if (threadIdx.x == 0) y[b * y_stride] = found;
    __syncthreads();
  }
}

}  // namespace

int64_t sample_workspace(const Array&) {
  return 0;
}

void sample(Stream stream, const Array& logits, double temperature, int64_t top_k, double top_p,
            const Array& state, int64_t call, const Array& y, const Array&) {
  const SampleOptions options{temperature, top_k, top_p};
  check_sample(logits, options, state, y);
  const bool wide = logits.dtype == DType::f64;
  const int drop = logits.dtype == DType::bf16 ? 16 : logits.dtype == DType::f16 ? 13 : 0;
  const Logits rows{logits.data,
                    logits.shape[0],
                    logits.stride[0] * dtype_size(logits.dtype),
                    logits.stride[1],
                    logits.shape[1],
                    logits.dtype,
                    drop,
                    (wide ? 64 : 32) - drop};
  const unsigned grid =
      static_cast<unsigned>(std::min<int64_t>(logits.shape[0], int64_t{64} * multiprocessors()));
  launch(wide ? sample_rows<double> : sample_rows<float>, grid, kThreads, 0, stream, rows, options,
         state.as<const int64_t>(), call, y.as<int64_t>(), y.stride[0]);
}

}  // namespace gg
