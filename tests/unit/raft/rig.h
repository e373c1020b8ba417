// Members of a Raft group over real disks and a transport in memory, on one loop, for the tests of
// this folder.
#ifndef TESTS_UNIT_RAFT_RIG_H
#define TESTS_UNIT_RAFT_RIG_H

#include <stdbool.h>

#include "proto/base/loop_io.h"
#include "proto/base/map.h"
#include "raft/node_io.h"

#define RIG_NODES_MAX 4
#define RIG_WAIT_MS   60000

// One member: its store is a map from key to value, its entries are "key=value".
struct rig_member {
    struct transport transport; // first: found again from the callbacks
    int number;                 // raft id - 100
    bool cut;                   // its messages go nowhere
    struct raft_node *node;
    struct map store;
    int applied_foreign;
    bool stopped;
    bool closed;
    uint64_t removed_peer; // the last one its transport was told to let go
    struct raft_node_role role;
    size_t members;
};

extern struct loop rig_loop;
extern const char *rig_folder; // of the test; a member's is "<number>" in it
extern struct rig_member rig_nodes[RIG_NODES_MAX];

// The fixture of each test; the end closes whoever is open.
void rig_setup(void);
void rig_teardown(void);

// A member opens its folder; then it founds a group or joins one, or has been a member; then it
// starts.
void rig_open(int number);
void rig_start(int number);
void rig_close(int number);
void rig_found(void); // 0 founds, starts and leads
void rig_join(int leader, int number);
void rig_change(int leader, enum raft_change_type type, int number);
bool rig_is_acting(void *rig_member); // for loop_run_until

struct rig_write {
    struct raft_proposal proposal;
    struct rig_member *m;
    char text[64];
    bool done;
    bool ok;
};

// Begins to write "key=value"; the result is raft_node_propose's.
int rig_write_start(int number, struct rig_write *w, const char *text);
bool rig_write_done(void *rig_write); // for loop_run_until
// The same, with success and to the end; many are k<first>=v<first> and so on, in one turn.
void rig_write_one(int number, const char *text);
void rig_write_many(int number, int first, int count);

// Waits until the member has that value.
void rig_expect(int number, const char *key, const char *value);

#endif
