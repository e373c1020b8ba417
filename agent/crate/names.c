#include "agent/crate/names.h"

#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

static const char *const moods[] = {
    "amber",  "brave", "bright", "brisk",  "busy",  "calm",    "clever", "cosy",  "eager",  "early",
    "fair",   "fleet", "fresh",  "gentle", "glad",  "golden",  "keen",   "kind",  "lively", "loyal",
    "mellow", "merry", "mild",   "neat",   "noble", "patient", "placid", "proud", "quick",  "quiet",
    "ready",  "rosy",  "sage",   "serene", "sharp", "shy",     "silent", "spry",  "steady", "sunny",
    "swift",  "tidy",  "trusty", "vivid",  "warm",  "wise",    "witty",  "zesty",
};

// What bees live on.
static const char *const flowers[] = {
    "acacia",   "alder",    "anise",     "apple",   "arnica",  "aster",    "basil",    "borage",
    "broom",    "bramble",  "buckwheat", "catmint", "cherry",  "chestnut", "chicory",  "clover",
    "comfrey",  "cornel",   "cowslip",   "crocus",  "currant", "dahlia",   "dill",     "fennel",
    "foxglove", "gorse",    "hawthorn",  "hazel",   "heather", "hyssop",   "ivy",      "larch",
    "lavender", "linden",   "lucerne",   "lupin",   "mallow",  "maple",    "melilot",  "mint",
    "mustard",  "oregano",  "pear",      "phlox",   "plum",    "poppy",    "rapeseed", "rosemary",
    "sage",     "sainfoin", "savory",    "squill",  "teasel",  "thyme",    "vetch",    "willow",
};

bool crate_name_valid(const char *name)
{
    static const char first[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    static const char rest[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    size_t length = strlen(name);
    return length >= 2 && length < 255 && strchr(first, name[0]) && strspn(name, rest) == length;
}

void crate_name_make(struct rand *rand, unsigned attempt, char *out, size_t size)
{
    const char *mood = moods[rand_below(rand, COUNT_OF(moods))];
    const char *flower = flowers[rand_below(rand, COUNT_OF(flowers))];
    if (attempt < 3)
        str_format(out, size, "%s_%s", mood, flower);
    else
        str_format(out, size, "%s_%s%u", mood, flower, (unsigned)rand_below(rand, 1000000));
}
