#include "cmd/skep/parse.h"

#include <stdlib.h>
#include <string.h>

#include "cmd/skep/common.h"
#include "cmd/skep/flags.h"
#include "cmd/skep/text.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

#define IMAGE_BYTES_MAX 255
#define PORTS_MAX       65535

// ---- images -------------------------------------------------------------------------------------

void parse_image_parts(const char *image, struct arena *arena, const char **repository,
                       const char **tag, const char **digest)
{
    const char *at = strchr(image, '@');
    size_t end = at ? (size_t)(at - image) : strlen(image);
    const char *slash = memrchr(image, '/', end);
    const char *colon = memrchr(image, ':', end);
    if (colon && slash && colon < slash)
        colon = NULL; // the port of a registry
    *digest = at ? at + 1 : "";
    *tag = colon ? arena_strndup(arena, colon + 1, (size_t)(image + end - colon - 1)) : "";
    *repository = arena_strndup(arena, image, colon ? (size_t)(colon - image) : end);
}

static bool all_of(const char *text, const char *allowed)
{
    return *text && text[strspn(text, allowed)] == 0;
}

#define LOWER  "abcdefghijklmnopqrstuvwxyz"
#define UPPER  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

// One part between slashes: letters and digits, with single separators between them.
static bool path_part_fits(struct str_part part)
{
    bool separator = true;
    for (size_t i = 0; i < part.len; i++) {
        bool is_separator = strchr("._-", part.at[i]) != NULL;
        if (!is_separator && !strchr(LOWER DIGITS, part.at[i]))
            return false;
        if (is_separator && (i == 0 || (separator && part.at[i] == '.')))
            return false;
        separator = is_separator;
    }
    return part.len > 0 && !separator;
}

static bool is_registry(struct str_part part)
{
    return memchr(part.at, '.', part.len) || memchr(part.at, ':', part.len) ||
           str_part_is(part, "localhost");
}

static bool repository_fits(const char *repository)
{
    struct str_part part;
    bool first = true;
    for (const char *rest = repository; str_split(&rest, '/', &part); first = false) {
        if (first && rest && is_registry(part)) {
            for (size_t i = 0; i < part.len; i++)
                if (!strchr(LOWER UPPER DIGITS ".-:[]", part.at[i]))
                    return false;
        } else if (!path_part_fits(part)) {
            return false;
        }
    }
    return *repository != 0;
}

const char *parse_image(const char *text, struct arena *arena, struct err *err)
{
    const char *repository, *tag, *digest;
    parse_image_parts(text, arena, &repository, &tag, &digest);
    bool fits = strlen(text) <= IMAGE_BYTES_MAX * 2 && strlen(repository) <= IMAGE_BYTES_MAX;
    if (fits && !repository_fits(repository)) {
        bool upper = strpbrk(repository, UPPER) != NULL;
        err_set(err, ERR_INVALID_ARGUMENT, "invalid reference format%s",
                upper ? ": repository name must be lowercase" : "");
        return NULL;
    }
    fits = fits && (!*tag || (all_of(tag, LOWER UPPER DIGITS "_.-") && !strchr(".-", *tag) &&
                              strlen(tag) <= 128));
    fits = fits && (!*digest || (str_starts(digest, "sha256:") && strlen(digest) == 71 &&
                                 all_of(digest + 7, DIGITS "abcdef")));
    // What ends in ':' or '@' has an empty tag or digest.
    size_t length = strlen(text);
    if (!fits || (length && strchr(":@", text[length - 1]))) {
        err_set(err, ERR_INVALID_ARGUMENT, "invalid reference format");
        return NULL;
    }
    if (str_starts(text, "index.docker.io/"))
        text += strlen("index.");
    if (str_starts(text, "docker.io/library/"))
        text += strlen("docker.io/library/");
    else if (str_starts(text, "docker.io/"))
        text += strlen("docker.io/");
    return *tag || *digest ? text : arena_printf(arena, "%s:latest", text);
}

// ---- ports --------------------------------------------------------------------------------------

struct range {
    int64_t first, last;
};

static bool parse_range(const char *text, struct range *out, struct arena *arena)
{
    const char *last, *first = split_once(text, '-', &last, arena);
    if (!str_to_i64(first, 0, PORTS_MAX, &out->first))
        return false;
    out->last = out->first;
    return !last || (str_to_i64(last, 0, PORTS_MAX, &out->last) && out->last >= out->first);
}

