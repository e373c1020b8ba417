// The commands as one table: usage, options and handler of each. Dispatch, help, suggestions, shell
// completion and the man pages all read it.
#ifndef CMD_SKEP_COMMAND_H
#define CMD_SKEP_COMMAND_H

#include "cmd/skep/cli_io.h"

#define COMMAND_STOPS  1u // what follows the first argument is not looked at for options
#define COMMAND_HIDDEN 2u // not listed

// No upper limit to the number of arguments.
#define COMMAND_MANY 1000000

struct command {
    const char *path;  // "service create"
    const char *usage; // "[OPTIONS] IMAGE [COMMAND] [ARG...]"
    const char *summary;
    const struct flag *flags;
    int (*run)(struct cli *cli); // returns the exit status
    int least, most;             // arguments
    unsigned options;
    const char *completes; // what its arguments are: "service", "node", "file" ... NULL: nothing
};

// A word that stands for a command's path: "docker ps" is "container ls".
struct command_alias {
    const char *path, *of;
};

// What a group of commands is for.
struct command_group {
    const char *path, *summary;
};

struct command_table {
    const struct command *const *groups; // arrays ended by a row without a path
    size_t groups_count;
};

extern const struct flag global_flags[];
extern const struct command_group command_groups[];
extern const struct command_alias command_aliases[];

// Each noun's rows, ended by a row without a path.
extern const struct command swarm_commands[], node_commands[], network_commands[],
    service_commands[], secret_commands[], stack_commands[], container_commands[], image_commands[],
    volume_commands[], system_commands[], overview_commands[], run_commands[], generate_commands[],
    context_commands[], copy_commands[], login_commands[], stats_commands[], update_commands[],
    commit_commands[], context_move_commands[], df_commands[];

// Walks all commands: start with *at = 0; NULL at the end.
const struct command *command_next(size_t *at);

// The command of that path (or of an alias of it); NULL when there is none.
const struct command *command_find(const char *path);
const struct command_group *command_group_find(const char *path);

// The path most like the one given, for "did you mean"; NULL when none is near.
const char *command_nearest(const char *path);

// Help of one command, and the list of commands below a group ("" is the whole program).
void help_command(struct cli *cli, const struct command *command, struct buf *out);
void help_group(struct cli *cli, const char *group, struct buf *out);
void help_flags(const struct flag *flags, size_t width, struct arena *arena, struct buf *out);

// Takes the command line apart and runs the command: the exit status.
int command_main(struct cli *cli, int argc, char *const argv[]);

#endif
