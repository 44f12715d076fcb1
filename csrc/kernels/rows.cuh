// Kernels over rows: a row is a line of n elements along one axis of K arrays walked together, and
// a team of threads works on it. Which team depends on the shape and on what is near in memory:
//
//   thread    n <= 16, elements near: a thread for each row
//   warp      n <= 1024, elements near: a warp for each row
//   block     elements near: a block for each row
//   columns   rows near (the axis is not the last): 32 rows side by side, 8 threads for each
//
// A thread visits chunks of V elements: neighbours, moved as one vector of 16 bytes, where every
// array allows it, else elements a team's width apart. Partial results join in a fixed order.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/checks.h"
#include "core/rows.h"
#include "device/device.h"

namespace gg {

constexpr int kRowThreads = 256;
constexpr int kColumns = 32;

enum class Team : int { thread, warp, block, columns };

template <int K>
struct Rows : RowLayout<K> {
  Team team;
  bool vectors;

  GG_HD int rows_per_block() const {
    if (team == Team::thread) return kRowThreads;
    if (team == Team::warp) return kRowThreads / 32;
    return team == Team::block ? 1 : kColumns;
  }

  int64_t blocks() const { return (this->outer.size + rows_per_block() - 1) / rows_per_block(); }

  /// Blocks take several rows each where there are more than a grid can hold.
  unsigned grid() const {
    return static_cast<unsigned>(std::min<int64_t>(blocks(), std::numeric_limits<int>::max()));
  }
};

// ---- host: from arrays to rows ---------------------------------------------------------------

/// May array k be moved 16 bytes at a time along its rows?
template <int K>
bool rows_align(const Rows<K>& rows, int k, const Array& a) {
  int64_t offsets = reinterpret_cast<intptr_t>(a.data);
  for (int i = 0; i < rows.outer.ndim; i++) {
    if (rows.outer.length[i] > 1) offsets |= rows.outer.stride[k][i] * dtype_size(a.dtype);
  }
  return rows.stride[k] == 1 && offsets % 16 == 0;
}

/// Rows along `axis` of arrays of one shape; the first `moved` of them are read or written whole.
template <int K>
Rows<K> make_rows(const Array (&arrays)[K], int axis, int moved) {
  Rows<K> rows{row_layout(arrays, axis), Team::block, true};
  rows.team = !rows.near       ? Team::columns
              : rows.n <= 16   ? Team::thread
              : rows.n <= 1024 ? Team::warp
                               : Team::block;
  rows.vectors = rows.near;
  for (int k = 0; k < moved; k++) rows.vectors = rows.vectors && rows_align(rows, k, arrays[k]);
  return rows;
}

// ---- device: a thread's share of a row -------------------------------------------------------

/// Which row a thread works on, and on what part of it. V: elements in a chunk.
template <int V>
struct Seat {
  int64_t row;
  bool present;  ///< false beyond the last row; row and n are then 0
  int64_t n;     ///< length of the row
  int lane;      ///< this thread's index in its team
  int lanes;
  bool vectors;

  /// `group` numbers the blocks' turns: the block's first, second, ... set of rows.
  template <int K>
  __device__ Seat(const Rows<K>& rows, int64_t group) : vectors(rows.vectors) {
    const int t = threadIdx.x;
    row = group * rows.rows_per_block();
    if (rows.team == Team::thread) {
      row += t, lane = 0, lanes = 1;
    } else if (rows.team == Team::warp) {
      row += t / 32, lane = t % 32, lanes = 32;
    } else if (rows.team == Team::block) {
      lane = t, lanes = kRowThreads;
    } else {
      row += t % kColumns, lane = t / kColumns, lanes = kRowThreads / kColumns;
    }
    present = row < rows.outer.size;
    n = present ? rows.n : 0;
    if (!present) row = 0;
  }

  __device__ int64_t first() const { return vectors ? lane * V : lane; }
  __device__ int64_t step() const { return lanes * V; }
  /// Between a chunk's elements.
  __device__ int within() const { return vectors ? 1 : lanes; }

  /// The chunk that begins at element i, in the type it is computed in.
  template <class T>
  __device__ Vec<Acc<T>, V> load(const T* elements, int64_t stride, int64_t i,
                                 Acc<T> missing) const {
    Vec<Acc<T>, V> chunk;
    if (vectors && i + V <= n) {
      const Vec<T, V> raw = load_vec<V>(elements + i);
#pragma unroll
      for (int v = 0; v < V; v++) chunk[v] = convert<Acc<T>>(raw[v]);
    } else {
#pragma unroll
      for (int v = 0; v < V; v++) {
        const int64_t at = i + v * within();
        chunk[v] = at < n ? convert<Acc<T>>(elements[at * stride]) : missing;
      }
    }
    return chunk;
  }

  template <class T>
  __device__ void store(T* elements, int64_t stride, int64_t i, const Vec<Acc<T>, V>& chunk) const {
    if (vectors && i + V <= n) {
      Vec<T, V> raw;
#pragma unroll
      for (int v = 0; v < V; v++) raw[v] = convert<T>(chunk[v]);
      store_vec(elements + i, raw);
    } else {
#pragma unroll
      for (int v = 0; v < V; v++) {
        const int64_t at = i + v * within();
        if (at < n) elements[at * stride] = convert<T>(chunk[v]);
      }
    }
  }
};

// ---- device: what a team computes together ---------------------------------------------------

/// op over the team's threads; each of them gets it. All threads of the block call.
template <class A, class Op>
GG_DEVICE A join(Team team, A value, Op op, A identity) {
  if (team == Team::thread) return value;
  if (team == Team::warp) return warp_reduce(value, op);
  if (team == Team::block) return block_reduce(value, op, identity);
  constexpr int lanes = kRowThreads / kColumns;
  GG_SHARED(column_partial, A[lanes][kColumns]);
  const int column = threadIdx.x % kColumns;
  column_partial[threadIdx.x / kColumns][column] = value;
  __syncthreads();
  value = column_partial[0][column];
  for (int i = 1; i < lanes; i++) value = op(value, column_partial[i][column]);
  __syncthreads();
  return value;
}

template <class A>
constexpr A kInfinity = std::numeric_limits<A>::infinity();
template <class A>
constexpr A kLowest = std::numeric_limits<A>::lowest();

/// sum of exp(x - max) in one pass. max begins at the lowest finite number: a row of -inf then has
/// sum 0 (softmax 0/0, logsumexp -inf) and no step computes inf - inf but for x = inf, whose
/// softmax is NaN.
template <class A>
struct ExpSum {
  A max = kLowest<A>;
  A sum = 0;

  template <int V>
  __device__ void add(const Vec<A, V>& x) {
    A larger = max;
#pragma unroll
    for (int v = 0; v < V; v++) larger = x[v] > larger ? x[v] : larger;
    sum *= std::exp(max - larger);
#pragma unroll
    for (int v = 0; v < V; v++) sum += std::exp(x[v] - larger);
    max = larger;
  }

  __device__ void join_team(Team team) {
    const A larger = join(team, max, MaxOp(), kLowest<A>);
    sum = join(team, sum * std::exp(max - larger), SumOp(), A(0));
    max = larger;
  }

  __device__ A logarithm() const { return max + std::log(sum); }
};

}  // namespace gg