static bool protocol_fits(const char *protocol)
{
    return str_equal(protocol, "tcp") || str_equal(protocol, "udp") || str_equal(protocol, "sctp");
}

struct port_text {
    const char *ip;
    struct range published, target;
    bool has_published;
    const char *protocol;
};

// "[ip:][published:]target[/protocol]".
static int parse_port_text(const char *text, struct port_text *out, struct arena *arena,
                           struct err *err)
{
    const char *protocol, *ports = split_once(text, '/', &protocol, arena);
    *out = (struct port_text){.ip = "", .protocol = "tcp"};
    if (protocol) {
        char *lower = arena_strdup(arena, protocol);
        for (char *c = lower; *c; c++)
            if (*c >= 'A' && *c <= 'Z')
                *c = (char)(*c + 32);
        out->protocol = lower;
    }
    if (!protocol_fits(out->protocol))
        return err_set(err, ERR_INVALID_ARGUMENT, "Invalid proto: %s", out->protocol);
    const char *target = strrchr(ports, ':');
    const char *front = target ? arena_strndup(arena, ports, (size_t)(target - ports)) : NULL;
    target = target ? target + 1 : ports;
    if (front) {
        const char *published = strrchr(front, ':');
        // The address of "[::1]:80:80" has colons of its own, but ends with a bracket.
        if (published && published[1] != ']' && !strchr(published, ']')) {
            out->ip = arena_strndup(arena, front, (size_t)(published - front));
            front = published + 1;
        }
        if (*out->ip == '[' && str_ends(out->ip, "]"))
            out->ip = arena_strndup(arena, out->ip + 1, strlen(out->ip) - 2);
        out->has_published = *front != 0;
        if (*front && !parse_range(front, &out->published, arena))
            return err_set(err, ERR_INVALID_ARGUMENT, "Invalid hostPort: %s", front);
    }
    if (!parse_range(target, &out->target, arena) || out->target.first == 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "Invalid containerPort: %s", target);
    int64_t targets = out->target.last - out->target.first;
    int64_t published = out->published.last - out->published.first;
    if (out->has_published && targets != published && targets != 0)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "Invalid ranges specified for container and "
                       "host Ports: %s and %s",
                       target, front);
    return 0;
}

static void append_port(json_t *ports, const char *protocol, int64_t target, int64_t published,
                        const char *mode)
{
    json_t *port = json_object();
    set_text(port, "Protocol", protocol);
    set_number(port, "TargetPort", target);
    if (published)
        set_number(port, "PublishedPort", published);
    set_text(port, "PublishMode", mode);
    json_array_append_new(ports, port);
}

static int long_port(const char *text, json_t *ports, struct arena *arena, struct err *err)
{
    struct field fields[FIELDS_MAX];
    int count = fields_parse(text, arena, fields, err);
    const char *protocol = "tcp", *mode = "ingress";
    int64_t target = 0, published = 0;
    if (count < 0)
        return count;
    for (int i = 0; i < count; i++) {
        const char *key = fields[i].key, *value = fields[i].value;
        if (!fields[i].has_value)
            return err_set(err, ERR_INVALID_ARGUMENT, "invalid field %s: must be a key=value pair",
                           key);
        if (str_equal(key, "protocol")) {
            if (!protocol_fits(value))
                return err_set(err, ERR_INVALID_ARGUMENT, "invalid protocol value %s", value);
            protocol = value;
        } else if (str_equal(key, "mode")) {
            if (!str_equal(value, "ingress") && !str_equal(value, "host"))
                return err_set(err, ERR_INVALID_ARGUMENT,
                               "invalid publish mode value (%s): must be either 'ingress' or "
                               "'host'",
                               value);
            mode = value;
        } else if (str_equal(key, "target")) {
            if (!str_to_i64(value, 1, PORTS_MAX, &target))
                return err_set(err, ERR_INVALID_ARGUMENT,
                               "invalid target port (%s): it must be a number from 1 to 65535",
                               value);
        } else if (str_equal(key, "published")) {
            if (!str_to_i64(value, 0, PORTS_MAX, &published))
                return err_set(err, ERR_INVALID_ARGUMENT,
                               "invalid published port (%s): it must be a number to 65535", value);
        } else {
            return err_set(err, ERR_INVALID_ARGUMENT, "invalid field key %s", key);
        }
    }
    if (target == 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "missing mandatory field '%s'", "target");
    append_port(ports, protocol, target, published, mode);
    return 0;
}

