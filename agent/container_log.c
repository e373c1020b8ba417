#include "agent/container_log.h"

#include "agent/container_defaults.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

// dockerd's defaults of the driver "local".
#define LOCAL_BYTES_MAX (20u << 20)
#define LOCAL_FILES_MAX 5

// As Go's strconv.ParseBool.
static bool read_bool(const char *text, bool *out)
{
    static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True"};
    static const char *const no[] = {"0", "f", "F", "false", "FALSE", "False"};
    for (size_t i = 0; i < COUNT_OF(yes); i++) {
        *out = str_equal(text, yes[i]);
        if (*out || str_equal(text, no[i]))
            return true;
    }
    return false;
}

void container_log_begin(struct container_log *log, const char *driver)
{
    log->none = str_equal(driver, "none");
    if (str_equal(driver, "local")) {
        log->bytes_max = LOCAL_BYTES_MAX;
        log->files_max = LOCAL_FILES_MAX;
        log->compress = true;
    }
}

int container_log_option(struct container_log *log, const char *key, const char *value,
                         struct err *err)
{
    uint64_t files = 0;
    const char **mark = log_marks_option(&log->marks, key);
    value = str_or(value, "");
    if (mark) {
        *mark = value;
    } else if (str_equal(key, "max-size")) {
        bool unlimited = str_equal(value, "-1");
        if (!unlimited && !container_size_parse(value, &log->bytes_max))
            return err_set(err, ERR_INVALID_ARGUMENT, "max-size: invalid size: '%.64s'", value);
        if (unlimited)
            log->bytes_max = 0;
    } else if (str_equal(key, "max-file")) {
        if (!str_to_u64(value, UINT32_MAX, &files) || !files)
            return err_set(err, ERR_INVALID_ARGUMENT, "max-file cannot be less than 1");
        if (files > CONTAINER_LOG_FILES_MAX)
            return err_set(err, ERR_INVALID_ARGUMENT, "max-file cannot be more than %d",
                           CONTAINER_LOG_FILES_MAX);
        log->files_max = (unsigned)files;
    } else if (str_equal(key, "mode")) {
        log->mode = value;
    } else if (str_equal(key, "max-buffer-size")) {
        log->buffer_size = value;
    } else if (str_equal(key, "compress") && !read_bool(value, &log->compress)) {
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "strconv.ParseBool: parsing \"%.64s\": invalid syntax", value);
    }
    return 0;
}

int container_log_check(const struct container_log *log, const char *driver, struct err *err)
{
    uint64_t size;
    if (log->none)
        return 0;
    bool gathers = str_equal(log->mode, "non-blocking");
    if (!gathers && !str_empty(log->mode) && !str_equal(log->mode, "blocking"))
        return err_set(err, ERR_INVALID_ARGUMENT, "logger: logging mode not supported: %.64s",
                       log->mode);
    // A writer is never held up by who reads its log here, so both modes are one; still they have
    // to make sense.
    if (log->buffer_size && !gathers)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "logger: max-buffer-size option is only supported with 'mode=non-blocking'");
    if (log->buffer_size && !container_size_parse(log->buffer_size, &size))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "error parsing option max-buffer-size: invalid size: '%.64s'",
                       log->buffer_size);
    if (log->compress && (log->files_max < 2 || !log->bytes_max))
        return err_set(err, ERR_INVALID_ARGUMENT, "%s",
                       str_equal(driver, "local")
                           ? "compression cannot be enabled when max file count is 1"
                           : "compress cannot be true when max-file is less than 2 or max-size is "
                             "not set");
    return log_marks_check(&log->marks, err);
}
