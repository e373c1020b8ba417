// A few lines that change in place on a terminal; elsewhere each is printed when it was not there
// the turn before.
#ifndef CMD_SKEP_PROGRESS_H
#define CMD_SKEP_PROGRESS_H

#include "cmd/skep/cli_io.h"

#define PROGRESS_LINES_MAX 64

struct progress {
    struct cli *cli;
    bool quiet;
    size_t drawn;         // lines that stand on the terminal now
    struct buf now, last; // the lines of this turn and of the one before
    size_t count;         // lines in `now`
    size_t beyond;        // lines that had no room
};

void progress_init(struct progress *progress, struct cli *cli, bool quiet);
void progress_begin(struct progress *progress);
void progress_line(struct progress *progress, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void progress_show(struct progress *progress);
void progress_end(struct progress *progress); // the lines stay; gives the memory back

// "[=====>    ]" for `done` of `total` steps, `width` characters in all (at least 4).
const char *progress_bar(size_t done, size_t total, size_t width, struct arena *arena);

// The escape sequences that replace `drawn` lines by `lines`, each cut at `columns`: what
// progress_show writes to a terminal.
void progress_redraw(size_t drawn, const char *lines, size_t columns, struct arena *arena,
                     struct buf *out);

#endif
