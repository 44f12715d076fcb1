// ldmatrix and stmatrix: the exchange between the lanes that hold rows and those that hold
// fragments. The accesses to shared memory are in device/matrix.h.

#include "sim/team.h"

namespace gg::sim {
namespace {

constexpr const char* kNames[4][3] = {
    {"ldmatrix<1>", "ldmatrix<2>", "ldmatrix<4>"},
    {"ldmatrix_trans<1>", "ldmatrix_trans<2>", "ldmatrix_trans<4>"},
    {"stmatrix<1>", "stmatrix<2>", "stmatrix<4>"},
    {"stmatrix_trans<1>", "stmatrix_trans<2>", "stmatrix_trans<4>"}};
constexpr const char* kFamilies[4] = {"ldmatrix", "ldmatrix_trans", "stmatrix", "stmatrix_trans"};

struct Exchange {
  uint32_t* words;
  uint32_t* fragments;
  int matrices;
  MatrixMove move;
};

Exchange& exchange_of(Meeting& m, int lane) {
  return *static_cast<Exchange*>(m.argument[lane]);
}

using Matrix = uint16_t[8][8];

void read_rows(Meeting& m, int i, Matrix& matrix) {
  for (int row = 0; row < 8; row++) {
    const uint32_t* words = exchange_of(m, 8 * i + row).words;
    for (int c = 0; c < 8; c++) {
      matrix[row][c] = static_cast<uint16_t>(words[c / 2] >> (16 * (c % 2)));
    }
  }
}

void write_rows(Meeting& m, int i, const Matrix& matrix) {
  for (int row = 0; row < 8; row++) {
    uint32_t* words = exchange_of(m, 8 * i + row).words;
    for (int c = 0; c < 8; c += 2) words[c / 2] = matrix[row][c] | matrix[row][c + 1] << 16;
  }
}

void read_fragments(Meeting& m, int i, bool trans, Matrix& matrix) {
  for (int lane = 0; lane < 32; lane++) {
    const uint32_t value = exchange_of(m, lane).fragments[i];
    const int a = lane / 4, b = 2 * (lane % 4);
    (trans ? matrix[b][a] : matrix[a][b]) = static_cast<uint16_t>(value);
    (trans ? matrix[b + 1][a] : matrix[a][b + 1]) = static_cast<uint16_t>(value >> 16);
  }
}

void write_fragments(Meeting& m, int i, bool trans, const Matrix& matrix) {
  for (int lane = 0; lane < 32; lane++) {
    const int a = lane / 4, b = 2 * (lane % 4);
    const uint32_t low = trans ? matrix[b][a] : matrix[a][b];
    const uint32_t high = trans ? matrix[b + 1][a] : matrix[a][b + 1];
    exchange_of(m, lane).fragments[i] = low | high << 16;
  }
}

void compute_exchange(Meeting& m) {
  const Exchange& all = exchange_of(m, 0);
  const bool trans = all.move == MatrixMove::load_trans || all.move == MatrixMove::store_trans;
  const bool load = all.move == MatrixMove::load || all.move == MatrixMove::load_trans;
  for (int i = 0; i < all.matrices; i++) {
    Matrix matrix;
    if (load) {
      read_rows(m, i, matrix);
      write_fragments(m, i, trans, matrix);
    } else {
      read_fragments(m, i, trans, matrix);
      write_rows(m, i, matrix);
    }
  }
}

}  // namespace

void check_matrix_row(const void* row, MatrixMove move, Where where) {
  check_shared(row, 16, 16, kFamilies[static_cast<int>(move)], where);
}

void exchange_matrices(uint32_t (&words)[4], uint32_t* fragments, int matrices, MatrixMove move,
                       Where where) {
  const char* name = kNames[static_cast<int>(move)][matrices / 2];
  const bool store = move == MatrixMove::store || move == MatrixMove::store_trans;
  need_architecture(store ? 90 : 75, name, where);
  Exchange exchange{words, fragments, matrices, move};
  meet_aligned(name, &exchange, compute_exchange, where);
}

}  // namespace gg::sim
