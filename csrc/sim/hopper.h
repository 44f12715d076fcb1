// The simulator's functions behind the Hopper primitives of csrc/device.
#pragma once

#include "sim/runtime.h"

namespace gg::sim {

/// The address of p in its block's shared memory window; an error if it is not there.
uint32_t shared_address(const void* p, const char* name, Where where);

// ---- mbarriers -------------------------------------------------------------------------------

void mbarrier_init(uint64_t* barrier, unsigned count, Where where);
void mbarrier_invalidate(uint64_t* barrier, Where where);
/// Expects `bytes` more in this phase, then arrives `arrivals` times (0: only expects).
void mbarrier_arrive(uint64_t* barrier, unsigned bytes, unsigned arrivals, Where where);
void mbarrier_arrive_remote(uint64_t* barrier, unsigned rank, Where where);
bool mbarrier_test(uint64_t* barrier, unsigned parity, Where where);
void mbarrier_wait(uint64_t* barrier, unsigned parity, Where where);
void fence_mbarrier_init(Where where);

// ---- TMA -------------------------------------------------------------------------------------

constexpr int kMaxTensorRank = 5;

/// What the simulator's tensor maps hold; dimension 0 is the contiguous one.
struct TensorMapData {
  char* base;
  int64_t dim[kMaxTensorRank], stride[kMaxTensorRank];  ///< stride in bytes
  int type;                                             ///< gg::TensorType
  int rank, element_bytes, swizzle_bytes;
  int box[kMaxTensorRank];  ///< tiled
  int im2col;               ///< 1: the members below are used instead of box
  int lower[3], upper[3], step[3], channels, pixels;
  int valid;  ///< kTensorMapValid
};
constexpr int kTensorMapValid = 0x7e45;

struct TmaCoordinates {
  int rank;
  int c[kMaxTensorRank];
  int offset[3];  ///< im2col
};

enum class TmaReduce { none, add, min, max };

/// mask: the blocks of the cluster that get the box; 0 means this one.
void tma_load(void* shared, const TensorMapData* map, uint64_t* barrier, const TmaCoordinates& at,
              bool im2col, bool multicast, unsigned mask, Where where);
void tma_store(const TensorMapData* map, const void* shared, const TmaCoordinates& at,
               TmaReduce reduce, Where where);
void bulk_load(void* shared, const void* global, unsigned bytes, uint64_t* barrier, Where where);
void bulk_store(void* global, const void* shared, unsigned bytes, Where where);
void tma_commit(Where where);
/// Returns when all but the newest `groups` committed groups are complete (`read`: have read their
/// shared memory).
void tma_wait(unsigned groups, bool read, Where where);
void tma_prefetch(const TensorMapData* map, Where where);

// ---- wgmma -----------------------------------------------------------------------------------

enum class WgmmaType { f16, bf16, tf32, e4m3, e5m2, s8, u8 };

/// One wgmma as a thread gives it.
struct WgmmaCall {
  WgmmaType a_type, b_type;
  int n;
  bool trans_a, trans_b, accumulate;
  uint32_t* d;        ///< n / 2 floats or int32
  const uint32_t* a;  ///< 4 registers, or null: a_descriptor
  uint64_t a_descriptor, b_descriptor;
};

uint64_t wgmma_descriptor(const void* shared, unsigned leading_bytes, unsigned stride_bytes,
                          int swizzle_bytes, Where where);
void wgmma(const WgmmaCall& call, Where where);
void wgmma_fence(Where where);
void wgmma_commit(Where where);
void wgmma_wait(unsigned groups, Where where);

// ---- clusters --------------------------------------------------------------------------------

unsigned cluster_rank();
unsigned cluster_size();
void cluster_arrive(Where where);
void cluster_wait(Where where);
/// The other block's object at the same place as p.
void* cluster_map(const void* p, unsigned rank, Where where);

// ---- the asynchronous proxy ------------------------------------------------------------------

/// This thread's earlier writes become visible to TMA and wgmma.
void fence_proxy_async(Where where);

}  // namespace gg::sim
