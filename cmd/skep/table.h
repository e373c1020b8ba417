// Tables of text: columns as wide as their widest cell, shrunk until they fit a terminal.
#ifndef CMD_SKEP_TABLE_H
#define CMD_SKEP_TABLE_H

#include <stddef.h>

#include "proto/base/arena.h"
#include "proto/base/buf.h"

#define TABLE_COLUMNS_MAX 32

// Appends `lines` (cells separated by tabs, ended by newlines) with the cells aligned: at least
// TABLE_CELL_MIN columns each and TABLE_GAP between them, as the docker command aligns. With
// `width` above 0 the widest columns give up space until a line fits, and cut cells end in an
// ellipsis; no column goes below TABLE_SHRINK_MIN.
#define TABLE_CELL_MIN   10
#define TABLE_GAP        3
#define TABLE_SHRINK_MIN 8
void table_align(const char *lines, size_t width, struct arena *arena, struct buf *out);

#endif