int parse_service_port(const char *text, json_t *ports, struct arena *arena, struct err *err)
{
    if (strchr(text, '='))
        return long_port(text, ports, arena, err);
    struct port_text port;
    if (parse_port_text(text, &port, arena, err) < 0)
        return -ERR_INVALID_ARGUMENT;
    if (*port.ip)
        return err_set(err, ERR_INVALID_ARGUMENT, "hostip is not supported");
    if (port.has_published &&
        port.target.last - port.target.first != port.published.last - port.published.first)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "published and target ports must be ranges of the same length: %s", text);
    for (int64_t i = 0; i <= port.target.last - port.target.first; i++)
        append_port(ports, port.protocol, port.target.first + i,
                    port.has_published ? port.published.first + i : 0, "ingress");
    return 0;
}

int parse_container_port(const char *text, json_t *bindings, json_t *exposed, struct arena *arena,
                         struct err *err)
{
    struct port_text port;
    if (parse_port_text(text, &port, arena, err) < 0)
        return -ERR_INVALID_ARGUMENT;
    int64_t targets = port.target.last - port.target.first;
    for (int64_t i = 0; i <= targets; i++) {
        const char *key = arena_printf(arena, "%lld/%s",
                                       (long long)port.target.first + (long long)i, port.protocol);
        const char *published = "";
        // One target with a range of published ports leaves the choice to the daemon.
        if (port.has_published && targets == 0 && port.published.last != port.published.first)
            published = arena_printf(arena, "%lld-%lld", (long long)port.published.first,
                                     (long long)port.published.last);
        else if (port.has_published)
            published = arena_printf(arena, "%lld", (long long)port.published.first + (long long)i);
        json_object_set_new(exposed, key, json_object());
        json_t *list = json_object_get(bindings, key);
        if (!list) {
            list = json_array();
            json_object_set_new(bindings, key, list);
        }
        json_array_append_new(list,
                              json_pack("{s:s, s:s}", "HostIp", port.ip, "HostPort", published));
    }
    return 0;
}

// ---- references to secrets, configurations and networks -----------------------------------------

bool parse_file_mode(const char *text, int *mode)
{
    if (!*text || !all_of(text, "01234567") || strlen(text) > 7)
        return false;
    *mode = (int)strtol(text, NULL, 8);
    return true;
}

json_t *parse_file_reference(const char *text, const char *kind, struct arena *arena,
                             struct err *err)
{
    struct field fields[FIELDS_MAX];
    int count = fields_parse(text, arena, fields, err);
    if (count < 0)
        return NULL;
    json_t *made = json_object();
    const char *source = "", *target = "", *wrong = NULL;
    int mode;
    set_text(made, "File.UID", "0");
    set_text(made, "File.GID", "0");
    set_number(made, "File.Mode", 0444);
    bool simple = count == 1 && !fields[0].has_value;
    if (simple)
        source = text;
    for (int i = 0; i < count && !simple && !wrong; i++) {
        const char *key = fields[i].key, *value = fields[i].value;
        if (!fields[i].has_value)
            wrong = "must be a key=value pair";
        else if (str_equal(key, "source") || str_equal(key, "src"))
            source = value;
        else if (str_equal(key, "target"))
            target = value;
        else if (str_equal(key, "uid"))
            set_text(made, "File.UID", value);
        else if (str_equal(key, "gid"))
            set_text(made, "File.GID", value);
        else if (str_equal(key, "mode") && parse_file_mode(value, &mode))
            set_number(made, "File.Mode", mode);
        else
            wrong = "is no field that is known, or its value is bad";
        if (wrong)
            err_set(err, ERR_INVALID_ARGUMENT, "invalid field '%s': it %s", key, wrong);
    }
    if (!wrong && !*source) {
        wrong = "source is required";
        err_set(err, ERR_INVALID_ARGUMENT, "source is required");
    }
    if (wrong) {
        json_decref(made);
        return NULL;
    }
    if (!*target)
        target = source;
    set_text(made, "File.Name", target);
    set_text(made, arena_printf(arena, "%sName", kind), source);
    return made;
}

