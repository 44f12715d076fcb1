// Rotary positions (Su et al. 2021): pairs (a, b) of x [..., D] turned by angles whose cos and sin
// are [..., r / 2]: (a c - b s, b c + a s); the rest of D is copied.
//
// A thread has V = 16 / itemsize pairs of a row, or 2 V elements of the rest; where rows are dense
// and aligned they move 16 bytes at a time. Both elements of a pair are read before either is
// written, so y may be x. Computed in float32 (float64 for float64), rounded once; y =.
// Deterministic: no element depends on another pair.
//
// Bytes: x and y once; cos and sin, which rows share, from cache. Bound: bandwidth. Reached: not
// measured.
#include "core/indexing.h"
#include "core/rotary_problem.h"
#include "device/device.h"
#include "ops/text.h"

namespace gg {
namespace {

constexpr int kThreads = 256;

struct Problem : RotaryProblem {
  bool vectors;    ///< x, y, cos and sin move 16 bytes at a time
  int64_t turned;  ///< units of a row that hold pairs; the others are copied
  RowSplit split;  ///< rows into units
};

/// V values `step` apart, the first `count` of which are there, or one vector.
template <class T, int V>
GG_DEVICE void load_run(const T* from, int64_t step, int64_t count, bool vector, Acc<T> (&to)[V]) {
  if (vector) {
    const Vec<T, V> raw = load_vec<V>(from);
#pragma unroll
    for (int v = 0; v < V; v++) to[v] = convert<Acc<T>>(raw[v]);
  } else {
#pragma unroll
    for (int v = 0; v < V; v++) to[v] = v < count ? convert<Acc<T>>(from[v * step]) : Acc<T>(0);
  }
}

template <class T, int V>
GG_DEVICE void store_run(const Acc<T> (&from)[V], T* to, int64_t step, int64_t count, bool vector) {
  if (vector) {
    Vec<T, V> raw;
#pragma unroll
    for (int v = 0; v < V; v++) raw[v] = convert<T>(from[v]);
    store_vec(to, raw);
  } else {
#pragma unroll
    for (int v = 0; v < V; v++) {
      if (v < count) to[v * step] = convert<T>(from[v]);
    }
  }
}

/// The elements of V pairs from pair i on: first elements in a, second ones in b. Interleaved, two
/// vectors hold them in turn.
template <class T, int V>
GG_DEVICE void load_pairs(const Problem& p, const T* row, int64_t i, int64_t count, Acc<T> (&a)[V],
                          Acc<T> (&b)[V]) {
  const int64_t apart = p.apart() * p.step[0];
  const bool in_turn = p.vectors && p.interleaved;
  const int64_t second = in_turn ? 2 * i + V : i * p.apart() + p.second();
  load_run(row + i * p.apart() * p.step[0], apart, count, p.vectors, a);
  load_run(row + second * p.step[0], apart, count, p.vectors, b);
  if (!in_turn) return;
  Acc<T> all[2 * V];
#pragma unroll
  for (int v = 0; v < V; v++) {
    all[v] = a[v];
    all[V + v] = b[v];
  }
#pragma unroll
  for (int v = 0; v < V; v++) {
    a[v] = all[2 * v];
    b[v] = all[2 * v + 1];
  }
}

template <class T, int V>
GG_DEVICE void store_pairs(const Problem& p, T* row, int64_t i, int64_t count, Acc<T> (&a)[V],
                           Acc<T> (&b)[V]) {
  const int64_t apart = p.apart() * p.step[1];
  const bool in_turn = p.vectors && p.interleaved;
  const int64_t second = in_turn ? 2 * i + V : i * p.apart() + p.second();
  if (in_turn) {
    Acc<T> all[2 * V];
#pragma unroll
    for (int v = 0; v < V; v++) {
      all[2 * v] = a[v];
      all[2 * v + 1] = b[v];
    }
#pragma unroll
    for (int v = 0; v < V; v++) {
      a[v] = all[v];
      b[v] = all[V + v];
    }
  }
  store_run(a, row + i * p.apart() * p.step[1], apart, count, p.vectors);
  store_run(b, row + second * p.step[1], apart, count, p.vectors);
}

/// Up to 2 V elements from element `first` on, as they are.
template <int V, class T>
GG_DEVICE void copy_rest(const Problem& p, const T* from, T* to, int64_t first) {
  if (p.vectors && first + 2 * V <= p.width) {
    const Vec<T, V> low = load_vec<V>(from + first), high = load_vec<V>(from + first + V);
    store_vec(to + first, low);
    store_vec(to + first + V, high);
    return;
  }
  const int64_t end = first + 2 * V < p.width ? first + 2 * V : p.width;
  for (int64_t i = first; i < end; i++) to[i * p.step[1]] = from[i * p.step[0]];
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    turn_rows(const Problem p, const T* x, const Acc<T>* cos, const Acc<T>* sin, T* y) {
  using A = Acc<T>;
  constexpr int V = max_vec<T>();
  const int64_t units = p.rows.size * p.split.row;
  int64_t e = int64_t{kThreads} * blockIdx.x + threadIdx.x;
  for (; e < units; e += int64_t{kThreads} * gridDim.x) {
    const int64_t row = p.split.row_of(e), unit = e - row * p.split.row;
    const T* const from = x + p.rows.offset(0, row);
    T* const to = y + p.rows.offset(1, row);
    if (unit >= p.turned) {
      copy_rest<V>(p, from, to, 2 * p.half + (unit - p.turned) * 2 * V);
      continue;
    }
    const int64_t i = unit * V, count = p.half - i;
    A a[V], b[V], c[V], s[V];
    load_pairs(p, from, i, count, a, b);
    load_run(cos + p.rows.offset(2, row) + i * p.step[2], p.step[2], count, p.vectors, c);
    load_run(sin + p.rows.offset(3, row) + i * p.step[3], p.step[3], count, p.vectors, s);
#pragma unroll
    for (int v = 0; v < V; v++) {
      const A turn = p.inverse ? -s[v] : s[v], first = a[v];
      a[v] = first * c[v] - b[v] * turn;
      b[v] = b[v] * c[v] + first * turn;
    }
    store_pairs(p, to, i, count, a, b);
  }
}

/// Do array k's rows begin at multiples of 16 bytes, and are they dense?
bool rows_align(const RotaryProblem& p, int k, const Array& a) {
  int64_t offsets = reinterpret_cast<intptr_t>(a.data);
  for (int axis = 0; axis < p.rows.ndim; axis++) {
    if (p.rows.length[axis] > 1) offsets |= p.rows.stride[k][axis] * dtype_size(a.dtype);
  }
  return offsets % 16 == 0 && (p.step[k] == 1 || a.shape[a.ndim - 1] == 1);
}

}  // namespace

void rotary(Stream stream, const Array& x, const Array& cos, const Array& sin, bool interleaved,
            bool inverse, const Array& y) {
  Problem p{rotary_problem(x, cos, sin, interleaved, inverse, y), false, 0, RowSplit()};
  if (x.size() == 0) return;
  const int64_t width = 16 / dtype_size(x.dtype), rest = p.width - 2 * p.half;
  const Array* const arrays[] = {&x, &y, &cos, &sin};
  p.vectors = p.half % width == 0;
  for (int k = 0; k < 4; k++) p.vectors = p.vectors && rows_align(p, k, *arrays[k]);
  p.turned = (p.half + width - 1) / width;
  p.split = RowSplit(p.rows.size, p.turned + (rest + 2 * width - 1) / (2 * width));
  const int64_t blocks = (p.rows.size * p.split.row + kThreads - 1) / kThreads;
  const unsigned grid =
      static_cast<unsigned>(std::min<int64_t>(blocks, int64_t{64} * multiprocessors()));
  dispatch_floating(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using A = Acc<T>;
    launch(turn_rows<T>, grid, kThreads, 0, stream, p, x.as<const T>(), cos.as<const A>(),
           sin.as<const A>(), y.as<T>());
  });
}

}  // namespace gg
