// The pages of programs and libraries a process has mapped but no longer uses.
//
// Reading one page of a program maps the fifteen around it, and what only its start needed stays
// mapped for months: most of what an idle process of skepd seems to use. What is let go costs
// nothing to have again while the system still keeps it, and what nobody uses the system can then
// have back without looking for who still might.
#ifndef CMD_SKEPD_PAGES_IO_H
#define CMD_SKEPD_PAGES_IO_H

// Lets go of all program text and constants, which come back from their files as they are used, and
// of the part of the caller's stack below what is in use. The caller runs on the main thread.
void pages_let_go(void);

#endif