json_t *parse_network(const char *text, struct arena *arena, struct err *err)
{
    json_t *made = json_object();
    if (!strchr(text, '=')) {
        set_text(made, "Target", text);
        return made;
    }
    struct field fields[FIELDS_MAX];
    int count = fields_parse(text, arena, fields, err);
    for (int i = 0; i < count; i++) {
        const char *key = fields[i].key, *value = fields[i].value;
        if (str_equal(key, "name")) {
            set_text(made, "Target", value);
        } else if (str_equal(key, "alias")) {
            json_array_append_new(array_at(made, "Aliases"), json_string(value));
        } else if (str_equal(key, "driver-opt") && strchr(value, '=')) {
            set_pair(object_at(made, "DriverOpts"), value, arena);
        } else if (str_equal(key, "ip")) {
            set_text(made, "ip", value);
        } else if (str_equal(key, "ip6")) {
            set_text(made, "ip6", value);
        } else if (str_equal(key, "mac-address")) {
            set_text(made, "mac-address", value);
        } else if (str_equal(key, "link-local-ip")) {
            json_array_append_new(array_at(made, "link-local-ip"), json_string(value));
        } else {
            err_set(err, ERR_INVALID_ARGUMENT, "invalid field %s", key);
            count = -1;
        }
    }
    if (count >= 0 && !*text_at(made, "Target")) {
        err_set(err, ERR_INVALID_ARGUMENT, "network name is not specified");
        count = -1;
    }
    if (count >= 0)
        return made;
    json_decref(made);
    return NULL;
}

json_t *parse_gpus(const char *text, struct arena *arena, struct err *err)
{
    struct field fields[FIELDS_MAX];
    int count = fields_parse(text, arena, fields, err);
    if (count < 0)
        return NULL;
    json_t *made = json_object(), *kinds = json_array();
    bool counted = false, wrong = false;
    for (int i = 0; i < count && !wrong; i++) {
        const char *key = fields[i].has_value ? fields[i].key : "count";
        const char *value = fields[i].has_value ? fields[i].value : fields[i].key;
        struct str_part part;
        int64_t number = -1;
        if (str_equal(key, "count")) {
            wrong = !str_equal(value, "all") && !str_to_i64(value, -1, INT32_MAX, &number);
            set_number(made, "Count", number);
            counted = true;
        } else if (str_equal(key, "driver")) {
            set_text(made, "Driver", value);
        } else if (str_equal(key, "device") || str_equal(key, "capabilities")) {
            json_t *list = str_equal(key, "device") ? array_at(made, "DeviceIDs") : kinds;
            for (const char *rest = value; str_split(&rest, ',', &part);)
                json_array_append_new(list, json_stringn(part.at, part.len));
        } else {
            wrong = true;
        }
        if (wrong)
            err_set(err, ERR_INVALID_ARGUMENT, "invalid field '%s'", key);
    }
    json_array_append_new(kinds, json_string("gpu"));
    set_at(made, "Capabilities", json_pack("[o]", kinds));
    if (!counted && !at(made, "DeviceIDs"))
        set_number(made, "Count", 1);
    if (!wrong)
        return made;
    json_decref(made);
    return NULL;
}

// ---- small ones ---------------------------------------------------------------------------------

json_t *parse_ulimit(const char *text, struct err *err)
{
    static const char *const names[] = {
        "as",   "core",   "cpu",   "data", "fsize",  "locks",  "memlock",    "msgqueue",
        "nice", "nofile", "nproc", "rss",  "rtprio", "rttime", "sigpending", "stack"};
    const char *equals = strchr(text, '=');
    size_t length = equals ? (size_t)(equals - text) : 0, i = 0;
    while (equals && i < COUNT_OF(names) &&
           (strlen(names[i]) != length || strncmp(names[i], text, length) != 0))
        i++;
    if (!equals || i == COUNT_OF(names)) {
        err_set(err, ERR_INVALID_ARGUMENT, "invalid ulimit type: %s", text);
        return NULL;
    }
    char soft_text[32];
    const char *colon = strchr(equals, ':');
    int64_t soft, hard;
    str_copy(soft_text, sizeof soft_text, equals + 1);
    if (colon && (size_t)(colon - equals - 1) < sizeof soft_text)
        soft_text[colon - equals - 1] = 0;
    if (!str_to_i64(soft_text, -1, INT64_MAX, &soft) ||
        !str_to_i64(colon ? colon + 1 : soft_text, -1, INT64_MAX, &hard)) {
        err_set(err, ERR_INVALID_ARGUMENT, "invalid ulimit argument: %s", text);
        return NULL;
    }
    if (hard != -1 && (soft > hard || soft == -1)) {
        err_set(err, ERR_INVALID_ARGUMENT,
                "ulimit soft limit must be less than or equal to hard limit: %lld > %lld",
                (long long)soft, (long long)hard);
        return NULL;
    }
    return json_pack("{s:s, s:I, s:I}", "Name", names[i], "Hard", (json_int_t)hard, "Soft",
                     (json_int_t)soft);
}

