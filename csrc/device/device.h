// The one header a kernel file includes: the CUDA language, and the house's device primitives.
//
// Every primitive is declared once and has two bodies: one for nvcc and one for the simulator
// (csrc/sim), which runs the same kernel files on the CPU.
#pragma once

#include "device/cache.h"
#include "device/cp_async.h"
#include "device/flag.h"
#include "device/launch.h"
#include "device/matrix.h"
#include "device/memory.h"
#include "device/mma.h"
#include "device/named_barrier.h"
#include "device/pdl.h"
#include "device/platform.h"
#include "device/shared.h"
#include "device/types.h"
#include "device/vec.h"
#include "device/warp.h"
