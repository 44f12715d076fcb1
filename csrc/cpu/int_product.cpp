// Integer matrix products, in blocks of y that one thread forms: of each piece of k it packs the
// rows of a and the columns of b as the tiles of int_tile.h read them. int8 meets int8 as Quads
// where the machine has them, 8 and 16 bits otherwise as Pairs; int32 and int64 are themselves.
//
// A product of Quads is of a without sign: a + 128 is, and 128 times the sum over k of b is taken
// off at the end. Sums wrap, so the way y is cut does not matter and may follow the threads.
#include "cpu/int_product.h"

#include <algorithm>
#include <cstring>

#include "core/checks.h"
#include "core/index.h"
#include "core/parallel.h"
#include "cpu/conv_scratch.h"
#include "cpu/conv_transpose.h"
#include "cpu/int_tile.h"

namespace gg {
namespace {

constexpr const char* kName = "int_product";
constexpr int64_t kSteps = 256;  ///< groups of k at a time: two vectors beside fit the first cache
constexpr int64_t kRows = 144, kColumns = 256;  ///< of a block at most: its parts fit the second

template <class G>
struct Group {
  using Element = G;
  static constexpr int64_t length = 1;
};
template <>
struct Group<Pairs> {
  using Element = int16_t;
  static constexpr int64_t length = 2;
};
template <>
struct Group<Quads> {
  using Element = int8_t;
  static constexpr int64_t length = 4;
};

/// Rows of a, or columns of b: element j along k of row i is at data[i * pitch + j * step].
template <class S>
struct Rows {
  const S* data;
  int64_t count, pitch, step;

  Rows from(int64_t i, int64_t n, int64_t j) const {
    return {data + i * pitch + j * step, n, pitch, step};
  }
};

/// The group of the first `count` elements at x, others 0.
template <class G, class S>
[[gnu::always_inline]] inline G group_of(const S* x, int64_t step, int64_t count) {
  if constexpr (Group<G>::length == 1) {
    return *x;
  } else {
    constexpr int bits = 32 / Group<G>::length;
    uint32_t word = 0;
    for (int64_t s = 0; s < count; s++) {
      const auto element = static_cast<typename Group<G>::Element>(x[s * step]);
      word |= (static_cast<uint32_t>(element) & (~0u >> (32 - bits))) << (s * bits);
    }
    return static_cast<G>(word);
  }
}

/// to[g * width + i] = group g of row i, for rows whose elements lie one after another.
template <class G, class S>
void pack_rows(const Rows<S>& x, int64_t groups, int64_t width, G* to) {
  constexpr int64_t length = Group<G>::length;
  int64_t first = 0, row = 0;
#if defined(__AVX2__)
  if constexpr (sizeof(G) == 4 && length * sizeof(S) == 4) {
    first = groups / 8 * 8;
    for (; row + 8 <= x.count; row += 8) {
      for (int64_t g = 0; g < first; g += 8) {
        transpose_8x8(x.data + row * x.pitch + g * length, x.pitch, to + g * width + row, width);
      }
    }
  }
#endif
  for (int64_t i = 0; i < x.count; i++) {
    const S* const from = x.data + i * x.pitch;
    for (int64_t g = i < row ? first : 0; g < groups; g++) {
      to[g * width + i] = group_of<G>(from + g * length, 1, length);
    }
  }
}

/// The same for any others; P is x.pitch, or 0 for one that is not known.
template <int64_t P, class G, class S>
void pack_columns(const Rows<S>& x, int64_t groups, int64_t width, G* to) {
  constexpr int64_t length = Group<G>::length;
  const int64_t count = x.count, pitch = P ? P : x.pitch, step = x.step;
  for (int64_t g = 0; g < groups; g++) {
    const S* const from = x.data + g * length * step;
    G* const at = to + g * width;
#pragma GCC ivdep
    for (int64_t i = 0; i < count; i++) at[i] = group_of<G>(from + i * pitch, step, length);
  }
}

/// to[g * width + i] = group g of row i; 0 for rows there are not.
template <class G, class S>
void pack(const Rows<S>& x, int64_t k, int64_t width, G* to) {
  constexpr int64_t length = Group<G>::length;
  const int64_t whole = k / length, rest = k % length;
  if (x.step == 1 && x.pitch != 1) {
    pack_rows(x, whole, width, to);
  } else if (x.pitch == 1) {
    pack_columns<1>(x, whole, width, to);
  } else {
    pack_columns<0>(x, whole, width, to);
  }
  for (int64_t i = 0; rest && i < x.count; i++) {
    const S* const at = x.data + i * x.pitch + whole * length * x.step;
    to[whole * width + i] = group_of<G>(at, x.step, rest);
  }
  for (int64_t g = 0; x.count < width && g < whole + (rest > 0); g++) {
    std::fill(to + g * width + x.count, to + (g + 1) * width, G(0));
  }
}

int64_t rounded_up(int64_t n, int64_t to) {
  return (n + to - 1) / to * to;
}

/// A block of y: c [rows][pitch], as wide as a group.
template <class S, class G>
class Block {
 public:
  Block(const Rows<S>& a, const Rows<S>& b, int64_t k)
      : a_(a),
        b_(b),
        k_(k),
        beside_(tiles_.columns()),
        pitch_(rounded_up(b.count, beside_)),
        steps_(std::min(kSteps, (k + length - 1) / length)),
        scratch_(ConvScratch<G>::padded(steps_ * a.count) +
                 ConvScratch<G>::padded(steps_ * pitch_) +
                 ConvScratch<G>::padded(a.count * pitch_) + ConvScratch<G>::padded(pitch_)),
        packed_a_(scratch_.take(steps_ * a.count)),
        packed_b_(scratch_.take(steps_ * pitch_)),
        c_(scratch_.take(a.count * pitch_)),
        sums_(scratch_.take(pitch_)) {
    for (int64_t g = 0; g < steps_; g++) at_[g] = g * beside_;
  }

