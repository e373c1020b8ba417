#include <check.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/skepd/heap_io.h"
#include "cmd/skepd/pages_io.h"
#include "tests/support/support.h"

Suite *suite_heap_io(void);

#define DEEP_BYTES    ((size_t)384 << 10)
#define PATIENCE_MS   60000
#define LOOK_AGAIN_MS 4000 // rarely: sanitizers make measuring work, and who works is not idle
// Less than what libc alone has of text; sanitizers map files of their own, which stay.
#define PROGRAM_KB 1024

struct use {
    long own_kb, files_kb;
};

// Exact, which the figures of /proc/self/status are not on every kernel.
static struct use measure(void)
{
    char line[256];
    long all_kb = -1, own_kb = -1;
    FILE *file = fopen("/proc/self/smaps_rollup", "r");
    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, "Rss:", 4) == 0)
            all_kb = strtol(line + 4, NULL, 10);
        if (strncmp(line, "Anonymous:", 10) == 0)
            own_kb = strtol(line + 10, NULL, 10);
    }
    fclose(file);
    ck_assert_int_ge(own_kb, 0);
    ck_assert_int_ge(all_kb, own_kb);
    return (struct use){.own_kb = own_kb, .files_kb = all_kb - own_kb};
}

// Uses much of the stack, once.
static __attribute__((noinline)) unsigned go_deep(void)
{
    volatile unsigned char room[DEEP_BYTES];
    unsigned sum = 0;
    for (size_t i = 0; i < sizeof room; i += 512)
        room[i] = (unsigned char)i;
    for (size_t i = 0; i < sizeof room; i += 512)
        sum += room[i];
    return sum;
}

#define PAGE_BYTES 4096

static __attribute__((no_sanitize("address"))) int read_object(struct dl_phdr_info *object,
                                                               size_t size, void *arg)
{
    unsigned *sum = arg;
    (void)size;
    for (size_t i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        const volatile uint8_t *at =
            (const volatile uint8_t *)(object->dlpi_addr + segment->p_vaddr);
        if (segment->p_type != PT_LOAD || (segment->p_flags & PF_W))
            continue;
        for (size_t k = 0; k < segment->p_filesz; k += PAGE_BYTES)
            *sum += at[k];
    }
    return 0;
}

// Maps every page of text and constants: a fork of a program begins with few.
static unsigned read_program(void)
{
    unsigned sum = 0;
    dl_iterate_phdr(read_object, &sum);
    return sum;
}

// Goal: text, constants and what the stack held once go, and the program runs on as before.
START_TEST(heap_pages_go_and_come_back)
{
    unsigned sum = go_deep(), bytes = read_program();
    struct use before = measure();
    pages_let_go();
    struct use after = measure();
    ck_assert_int_lt(after.files_kb, before.files_kb - PROGRAM_KB);
    ck_assert_int_lt(after.own_kb, before.own_kb - (long)(DEEP_BYTES >> 11));
    ck_assert_uint_eq(go_deep(), sum);
    ck_assert_uint_eq(read_program(), bytes);
}
END_TEST

struct watch {
    struct loop loop;
    struct loop_timer again;
    long files_kb;
    unsigned left;
};

static void look_again(struct loop_timer *timer)
{
    struct watch *watch = CONTAINER_OF(timer, struct watch, again);
    if (measure().files_kb < watch->files_kb)
        loop_stop(&watch->loop);
    else if (watch->left-- > 0)
        loop_timer_start(timer, LOOK_AGAIN_MS);
    else
        ck_abort_msg("an idle process keeps its pages");
}

// Goal: a process that does nothing gives them back by itself.
START_TEST(heap_of_an_idle_process_settles)
{
    struct watch watch = {.left = PATIENCE_MS / LOOK_AGAIN_MS};
    struct heap heap;
    loop_init(&watch.loop);
    heap_start(&heap, &watch.loop);
    loop_timer_init(&watch.again, &watch.loop, look_again);
    loop_timer_start(&watch.again, LOOK_AGAIN_MS);
    (void)read_program();
    watch.files_kb = measure().files_kb - PROGRAM_KB;
    loop_run(&watch.loop);
    heap_stop(&heap);
    loop_fini(&watch.loop);
}
END_TEST

Suite *suite_heap_io(void)
{
    Suite *suite = suite_create("heap_io");
    TCase *tcase = tcase_create("heap");
    tcase_set_timeout(tcase, 2 * PATIENCE_MS / 1000.0);
    tcase_add_test(tcase, heap_pages_go_and_come_back);
    tcase_add_test(tcase, heap_of_an_idle_process_settles);
    suite_add_tcase(suite, tcase);
    return suite;
}
