#include "agent/lb/services.h"

#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

void services_init(struct services *services)
{
    map_init(&services->by_vip);
}

void services_fini(struct services *services)
{
    MAP_EACH (entry, &services->by_vip)
        free(entry->value);
    map_fini(&services->by_vip);
}

static int backend_compare(const void *a, const void *b)
{
    uint32_t left = ((const struct backend *)a)->address;
    uint32_t right = ((const struct backend *)b)->address;
    return left < right ? -1 : left > right;
}

static int service_check(const struct service *service, struct err *err)
{
    for (size_t i = 0; i < service->backends_count; i++) {
        const struct backend *backend = &service->backends[i];
        if (backend->address == 0)
            return err_set(err, ERR_INVALID_ARGUMENT, "a backend has no address");
        // It would be translated again and again.
        if (backend->address == service->vip)
            return err_set(err, ERR_INVALID_ARGUMENT, "a backend has the service's own address");
        if (backend->weight > SERVICES_WEIGHT_MAX)
            return err_set(err, ERR_INVALID_ARGUMENT, "weight %u is above %u", backend->weight,
                           SERVICES_WEIGHT_MAX);
        if (i > 0 && backend->address == service->backends[i - 1].address)
            return err_set(err, ERR_INVALID_ARGUMENT, "a backend is there twice");
    }
    return 0;
}

int services_set(struct services *services, uint32_t vip, const struct backend *backends,
                 size_t count, struct err *err)
{
    CHECK(backends || count == 0);
    if (vip == 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "a service has no address");
    if (count > SERVICES_BACKENDS_COUNT_MAX)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "%zu backends, more than %d", count,
                       SERVICES_BACKENDS_COUNT_MAX);
    if (!services_find(services, vip) && services_count(services) >= SERVICES_COUNT_MAX)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "more than %d services", SERVICES_COUNT_MAX);
    struct service *service =
        (struct service *)mem_alloc(sizeof(struct service) + count * sizeof(struct backend));
    service->vip = vip;
    service->backends_count = count;
    for (size_t i = 0; i < count; i++)
        service->backends[i] = backends[i];
    if (count > 1)
        qsort(service->backends, count, sizeof(struct backend), backend_compare);
    int rc = service_check(service, err);
    if (rc < 0) {
        free(service);
        return rc;
    }
    free(map_put(&services->by_vip, &vip, sizeof vip, service));
    return 0;
}

int services_set_weight(struct services *services, uint32_t vip, uint32_t address, uint32_t weight,
                        struct err *err)
{
    struct service *service = (struct service *)map_get(&services->by_vip, &vip, sizeof vip);
    if (!service)
        return err_set(err, ERR_NOT_FOUND, "no such service");
    if (weight > SERVICES_WEIGHT_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "weight %u is above %u", weight,
                       SERVICES_WEIGHT_MAX);
    for (size_t i = 0; i < service->backends_count; i++) {
        if (service->backends[i].address == address) {
            service->backends[i].weight = weight;
            return 0;
        }
    }
    return err_set(err, ERR_NOT_FOUND, "the service has no such backend");
}

bool services_remove(struct services *services, uint32_t vip)
{
    struct service *service = (struct service *)map_remove(&services->by_vip, &vip, sizeof vip);
    free(service);
    return service != NULL;
}

size_t services_count(const struct services *services)
{
    return map_count(&services->by_vip);
}

const struct service *services_find(const struct services *services, uint32_t vip)
{
    return (const struct service *)map_get(&services->by_vip, &vip, sizeof vip);
}

static int service_compare(const void *a, const void *b)
{
    uint32_t left = (*(const struct service *const *)a)->vip;
    uint32_t right = (*(const struct service *const *)b)->vip;
    return left < right ? -1 : left > right;
}

const struct service **services_sorted(const struct services *services)
{
    size_t count = 0;
    const struct service **sorted = (const struct service **)mem_alloc_array(
        services_count(services), sizeof(struct service *));
    MAP_EACH (entry, &services->by_vip)
        sorted[count++] = (const struct service *)entry->value;
    CHECK(count == services_count(services));
    qsort((void *)sorted, count, sizeof sorted[0], service_compare);
    return sorted;
}
