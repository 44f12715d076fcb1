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
    set(CMAKE_CUDA_ARCHITECTURES "80-virtual;90a-real")
  elseif(GPUGRAD_PRESET STREQUAL "release")
    set(CMAKE_CUDA_ARCHITECTURES "75;80-real;86-real;89-real;90a-real;100a-real;120-real")
  else()
    set(CMAKE_CUDA_ARCHITECTURES "90a-real")
  endif()
endif()

# nvcc's -gencode options for these targets in `result`. Half the compile time is the way to PTX, so
# a kernel goes it once, for sm_80 where that is a target, and from there to machine code of every
# later architecture.
function(gencode_options result)
  set(options "")
  foreach(target IN LISTS ARGN)
    string(REGEX REPLACE "-(real|virtual)$" "" sm "${target}")
    string(REGEX REPLACE "[af]$" "" number "${sm}")
    set(compute "${sm}")
    if(number GREATER 80 AND "${ARGN}" MATCHES "(^|;)80(-|;|$)")
      set(compute 80)
    endif()
    if(NOT target MATCHES "-virtual$")
      list(APPEND options "-gencode=arch=compute_${compute},code=sm_${sm}")
    endif()
    if(NOT target MATCHES "-real$")
      list(APPEND options "-gencode=arch=compute_${sm},code=compute_${sm}")
    endif()
  endforeach()
  set(${result} ${options} PARENT_SCOPE)
endfunction()

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
set(cuda_flags -std=c++20 --compress-mode=size --Werror=all-warnings)
if(GPUGRAD_PRESET STREQUAL "developer")
  list(APPEND cuda_flags -Ofc=mid)
endif()
target_compile_options(_cuda PRIVATE "$<$<COMPILE_LANGUAGE:CUDA>:${cuda_flags}>")
set(hopper_sources ${kernel_sources})
list(FILTER hopper_sources INCLUDE REGEX "hopper[^/]*$")
list(REMOVE_ITEM kernel_sources ${hopper_sources})
# Hopper's kernels are launched where runs_hopper_code says so, and built for nothing else. Without
# sm_90a they are never launched; the host's half is linked all the same. A file's name says which
# they are, not its folder's.
set(hopper_targets ${CMAKE_CUDA_ARCHITECTURES})
list(FILTER hopper_targets INCLUDE REGEX "^90a")
if(NOT hopper_targets)
  list(GET CMAKE_CUDA_ARCHITECTURES 0 hopper_targets)
endif()
gencode_options(shared ${CMAKE_CUDA_ARCHITECTURES})
gencode_options(hopper ${hopper_targets})
set_source_files_properties(${kernel_sources} PROPERTIES COMPILE_OPTIONS "${shared}")
set_source_files_properties(${hopper_sources} PROPERTIES COMPILE_OPTIONS "${hopper}")
# Philox normals are bit-equal on every device, so nothing in that file may be fused.
set_source_files_properties(csrc/kernels/random.cu PROPERTIES
  COMPILE_OPTIONS "${shared};-fmad=false")
