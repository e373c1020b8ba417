// Bodies of requests have the types that their tables say, in Go's words.
#include <check.h>

#include "agent/engine/shape.h"
#include "proto/base/check.h"

static const struct shape_row inner_rows[] = {{"Alias", SHAPE_TEXTS, NULL}};
static SHAPE(inner, "network.Inner", inner_rows);
static const struct shape_row rows[] = {
    {"Name", SHAPE_TEXT, NULL},  {"Force", SHAPE_FLAG, NULL},      {"Port", SHAPE_NUMBER, NULL},
    {"Labels", SHAPE_MAP, NULL}, {"Config", SHAPE_OBJECT, &inner}, {"Each", SHAPE_NAMED, &inner},
};
static SHAPE(outer, "types.Outer", rows);

// The complaint, "" for none.
static const char *said(const char *text)
{
    static struct err err;
    err = (struct err)ERR_INIT;
    json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);
    ck_assert_ptr_nonnull(json);
    int rc = shape_check(&outer, json, &err);
    json_decref(json);
    ck_assert_int_eq(rc, -(int)err.code);
    return rc ? err.message : "";
}

START_TEST(what_fits_or_is_unknown_or_null_passes)
{
    ck_assert_str_eq(said("null"), "");
    ck_assert_str_eq(
        said("{\"name\":\"a\",\"Force\":true,\"Port\":4294967295,\"Labels\":{\"a\":\"b\"},"
             "\"Config\":{\"Alias\":[\"a\",null]},\"Each\":{\"x\":{},\"y\":null}}"),
        "");
    ck_assert_str_eq(said("{\"Other\":5,\"Name\":null}"), "");
}
END_TEST

START_TEST(what_does_not_is_named)
{
    static const struct {
        const char *body, *complaint;
    } wrong[] = {
        {"[]", "json: cannot unmarshal array into Go value of type types.Outer"},
        {"{\"Name\":5}",
         "json: cannot unmarshal number into Go struct field Outer.Name of type string"},
        {"{\"force\":\"yes\"}",
         "json: cannot unmarshal string into Go struct field Outer.Force of type bool"},
        {"{\"Port\":-1}",
         "json: cannot unmarshal number into Go struct field Outer.Port of type uint32"},
        {"{\"Port\":4294967296}",
         "json: cannot unmarshal number into Go struct field Outer.Port of type uint32"},
        {"{\"Labels\":[]}",
         "json: cannot unmarshal array into Go struct field Outer.Labels of type "
         "map[string]string"},
        {"{\"Labels\":{\"a\":5}}",
         "json: cannot unmarshal number into Go struct field Outer.Labels of type string"},
        {"{\"Config\":{\"Alias\":[5]}}",
         "json: cannot unmarshal number into Go struct field Inner.Alias of type string"},
        {"{\"Each\":{\"x\":5}}",
         "json: cannot unmarshal number into Go struct field Outer.Each of type object"},
        {"{\"Each\":{\"x\":{\"Alias\":{}}}}",
         "json: cannot unmarshal object into Go struct field Inner.Alias of type []string"},
    };
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        ck_assert_str_eq(said(wrong[i].body), wrong[i].complaint);
}
END_TEST

Suite *suite_shape(void);
Suite *suite_shape(void)
{
    Suite *suite = suite_create("shape");
    TCase *tcase = tcase_create("all");
    tcase_add_test(tcase, what_fits_or_is_unknown_or_null_passes);
    tcase_add_test(tcase, what_does_not_is_named);
    suite_add_tcase(suite, tcase);
    return suite;
}
