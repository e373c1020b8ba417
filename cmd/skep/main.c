// skep: drives a swarm. What it can do is the table in command.c.
#include <signal.h>

#include "cmd/skep/command.h"

int main(int argc, char *argv[])
{
    // Writing into a closed pipe is told by write(), and say_flush ends the program then.
    signal(SIGPIPE, SIG_IGN);
    struct cli cli;
    cli_init(&cli);
    int status = command_main(&cli, argc - 1, argv + 1);
    cli_fini(&cli);
    return status;
}
