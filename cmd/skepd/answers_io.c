#include "cmd/skepd/answers_io.h"

#include <stdlib.h>

#include "proto/base/str.h"

struct answer {
    struct list link;
    struct loop_post post;
    backend_done *done; // NULL: nobody listens any more
    void *owner;
    struct err err;
    char text[ANSWER_TEXT_BYTES];
};

static void on_turn(struct loop_post *post)
{
    struct answer *answer = CONTAINER_OF(post, struct answer, post);
    list_remove(&answer->link);
    if (answer->done)
        answer->done(answer->owner, answer->err.code == ERR_OK ? NULL : &answer->err, answer->text);
    free(answer);
}

void answers_init(struct answers *answers, struct loop *loop)
{
    answers->loop = loop;
    list_init(&answers->waiting);
}

void answers_send(struct answers *answers, backend_done *done, void *owner, const struct err *err,
                  const char *text)
{
    struct answer *answer = MEM_NEW(struct answer);
    answer->done = done;
    answer->owner = owner;
    if (err)
        answer->err = *err;
    str_copy(answer->text, sizeof answer->text, text);
    list_push_back(&answers->waiting, &answer->link);
    loop_post(answers->loop, &answer->post, on_turn);
}

void answers_forget(struct answers *answers, const void *owner)
{
    LIST_EACH (link, &answers->waiting) {
        struct answer *answer = LIST_ENTRY(link, struct answer, link);
        if (answer->owner == owner)
            answer->done = NULL;
    }
}