const char *parse_host(const char *text, struct arena *arena, struct err *err)
{
    const char *separator = strpbrk(text, ":=");
    if (!separator || separator == text || !separator[1]) {
        err_set(err, ERR_INVALID_ARGUMENT, "bad format for add-host: \"%s\"", text);
        return NULL;
    }
    return arena_printf(arena, "%s %.*s", separator + 1, (int)(separator - text), text);
}

int parse_generic(const char *text, json_t *resources, struct arena *arena, struct err *err)
{
    const char *value, *kind = split_once(text, '=', &value, arena);
    int64_t number;
    if (!value || !*value || !*kind)
        return err_set(err, ERR_INVALID_ARGUMENT, "invalid generic-resource: %s", text);
    if (!str_to_i64(value, 0, INT64_MAX, &number))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "invalid generic-resource request `%s`, Named Generic Resources is not "
                       "supported for service create or update",
                       text);
    json_array_append_new(resources, json_pack("{s:{s:s, s:I}}", "DiscreteResourceSpec", "Kind",
                                               kind, "Value", (json_int_t)number));
    return 0;
}

int parse_preference(const char *text, json_t *preferences, struct err *err)
{
    if (!str_starts(text, "spread="))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       strchr(text, '=') ? "unsupported placement preference (only spread is "
                                           "supported): %s"
                                         : "placement preference must be of the format "
                                           "\"<strategy>=<arg>\": %s",
                       text);
    json_array_append_new(preferences, json_pack("{s:{s:s}}", "Spread", "SpreadDescriptor",
                                                 text + strlen("spread=")));
    return 0;
}

int parse_env_file(const char *text, const char *(*look_up)(const char *name), json_t *env,
                   struct arena *arena, struct err *err)
{
    struct str_part line;
    size_t number = 0;
    if (!str_utf8_valid(text, strlen(text)))
        return err_set(err, ERR_INVALID_ARGUMENT, "invalid utf8 bytes");
    if (str_starts(text, "\xef\xbb\xbf"))
        text += 3;
    for (const char *rest = text; str_split(&rest, '\n', &line);) {
        number++;
        while (line.len && strchr(" \t", *line.at)) {
            line.at++;
            line.len--;
        }
        if (line.len && line.at[line.len - 1] == '\r')
            line.len--;
        if (!line.len || *line.at == '#')
            continue;
        const char *whole = arena_strndup(arena, line.at, line.len), *value;
        const char *name = split_once(whole, '=', &value, arena);
        if (!*name)
            return err_set(err, ERR_INVALID_ARGUMENT, "line %zu: no variable name on line '%s'",
                           number, whole);
        if (strpbrk(name, " \t"))
            return err_set(err, ERR_INVALID_ARGUMENT,
                           "line %zu: variable '%s' contains whitespaces", number, name);
        const char *found = value || !look_up ? NULL : look_up(name);
        if (value || !look_up)
            json_array_append_new(env, json_string(whole));
        else if (found)
            json_array_append_new(env, json_string(arena_printf(arena, "%s=%s", name, found)));
    }
    return 0;
}

int parse_words(const char *text, json_t *words, struct arena *arena, struct err *err)
{
    char *word = arena_alloc(arena, strlen(text) + 1), *to = word;
    CHECK(word);
    char quote = 0;
    bool inside = false;
    for (const char *at = text;; at++) {
        if (!*at && quote)
            return err_set(err, ERR_INVALID_ARGUMENT, "EOF found when expecting closing quote");
        bool blank = !*at || (!quote && strchr(" \t\r\n", *at));
        if (blank && inside) {
            *to = 0;
            json_array_append_new(words, json_string(word));
            to = word;
            inside = false;
        }
        if (!*at)
            return 0;
        if (blank)
            continue;
        inside = true;
        if (!quote && (*at == '"' || *at == '\''))
            quote = *at;
        else if (quote && *at == quote)
            quote = 0;
        else if (*at == '\\' && quote != '\'' && at[1])
            *to++ = *++at;
        else
            *to++ = *at;
    }
}

const char *parse_capability(const char *text, struct arena *arena)
{
    char *upper = arena_strdup(arena, text);
    for (char *c = upper; *c; c++)
        if (*c >= 'a' && *c <= 'z')
            *c = (char)(*c - 32);
    return str_equal(upper, "ALL") || str_starts(upper, "CAP_")
               ? upper
               : arena_printf(arena, "CAP_%s", upper);
}