  /// Into y, one element of whose bits T has.
  template <class T>
  void multiply(T* y, int64_t y_row, int64_t y_column) {
    int64_t j = 0;
    do {  // once at least, for the zeros of k = 0
      piece(j, std::min(k_ - j, kSteps * length));
      j += kSteps * length;
    } while (j < k_);
    for (int64_t row = 0; row < a_.count; row++) {
      write(c_ + row * pitch_, y + row * y_row, y_column);
    }
  }

 private:
  static constexpr int64_t length = Group<G>::length;
  static constexpr bool shifted = std::is_same_v<G, Quads>;

  void piece(int64_t j, int64_t k) {
    const int64_t steps = (k + length - 1) / length;
    for (int64_t column = 0; column < b_.count; column += beside_) {
      const int64_t count = std::min<int64_t>(beside_, b_.count - column);
      pack(b_.from(column, count, j), k, beside_, packed_b_ + column * steps);
    }
    for_tiles([&](int64_t row, int height) {
      const int64_t width = tiles_.rows[height];
      pack(a_.from(row, width, j), k, width, packed_a_ + row * steps);
    });
    for (int64_t i = 0; shifted && i < a_.count * steps; i++) {  // + 128
      packed_a_[i] = static_cast<G>(static_cast<uint32_t>(packed_a_[i]) ^ 0x80808080u);
    }
    for (int64_t column = 0; column < pitch_; column += beside_) {
      const G* const panel = packed_b_ + column * steps;
      const G* const from[2] = {panel, panel + tiles_.lanes};
      for_tiles([&](int64_t row, int height) {
        tiles_.tile[height](steps, packed_a_ + row * steps, at_, from, c_ + row * pitch_ + column,
                            pitch_, j > 0);
      });
      if (shifted) {  // a row of ones
        std::fill_n(ones_, steps, G(0x01010101));
        tiles_.tile[0](steps, ones_, at_, from, sums_ + column, pitch_, j > 0);
      }
    }
  }

  /// f(row, height) for the tallest tiles that fit, one below the other.
  template <class F>
  void for_tiles(F f) const {
    int height = kIntHeights - 1;
    for (int64_t row = 0; row < a_.count; row += tiles_.rows[height]) {
      while (tiles_.rows[height] > a_.count - row) height--;
      f(row, height);
    }
  }

