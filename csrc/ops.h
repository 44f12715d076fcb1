// The kernel contract: every raw operation, once.
//
// Implemented by _cuda (csrc/kernels by nvcc), _sim (the same files by g++ on csrc/sim) and, for
// the part marked so, _cpu (csrc/cpu). The specification of each is the function of the same name
// in gpugrad/backends/reference. bind.cpp gives them to Python under these names.
//
// Conventions, unless a comment says otherwise:
//   - Outputs are overwritten (=), never accumulated into, and never read.
//   - Arrays have any strides; inputs broadcast to the output's shape where it says "broadcast".
//   - float16 and bfloat16 are computed and accumulated in float32 and rounded once.
//   - An output may be the very same array as an input of element-wise operations, else no overlap.
//   - Size 0 is legal everywhere and does nothing beyond what the mathematics says.
//   - Nothing is allocated. Workspaces are asked for by size, in bytes, through *_workspace.
//   - Deterministic: same inputs, same bits, whatever the schedule. No float atomics.
//   - Shapes and dtypes are checked; a violation throws std::invalid_argument naming the operation.
//   - `flag` is int64[4] on the device, zero when all is well. An index out of range writes
//     {code, index, limit, axis} once (first wins) and the kernel goes on with a legal index.
#pragma once

#include "ops/arrays.h"
#include "ops/attention.h"
#include "ops/images.h"
#include "ops/norms.h"
#include "ops/text.h"
#include "ops/updates.h"
