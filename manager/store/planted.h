// Mistakes that the simulator of managers must be able to find, one for each of its rules. In
// production builds they are not there at all; the copy of the planners that tests/sim builds for
// itself chooses one at run time.
#ifndef MANAGER_STORE_PLANTED_H
#define MANAGER_STORE_PLANTED_H

#define MANAGER_PLANTED_BUGS(X)                                                                    \
    X(NO_WAIT, "a replacement starts before the task it replaces has stopped")                     \
    X(TWICE, "a task that failed is replaced by two")                                              \
    X(NO_RESTART, "a task that failed is not replaced")                                            \
    X(ADDRESS_STOPPING, "the address of a task that is to stop is given out again")                \
    X(SAME_PORT, "a port is chosen that another service has")                                      \
    X(LIMIT, "the limit of tasks per node is not looked at")                                       \
    X(PASSIVE, "paused and drained nodes are given tasks")                                         \
    X(OVERCOMMIT, "what a node has left of its processors is not looked at")

enum manager_planted {
    MANAGER_PLANTED_NONE,
#define X(name, text) MANAGER_PLANTED_##name,
    MANAGER_PLANTED_BUGS(X)
#undef X
};

#ifdef SKEP_PLANTED_BUGS
extern enum manager_planted manager_planted; // the simulator's
#define PLANTED(name) (manager_planted == MANAGER_PLANTED_##name)
#else
#define PLANTED(name) false
#endif

#endif
