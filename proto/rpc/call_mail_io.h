// The mailbox of a call whose service has a home loop. The connection's loop and the home each own
// their part of the call and pass things to one another here, under a lock, each side with one post
// that is either out or not.
#ifndef PROTO_RPC_CALL_MAIL_IO_H
#define PROTO_RPC_CALL_MAIL_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/rpc/message.h"
#include "proto/rpc/status.h"

struct rpc_call;
struct call_mail;

struct call_mail *call_mail_new(struct rpc_call *call);
void call_mail_free(struct call_mail *mail);

// ---- from the connection's loop, for the home ---------------------------------------------------

void call_mail_start(struct call_mail *mail);
// Takes the message. False: the home is behind, and the stream is to be paused.
bool call_mail_message(struct call_mail *mail, struct incoming *incoming);
void call_mail_end(struct call_mail *mail);
// The stream has room again; `queued` bytes are in it.
void call_mail_writable(struct call_mail *mail, size_t queued);
void call_mail_cancel(struct call_mail *mail);

// ---- from the home, for the connection's loop ---------------------------------------------------

// Takes the frame, unless too much waits already: false.
bool call_mail_frame(struct call_mail *mail, uint8_t *bytes, size_t size);
// False: on_writable is due once there is.
bool call_mail_has_room(struct call_mail *mail);
void call_mail_pause(struct call_mail *mail, bool paused);
// The home does not look at the request's head any more.
void call_mail_drop_request(struct call_mail *mail);
// The call is not the home's any more. Details are copied.
void call_mail_finish(struct call_mail *mail, const struct rpc_status *status);

#endif