  template <class T>
  void write(const G* c, T* y, int64_t step) const {
    const auto put = [&](int64_t by) {
      for (int64_t i = 0; i < b_.count; i++) {
        if constexpr (shifted) {
          const uint32_t sum = static_cast<uint32_t>(c[i]) - 128u * static_cast<uint32_t>(sums_[i]);
          y[i * by] = static_cast<T>(sum);
        } else {
          y[i * by] = static_cast<T>(c[i]);
        }
      }
    };
    step == 1 ? put(1) : put(step);
  }

  const IntTiles<G>& tiles_ = *int_tiles<G>();
  Rows<S> a_, b_;
  int64_t k_, beside_, pitch_, steps_;
  ConvScratch<G> scratch_;
  G *packed_a_, *packed_b_, *c_, *sums_;
  int64_t at_[kSteps];
  G ones_[kSteps];
};

/// The matrices of all batches: element (i, j) of batch n is at offset(n) + i * row + j * column.
struct Matrices {
  int64_t batches, m, n, k;
  int64_t a_row, a_k, b_k, b_column, y_row, y_column;
  Layout<3> batch;  ///< of y, a, b
};

/// Rows and columns of a block: smaller ones where some threads would have none.
struct Cut {
  int64_t rows = kRows, columns = kColumns;

  Cut(const Matrices& p, int64_t tile_rows, int64_t tile_columns, bool large) {
    rows = std::min(rows, p.m), columns = std::min(columns, p.n);
    while (large && blocks(p) < num_threads()) {
      if (columns > tile_columns && columns >= rows) {
        columns = rounded_up(columns / 2, tile_columns);
      } else if (rows > tile_rows) {
        rows = rounded_up(rows / 2, tile_rows);
      } else if (columns > tile_columns) {
        columns = rounded_up(columns / 2, tile_columns);
      } else {
        break;
      }
    }
  }

