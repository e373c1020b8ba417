// A control desk for tests: the services of manager/control on an abstract socket, a store over a
// fake log that commits at once, and a client that waits for its answers.
#ifndef TESTS_UNIT_MANAGER_CONTROL_DESK_H
#define TESTS_UNIT_MANAGER_CONTROL_DESK_H

#include "manager/control/control.h"
#include "manager/control/watch_rpc.h"
#include "proto/rpc/client_io.h"
#include "proto/wire/control.pb-c.h"
#include "tests/support/fake_log.h"
#include "tests/support/fake_objects.h"

#define CONTROL(name) "/docker.swarmkit.v1.Control/" name
#define DESK_NODE     "node0000000000000000000ours"

struct desk {
    struct fake_log log;
    struct loop loop;
    struct arena arena; // what tests and answers are made in
    struct control_desk control;
    struct watchers *watchers;
    struct rpc_server *server;
    struct rpc_client *client;
};

extern struct desk desk;

void desk_set_up(void);
void desk_tear_down(void);

// Runs the loop, committing what is proposed, until the flag is set; fails the test after 10 s.
void desk_wait(const bool *flag);

// A call of the method, answered: the response, or NULL with *err filled (err NULL: the test fails
// then).
const void *desk_call(const char *path, const void *request, struct err *err);

// Puts an object into the store.
void desk_put(enum object_type type, void *object);

// The message of an object of the store, in the desk's arena; NULL when there is none.
void *desk_get(enum object_type type, const char *id);

#endif
