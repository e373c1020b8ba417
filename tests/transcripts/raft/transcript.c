// transcript_raft FILE: plays the commands of a transcript (lines that start with "> ") and
// compares what comes of them with what the file says. With SKEP_RECORD=1 the file is written anew
// instead.
//
//   found N                    members 1..N, all voters join ID                    a member with an
//   empty disk stock ID                   from now on ID looks like a SwarmKit member from outside
//   campaign ID                an election now          elect ID       ... and everything it takes
//   propose ID TEXT            read ID                  transfer ID TO add|remove|learner ID MEMBER
//   joint ID +MEMBER|-MEMBER ... deliver [FROM TO]          what is queued now (0: any)
//   drop [FROM TO] settle                     deliver until nothing is left cut A B   isolate ID
//   heal                         links pass MS                    time goes by; messages stay in
//   the queue run MS                     time goes by; messages arrive at once crash ID   start ID
//   hold-disk ID   sync ID     hold-apply ID   apply ID compact ID INDEX           unreachable ID
//   PEER status [ID]                queue quietly COMMAND            without what happens on the
//   way
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "tests/support/raft_group.h"

#define WORDS_MAX      12
#define LINE_MAX_BYTES 512
#define FILE_MAX       (1u << 20)

struct words {
    size_t count;
    char *word[WORDS_MAX];
};

static void split(char *line, struct words *words)
{
    words->count = 0;
    for (char *word = strtok(line, " "); word; word = strtok(NULL, " ")) {
        CHECK(words->count < WORDS_MAX);
        words->word[words->count++] = word;
    }
}

static uint64_t number(const struct words *words, size_t at)
{
    return at < words->count ? strtoull(words->word[at], NULL, 10) : 0;
}

static void outcome(struct group *group, int result, const struct err *err)
{
    if (result < 0)
        buf_printf(&group->text, "refused: %s\n", err->message);
}

// ---- commands -----------------------------------------------------------------------------------

static void do_status(struct group *group, const struct words *words)
{
    for (uint64_t id = 1; id <= GROUP_MEMBERS_MAX; id++)
        if (group->members[id].exists && (words->count == 1 || number(words, 1) == id))
            group_describe(group, id, &group->text);
}

static void do_queue(struct group *group, const struct words *words)
{
    (void)words;
    for (size_t i = 0; i < group->queue_count; i++) {
        group_describe_message(group->queue[i], &group->text);
        buf_put_str(&group->text, "\n");
    }
}

static void do_found(struct group *group, const struct words *words)
{
    group_found(group, number(words, 1));
}

static void do_join(struct group *group, const struct words *words)
{
    group_join(group, number(words, 1));
    group_start(group, number(words, 1));
}

static void do_stock(struct group *group, const struct words *words)
{
    group_at(group, number(words, 1))->stock = true;
}

static void do_campaign(struct group *group, const struct words *words)
{
    group_campaign(group, number(words, 1));
}

static void do_elect(struct group *group, const struct words *words)
{
    group_elect(group, number(words, 1));
}

static void do_propose(struct group *group, const struct words *words)
{
    struct err err = ERR_INIT;
    for (size_t i = 2; i < words->count; i++)
        outcome(group, group_propose(group, number(words, 1), words->word[i], &err), &err);
}

static void do_read(struct group *group, const struct words *words)
{
    struct err err = ERR_INIT;
    outcome(group, group_read(group, number(words, 1), &err), &err);
}

static void do_transfer(struct group *group, const struct words *words)
{
    struct err err = ERR_INIT;
    outcome(group, group_transfer(group, number(words, 1), number(words, 2), &err), &err);
}

static void do_change(struct group *group, const struct words *words)
{
    struct err err = ERR_INIT;
    enum raft_change_type type = RAFT_CHANGE_ADD;
    if (strcmp(words->word[0], "remove") == 0)
        type = RAFT_CHANGE_REMOVE;
    else if (strcmp(words->word[0], "learner") == 0)
        type = RAFT_CHANGE_ADD_LEARNER;
    outcome(group, group_change(group, number(words, 1), type, number(words, 2), &err), &err);
}

static void do_joint(struct group *group, const struct words *words)
{
    struct raft_conf_change change = {.v2 = true};
    for (size_t i = 2; i < words->count; i++)
        change.changes[change.changes_count++] =
            (struct raft_change){words->word[i][0] == '+' ? RAFT_CHANGE_ADD : RAFT_CHANGE_REMOVE,
                                 strtoull(words->word[i] + 1, NULL, 10)};
    struct err err = ERR_INIT;
    outcome(group, group_change_v2(group, number(words, 1), &change, &err), &err);
}

static void do_deliver(struct group *group, const struct words *words)
{
    group_deliver(group, number(words, 1), number(words, 2));
}

static void do_drop(struct group *group, const struct words *words)
{
    size_t count = group_drop(group, number(words, 1), number(words, 2));
    buf_printf(&group->text, "%zu lost\n", count);
}

static void do_settle(struct group *group, const struct words *words)
{
    (void)words;
    group_settle(group);
}

static void do_cut(struct group *group, const struct words *words)
{
    group->cut[number(words, 1)][number(words, 2)] = true;
    group->cut[number(words, 2)][number(words, 1)] = true;
}

static void do_isolate(struct group *group, const struct words *words)
{
    for (uint64_t id = 1; id <= GROUP_MEMBERS_MAX; id++) {
        group->cut[number(words, 1)][id] = true;
        group->cut[id][number(words, 1)] = true;
    }
}

