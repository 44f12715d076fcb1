// mma: the last lane to arrive gathers the warp's fragments into matrices, multiplies and hands the
// sums back.
//
// Products and their sum with d are formed in double, where products are exact, and then truncated
// to float, because tensor cores truncate. Sums beyond the range of float become infinite.

#include <algorithm>
#include <bit>
#include <cmath>

#include "sim/team.h"

namespace gg::sim {
namespace {

constexpr int kColumns = 32;  // of b and d at a time: four products side by side
constexpr int kMaxK = 32;

struct Operands {
  const MmaShape* shape;
  void* d;
  const uint32_t* a;
  const uint32_t* b;
  int rows, columns;
};

Operands& operands_of(Meeting& m, int lane) {
  return *static_cast<Operands*>(m.argument[lane]);
}

// ---- elements ----------------------------------------------------------------------------------

template <MmaType>
struct Element;

template <>
struct Element<MmaType::f16> {
  using Sum = float;
  using Wide = double;
  static constexpr int kCount = 2;  // in a register
  static Wide get(uint32_t r, int i) {
    return to_float(gg::f16{static_cast<uint16_t>(r >> (16 * i))});
  }
};
template <>
struct Element<MmaType::bf16> {
  using Sum = float;
  using Wide = double;
  static constexpr int kCount = 2;
  static Wide get(uint32_t r, int i) {
    return to_float(gg::bf16{static_cast<uint16_t>(r >> (16 * i))});
  }
};
template <>
struct Element<MmaType::tf32> {
  using Sum = float;
  using Wide = double;
  static constexpr int kCount = 1;
  static Wide get(uint32_t r, int) { return bits_float(r & ~0x1fffu); }
};
template <>
struct Element<MmaType::s8> {
  using Sum = uint32_t;  // wraps
  using Wide = uint32_t;
  static constexpr int kCount = 4;
  static Wide get(uint32_t r, int i) {
    return static_cast<uint32_t>(static_cast<int8_t>(r >> (8 * i)));
  }
};
template <>
struct Element<MmaType::u8> {
  using Sum = uint32_t;
  using Wide = uint32_t;
  static constexpr int kCount = 4;
  static Wide get(uint32_t r, int i) { return r >> (8 * i) & 0xff; }
};

float narrow(double x, float) {
  const float f = static_cast<float>(x);
  const bool away = std::fabs(static_cast<double>(f)) > std::fabs(x) && std::fabs(x) < 0x1p128;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(f) - away);
}
uint32_t narrow(uint32_t x, uint32_t) {
  return x;
}

// ---- a warp's product --------------------------------------------------------------------------

// Row (of a) or column (of b) of register r, and the first k of its elements; see device/mma.h.
struct Place {
  int line, k;
};

Place place_a(int m, int lane, int r, int count) {
  const int upper = m == 16 ? r / 2 : r;
  return {lane / 4 + (m == 16 ? 8 * (r % 2) : 0), count * (lane % 4) + 4 * count * upper};
}

template <class E>
struct Product {
  using Wide = typename E::Wide;
  using Sum = typename E::Sum;

  Meeting& meeting;
  const Operands& all;
  const int m = all.shape->m, k = all.shape->k;
  const int registers_a = m * k / (32 * E::kCount), registers_b = 8 * k / (32 * E::kCount);
  const int registers_d = m * 8 / 32;

  explicit Product(Meeting& all_lanes) : meeting(all_lanes), all(operands_of(all_lanes, 0)) {}

  Wide a[16][kMaxK], b[kMaxK][kColumns] = {}, d[16][kColumns] = {};

  void gather_a(int i) {
    for (int lane = 0; lane < 32; lane++) {
      const uint32_t* mine = operands_of(meeting, lane).a + i * registers_a;
      for (int r = 0; r < registers_a; r++) {
        const Place p = place_a(m, lane, r, E::kCount);
        for (int e = 0; e < E::kCount; e++) a[p.line][p.k + e] = E::get(mine[r], e);
      }
    }
  }

  void gather_b(int first, int count) {
    for (int lane = 0; lane < 32; lane++) {
      const uint32_t* mine = operands_of(meeting, lane).b + first * registers_b;
      for (int j = 0; j < count; j++) {
        for (int r = 0; r < registers_b; r++) {
          const int row = E::kCount * (lane % 4) + 4 * E::kCount * r;
          const uint32_t value = mine[j * registers_b + r];
          for (int e = 0; e < E::kCount; e++) b[row + e][8 * j + lane / 4] = E::get(value, e);
        }
      }
    }
  }

  /// f(element of d in this lane's registers, row, column), for products (i, first ...).
  template <class F>
  void each_d(int i, int first, int count, F f) {
    for (int lane = 0; lane < 32; lane++) {
      Sum* mine = static_cast<Sum*>(operands_of(meeting, lane).d);
      mine += (i * all.columns + first) * registers_d;
      for (int j = 0; j < count; j++) {
        for (int r = 0; r < registers_d; r++) {
          f(mine[j * registers_d + r], lane / 4 + 8 * (r / 2), 8 * j + 2 * (lane % 4) + r % 2);
        }
      }
    }
  }

  template <int columns>
  void multiply() {
    for (int row = 0; row < m; row++) {
      Wide sum[columns] = {};
      for (int i = 0; i < k; i++) {
        for (int c = 0; c < columns; c++) sum[c] += a[row][i] * b[i][c];
      }
      for (int c = 0; c < columns; c++) d[row][c] += sum[c];
    }
  }

  void run() {
    for (int first = 0; first < all.columns; first += kColumns / 8) {
      const int count = std::min(kColumns / 8, all.columns - first);
      gather_b(first, count);
      for (int i = 0; i < all.rows; i++) {
        gather_a(i);
        each_d(i, first, count, [&](Sum value, int row, int c) { d[row][c] = value; });
        count == 1 ? multiply<8>() : multiply<kColumns>();
        each_d(i, first, count,
               [&](Sum& value, int row, int c) { value = narrow(d[row][c], Sum()); });
      }
    }
  }
};

template <MmaType type>
void compute_mma(Meeting& meeting) {
  Product<Element<type>>(meeting).run();
}

constexpr void (*kCompute[])(Meeting&) = {compute_mma<MmaType::f16>, compute_mma<MmaType::bf16>,
                                          compute_mma<MmaType::tf32>, compute_mma<MmaType::s8>,
                                          compute_mma<MmaType::u8>};

}  // namespace

void mma(const MmaShape& shape, void* d, const uint32_t* a, const uint32_t* b, int rows,
         int columns, Where where) {
  need_architecture(shape.architecture, shape.name, where);
  Operands operands{&shape, d, a, b, rows, columns};
  meet_aligned(shape.name, &operands, kCompute[static_cast<int>(shape.type)], where);
}

}  // namespace gg::sim
