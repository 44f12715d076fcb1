// The simulator's side of device/{matrix,mma,cp_async,named_barrier,pdl,warp}.h.
#pragma once

#include "device/types.h"
#include "sim/runtime.h"

namespace gg::sim {

/// See schedule.h.
int architecture();

/// Shared memory a block may have on the simulated GPU, static and dynamic together. CUDA C++
/// Programming Guide, "Compute Capabilities", maximum per thread block.
size_t max_shared();

/// Fails if the simulated GPU is older.
void need_architecture(int least, const char* name, Where where);

/// Fails unless p is in the block's own shared memory and aligned.
void check_shared(const void* p, size_t bytes, size_t alignment, const char* name, Where where);

// ---- redux -----------------------------------------------------------------------------------

enum class Redux { add, min, max, bit_and, bit_or, bit_xor };

/// Over the 32 lanes. min and max are those of int if is_signed.
uint32_t redux(Redux op, uint32_t value, bool is_signed, Where where);

// ---- ldmatrix, stmatrix ----------------------------------------------------------------------

enum class MatrixMove { load, load_trans, store, store_trans };

void check_matrix_row(const void* row, MatrixMove move, Where where);

/// Rows to fragments or back, for a warp. Lane 8 i + j has row j of matrix i in words; every lane
/// has its part of matrix i in fragments[i].
void exchange_matrices(uint32_t (&words)[4], uint32_t* fragments, int matrices, MatrixMove move,
                       Where where);

// ---- mma -------------------------------------------------------------------------------------

enum class MmaType { f16, bf16, tf32, s8, u8 };

template <class T>
constexpr MmaType mma_type = std::is_same_v<T, f16>      ? MmaType::f16
                             : std::is_same_v<T, bf16>   ? MmaType::bf16
                             : std::is_same_v<T, int8_t> ? MmaType::s8
                                                         : MmaType::u8;

struct MmaShape {
  const char* name;
  int m, k;  ///< n is 8
  MmaType type;
  int architecture;
};

/// d[i][j] += a[i] b[j] for i < rows, j < columns; fragments as in device/mma.h.
void mma(const MmaShape& shape, void* d, const uint32_t* a, const uint32_t* b, int rows,
         int columns, Where where);

// ---- cp.async --------------------------------------------------------------------------------

struct Copy {
  void* to;
  const void* from;
  int size, bytes;  ///< written, and of those read
};

/// Checks and notes a copy. True if it is to be made now; else the caller spoils the destination,
/// hides it, and makes the copy when next_copy says so.
bool issue_copy(const Copy& copy, Where where);
void hide_destination(void* p, int bytes);
void commit_copies(Where where);
/// The next copy to be made before all but `newest` groups are complete; false if there is none.
bool next_copy(int newest, Copy& copy, Where where);

// ---- named barriers, dependent launches ------------------------------------------------------

void named_barrier(int id, int threads, bool waits, Where where);
void grid_dependency_wait();

}  // namespace gg::sim