  int64_t down(const Matrices& p) const { return (p.m + rows - 1) / rows; }
  int64_t across(const Matrices& p) const { return (p.n + columns - 1) / columns; }
  int64_t blocks(const Matrices& p) const { return p.batches * down(p) * across(p); }
};

template <class G, class S, class T>
void multiply(const Matrices& p, const S* a, const S* b, T* y) {
  constexpr int64_t task = (int64_t{1} << 20) * Group<G>::length;  // products worth a thread
  const IntTiles<G>& tiles = *int_tiles<G>();
  const double products = static_cast<double>(p.batches) * p.m * p.n * std::max<int64_t>(p.k, 1);
  const Cut cut(p, tiles.most_rows(), tiles.columns(), products > task);
  const int64_t down = cut.down(p), across = cut.across(p), blocks = cut.blocks(p);
  const int64_t grain = static_cast<int64_t>(task / (products / blocks)) + 1;
  parallel_for(blocks, products > task ? std::min(grain, blocks) : blocks,
               [&](int64_t begin, int64_t end) {
                 for (int64_t i = begin; i < end; i++) {
                   const int64_t batch = i / (down * across), row = i / across % down * cut.rows;
                   const int64_t column = i % across * cut.columns;
                   const Rows<S> left{a + p.batch.offset(1, batch) + row * p.a_row,
                                      std::min(cut.rows, p.m - row), p.a_row, p.a_k};
                   const Rows<S> right{b + p.batch.offset(2, batch) + column * p.b_column,
                                       std::min(cut.columns, p.n - column), p.b_column, p.b_k};
                   T* const to = y + p.batch.offset(0, batch) + row * p.y_row + column * p.y_column;
                   Block<S, G>(left, right, p.k).multiply(to, p.y_row, p.y_column);
                 }
               });
}

template <class G, class S, class T>
void multiply(const Matrices& p, const Array& a, const Array& b, const Array& y) {
  multiply<G>(p, a.as<S>(), b.as<S>(), y.as<T>());
}

/// 8 bits, to 8 or to 32.
template <class G, class S>
void multiply_bytes(const Matrices& p, const Array& a, const Array& b, const Array& y) {
  if (y.dtype == DType::i32) {
    multiply<G, S, uint32_t>(p, a, b, y);
  } else {
    multiply<G, S, uint8_t>(p, a, b, y);
  }
}

Matrices matrices(const Array& a, const Array& b, const Array& y) {
  Matrices p{};
  const int last = y.ndim - 1, row = y.ndim - 2;
  p.m = y.shape[row], p.n = y.shape[last], p.k = a.shape[a.ndim - 1];
  p.a_row = a.stride[a.ndim - 2], p.a_k = a.stride[a.ndim - 1];
  p.b_k = b.stride[b.ndim - 2], p.b_column = b.stride[b.ndim - 1];
  p.y_row = y.stride[row], p.y_column = y.stride[last];
  for (int axis = 0; axis < row; axis++) {
    p.batch.push(y.shape[axis],
                 {y.stride[axis], broadcast_stride(a, y, axis), broadcast_stride(b, y, axis)});
  }
  p.batches = p.batch.size;
  p.batch.finish();
  return p;
}

void check(const Array& a, const Array& b, const Array& y) {
  check_present(kName, "a", a);
  check_present(kName, "b", b);
  check_present(kName, "y", y);
  check_same_dtype(kName, "a", a, "b", b);
  GG_CHECK(is_integer(a.dtype), kName, "a must be of an integer dtype, got ", a);
  GG_CHECK(y.dtype == a.dtype || (y.dtype == DType::i32 && dtype_size(a.dtype) == 1), kName,
           "y must have the dtype of a, or int32 beside 8 bits, got ", y, " for ", a);
  const bool matrices = a.ndim >= 2 && b.ndim >= 2 && y.ndim >= 2;
  GG_CHECK(matrices, kName, "a, b and y must have 2 axes or more, got ", a, ", ", b, " and ", y);
  GG_CHECK(a.shape[a.ndim - 1] == b.shape[b.ndim - 2], kName, "inner sizes differ: a ", a, ", b ",
           b);
  bool fits = a.ndim <= y.ndim && b.ndim <= y.ndim;
  for (int i = 1; fits && i <= y.ndim; i++) {
    const int64_t length = y.shape[y.ndim - i];
    const int64_t of_a = i <= a.ndim ? a.shape[a.ndim - i] : 1;
    const int64_t of_b = i <= b.ndim ? b.shape[b.ndim - i] : 1;
    if (i == 1) fits = of_b == length;
    if (i == 2) fits = of_a == length;
    if (i > 2) fits = (of_a == length || of_a == 1) && (of_b == length || of_b == 1);
  }
  GG_CHECK(fits, kName, "y does not have the product's shape: a ", a, ", b ", b, ", y ", y);
}

}  // namespace

void int_product(Stream, const Array& a, const Array& b, const Array& y) {
  check(a, b, y);
  if (y.size() == 0) return;
  Matrices p = matrices(a, b, y);
  const Array *left = &a, *right = &b;
  if (p.n < p.m && p.n < 32) {  // few columns fill no vectors: y^T = b^T a^T
    std::swap(p.m, p.n);
    std::swap(p.a_row, p.b_column), std::swap(p.a_k, p.b_k), std::swap(p.y_row, p.y_column);
    std::swap(p.batch.stride[1], p.batch.stride[2]);
    std::swap(left, right);
  }
  switch (a.dtype) {
    case DType::i8:
      return int_tiles<Quads>() ? multiply_bytes<Quads, int8_t>(p, *left, *right, y)
                                : multiply_bytes<Pairs, int8_t>(p, *left, *right, y);
    case DType::u8:
      return multiply_bytes<Pairs, uint8_t>(p, *left, *right, y);
    case DType::i16:
      return multiply<Pairs, int16_t, uint16_t>(p, *left, *right, y);
    case DType::i32:
      return multiply<int32_t, int32_t, uint32_t>(p, *left, *right, y);
    default:
      return multiply<int64_t, int64_t, uint64_t>(p, *left, *right, y);
  }
}

}  // namespace gg
