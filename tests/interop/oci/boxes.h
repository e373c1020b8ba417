// Containers of the OCI runtime's proofs: each test starts a runtime of its own in an empty folder
// and must leave nothing behind.
#ifndef TESTS_INTEROP_OCI_BOXES_H
#define TESTS_INTEROP_OCI_BOXES_H

#include <check.h>

#include "agent/oci/runtime_io.h"

#define WAIT_MS 60000

// The runtime of this test, and what it told last.
extern struct boxes {
    char dir[256];
    char root[300];
    char state[300];
    char log[300];
    struct loop loop;
    struct runtime *runtime;
    int exits;
    struct runtime_exit exit;
    char exit_id[OCI_ID_CHARS_MAX + 1];
    int fds_before;
} boxes;

// The fixture of each test; its end fails the test where something is left.
void boxes_setup(void);
void boxes_teardown(void);
// The runtime anew, in the same folder.
void boxes_open(void);

struct answer {
    int count;
    struct err err;
};

// Of calls whose owner is an answer; whether it is there; and it is waited for: 0 or a negative
// code.
void box_on_done(void *owner, const struct err *err);
bool box_has_answer(void *owner);
int box_await(struct answer *answer);
// Fails the test with the answer's words unless rc is 0.
void box_must(int rc, const struct answer *answer);
void box_await_exits(int count);

struct oci_container box_spec(const char *id, const char *const *args, size_t count);
#define BOX_SHELL(id, script) box_spec(id, (const char *const[]){"sh", "-c", script}, 3)

int box_create(const struct oci_container *spec, struct answer *answer);
int box_start(const char *id, struct answer *answer);
void box_begin(const struct oci_container *spec); // both, without fail
void box_delete(const char *id);
// Runs the container to its end and takes it away; its standard output comes back.
const char *box_run(const struct oci_container *spec);
// Everything the container wrote on the stream, in one text, until the next call.
const char *box_output(int stream);
// Waits for the container's script to say "ready".
void box_await_ready(void);

// The tests, each a noun's.
void oci_life_tests(TCase *tcase);
void oci_confinement_tests(TCase *tcase);
void oci_streams_tests(TCase *tcase);
void oci_crowd_tests(TCase *tcase);

#endif
