# cmake -DHEADERS_DIR=... -DNAMES="types;specs" -DOUT=registry.c -P registry.cmake
#
# Writes the list of every message descriptor in the generated headers: protobuf-c itself knows
# descriptors only by their C names.
set(includes "")
set(rows "")
foreach(name IN LISTS NAMES)
  file(STRINGS ${HEADERS_DIR}/${name}.pb-c.h lines
    REGEX "^extern const ProtobufCMessageDescriptor ")
  foreach(line IN LISTS lines)
    string(REGEX REPLACE "^extern const ProtobufCMessageDescriptor ([a-z0-9_]+).*" "\\1"
      id "${line}")
    string(APPEND rows "    &${id},\n")
  endforeach()
  string(APPEND includes "#include \"proto/wire/${name}.pb-c.h\"\n")
endforeach()
file(WRITE ${OUT} "// Made by proto/wire/registry.cmake.
#include \"proto/wire/registry.h\"

${includes}
const wire_type *const registry_types[] = {
${rows}};

const size_t registry_count = sizeof registry_types / sizeof registry_types[0];
")
