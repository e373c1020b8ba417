#include "agent/image/source_io.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/image/fetch_io.h"
#include "agent/image/platform.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

#define ARGS_MAX     32
#define OUTPUT_BYTES MANIFEST_BYTES_MAX

static int take_platform(struct source *source, const char *platform, struct err *err)
{
    str_copy(source->os, sizeof source->os, "linux");
    str_copy(source->architecture, sizeof source->architecture, PLATFORM_NATIVE_ARCH);
    if (str_empty(platform))
        return 0;
    struct platform_parts parts;
    int rc = platform_parse(platform, &parts, err);
    if (rc)
        return rc;
    str_copy(source->os, sizeof source->os, parts.os);
    str_copy(source->architecture, sizeof source->architecture, parts.architecture);
    str_copy(source->variant, sizeof source->variant, parts.variant);
    return 0;
}

int source_open(struct source *source, struct images *images, const struct source_spec *spec,
                struct err *err)
{
    CHECK(spec->name || spec->reference);
    memset(source, 0, sizeof *source);
    source->images = images;
    source->registry = !spec->name;
    source->name = str_dup(spec->name);
    source->auth_fd = -1;
    if (spec->reference) {
        source->reference = *spec->reference;
        source->insecure = fetch_insecure(images, source->reference.domain);
        source->mirrored = source->registry && images->mirrors.urls_count &&
                           str_equal(source->reference.domain, MIRRORS_DOMAIN);
    }
    if (source->registry) {
        char name[REFERENCE_TEXT_BYTES];
        source->name = str_printf("docker://%s", reference_name(&source->reference, name));
    }
    int rc = take_platform(source, spec->platform, err);
    if (rc)
        return rc;
    source->auth_fd = fetch_auth_fd(source->reference.domain, spec->auth, err);
    return source->auth_fd < 0 ? source->auth_fd : 0;
}

void source_close(struct source *source)
{
    if (source->auth_fd >= 0)
        close(source->auth_fd);
    source->auth_fd = -1;
    free(source->name);
    source->name = NULL;
}

void source_text(const struct source *source, const char *digest, struct buf *out)
{
    buf_init(out, IMAGES_PATH_BYTES + REFERENCE_TEXT_BYTES);
    buf_put_str(out, source->name);
    if (!source->registry)
        return;
    const char *wanted = digest ? digest : source->reference.digest;
    if (*wanted)
        buf_printf(out, "@%s", wanted);
    else
        buf_printf(out, ":%s", source->reference.tag);
}

size_t source_options(const struct source *source, bool copy, const char **args, size_t count)
{
    static const struct {
        const char *auth, *verified, *unverified, *certs;
    } words[] = {
        {"--authfile", "--tls-verify=true", "--tls-verify=false", "--cert-dir"},
        {"--src-authfile", "--src-tls-verify=true", "--src-tls-verify=false", "--src-cert-dir"},
    };
    if (!source->registry)
        return count;
    args[count++] = words[copy].auth;
    args[count++] = FETCH_AUTH_PATH;
    if (!source->mirrored)
        args[count++] = source->insecure ? words[copy].unverified : words[copy].verified;
    if (source->images->certs_dir) {
        args[count++] = words[copy].certs;
        args[count++] = source->images->certs_dir;
    }
    return count;
}

int source_run(const struct source *source, const char *const *args, int64_t timeout_ms,
               process_done *done, void *owner, struct process **out, struct err *err)
{
    const char *argv[ARGS_MAX] = {source->images->skopeo, "--override-os", source->os,
                                  "--override-arch", source->architecture};
    size_t count = 5;
    if (source->mirrored) {
        argv[count++] = "--registries-conf";
        argv[count++] = source->images->mirrors_conf;
    }
    if (*source->variant) {
        argv[count++] = "--override-variant";
        argv[count++] = source->variant;
    }
    for (; *args; args++) {
        CHECK(count + 1 < ARGS_MAX);
        argv[count++] = *args;
    }
    struct process_spec spec = {
        .argv = argv,
        .fds = &source->auth_fd,
        .fds_count = 1,
        .output_bytes_max = OUTPUT_BYTES,
        .timeout_ms = timeout_ms,
    };
    return process_start(source->images->loop, &spec, done, owner, out, err);
}

int source_inspect(const struct source *source, const char *digest, bool config, int64_t timeout_ms,
                   process_done *done, void *owner, struct process **out, struct err *err)
{
    struct buf text;
    source_text(source, digest, &text);
    const char *args[5 + SOURCE_OPTIONS_MAX] = {"inspect", "--raw"};
    size_t count = 2;
    if (config)
        args[count++] = "--config";
    count = source_options(source, false, args, count);
    args[count++] = buf_cstr(&text);
    CHECK(count < COUNT_OF(args));
    int rc = source_run(source, args, timeout_ms, done, owner, out, err);
    buf_fini(&text);
    return rc;
}
