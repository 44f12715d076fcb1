// The pieces of attention on ordinary CUDA cores: forward, dQ and dK/dV are made of the same two
// products.
//
// A block has a tile of rows (queries, or keys for dK/dV), whole in shared memory, and walks over
// tiles of columns (keys, or queries), 64 of the head size at a time ("a slice"), through two
// stages filled by cp.async: one barrier for each slice, the next in flight. A warp has 4 R rows
// and all 8 C columns of a tile; a thread R rows, 4 apart, and C columns, 8 apart:
//
//   scores    S[R][C] += rows . columns            over a slice, both read along the head
//   weighted  out[R][8] += weights columns         a slice of the result; weights are S after the
//                                                  softmax, passed on in shared memory inside the
//                                                  warp
//
// Reads are 16 bytes wide; pitches keep them free of bank conflicts (32-bit). A thread's 8 columns
// of a slice are groups of 16 bytes, 8 groups apart.
#pragma once

#include "kernels/attention_problem.cuh"

namespace gg {

constexpr int kSlice = 64;
constexpr int kSimtWarps = 4;

/// A: float or double, of all sums. S: slices that a head may have.
template <class A, int S, int R, int C>
struct SimtTile {
  static constexpr int kVec = 16 / sizeof(A);
  static constexpr int kWarpRows = 4 * R;
  static constexpr int kColumns = 8 * C;
  static constexpr int kRowPitch = S * kSlice + kVec;
  static constexpr int kStagePitch = kSlice + kVec;
  static constexpr int kWeightPitch = kColumns + 8;
  static constexpr int kStage = kColumns * kStagePitch;

  /// Shared memory: `residents` matrices of rows, weights, two stages, what each row sees.
  static constexpr size_t bytes(int warps, int residents) {
    const size_t rows = static_cast<size_t>(warps) * kWarpRows;
    return sizeof(A) * (rows * (residents * kRowPitch + kWeightPitch) + 2 * kStage) +
           rows * sizeof(Interval);
  }
};

/// What the rows of a block are; its columns are the other.
enum class Side { queries, keys };

/// How a kernel is started: `tiles` of each head; async: rows that are `vector` and of type A come
/// by cp.async.
struct SimtLaunch {
  int64_t first_block;
  int tiles;
  bool async;
};

/// Where a block is: rows first .. first + count - 1 of head `head` of sample b.
struct SimtPlace {
  int64_t b, head;
  int first, count;

