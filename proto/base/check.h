// Assertions for broken promises of our own code. They are on in every build.
//
// What a peer, user, disk or kernel can cause is an error path (err.h), never a CHECK. Arguments
// have no side effects.
#ifndef PROTO_BASE_CHECK_H
#define PROTO_BASE_CHECK_H

#include <assert.h> // static_assert

// Stops the process with the place and text of the broken promise. Used by the macros below.
_Noreturn void check_failed(const char *file, int line, const char *function, const char *what);

// The condition holds, or this program is wrong and stops.
#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (__builtin_expect(!(cond), 0))                                                          \
            check_failed(__FILE__, __LINE__, __func__, #cond);                                     \
    } while (0)

// A place that cannot be reached.
#define UNREACHABLE(why) check_failed(__FILE__, __LINE__, __func__, why)

// Like CHECK, for conditions too expensive for production: on only with -DSKEP_CHECK_SLOW.
#ifdef SKEP_CHECK_SLOW
#define CHECK_SLOW(cond) CHECK(cond)
#else
#define CHECK_SLOW(cond) ((void)sizeof(cond))
#endif

// Number of elements of an array (not of a pointer).
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

// The struct that holds the given member.
#define CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

// Long-lived structs that come back through a void * carry a magic word: set at init, cleared at
// free, checked on return.
#define MAGIC_SET(obj, word)   ((obj)->magic = (word))
#define MAGIC_CHECK(obj, word) CHECK((obj) && (obj)->magic == (word))
#define MAGIC_CLEAR(obj)       ((obj)->magic = 0)

#endif
