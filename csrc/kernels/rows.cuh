// Kernels over rows: a row is a line of n elements along one axis of K arrays walked together, and
// a team of threads works on it. Which team depends on the shape and on what is near in memory:
//
//   warp      n <= 1024, elements near: 1 to 32 neighbouring threads for each row
//   block     elements near: a block for each row
//   columns   rows near (the axis is not the last): 32 rows side by side, 8 threads for each
//
// A thread visits chunks of V elements: neighbours, moved as one vector of 16 bytes, where every
// array allows it, else elements a team's width apart. Partial results join in a fixed order.
//
// A row that is needed twice is read once where it fits: in registers, up to 32 elements a thread,
// else in dynamic shared memory ("staged"), where each thread finds again what it put there itself.
// Grids are as large as the device needs; blocks take rows in turn.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/checks.h"
#include "core/rows.h"
#include "device/cache.h"
#include "device/device.h"

namespace gg {

constexpr int kRowThreads = 256;
constexpr int kColumns = 32;

constexpr int kColumnLanes = kRowThreads / kColumns;
constexpr int kWarpRow = 1024;  // longest row of less than a block

enum class Team : int { warp, block, columns };

/// A row's threads.
struct TeamShape {
  Team team;
  int lanes;  ///< how many: a power of two
};

template <int K>
struct Rows : RowLayout<K>, TeamShape {
  bool vectors;
  bool staged = false;  ///< rows stay in shared memory between two visits

  GG_HD int rows_per_block() const {
    return this->team == Team::columns ? kColumns : kRowThreads / this->lanes;
  }

  int64_t blocks() const { return (this->outer.size + rows_per_block() - 1) / rows_per_block(); }

  /// Enough blocks to fill the device.
  unsigned grid() const {
    return static_cast<unsigned>(std::min<int64_t>(blocks(), int64_t{8} * multiprocessors()));
  }
};

/// Elements of T between two staged rows: whole vectors.
template <class T, int K>
GG_HD int64_t staged_pitch(const Rows<K>& rows) {
  constexpr int64_t V = 16 / sizeof(T);
  return (rows.n + V - 1) / V * V;
}

/// Elements of T between two arrays' staged rows: those of a block.
template <class T, int K>
GG_HD int64_t staged_elements(const Rows<K>& rows) {
  return staged_pitch<T>(rows) * rows.rows_per_block();
}

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
  Rows<K> rows{row_layout(arrays, axis), {Team::columns, kColumnLanes}, false};
  if (!rows.near) return rows;
  rows.vectors = true;
  for (int k = 0; k < moved; k++) rows.vectors = rows.vectors && rows_align(rows, k, arrays[k]);
  rows.team = rows.n <= kWarpRow ? Team::warp : Team::block;
  rows.lanes = rows.team == Team::warp ? 1 : kRowThreads;
  const int chunk = rows.vectors ? 16 / dtype_size(arrays[0].dtype) : 1;
  while (rows.lanes < kWarp && rows.lanes * chunk < rows.n) rows.lanes *= 2;
  return rows;
}

/// Elements of a row for each thread of its team.
template <int K>
int64_t items_of(const Rows<K>& rows) {
  return (rows.n + rows.lanes - 1) / rows.lanes;
}

/// Has the block's rows of `arrays` arrays staged if they fit; returns the bytes that takes.
template <class T, int K>
size_t stage_rows(Rows<K>& rows, int arrays) {
  constexpr size_t kOthers = 6144;  // static shared memory: 5120 of doubles
  const size_t bytes = arrays * staged_elements<T>(rows) * sizeof(T);
  rows.staged = bytes + kOthers <= static_cast<size_t>(max_shared_bytes());
  return rows.staged ? bytes : 0;
}

// ---- device: a thread's share of a row -------------------------------------------------------

/// Which row a thread works on, and on what part of it. V: elements in a chunk.
template <int V>
struct Seat {
  int64_t row;
  bool present;  ///< false beyond the last row; row and n are then 0
  int64_t n;     ///< length of the row
  int in_block;  ///< number of the row among the block's
  int lane;      ///< this thread's index in its team
  int lanes;
  bool vectors;

  /// `group` numbers the blocks' turns: the block's first, second, ... set of rows.
  template <int K>
  __device__ Seat(const Rows<K>& rows, int64_t group) : vectors(rows.vectors) {
    const int t = threadIdx.x;
    lanes = rows.lanes;
    in_block = rows.team == Team::columns ? t % kColumns : t / lanes;
    lane = rows.team == Team::columns ? t / kColumns : t % lanes;
    row = group * rows.rows_per_block() + in_block;
    present = row < rows.outer.size;
    n = present ? rows.n : 0;
    if (!present) row = 0;
  }