  /// Queries from the last tile to the first: where they see only the past, the last have the most
  /// to do and begin first.
  __device__ SimtPlace(const AttentionProblem& p, const SimtLaunch& start, Side side, int height) {
    const int64_t block = start.first_block + blockIdx.x, heads_and_batch = block / start.tiles;
    const int64_t heads = side == Side::queries ? p.heads : p.groups;
    const int at = static_cast<int>(block % start.tiles);
    head = heads_and_batch % heads;
    b = heads_and_batch / heads;
    const int tile = side == Side::queries ? start.tiles - 1 - at : at;
    const Interval rows = rows_of_tile(p, side == Side::keys, tile, height);
    first = rows.begin;
    count = rows.end - first < height ? rows.end - first : height;
  }
};

// ---- global memory -----------------------------------------------------------------------------

template <class A, class F>
GG_DEVICE void with_attention_storage(DType dtype, F f) {
  if constexpr (std::is_same_v<A, double>) {
    f(0.0);
  } else {
    if (dtype == DType::f16) return f(f16{});
    if (dtype == DType::bf16) return f(bf16{});
    f(0.0f);
  }
}

/// Element `at` of an array of that dtype, widened.
template <class A>
GG_DEVICE A widened(DType dtype, const void* data, int64_t at) {
  A value = 0;
  with_attention_storage<A>(
      dtype, [&](auto zero) { value = convert<A>(static_cast<const decltype(zero)*>(data)[at]); });
  return value;
}

/// V elements of shared memory to global memory, `step` apart, rounded; none from `count` on.
template <int V, class A, class T>
GG_DEVICE void put_group(T* to, const A* from, int64_t step, int count, bool vector) {
  if (vector && count >= V) {
    const Vec<A, V> whole = load_vec<V>(from);
    Vec<T, V> values;
#pragma unroll
    for (int i = 0; i < V; i++) values[i] = convert<T>(whole[i]);
    store_vec(to, values);
    return;
  }
#pragma unroll 1
  for (int i = 0; i < V && i < count; i++) to[i * step] = convert<T>(from[i]);
}

/// Rows first .. end - 1 and then rows of zeros, `rows` in all, of columns from `column` on, at
/// most 64 and below d, into shared memory. `offset` is where row 0 is. Columns beyond d are zero
/// up to a whole group, then not written. The caller commits and waits.
template <class A>
GG_DEVICE void load_slice(A* to, int pitch, int rows, const AttentionTensor& x, int64_t offset,
                          int first, int end, int column, const AttentionProblem& p, bool async) {
  constexpr int V = 16 / sizeof(A), groups = kSlice / V;
  const int t = threadIdx.x, group = t % groups, left = p.d - column - group * V;
  if (left <= 0) return;
  const int64_t base = offset + (column + group * V) * x.column;
  int row = t / groups;
  to += row * pitch + group * V;
  const int step = blockDim.x / groups;
  const int64_t from = base + (int64_t{first} + row) * x.row, stride = step * x.row;
  const bool direct = x.vector && p.dtype == (sizeof(A) == 8 ? DType::f64 : DType::f32);
  const A* source = static_cast<const A*>(x.data) + from;
  if (direct && async) {
    const int bytes = (left < V ? left : V) * static_cast<int>(sizeof(A));
#pragma unroll 2
    for (; row < rows; row += step, to += step * pitch, source += stride) {
      cp_async<16>(to, source, first + row < end ? bytes : 0);
    }
    return;
  }
  if constexpr (kDeviceBelow80) {
    for (; direct && left >= V && row < rows; row += step, to += step * pitch, source += stride) {
      store_vec(to, first + row < end ? load_vec<V>(source) : Vec<A, V>{});
    }
  }
#pragma unroll 1
  for (int64_t at = from; row < rows; row += step, to += step * pitch, at += stride) {
    const int count = first + row < end ? left : 0;
#pragma unroll 1
    for (int i = 0; i < V; i++) {
      to[i] = i < count ? widened<A>(p.dtype, x.data, at + i * x.column) : A(0);
    }
  }
}

/// All slices of a block's rows.
template <class A>
GG_DEVICE void load_rows(A* to, int pitch, int rows, const AttentionTensor& x, const SimtPlace& at,
                         const AttentionProblem& p, bool async) {
  for (int column = 0; column < p.d; column += kSlice) {
    load_slice(to + column, pitch, rows, x, x.offset(at.b, at.head, 0), at.first,
               at.first + at.count, column, p, async);
  }
}

/// Writes a warp's rows of a result, `first` and on, below `end`; a thread's times factor[i]. They
/// pass through `rows`: shared memory of the warp's own rows, which it needs no more.
template <class Tile, class A, int S, int R>
GG_DEVICE void store_rows(const AttentionTensor& y, int64_t offset, int first, int end,
                          const A (&values)[S][R][8], const A (&factor)[R], A* rows,
                          const AttentionProblem& p) {
  constexpr int V = Tile::kVec;
  const int lane = threadIdx.x % kWarp;
  A* const own = rows + lane / 8 * Tile::kRowPitch + lane % 8 * V;
  __syncwarp();
#pragma unroll
  for (int part = 0; part < R * S * 8 / V; part++) {
    const int i = part / (S * 8 / V), s = part / (8 / V) % S, q = part % (8 / V);
    Vec<A, V> group;
#pragma unroll
    for (int e = 0; e < V; e++) group[e] = values[s][i][q * V + e] * factor[i];
    store_vec(own + i * 4 * Tile::kRowPitch + s * kSlice + q * 8 * V, group);
  }
  __syncwarp();
  const int groups = (p.d + V - 1) / V;
#pragma unroll 1
  for (int e = lane; e < Tile::kWarpRows * groups; e += kWarp) {
    const int row = e / groups, column = e % groups * V;
    if (first + row >= end) break;
    const A* const group = rows + row * Tile::kRowPitch + column;
    const int64_t to = offset + (int64_t{first} + row) * y.row + column * y.column;
    with_attention_storage<A>(p.dtype, [&](auto zero) {
      using T = decltype(zero);
      put_group<V>(static_cast<T*>(y.data) + to, group, y.column, p.d - column, y.vector);
    });
  }
}

// ---- stages ------------------------------------------------------------------------------------

/// Brings slices of columns one after another: for each head from `head` on, each tile of columns
/// in [begin, end), each bit of `pattern` (0: x, 1: y; the lowest of `kinds` first), each slice.
template <class A, class Tile>
struct SimtFeed {
  const AttentionProblem& p;
  const AttentionTensor &x, &y;
  A* const stages;
  int64_t b, head, last_head;
  int begin, end, tile, kind, column, kinds, pattern, buffer;
  bool async;

