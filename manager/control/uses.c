#include "manager/control/uses.h"

#include <string.h>

#include "proto/base/str.h"

// Names beyond this are left out of the message.
#define NAMES_BYTES 700

int uses_check(struct view view, enum index index, const struct object *object, const char *kind,
               struct err *err)
{
    char names[NAMES_BYTES] = "";
    size_t count = 0;
    VIEW_EACH (service, view, OBJECT_SERVICE, by_key(index, object_id(object))) {
        size_t used = strlen(names);
        str_format(names + used, sizeof names - used, "%s%s", count ? ", " : "",
                   object_name(service));
        count++;
    }
    if (count == 0)
        return 0;
    return err_set(err, ERR_INVALID_ARGUMENT, "%s '%s' is in use by the following service%s: %s",
                   kind, object_name(object), count > 1 ? "s" : "", names);
}
