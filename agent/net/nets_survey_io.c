// A survey: all nodes of ours look at the ways to the others, each from its side, and whoever asked
// gets all they found. Question and answers are rows of a table of our own on the ingress network's
// gossip, which stock nodes carry without a look; only members can read or write them.
//
//   key "<gossip name>?"  the question: a number, new each time
//   key "<gossip name>!"  the answer: "<number>\n" and a JSON array of rows
#include <stdlib.h>
#include <string.h>

#include "agent/net/nets_priv_io.h"
#include "proto/base/check.h"
#include "proto/base/entropy_io.h"
#include "proto/base/json.h"
#include "proto/base/str.h"

#define TABLE        "skep_checkup"
#define KEY_BYTES    80
#define NUMBER_BYTES 20
#define ANSWER_BYTES (GOSSIP_VALUE_BYTES - NUMBER_BYTES)
#define LOOK_MS      50
#define LOOKS_MAX    120   // for answers: 6 s
#define SPACING_MS   1000  // between two answers of one node
#define KEPT_MS      30000 // an answer, for whoever asked
#define ASKED_MAX    64
#define ANSWERS_MAX  512

struct nets_survey {
    struct nets *nets;
    // Asking.
    nets_checked *done;
    void *owner;
    char number[NUMBER_BYTES]; // "": not asking
    char *own;                 // what this node found
    struct loop_timer look;
    unsigned looks;
    // Answering.
    char answered[ASKED_MAX][NUMBER_BYTES]; // the last questions, so that each is answered once
    size_t answered_count;
    char answering[NUMBER_BYTES];
    struct loop_timer fade, again;
    struct mono answered_at;
};

static const struct net *ingress_of(const struct nets *nets)
{
    MAP_EACH (entry, &nets->nets) {
        const struct net *net = entry->value;
        if (net->overlay.ingress && net->joined)
            return net;
    }
    return NULL;
}

static void key_of(const struct nets *nets, char kind, char out[KEY_BYTES])
{
    (void)str_format(out, KEY_BYTES, "%s%c", gossip_name(nets->gossip), kind);
}

static bool put(struct nets *nets, char kind, const char *value)
{
    const struct net *net = nets->gossip ? ingress_of(nets) : NULL;
    char key[KEY_BYTES];
    if (!net)
        return false;
    key_of(nets, kind, key);
    return gossip_row_put(nets->gossip, net->overlay.id, TABLE, key, value, strlen(value), NULL) ==
           0;
}

static void drop(struct nets *nets, char kind)
{
    const struct net *net = nets->gossip ? ingress_of(nets) : NULL;
    char key[KEY_BYTES];
    if (!net)
        return;
    key_of(nets, kind, key);
    gossip_row_remove(nets->gossip, net->overlay.id, TABLE, key);
}

// ---- answering ----------------------------------------------------------------------------------

static void on_fade(struct loop_timer *timer)
{
    drop(CONTAINER_OF(timer, struct nets_survey, fade)->nets, '!');
}

// What does not fit is left out, what is fine first.
static void write_answer(struct buf *out, const char *number, const json_t *rows)
{
    size_t count = 0;
    buf_printf(out, "%s\n[", number);
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < json_array_size(rows); i++) {
            const json_t *row = json_array_get(rows, i);
            bool fine = str_equal(json_string_value(json_object_get(row, "Verdict")), "ok");
            char *text = fine == (pass == 1) ? json_dumps(row, JSON_COMPACT) : NULL;
            if (text && out->len + strlen(text) + 2 < ANSWER_BYTES)
                buf_printf(out, "%s%s", count++ ? "," : "", text);
            free(text);
        }
    buf_put_str(out, "]");
}

static void on_own_checked(void *owner, const char *rows, const struct err *err)
{
    struct nets_survey *survey = owner;
    struct buf text;
    json_t *list = rows ? json_parse(rows, strlen(rows), NULL) : json_array();
    (void)err; // another checkup runs: whoever asked hears nothing of us, and says so
    buf_init(&text, GOSSIP_VALUE_BYTES);
    write_answer(&text, survey->answering, list);
    if (buf_ok(&text) && rows && put(survey->nets, '!', buf_cstr(&text)))
        loop_timer_start(&survey->fade, KEPT_MS);
    survey->answering[0] = '\0';
    survey->answered_at = loop_now(survey->nets->loop);
    loop_timer_start(&survey->again, SPACING_MS); // others may have asked meanwhile
    buf_fini(&text);
    json_decref(list);
}

static bool is_answered(const struct nets_survey *survey, const char *number)
{
    for (size_t i = 0; i < ASKED_MAX; i++)
        if (str_equal(survey->answered[i], number))
            return true;
    return false;
}

static void on_question(void *ctx, const struct gossip_row *row)
{
    struct nets_survey *survey = ctx;
    size_t length = strlen(row->key);
    char number[NUMBER_BYTES];
    if (row->own || !length || row->key[length - 1] != '?' || row->value_size >= sizeof number ||
        survey->answering[0])
        return;
    memcpy(number, row->value, row->value_size);
    number[row->value_size] = '\0';
    if (is_answered(survey, number))
        return;
    int64_t since_ms = mono_since(loop_now(survey->nets->loop), survey->answered_at) / NS_PER_MS;
    if (survey->answered_at.ns && since_ms < SPACING_MS) {
        loop_timer_start(&survey->again, SPACING_MS - since_ms);
        return;
    }
    (void)str_copy(survey->answered[survey->answered_count++ % ASKED_MAX], NUMBER_BYTES, number);
    (void)str_copy(survey->answering, sizeof survey->answering, number);
}