  __device__ int64_t first() const { return vectors ? lane * V : lane; }
  __device__ int64_t step() const { return lanes * V; }
  /// Between a chunk's elements.
  __device__ int within() const { return vectors ? 1 : lanes; }

  /// The chunk that begins at element i, in the type it is computed in. Once: from global memory
  /// that is not looked at again.
  template <bool Once = true, class T>
  __device__ Vec<Acc<T>, V> load(const T* elements, int64_t stride, int64_t i,
                                 Acc<T> missing) const {
    Vec<Acc<T>, V> chunk;
    if (vectors && i + V <= n) {
      Vec<T, V> raw;
      if constexpr (Once) {
        raw = load_vec_streaming<V>(elements + i);
      } else {
        raw = load_vec<V>(elements + i);
      }
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

/// Calls visit(i, chunk) for the seat's chunks in order; several are loaded at a time.
template <bool Once = true, int V, class T, class Visit>
GG_DEVICE void visit_row(const Seat<V>& seat, const T* elements, int64_t stride, Acc<T> missing,
                         Visit visit) {
  constexpr int kBatch = 4;
  for (int64_t i = seat.first(); i < seat.n; i += kBatch * seat.step()) {
    Vec<Acc<T>, V> chunks[kBatch];
#pragma unroll
    for (int b = 0; b < kBatch; b++) {
      chunks[b] = seat.template load<Once>(elements, stride, i + b * seat.step(), missing);
    }
#pragma unroll
    for (int b = 0; b < kBatch; b++) {
      if (i + b * seat.step() < seat.n) visit(i + b * seat.step(), chunks[b]);
    }
  }
}

/// A row that is visited twice: what the first visit keeps, the second finds in shared memory, or,
/// where rows are not staged, reads again.
template <class T, int V>
struct TwiceVisited {
  const T* row;
  int64_t stride;
  T* stage;
  int64_t stage_stride;

  /// Array k of those staged; its row begins at `elements`.
  template <int K>
  __device__ TwiceVisited(const Rows<K>& rows, const Seat<V>& seat, int k, const T* elements)
      : row(elements), stride(rows.stride[k]), stage(nullptr), stage_stride(1) {
    if (!rows.staged) return;
    const bool columns = rows.team == Team::columns;
    stage = shared_dynamic<T>() + k * staged_elements<T>(rows);
    stage += columns ? seat.in_block : seat.in_block * staged_pitch<T>(rows);
    stage_stride = columns ? kColumns : 1;
  }

  __device__ void keep(const Seat<V>& seat, int64_t i, const Vec<Acc<T>, V>& chunk) const {
    if (stage) seat.store(stage, stage_stride, i, chunk);
  }
  __device__ const T* again() const { return stage ? stage : row; }
  __device__ int64_t again_stride() const { return stage ? stage_stride : stride; }
};

// ---- device: what a team computes together ---------------------------------------------------

/// op over the threads of a team that is not `columns`; each of them gets it. All threads of the
/// block call. (What `join` has for columns costs static shared memory, taken or not.)
template <class A, class Op>
GG_DEVICE A join_line(const TeamShape& shape, A value, Op op, A identity) {
  if (shape.team == Team::block) return block_reduce(value, op, identity);
  const int lane = lane_id();
  for (int offset = 1; offset < shape.lanes; offset *= 2) {
    const A other = shuffle_xor(value, offset);
    value = lane & offset ? op(other, value) : op(value, other);
  }
  return value;
}

/// op over the team's threads; each of them gets it. All threads of the block call.
template <class A, class Op>
GG_DEVICE A join(const TeamShape& shape, A value, Op op, A identity) {
  if (shape.team != Team::columns) return join_line(shape, value, op, identity);
  GG_SHARED(column_partial, A[kColumnLanes][kColumns]);
  const int column = threadIdx.x % kColumns;
  column_partial[threadIdx.x / kColumns][column] = value;
  __syncthreads();
  value = column_partial[0][column];
  for (int i = 1; i < kColumnLanes; i++) value = op(value, column_partial[i][column]);
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

  __device__ void join_team(const TeamShape& shape) {
    const A larger = join(shape, max, MaxOp(), kLowest<A>);
    sum = join(shape, sum * std::exp(max - larger), SumOp(), A(0));
    max = larger;
  }

  __device__ A logarithm() const { return max + std::log(sum); }
};

}  // namespace gg
