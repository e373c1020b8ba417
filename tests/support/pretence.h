// An executor that only pretends: tasks come up at once and run until they are stopped. For tests
// of everything around containers.
#ifndef TESTS_SUPPORT_PRETENCE_H
#define TESTS_SUPPORT_PRETENCE_H

#include "agent/task/executor.h"
#include "proto/base/loop_io.h"

// One loop a process. Prints "started TASK" for each task that comes up.
struct executor pretence_executor(struct loop *loop);

#endif