static void look_for_questions(struct nets *nets, const struct net *net)
{
    struct nets_survey *survey = nets->survey;
    if (survey->answering[0])
        return;
    gossip_rows(nets->gossip, net->overlay.id, TABLE, on_question, survey);
    if (survey->answering[0])
        nets_checkup(nets, on_own_checked, survey);
}

static void on_again(struct loop_timer *timer)
{
    struct nets *nets = CONTAINER_OF(timer, struct nets_survey, again)->nets;
    const struct net *net = nets->gossip ? ingress_of(nets) : NULL;
    if (net)
        look_for_questions(nets, net);
}

void nets_survey_rows(struct nets *nets, const char *network_id)
{
    const struct net *net = nets_net(nets, network_id);
    if (net && net->overlay.ingress)
        look_for_questions(nets, net);
}

// ---- asking -------------------------------------------------------------------------------------

struct collecting {
    const struct nets_survey *survey;
    json_t *rows;
    size_t answers;
};

static void on_answer(void *ctx, const struct gossip_row *row)
{
    struct collecting *collecting = ctx;
    const char *number = collecting->survey->number, *text = (const char *)row->value;
    size_t length = strlen(row->key), size = strlen(number);
    if (row->own || !length || row->key[length - 1] != '!' || row->value_size <= size ||
        memcmp(text, number, size) != 0 || text[size] != '\n' || collecting->answers == ANSWERS_MAX)
        return;
    json_t *list = json_parse(text + size + 1, row->value_size - size - 1, NULL);
    if (!json_is_array(list)) {
        json_decref(list);
        return;
    }
    collecting->answers++;
    json_array_extend(collecting->rows, list);
    json_decref(list);
}

static void count_row(void *ctx, const struct gossip_row *row)
{
    *(size_t *)ctx += !row->own;
}

static void finish(struct nets_survey *survey, const struct collecting *collecting, size_t missing)
{
    json_t *rows = json_parse(survey->own, strlen(survey->own), NULL);
    if (!rows)
        rows = json_array();
    json_array_extend(rows, collecting->rows);
    if (missing)
        json_array_append_new(
            rows, json_pack("{s:s, s:s, s:s, s:s, s:o, s:s}", "Node", "", "Peer", "", "Verdict",
                            "bad", "Check", "survey", "Found",
                            json_sprintf("%zu nodes did not say what they see", missing), "Cure",
                            "run skep doctor there, too"));
    char *text = json_dumps(rows, JSON_COMPACT);
    nets_checked *done = survey->done;
    survey->done = NULL;
    survey->number[0] = '\0';
    free(survey->own);
    survey->own = NULL;
    drop(survey->nets, '?');
    done(survey->owner, text, NULL);
    free(text);
    json_decref(rows);
}

static void on_look(struct loop_timer *timer)
{
    struct nets_survey *survey = CONTAINER_OF(timer, struct nets_survey, look);
    struct nets *nets = survey->nets;
    const struct net *net = nets->gossip ? ingress_of(nets) : NULL;
    struct collecting collecting = {.survey = survey, .rows = json_array()};
    size_t ours = 0; // nodes of ours tell each other about the mesh
    if (net) {
        gossip_rows(nets->gossip, net->overlay.id, TABLE, on_answer, &collecting);
        gossip_rows(nets->gossip, net->overlay.id, MESH_NODES_TABLE, count_row, &ours);
    }
    bool all = survey->own && collecting.answers >= ours;
    if (!all && ++survey->looks < LOOKS_MAX)
        loop_timer_start(timer, LOOK_MS);
    else if (survey->own)
        finish(survey, &collecting, ours > collecting.answers ? ours - collecting.answers : 0);
    json_decref(collecting.rows);
}

static void on_checked(void *owner, const char *rows, const struct err *err)
{
    struct nets_survey *survey = owner;
    if (!survey->done)
        return;
    if (err) {
        nets_checked *done = survey->done;
        survey->done = NULL;
        survey->number[0] = '\0';
        loop_timer_stop(&survey->look);
        drop(survey->nets, '?');
        done(survey->owner, NULL, err);
        return;
    }
    survey->own = str_dup(rows);
    if (!loop_timer_running(&survey->look))
        loop_timer_start(&survey->look, 0);
}

void nets_survey(struct nets *nets, nets_checked *done, void *owner)
{
    MAGIC_CHECK(nets, NETS_MAGIC);
    struct nets_survey *survey = nets->survey;
    uint8_t random[8];
    if (survey->done) {
        nets_checkup(nets, done, owner); // which says that one is under way
        return;
    }
    entropy_bytes(random, sizeof random);
    for (size_t i = 0; i < sizeof random; i++)
        (void)str_format(survey->number + 2 * i, 3, "%02x", random[i]);
    survey->done = done;
    survey->owner = owner;
    survey->looks = 0;
    (void)put(nets, '?', survey->number);
    nets_checkup(nets, on_checked, survey);
    loop_timer_start(&survey->look, LOOK_MS);
}

void nets_survey_open(struct nets *nets)
{
    struct nets_survey *survey = MEM_NEW(struct nets_survey);
    survey->nets = nets;
    loop_timer_init(&survey->look, nets->loop, on_look);
    loop_timer_init(&survey->fade, nets->loop, on_fade);
    loop_timer_init(&survey->again, nets->loop, on_again);
    nets->survey = survey;
}

void nets_survey_close(struct nets *nets)
{
    struct nets_survey *survey = nets->survey;
    if (!survey)
        return;
    loop_timer_stop(&survey->look);
    loop_timer_stop(&survey->fade);
    loop_timer_stop(&survey->again);
    free(survey->own);
    free(survey);
    nets->survey = NULL;
}