static void do_heal(struct group *group, const struct words *words)
{
    (void)words;
    memset(group->cut, 0, sizeof group->cut);
}

static void do_pass(struct group *group, const struct words *words)
{
    group_pass(group, (int64_t)number(words, 1));
}

static void do_run(struct group *group, const struct words *words)
{
    group_run(group, (int64_t)number(words, 1));
}

static void do_crash(struct group *group, const struct words *words)
{
    group_crash(group, number(words, 1));
}

static void do_start(struct group *group, const struct words *words)
{
    group_start(group, number(words, 1));
    group_describe(group, number(words, 1), &group->text);
}

static void do_hold_disk(struct group *group, const struct words *words)
{
    group_at(group, number(words, 1))->hold_disk = true;
}

static void do_sync(struct group *group, const struct words *words)
{
    group_at(group, number(words, 1))->hold_disk = false;
    group_sync(group, number(words, 1));
}

static void do_hold_apply(struct group *group, const struct words *words)
{
    group_at(group, number(words, 1))->hold_apply = true;
}

static void do_apply(struct group *group, const struct words *words)
{
    group_at(group, number(words, 1))->hold_apply = false;
    group_apply(group, number(words, 1));
    group_turn(group, number(words, 1));
}

static void do_compact(struct group *group, const struct words *words)
{
    group_compact(group, number(words, 1), number(words, 2));
}

static void do_unreachable(struct group *group, const struct words *words)
{
    group_unreachable(group, number(words, 1), number(words, 2));
}

static const struct {
    const char *name;
    void (*run)(struct group *group, const struct words *words);
} commands[] = {
    {"found", do_found},
    {"join", do_join},
    {"stock", do_stock},
    {"campaign", do_campaign},
    {"elect", do_elect},
    {"propose", do_propose},
    {"read", do_read},
    {"transfer", do_transfer},
    {"add", do_change},
    {"remove", do_change},
    {"learner", do_change},
    {"joint", do_joint},
    {"deliver", do_deliver},
    {"drop", do_drop},
    {"settle", do_settle},
    {"cut", do_cut},
    {"isolate", do_isolate},
    {"heal", do_heal},
    {"pass", do_pass},
    {"crash", do_crash},
    {"start", do_start},
    {"hold-disk", do_hold_disk},
    {"sync", do_sync},
    {"hold-apply", do_hold_apply},
    {"apply", do_apply},
    {"compact", do_compact},
    {"unreachable", do_unreachable},
    {"status", do_status},
    {"queue", do_queue},
    {"run", do_run},
};

// False when there is no such command.
static bool run(struct group *group, char *line)
{
    bool quietly = strncmp(line, "quietly ", 8) == 0;
    struct words words;
    split(quietly ? line + 8 : line, &words);
    for (size_t i = 0; i < COUNT_OF(commands); i++) {
        if (words.count == 0 || strcmp(words.word[0], commands[i].name) != 0)
            continue;
        commands[i].run(group, &words);
        if (quietly)
            buf_clear(&group->text);
        return true;
    }
    return false;
}

// ---- the file -----------------------------------------------------------------------------------

static bool play(FILE *file, struct buf *said, struct buf *found)
{
    struct group *group = group_new();
    char line[LINE_MAX_BYTES];
    bool good = true;
    while (good && fgets(line, sizeof line, file)) {
        buf_put_str(said, line);
        bool command = strncmp(line, "> ", 2) == 0;
        if (line[0] != '#' && line[0] != '\n' && !command)
            continue; // what came of a command when it was recorded
        buf_put_str(found, line);
        line[strcspn(line, "\n")] = '\0';
        if (!command)
            continue;
        buf_clear(&group->text);
        char copy[LINE_MAX_BYTES];
        memcpy(copy, line, sizeof copy);
        good = run(group, line + 2);
        if (!good)
            fprintf(stderr, "no such command: %s\n", copy);
        buf_put(found, group->text.data, group->text.len);
    }
    group_free(group);
    return good;
}

static bool same(struct buf *said, struct buf *found, const char *path)
{
    const char *a = buf_cstr(said);
    const char *b = buf_cstr(found);
    if (strcmp(a, b) == 0)
        return true;
    int line = 1;
    const char *start = b;
    size_t at = 0;
    for (; a[at] && a[at] == b[at]; at++)
        if (b[at] == '\n') {
            line++;
            start = b + at + 1;
        }
    fprintf(stderr, "%s:%d: differs; now it is\n%.*s\n(SKEP_RECORD=1 records anew)\n", path, line,
            (int)strcspn(start, "\n"), start);
    return false;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s FILE\n", argv[0]);
        return EXIT_FAILURE;
    }
    FILE *file = fopen(argv[1], "r");
    if (!file) {
        perror(argv[1]);
        return EXIT_FAILURE;
    }
    struct buf said;
    struct buf found;
    buf_init(&said, FILE_MAX);
    buf_init(&found, FILE_MAX);
    bool good = play(file, &said, &found);
    fclose(file);
    CHECK(buf_ok(&found));
    const char *record = getenv("SKEP_RECORD");
    if (good && record && strcmp(record, "1") == 0) {
        file = fopen(argv[1], "w");
        good = file && fwrite(found.data, 1, found.len, file) == found.len;
        good = file && fclose(file) == 0 && good;
    } else if (good) {
        good = same(&said, &found, argv[1]);
    }
    buf_fini(&said);
    buf_fini(&found);
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