  __device__ SimtFeed(const AttentionProblem& p, const AttentionTensor& x, const AttentionTensor& y,
                      A* stages, int64_t b, int64_t head, int64_t heads, Interval columns,
                      int kinds, int pattern, bool async)
      : p(p),
        x(x),
        y(y),
        stages(stages),
        b(b),
        head(head),
        last_head(head + heads),
        begin(columns.begin),
        end(columns.end),
        tile(columns.begin),
        kind(0),
        column(0),
        kinds(kinds),
        pattern(pattern),
        buffer(0),
        async(async) {
    if (begin >= end) this->head = last_head;
    issue();
  }

  __device__ void issue() {
    if (head < last_head) {
      const AttentionTensor& from = pattern >> kind & 1 ? y : x;
      load_slice(stages + buffer * Tile::kStage, Tile::kStagePitch, Tile::kColumns, from,
                 from.offset(b, head, 0), tile, end, column, p, async);
      advance();
    }
    if constexpr (kDeviceHas80) {
      if (async) cp_async_commit();
    }
    buffer ^= 1;
  }

  __device__ void advance() {
    column += kSlice;
    if (column < p.d) return;
    column = 0;
    if (++kind < kinds) return;
    kind = 0;
    tile += Tile::kColumns;
    if (tile < end) return;
    tile = begin;
    head++;
  }

  /// The next slice; what the block had in hand before is given up.
  __device__ const A* next() {
    if constexpr (kDeviceHas80) {
      if (async) cp_async_wait<0>();
    }
    __syncthreads();
    const A* const ready = stages + (buffer ^ 1) * Tile::kStage;
    issue();
    return ready;
  }
};

// ---- products ----------------------------------------------------------------------------------

/// acc += rows . columns over `count` of the head size. rows: the thread's first; its others are 4
/// apart; columns: 8 apart.
template <class Tile, class A, int R, int C>
GG_DEVICE void add_scores(const A* rows, const A* columns, int count, A (&acc)[R][C]) {
  constexpr int V = Tile::kVec;
#pragma unroll 2
  for (int d = 0; d < count; d += V) {
    Vec<A, V> c[C];
#pragma unroll
    for (int j = 0; j < C; j++) c[j] = load_vec<V>(columns + j * 8 * Tile::kStagePitch + d);
#pragma unroll
    for (int i = 0; i < R; i++) {
      const Vec<A, V> r = load_vec<V>(rows + i * 4 * Tile::kRowPitch + d);
#pragma unroll
      for (int e = 0; e < V; e++) {
#pragma unroll
        for (int j = 0; j < C; j++) acc[i][j] += r[e] * c[j][e];
      }
    }
  }
}

/// out += weights columns, over the columns of a tile. weights: the thread's first row.
template <class Tile, class A, int R>
GG_DEVICE void add_weighted(const A* weights, const A* columns, A (&out)[R][8]) {
  constexpr int V = Tile::kVec;
  columns += threadIdx.x % 8 * V;
#pragma unroll 1
  for (int j = 0; j < Tile::kColumns; j += V) {
    Vec<A, V> w[R];
#pragma unroll
    for (int i = 0; i < R; i++) w[i] = load_vec<V>(weights + i * 4 * Tile::kWeightPitch + j);
#pragma unroll
    for (int e = 0; e < V; e++) {
#pragma unroll
      for (int q = 0; q < 8 / V; q++) {
        const Vec<A, V> c = load_vec<V>(columns + (j + e) * Tile::kStagePitch + q * 8 * V);
#pragma unroll
        for (int i = 0; i < R; i++) {
#pragma unroll
          for (int f = 0; f < V; f++) out[i][q * V + f] += w[i][e] * c[f];
        }
      }
    }
  }
}

}  // namespace gg
