// The Engine API as the commands use it: ask and wait, follow a stream, or take a connection over.
//
// The version is agreed on with the first call (GET /_ping), unless DOCKER_API_VERSION says one.
#ifndef CMD_SKEP_CLIENT_IO_H
#define CMD_SKEP_CLIENT_IO_H

#include "cmd/skep/cli_io.h"
#include "proto/http/client_io.h"

// The newest version of the API that the commands know, and the oldest they can do with.
#define CLIENT_API_MAX 43
#define CLIENT_API_MIN 24

// Most bytes of an answer that is collected.
#define CLIENT_ANSWER_BYTES_MAX ((size_t)256 << 20)

void client_close(struct cli *cli); // harmless when there is none

// "1.41": the version agreed on; NULL with cli->error. The minor number alone, or -1.
const char *client_version(struct cli *cli);
int client_minor(struct cli *cli);
const char *client_host(struct cli *cli); // "unix:///run/skep/skep.sock", for messages

// ---- ask and wait -------------------------------------------------------------------------------

// The answer's JSON, kept by the run; json null for an answer without a body. NULL with cli->error
// ("Error response from daemon: ...") and cli->status. `target` is without the version; `body` (may
// be NULL) stays the caller's.
json_t *api(struct cli *cli, const char *method, const char *target, json_t *body);
json_t *api_get(struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
json_t *api_auth(struct cli *cli, const char *method, const char *target, json_t *body,
                 const char *registry_auth); // X-Registry-Auth; NULL: none

// The last answer's own text, valid until the next call.
const char *api_text(struct cli *cli, size_t *size);

// Text as a part of a target.
const char *escape(struct cli *cli, const char *text);

// "&name=value" (escaped), or "" when the value is empty.
const char *parameter(struct cli *cli, const char *name, const char *value);

// ---- streams ------------------------------------------------------------------------------------

struct stream;

struct stream_request {
    const char *method, *target;
    json_t *body;              // JSON, or NULL
    const char *registry_auth; // or NULL
    int upload_fd;             // a body read from there instead; -1: none
    const char *upload_type;   // its content type
    bool upgrade;              // the connection becomes ours
    // Each piece of a good answer. NULL: it is collected. False breaks the stream off.
    bool (*on_data)(void *owner, const uint8_t *bytes, size_t size);
    void *owner;
};

// Starts; the run's loop moves it.
struct stream *stream_start(struct cli *cli, const struct stream_request *request);

// Whether it is over; what its head says of the header (NULL: nothing), once it is there.
bool stream_done(const struct stream *stream);
bool stream_has_head(void *stream); // there is a good head, or the end; for loop_run_until
const char *stream_header(const struct stream *stream, const char *name);

// Waits for the head of the answer, or for the end. 0, or a negative code with cli->error.
int stream_wait_head(struct stream *stream);
int stream_wait(struct stream *stream);

// Of an upgraded stream: its connection, whose handler the caller sets; NULL when it was refused.
struct conn *stream_conn(struct stream *stream);

// Breaks it off if need be and frees it.
void stream_free(struct stream *stream);

// All of it at once: 0, or a negative code with cli->error.
int stream_run(struct cli *cli, const struct stream_request *request);

// Runs the loop until `done` says so.
void client_wait(struct cli *cli, bool (*done)(void *context), void *context);

#endif
