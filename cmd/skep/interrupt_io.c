#include "cmd/skep/interrupt_io.h"

#include <signal.h>
#include <sys/ioctl.h>

static void on_signal(uv_signal_t *handle, int number)
{
    struct interrupt *interrupt = handle->data;
    struct winsize size;
    if (number != SIGWINCH) {
        interrupt->hit = true;
        interrupt->number = number;
    } else if (ioctl(1, TIOCGWINSZ, &size) == 0 && size.ws_col) {
        interrupt->cli->terminal.columns = size.ws_col;
        interrupt->cli->terminal.rows = size.ws_row;
        interrupt->resized = true;
    }
}

void interrupt_open(struct interrupt *interrupt, struct cli *cli)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGWINCH};
    *interrupt = (struct interrupt){.cli = cli};
    for (unsigned i = 0; i < 3; i++) {
        uv_signal_init(&cli_loop(cli)->uv, &interrupt->signals[i]);
        interrupt->signals[i].data = interrupt;
        uv_signal_start(&interrupt->signals[i], on_signal, numbers[i]);
        interrupt->open++;
    }
}

static void on_closed(uv_handle_t *handle)
{
    struct interrupt *interrupt = handle->data;
    interrupt->open--;
}

static bool all_closed(void *context)
{
    const struct interrupt *interrupt = context;
    return interrupt->open == 0;
}

void interrupt_close(struct interrupt *interrupt)
{
    for (unsigned i = 0; i < 3; i++)
        uv_close((uv_handle_t *)&interrupt->signals[i], on_closed);
    loop_run_until(cli_loop(interrupt->cli), all_closed, interrupt, 1000);
}

static bool something_came(void *context)
{
    const struct interrupt *interrupt = context;
    return interrupt->hit || interrupt->resized;
}

bool interrupt_wait(struct interrupt *interrupt, int64_t ms)
{
    say_flush(interrupt->cli);
    loop_run_until(cli_loop(interrupt->cli), something_came, interrupt, ms);
    return interrupt->hit;
}
