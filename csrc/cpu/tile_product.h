// Small matrix products on the tiles of conv_tile.h, for recurrence and attention:
// c [rows, n] = or += a [rows, k] b [k, n], n in whole vectors.
//
// a lies planar, [rows][kTilePlane], or across, [k][kTilePlane]: then a's transpose is what lies as
// rows. b: `vectors` columns of vectors, `next` elements from one to the next, step i at offset
// at[i]. Sums of one element are formed in the order of k, so nothing depends on how rows are cut.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "cpu/conv_tile.h"
#include "cpu/conv_transpose.h"
#include "cpu/runs.h"

namespace gg {

/// Steps of a planar or across a at a time: longer products are formed in parts.
constexpr int64_t kTileSteps = kMaxPlanarSteps;

template <class A>
struct TileColumns {
  const A* data;
  int64_t vectors, next;
  const int64_t* at;
};

/// The offsets of rows `step` apart.
inline std::vector<int64_t> tile_offsets(int64_t n, int64_t step) {
  std::vector<int64_t> at(n);
  for (int64_t i = 0; i < n; i++) at[i] = i * step;
  return at;
}

/// Rows cut into blocks of one height; the buffers of a and c have room for whole blocks, and c's
/// rows for room().
template <class A>
class TileRows {
 public:
  /// The height that costs least beside so many vectors.
  TileRows(int64_t rows, int64_t vectors) : tiles_(conv_tiles<A>()), height_(1) {
    int64_t least = INT64_MAX;
    for (int height = 1; height <= tiles_.max_rows; height++) {
      const int64_t beside = tiles_.vectors[height], left = vectors % beside;
      const int64_t step = (height + kLoad) * beside;
      const int64_t one = std::max<int64_t>(height, kLatency) + kLoad;
      const int64_t rest = as_ones(left, beside) ? left * one : left ? step : 0;
      const int64_t cost = (rows + height - 1) / height * (vectors / beside * step + rest);
      if (cost <= least) least = cost, height_ = height;
    }
    blocks_ = (rows + height_ - 1) / height_;
  }

  /// So many blocks of that height.
  TileRows blocks(int64_t count) const {
    TileRows part = *this;
    part.blocks_ = count;
    return part;
  }

  int height() const { return height_; }
  /// Elements of a row of c with so many vectors.
  int64_t room(int64_t vectors) const {
    const int64_t beside = tiles_.vectors[height_];
    return (vectors + beside - 1) / beside * beside * tiles_.lanes;
  }
  int64_t padded() const { return blocks_ * height_; }

  /// c = or += a b over k <= kTileSteps steps.
  void planar(int64_t k, const A* a, const TileColumns<A>& b, A* c, int64_t pitch, bool add) const {
    const int beside = tiles_.vectors[height_];
    for (int64_t v = 0; v < b.vectors;) {
      const bool one = as_ones(b.vectors - v, beside);
      const ConvTile<A> tile = one ? tiles_.planar_one[height_] : tiles_.planar[height_];
      const A* from[kMaxTileVectors];
      columns(b, v, beside, from);
      for (int64_t row = 0; row < padded(); row += height_) {
        tile(k, a + row * kTilePlane, b.at, from, c + row * pitch + v * tiles_.lanes, pitch, add);
      }
      v += one ? 1 : beside;
    }
  }

  /// The same with a lying [k][kTilePlane], for the blocks that hold rows begin .. end - 1.
  void across(int64_t begin, int64_t end, int64_t k, const A* a, const TileColumns<A>& b, A* c,
              int64_t pitch, bool add) const {
    const int beside = tiles_.vectors[height_];
    const ConvTile<A> tile = tiles_.across[height_];
    for (int64_t v = 0; v < b.vectors; v += beside) {
      const A* from[kMaxTileVectors];
      columns(b, v, beside, from);
      for (int64_t row = begin / height_ * height_; row < end; row += height_) {
        tile(k, a + row, b.at, from, c + row * pitch + v * tiles_.lanes, pitch, add);
      }
    }
  }

 private:
  static constexpr int64_t kLatency = 8;  ///< sums that keep both units for products busy
  static constexpr int64_t kLoad = 3;  ///< products that a vector of b from the second cache costs

  /// Are the last vectors cheaper one by one?
  static bool as_ones(int64_t left, int64_t beside) { return left < beside && left <= 2; }

  void columns(const TileColumns<A>& b, int64_t first, int beside, const A** from) const {
    for (int v = 0; v < beside; v++) {
      from[v] = b.data + std::min(first + v, b.vectors - 1) * b.next;
    }
  }

  const ConvTiles<A>& tiles_;
  int height_;
  int64_t blocks_;
};

/// A matrix b [k, n] packed once for many products: [vectors][k][lanes], zero beyond n.
template <class A>
class PackedColumns {
 public:
  PackedColumns(int64_t k, int64_t n)
      : k_(k), n_(n), lanes_(conv_tiles<A>().lanes), vectors_((n + lanes_ - 1) / lanes_) {}

  int64_t elements() const { return vectors_ * k_ * lanes_; }
  int64_t vectors() const { return vectors_; }

  /// From b[i, j] = w[i * step + j * column].
  template <class T>
  void pack(const T* w, int64_t step, int64_t column, A* to) const {
    for (int64_t v = 0; v < vectors_; v++) {
      const int64_t count = std::min(lanes_, n_ - v * lanes_);
      const T* const from = w + v * lanes_ * column;
      A* const at = to + v * k_ * lanes_;
      if (count < lanes_) std::fill(at, at + k_ * lanes_, A(0));
      if (column == 1) {
        for (int64_t i = 0; i < k_; i++) read_run(from + i * step, 1, at + i * lanes_, count);
      } else {
        transpose(from, column, step, count, k_, at, lanes_);
      }
    }
  }

  /// c = a b, a as kTileSteps of its columns after another, [parts][rows][kTilePlane].
  void multiply(const TileRows<A>& rows, const A* a, const A* packed, const int64_t* at, A* c,
                int64_t pitch) const {
    for (int64_t i = 0; i < k_; i += kTileSteps) {
      const TileColumns<A> b{packed + i * lanes_, vectors_, k_ * lanes_, at};
      rows.planar(std::min(kTileSteps, k_ - i), a + i / kTileSteps * rows.padded() * kTilePlane, b,
                  c, pitch, i > 0);
    }
  }

  /// Elements of such an a, and of a row of c.
  int64_t planes(const TileRows<A>& rows) const {
    return (k_ + kTileSteps - 1) / kTileSteps * rows.padded() * kTilePlane;
  }
  int64_t pitch(const TileRows<A>& rows) const { return rows.room(vectors_); }

 private:
  int64_t k_, n_, lanes_, vectors_;
};

/// Row `row` of an a in parts.
template <class A>
void put_planar(const A* x, int64_t k, int64_t row, int64_t padded_rows, A* a) {
  for (int64_t i = 0; i < k; i += kTileSteps) {
    std::copy_n(x + i, std::min(kTileSteps, k - i),
                a + (i / kTileSteps * padded_rows + row) * kTilePlane);
  }
}

}  // namespace gg
