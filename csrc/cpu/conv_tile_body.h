// The tiles of conv_tile.h, over a class Vector<A> that the including file defines: Register,
// lanes, registers, zero(), load(), set(), fma(), add(), store(). No header here: the including
// file may have switched instruction sets, and inline functions must not be compiled for those.

namespace gg {
namespace {

/// Element m of step i is at a[m * RowStep + i * StepStep].
template <int Rows, int Vectors, int RowStep, int StepStep, class A>
void conv_tile(int64_t k, const A* a, const int64_t* at, const A* const* b, A* c, int64_t pitch,
               bool add) {
  using V = Vector<A>;
  typename V::Register sum[Rows][Vectors];
  const A* from[Vectors];
#pragma GCC unroll 8
  for (int v = 0; v < Vectors; v++) from[v] = b[v];
#pragma GCC unroll 16
  for (int m = 0; m < Rows; m++) {
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; v++) sum[m][v] = V::zero();
  }
  for (int64_t i = 0; i < k; i++, a += StepStep) {
    typename V::Register x[Vectors];
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; v++) x[v] = V::load(from[v] + at[i]);
#pragma GCC unroll 16
    for (int m = 0; m < Rows; m++) {
      const typename V::Register w = V::set(a[m * RowStep]);
#pragma GCC unroll 8
      for (int v = 0; v < Vectors; v++) sum[m][v] = V::fma(w, x[v], sum[m][v]);
    }
  }
#pragma GCC unroll 16
  for (int m = 0; m < Rows; m++) {
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; v++) {
      A* to = c + m * pitch + v * V::lanes;
      V::store(to, add ? V::add(V::load(to), sum[m][v]) : sum[m][v]);
    }
  }
}

/// Vectors beside each other for so many rows: as many as leave room for b and one of a.
template <class A>
constexpr int vectors_for(int rows) {
  int vectors = 1;
  while (vectors < kMaxTileVectors && (rows + 1) * (vectors + 1) + 1 <= Vector<A>::registers) {
    vectors++;
  }
  return vectors;
}

/// Most rows: those that leave two vectors.
template <class A>
constexpr int max_rows() {
  int rows = kMaxTileRows;
  while (rows > 1 && vectors_for<A>(rows) < 2) rows--;
  return rows;
}

template <class A, int Rows = 1>
constexpr void fill_tiles(ConvTiles<A>& tiles) {
  if constexpr (Rows <= max_rows<A>()) {
    constexpr int vectors = vectors_for<A>(Rows);
    tiles.vectors[Rows] = vectors;
    tiles.tile[Rows] = conv_tile<Rows, vectors, 1, Rows, A>;
    tiles.planar[Rows] = conv_tile<Rows, vectors, kTilePlane, 1, A>;
    tiles.planar_one[Rows] = conv_tile<Rows, 1, kTilePlane, 1, A>;
    tiles.across[Rows] = conv_tile<Rows, vectors, 1, kTilePlane, A>;
    fill_tiles<A, Rows + 1>(tiles);
  }
}

template <class A>
constexpr ConvTiles<A> all_tiles() {
  ConvTiles<A> tiles;
  tiles.lanes = Vector<A>::lanes;
  tiles.max_rows = max_rows<A>();
  fill_tiles(tiles);
  return tiles;
}

}  // namespace
}  // namespace gg
