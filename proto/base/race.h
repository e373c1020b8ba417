// Tells the thread sanitizer of an order that it cannot see, because a library that is not compiled
// with it (liburcu, its barriers) makes it. Nothing in other builds.
#ifndef PROTO_BASE_RACE_H
#define PROTO_BASE_RACE_H

#if defined(__SANITIZE_THREAD__)
#define RACE_SEEN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RACE_SEEN 1
#endif
#endif

#ifdef RACE_SEEN
void __tsan_acquire(void *at); // the sanitizer's own names
void __tsan_release(void *at);
// What this thread did so far happens before what another does after RACE_AFTER of that address.
#define RACE_BEFORE(at) __tsan_release((void *)(at))
#define RACE_AFTER(at)  __tsan_acquire((void *)(at))
#else
#define RACE_BEFORE(at) ((void)(at))
#define RACE_AFTER(at)  ((void)(at))
#endif

#endif
