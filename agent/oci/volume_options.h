// The options of the local volume driver: what is mounted on a volume, and with which flags. Pure.
#ifndef AGENT_OCI_VOLUME_OPTIONS_H
#define AGENT_OCI_VOLUME_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/oci/bundle.h"
#include "proto/base/err.h"

#define VOLUME_OPTIONS_MAX      16
#define VOLUME_MOUNT_DATA_MAX   4096 // what mount(2) takes
#define VOLUME_OPTION_CHARS_MAX 8192

// INVALID_ARGUMENT in dockerd's words: an option it does not know, one that lacks another, a size
// (there are no quotas).
int volume_options_check(const struct oci_pair *options, size_t count, struct err *err);

// The value of the option, "" when it is not there.
const char *volume_option(const struct oci_pair *options, size_t count, const char *key);

// Whether a volume with these options has to be mounted.
bool volume_options_mount(const struct oci_pair *options, size_t count);

// The flags of mount(2), with the kernel's numbers.
enum volume_flag {
    VOLUME_RDONLY = 1,
    VOLUME_NOSUID = 2,
    VOLUME_NODEV = 4,
    VOLUME_NOEXEC = 8,
    VOLUME_SYNCHRONOUS = 16,
    VOLUME_REMOUNT = 32,
    VOLUME_MANDLOCK = 64,
    VOLUME_DIRSYNC = 128,
    VOLUME_NOATIME = 1024,
    VOLUME_NODIRATIME = 2048,
    VOLUME_BIND = 4096,
    VOLUME_REC = 16384,
    VOLUME_UNBINDABLE = 1 << 17,
    VOLUME_PRIVATE = 1 << 18,
    VOLUME_SLAVE = 1 << 19,
    VOLUME_SHARED = 1 << 20,
    VOLUME_RELATIME = 1 << 21,
    VOLUME_STRICTATIME = 1 << 24,
};

// Options as mount(8) takes them ("bind,ro,size=1m"), for mount(2).
struct volume_mount_words {
    unsigned long flags;
    unsigned long propagation;        // VOLUME_SHARED and the like, which take a call of their own
    char data[VOLUME_MOUNT_DATA_MAX]; // what is for the file system
};

// INVALID_ARGUMENT when they are too long.
int volume_mount_words(const char *text, struct volume_mount_words *out, struct err *err);

// The value of "key=" in the text, cut at the next comma; false when it is not there or too long.
bool volume_mount_value(const char *text, const char *key, char *out, size_t size);
// The text with another value for that key. False when it does not fit.
bool volume_mount_replace(const char *text, const char *key, const char *value, char *out,
                          size_t size);

#endif
