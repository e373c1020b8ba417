#include "agent/container_health.h"

#include "proto/base/clock.h"
#include "proto/base/str.h"
#include "proto/wire/times.h"

static int take_time(const Google__Duration *own, int64_t image_ns, const char *what,
                     struct arena *arena, Google__Duration **out, struct err *err)
{
    int64_t ns = duration_to_ns(own, 0);
    if (ns == 0)
        ns = image_ns;
    if (ns && ns < NS_PER_MS)
        return err_set(err, ERR_INVALID_ARGUMENT, "%s in Healthcheck cannot be less than 1ms",
                       what);
    *out = ARENA_NEW(arena, Google__Duration);
    if (!*out)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "the health check is too large");
    google__duration__init(*out);
    (*out)->seconds = ns / NS_PER_S;
    (*out)->nanos = (int32_t)(ns % NS_PER_S);
    return 0;
}

int container_health_make(const Swarm__HealthConfig *own, const struct image_health *image,
                          struct arena *arena, const Swarm__HealthConfig **out, struct err *err)
{
    static const Swarm__HealthConfig nothing = SWARM__HEALTH_CONFIG__INIT;
    own = own ? own : &nothing;
    *out = NULL;
    bool given = own->n_test > 0;
    size_t count = given ? own->n_test : image->test_count;
    const char **test = arena_alloc_array(arena, count + 1, sizeof *test);
    Swarm__HealthConfig *made = ARENA_NEW(arena, Swarm__HealthConfig);
    if (!test || !made)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "the health check is too large");
    for (size_t i = 0; i < count; i++)
        test[i] = given ? own->test[i] : image->test[i];
    if (!count || str_empty(test[0]) || str_equal(test[0], "NONE"))
        return 0;
    if (count < 2 || (!str_equal(test[0], "CMD") && !str_equal(test[0], "CMD-SHELL")))
        return err_set(err, ERR_INVALID_ARGUMENT, "unknown health check type \"%.64s\"%s", test[0],
                       count < 2 ? " without a command" : "");
    int64_t retries = own->retries ? own->retries : image->retries;
    if (retries < 0 || retries > INT32_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "Retries in Healthcheck cannot be %s",
                       retries < 0 ? "negative" : "that many");
    swarm__health_config__init(made);
    made->n_test = count;
    made->test = test;
    made->retries = (int32_t)retries;
    int rc = take_time(own->interval, image->interval_ns, "Interval", arena, &made->interval, err);
    if (!rc)
        rc = take_time(own->timeout, image->timeout_ns, "Timeout", arena, &made->timeout, err);
    if (!rc)
        rc = take_time(own->start_period, image->start_period_ns, "StartPeriod", arena,
                       &made->start_period, err);
    if (!rc)
        rc = take_time(own->start_interval, image->start_interval_ns, "StartInterval", arena,
                       &made->start_interval, err);
    if (!rc)
        *out = made;
    return rc;
}
