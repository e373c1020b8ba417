# skep_room(...) makes the library of the folder it is called in; skep_program(...) a program
# besides; skep_packages(...) finds Debian's libraries. A room lists what it needs, and gets every
# .c file that lies in its folder.

# skep_packages(TARGET SCOPE pkg...): link pkg-config packages, or bare library names where a
# library ships no .pc file.
function(skep_packages target scope)
  foreach(pkg IN LISTS ARGN)
    string(MAKE_C_IDENTIFIER "PC_${pkg}" id)
    pkg_check_modules(${id} QUIET IMPORTED_TARGET GLOBAL ${pkg})
    if(TARGET PkgConfig::${id})
      target_link_libraries(${target} ${scope} PkgConfig::${id})
    else()
      string(MAKE_C_IDENTIFIER "LIB_${pkg}" lib)
      find_library(${lib} ${pkg} REQUIRED)
      target_link_libraries(${target} ${scope} ${${lib}})
    endif()
  endforeach()
endfunction()

# skep_room([DEPS room...] [PKGS package...] [GENERATED file.c...])
# A main.c is left out: it belongs to skep_program.
function(skep_room)
  cmake_parse_arguments(ROOM "" "" "DEPS;PKGS;GENERATED" ${ARGN})
  file(RELATIVE_PATH path ${CMAKE_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR})
  string(REPLACE "/" "_" name ${path})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.c)
  list(FILTER sources EXCLUDE REGEX "/main\\.c$")
  add_library(${name} STATIC ${sources} ${ROOM_GENERATED})
  string(REPLACE "/" "_" deps "${ROOM_DEPS}")
  target_link_libraries(${name} PUBLIC skep_flags ${deps})
  skep_packages(${name} PUBLIC ${ROOM_PKGS})
  set_property(GLOBAL APPEND PROPERTY SKEP_ROOM_TARGETS ${name})
endfunction()

# skep_program(NAME [as skep_room]): the folder's library, and from it with main.c the program
# build/NAME. Tests link the library.
function(skep_program program)
  skep_room(${ARGN})
  file(RELATIVE_PATH path ${CMAKE_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR})
  string(REPLACE "/" "_" library ${path})
  add_executable(${program} main.c)
  target_link_libraries(${program} PRIVATE ${library} skep_flags)
  set_target_properties(${program} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
endfunction()
