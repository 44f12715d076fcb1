# Finds nvcc, chooses architectures, adds _cuda.

# check_language(CUDA) would turn a broken nvcc into "no nvcc" in silence; this finds or fails.
if(NOT CMAKE_CUDA_COMPILER)
  find_program(CMAKE_CUDA_COMPILER nvcc
    HINTS "$ENV{CUDACXX}" ENV CUDA_HOME ENV CUDA_PATH
    PATHS /usr/local/cuda
    PATH_SUFFIXES bin)
  if(DEFINED ENV{CUDACXX})
    set(CMAKE_CUDA_COMPILER "$ENV{CUDACXX}" CACHE FILEPATH "nvcc" FORCE)
  endif()
endif()

if(NOT CMAKE_CUDA_COMPILER)
  unset(CMAKE_CUDA_COMPILER CACHE)
  if(GPUGRAD_CUDA STREQUAL "ON")
    message(FATAL_ERROR "gpugrad: GPUGRAD_CUDA=ON, but no nvcc was found in CUDACXX, PATH, "
      "CUDA_HOME, CUDA_PATH or /usr/local/cuda. `GPUGRAD_CUDA=ON pip install .` fetches one.")
  endif()
  message(WARNING "gpugrad: NO NVCC FOUND, building WITHOUT CUDA: device 'cuda' will not work. "
    "`GPUGRAD_CUDA=ON pip install .` fetches nvcc and builds it.")
  return()
endif()

if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  set(capabilities "")
  if(GPUGRAD_PRESET STREQUAL "default")
    execute_process(COMMAND nvidia-smi --query-gpu=compute_cap --format=csv,noheader
      OUTPUT_VARIABLE capabilities ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE
      RESULT_VARIABLE status)
    if(NOT status EQUAL 0)
      set(capabilities "")
    endif()
    string(REGEX MATCHALL "[0-9]+\\.[0-9]+" capabilities "${capabilities}")
    list(REMOVE_DUPLICATES capabilities)
    string(REPLACE "." "" capabilities "${capabilities}")
    list(TRANSFORM capabilities REPLACE "^(90|100|103)$" "\\1a")
    list(TRANSFORM capabilities APPEND "-real")
  endif()
  if(capabilities)
    set(CMAKE_CUDA_ARCHITECTURES "${capabilities}")
  elseif(GPUGRAD_PRESET STREQUAL "default")
    set(CMAKE_CUDA_ARCHITECTURES "80;90a-real;120-real")
  elseif(GPUGRAD_PRESET STREQUAL "release")
    set(CMAKE_CUDA_ARCHITECTURES "75;80-real;86-real;89-real;90a-real;100a-real;120-real")
  else()
    set(CMAKE_CUDA_ARCHITECTURES "90a-real")
  endif()
endif()

# Each kernel is translated to PTX once for sm_80 and everything plain after it (no kernel asks for
# more than sm_80 but where it names an architecture), and once for each of 75, 90a, ...: half the
# compile time is this step. Machine code is assembled for every architecture all the same.
set(plain ${CMAKE_CUDA_ARCHITECTURES})
list(TRANSFORM plain REPLACE "-(real|virtual)$" "")
set(gencode "")
foreach(target IN LISTS CMAKE_CUDA_ARCHITECTURES)
  string(REGEX REPLACE "-(real|virtual)$" "" sm "${target}")
  set(compute "${sm}")
  if(sm MATCHES "^[0-9]+$" AND sm GREATER 80 AND "80" IN_LIST plain)
    set(compute 80)
  endif()
  if(NOT target MATCHES "-virtual$")
    list(APPEND gencode "-gencode=arch=compute_${compute},code=sm_${sm}")
  endif()
  if(NOT target MATCHES "-real$")
    list(APPEND gencode "-gencode=arch=compute_${sm},code=compute_${sm}")
  endif()
endforeach()

set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
enable_language(CUDA)
if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 12.5)  # cudaGetDriverEntryPointByVersion
  set(old "${CMAKE_CUDA_COMPILER} is of CUDA ${CMAKE_CUDA_COMPILER_VERSION}; gpugrad needs 12.5")
  if(GPUGRAD_CUDA STREQUAL "ON")
    message(FATAL_ERROR "gpugrad: ${old} or later.")
  endif()
  message(WARNING "gpugrad: ${old} or later. Building WITHOUT CUDA.")
  return()
endif()

# "80;90a-real" -> "80,80+ptx,90a": what backends/cuda.py compares with the GPU it finds.
set(built_for ${CMAKE_CUDA_ARCHITECTURES})
list(TRANSFORM built_for REPLACE "^([0-9]+[af]?)$" "\\1,\\1+ptx")
list(TRANSFORM built_for REPLACE "-real$" "")
list(TRANSFORM built_for REPLACE "-virtual$" "+ptx")
list(JOIN built_for "," built_for)
message(STATUS "gpugrad: building _cuda with ${CMAKE_CUDA_COMPILER} for ${built_for}")

add_native_module(_cuda CUDA "${built_for}" ${core_sources} ${kernel_sources})
set_target_properties(_cuda PROPERTIES CUDA_ARCHITECTURES OFF)
# For nvcc, -O is about the host's half, which only starts kernels: more costs compile time alone.
set(CMAKE_CUDA_FLAGS_RELEASE "-O1 -DNDEBUG")
# CMake 3.25 does not know C++20 of nvcc 13, so the flag is given by hand.
set(cuda_flags ${gencode} -std=c++20 --compress-mode=size --Werror=all-warnings)
if(GPUGRAD_PRESET STREQUAL "developer")
  list(APPEND cuda_flags -Ofc=mid)
endif()
target_compile_options(_cuda PRIVATE "$<$<COMPILE_LANGUAGE:CUDA>:${cuda_flags}>")
# Philox normals are bit-equal on every device, so nothing in that file may be fused.
set_source_files_properties(csrc/kernels/random.cu PROPERTIES COMPILE_OPTIONS "-fmad=false")
