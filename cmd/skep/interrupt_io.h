// Ctrl-C while something is waited for: noticed instead of fatal.
#ifndef CMD_SKEP_INTERRUPT_IO_H
#define CMD_SKEP_INTERRUPT_IO_H

#include "cmd/skep/cli_io.h"

struct interrupt {
    struct cli *cli;
    uv_signal_t signals[3]; // INT, TERM, WINCH
    unsigned open;
    bool hit;
    int number;   // of the signal that hit
    bool resized; // the terminal has another size; whoever looks clears it
};

void interrupt_open(struct interrupt *interrupt, struct cli *cli);
void interrupt_close(struct interrupt *interrupt);

// Waits so long, or less when one comes (or the terminal changes its size); true once one came.
bool interrupt_wait(struct interrupt *interrupt, int64_t ms);

#endif
