// Answers to users that come in a later turn of the loop, never inside of the call that asks, and
// not at all when whoever asked is gone by then.
#ifndef CMD_SKEPD_ANSWERS_IO_H
#define CMD_SKEPD_ANSWERS_IO_H

#include "agent/engine/backend.h"
#include "proto/base/list.h"
#include "proto/base/loop_io.h"

// Longest text of an answer, terminator included.
#define ANSWER_TEXT_BYTES 128

struct answers {
    struct loop *loop;
    struct list waiting;
};

void answers_init(struct answers *answers, struct loop *loop);

// Answers `owner`: `err` NULL or with ERR_OK is success, which comes with `text`. Both are copied.
void answers_send(struct answers *answers, backend_done *done, void *owner, const struct err *err,
                  const char *text);

// Whoever that is hears no answer any more.
void answers_forget(struct answers *answers, const void *owner);

#endif
