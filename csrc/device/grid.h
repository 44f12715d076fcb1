// Waiting for the whole grid. Only in kernels started by launch_cooperative. Not part of device.h,
// because the toolkit's header is large.
#pragma once

#include "device/platform.h"

#if !GG_SIMULATOR
#include <cooperative_groups.h>
#endif

namespace gg {

/// Returns when every thread of the grid has called it; writes before it are visible after it.
GG_DEVICE void grid_sync(GG_WHERE_ONLY) {
#if GG_SIMULATOR
  sim::grid_sync(where);
#else
  cooperative_groups::this_grid().sync();
#endif
}

}  // namespace gg
