// A server and a client of it on one loop, with a service of every kind of call, for the tests of
// this folder.
#ifndef TESTS_UNIT_PROTO_RPC_RIG_H
#define TESTS_UNIT_PROTO_RPC_RIG_H

#include "proto/base/buf.h"
#include "proto/base/loop_io.h"
#include "proto/rpc/client_io.h"
#include "proto/rpc/server_io.h"

// The service's methods; all are raw.
#define TEST_ECHO    "/test.Echo/Echo"  // unary: the request; metadata x-ask comes back as x-answer
#define TEST_COUNT   "/test.Echo/Count" // server streaming: as many as the request says
#define TEST_COLLECT "/test.Echo/Collect" // client streaming: the sum of the sizes, as a number
#define TEST_CHAT    "/test.Echo/Chat"    // bidirectional: every message
#define TEST_FAIL    "/test.Echo/Fail"    // NOT_FOUND, with details and a trailer
#define TEST_HANG    "/test.Echo/Hang"    // answers CANCELLED when it is cancelled, else never
#define TEST_FLOOD   "/test.Echo/Flood"   // server streaming: messages without end, as room allows
#define TEST_GUARDED "/test.Echo/Guarded" // unary, for managers only

#define RIG_WAIT_MS 30000

struct rig_options {
    bool tcp;         // else an abstract unix socket
    size_t threads;   // serving loops of their own; 0: the rig's
    bool home;        // the service lives on the rig's loop
    int64_t slow_ms;  // 0: the default
    int64_t grace_ms; // at the end
    struct tls_config *server_tls;
    struct tls_config *client_tls;
    const char *server_name;
    const struct authority *authority;
};

struct rig {
    struct loop loop;
    struct loop_thread *threads;
    struct rig_options options;
    struct rpc_server *server;
    struct rpc_client *client;
    struct addr addr;
    unsigned hanging;   // calls of TEST_HANG that came
    unsigned cancelled; // and that were cancelled
    unsigned flooded;   // messages TEST_FLOOD has sent
    bool server_closed;
    bool client_closed;
};

void rig_start(struct rig *rig, const struct rig_options *options); // NULL: none
void rig_stop(struct rig *rig);

// The server ends, as rpc_server_close has it; rig_stop then waits for that.
void rig_close_server(struct rig *rig, int64_t grace_ms);

// Another server, once the first is closed, maybe where it was.
void rig_serve(struct rig *rig, const struct addr *at);

// One call and what became of it.
struct rig_call {
    struct rpc_request *request; // NULL once done
    struct buf got;              // every message, one after the other
    size_t messages;
    size_t headers;
    bool done;
    bool pause_first; // pauses the call when its first message comes
    struct rpc_status status;
    uint8_t details[64];
    char header[64];  // x-answer
    char trailer[64]; // x-trailer
};

struct rig_call *rig_call(struct rig *rig, const char *path, enum rpc_kind kind, const void *bytes,
                          size_t size, int64_t timeout_ms);
void rig_call_free(struct rig_call *call);

// Runs the loop until the call is done.
void rig_wait(struct rig *rig, struct rig_call *call);

// Runs the loop until `*flag` reaches `wanted`.
void rig_until(struct rig *rig, const unsigned *flag, unsigned wanted);

// Runs the loop for a while, with nothing to wait for.
void rig_idle(struct rig *rig, int64_t ms);

#endif
