# Compiler and linker flags for everything Skep builds itself: strict warnings, hardened releases,
# sanitizer variants. Attached to targets through the interface library skep_flags.
add_library(skep_flags INTERFACE)
target_compile_definitions(skep_flags INTERFACE _GNU_SOURCE)
target_include_directories(skep_flags INTERFACE ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR}/gen)
target_compile_options(skep_flags INTERFACE
  -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wpointer-arith
  -Wformat=2 -Wundef -Wwrite-strings -Wimplicit-fallthrough -Wno-missing-field-initializers
  # Cutting text at a bound is what snprintf is for here, and long literals are wrapped.
  $<$<C_COMPILER_ID:GNU>:-Wno-format-truncation> $<$<C_COMPILER_ID:Clang>:-Wno-string-concatenation>
  -fno-strict-aliasing -fno-common)
if(SKEP_WERROR)
  target_compile_options(skep_flags INTERFACE -Werror)
endif()

if(SKEP_SANITIZE STREQUAL "address")
  set(sanitize -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
elseif(SKEP_SANITIZE STREQUAL "thread")
  set(sanitize -fsanitize=thread -fno-omit-frame-pointer)
elseif(SKEP_SANITIZE)
  message(FATAL_ERROR "SKEP_SANITIZE is '${SKEP_SANITIZE}'; it takes 'address' or 'thread'")
endif()

if(sanitize)
  target_compile_options(skep_flags INTERFACE ${sanitize})
  target_link_options(skep_flags INTERFACE ${sanitize})
else()
  # _FORTIFY_SOURCE=3 and CET as security.md asks; they need optimisation, which every
  # CMAKE_BUILD_TYPE we use but Debug has.
  target_compile_options(skep_flags INTERFACE
    -fstack-protector-strong -fstack-clash-protection -fcf-protection=full
    $<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE> $<$<NOT:$<CONFIG:Debug>>:-D_FORTIFY_SOURCE=3>)
  target_link_options(skep_flags INTERFACE -pie -Wl,-z,relro,-z,now,-z,noexecstack)
endif()
target_link_options(skep_flags INTERFACE -Wl,--as-needed)

# Where the tables hold pointers is told as bits, not as 24 bytes for each: 0.2 MB less of the
# program to read, and to keep mapped, in each process.
include(CheckLinkerFlag)
check_linker_flag(C -Wl,-z,pack-relative-relocs SKEP_PACKS_RELOCATIONS)
if(SKEP_PACKS_RELOCATIONS)
  target_link_options(skep_flags INTERFACE -Wl,-z,pack-relative-relocs)
endif()

if(SKEP_FUZZ)
  # Rooms tell libFuzzer which branches an input takes; fuzzers themselves link its main.
  target_compile_options(skep_flags INTERFACE -fsanitize=fuzzer-no-link)
  target_link_options(skep_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

find_program(CCACHE ccache)
if(CCACHE AND NOT CMAKE_C_COMPILER_LAUNCHER)
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
endif()
find_package(PkgConfig REQUIRED)
