// What the attachment*_io.c files share.
#ifndef AGENT_ATTACHMENTS_PRIV_IO_H
#define AGENT_ATTACHMENTS_PRIV_IO_H

#include "agent/attachments_io.h"
#include "agent/net/order.h"
#include "agent/net/sandbox.h"
#include "proto/base/list.h"

#define ATTACHMENTS_MAGIC      0x61747473u
#define ATTACHMENTS_MEMORY_MAX (1u << 20) // of one attachment, its task, or a container's frame

struct attachments {
    struct executor executor; // first: tasks come with it
    unsigned magic;
    struct attachments_config config;
    attachments_describe *describe;
    void *describe_owner;
    struct list berths;   // berth.link
    struct list partings; // parting.link: tasks to be given back
    struct loop_timer part;
};

// One container's sandbox, and who is in it.
struct berth {
    struct list link;
    struct attachments *home;
    struct arena arena;
    struct attachment_frame frame; // copied
    struct list all;               // attachment.link
    struct list waits;             // berth_wait.link
    struct loop_timer go;
    bool fresh;   // what the container had before is still to be taken away
    bool present; // the sandbox is there
    bool adopt;   // the container runs already
    bool dirty;   // it is to be brought to what it should be
    bool making;  // nets has still to answer
};

struct berth_wait {
    struct list link;
    void (*done)(void *owner);
    void *owner;
};

// One network of one container.
struct attachment {
    struct list link;
    struct attachments *home;
    struct berth *berth;
    struct arena arena;
    struct attachment_wish wish; // copied
    char *task_id;               // NULL: not known yet
    struct rpc_request *request; // asking
    struct loop_timer retry, limit;
    struct loop_later later; // tells what ended the waiting
    struct err err;
    attachments_made *made; // NULL: told
    void *owner;
    bool ended;    // err is to be told; it takes no part any more
    bool assigned; // `network` is known
    bool placed;   // in the sandbox that is being made
    bool up;
    struct order_network network;
    struct feed_server servers[RESOLVER_UPSTREAMS_MAX]; // of the host
    size_t servers_count;
    char endpoint[SANDBOX_ENDPOINT_BYTES];
};

struct parting {
    struct list link;
    struct attachments *home;
    struct rpc_request *request;
    char task_id[];
};

// berth_io.c
struct berth *berth_find(const struct attachments *home, const char *container);
// `adopt`: the container runs, and has a sandbox since before this life of ours.
struct berth *berth_new(struct attachments *home, const struct attachment_frame *frame, bool adopt);
void berth_free(struct berth *berth);
// The frame is copied; false when it is too large.
bool berth_frame(struct berth *berth, const struct attachment_frame *frame);
// Brings the sandbox to what it should be, so much later.
void berth_go(struct berth *berth, int64_t delay_ms);
void berth_wait(struct berth *berth, void (*done)(void *owner), void *owner);

// attachments_io.c
struct attachment *attachment_open(struct berth *berth, const struct attachment_wish *wish);
void attachment_close(struct attachment *attachment);
// It takes no part any more: who waits is told why (NULL: it was given up), in a later turn.
void attachment_end(struct attachment *attachment, const struct err *why);
// What it came to is told.
void attachment_tell(struct attachment *attachment);
void attachment_give_back(struct attachments *home, const char *task_id);
bool attachment_is_on(const struct attachment *attachment, const char *network);
struct attachment *attachment_find(const struct attachments *home, const char *container,
                                   const char *network);

// attachment_tasks_io.c
extern const struct executor_class attachment_tasks;

#endif
