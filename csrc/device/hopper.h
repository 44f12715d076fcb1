// All primitives that need Hopper (sm_90a). Not part of device.h.
//
// A kernel that uses them starts with `if constexpr (kDeviceHasHopper)`: for other architectures it
// compiles to nothing. A primitive that is reached there all the same traps.
#pragma once

#include "device/cluster.h"
#include "device/mbarrier.h"
#include "device/proxy.h"
#include "device/registers.h"
#include "device/tensor_map.h"
#include "device/tma.h"
#include "device/wgmma.h"
