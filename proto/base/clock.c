#include "proto/base/clock.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static int64_t add_saturating(int64_t a, int64_t b)
{
    int64_t sum;
    if (!__builtin_add_overflow(a, b, &sum))
        return sum;
    return b > 0 ? INT64_MAX : INT64_MIN;
}

static int64_t sub_saturating(int64_t a, int64_t b)
{
    int64_t difference;
    if (!__builtin_sub_overflow(a, b, &difference))
        return difference;
    return b < 0 ? INT64_MAX : INT64_MIN;
}

struct mono mono_add(struct mono at, int64_t delay_ns)
{
    return (struct mono){.ns = add_saturating(at.ns, delay_ns)};
}

struct wall wall_add(struct wall at, int64_t delay_ns)
{
    return (struct wall){.ns = add_saturating(at.ns, delay_ns)};
}

int64_t mono_since(struct mono later, struct mono earlier)
{
    return sub_saturating(later.ns, earlier.ns);
}

int64_t wall_since(struct wall later, struct wall earlier)
{
    return sub_saturating(later.ns, earlier.ns);
}

// ---- calendar ----------------------------------------------------------------------------------
// Proleptic Gregorian arithmetic over 400-year eras of 146,097 days that start on 1 March, so that
// the leap day is the last of its year.

#define DAYS_PER_ERA    146097
#define DAYS_0000_TO_70 719468 // days from 0000-03-01 to 1970-01-01
#define S_PER_DAY       86400

struct date {
    int64_t year;
    unsigned month; // 1 to 12
    unsigned day;   // 1 to 31
};

static int64_t days_of_date(struct date date)
{
    int64_t year = date.month <= 2 ? date.year - 1 : date.year;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t month_from_march = (date.month + 9) % 12;
    int64_t day_of_year = (153 * month_from_march + 2) / 5 + date.day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * DAYS_PER_ERA + day_of_era - DAYS_0000_TO_70;
}

static struct date date_of_days(int64_t days)
{
    days += DAYS_0000_TO_70;
    int64_t era = (days >= 0 ? days : days - (DAYS_PER_ERA - 1)) / DAYS_PER_ERA;
    int64_t day_of_era = days - era * DAYS_PER_ERA;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month_from_march = (5 * day_of_year + 2) / 153;
    struct date date = {
        .day = (unsigned)(day_of_year - (153 * month_from_march + 2) / 5 + 1),
        .month = (unsigned)(month_from_march < 10 ? month_from_march + 3 : month_from_march - 9),
    };
    date.year = year_of_era + era * 400 + (date.month <= 2);
    return date;
}

const char *wall_format(struct wall at, char out[WALL_TEXT_BYTES])
{
    int64_t seconds = at.ns / NS_PER_S;
    int64_t fraction = at.ns % NS_PER_S;
    if (fraction < 0) {
        fraction += NS_PER_S;
        seconds--;
    }
    int64_t days = seconds / S_PER_DAY;
    int64_t second_of_day = seconds % S_PER_DAY;
    if (second_of_day < 0) {
        second_of_day += S_PER_DAY;
        days--;
    }
    struct date date = date_of_days(days);
    int used = snprintf(out, WALL_TEXT_BYTES, "%04d-%02u-%02uT%02d:%02d:%02d", (int)date.year,
                        date.month, date.day, (int)(second_of_day / 3600),
                        (int)(second_of_day / 60 % 60), (int)(second_of_day % 60));
    if (fraction) {
        used += snprintf(out + used, WALL_TEXT_BYTES - (size_t)used, ".%09d", (int)fraction);
        while (out[used - 1] == '0')
            used--;
    }
    out[used] = 'Z';
    out[used + 1] = '\0';
    return out;
}

// Reads exactly `digits` decimal digits at *at and steps past them; -1 when they are not there.
static int read_digits(const char **at, int digits)
{
    int value = 0;
    for (int i = 0; i < digits; i++) {
        if (!isdigit((unsigned char)**at))
            return -1;
        value = value * 10 + (*(*at)++ - '0');
    }
    return value;
}

static bool read_char(const char **at, char wanted)
{
    if (**at != wanted)
        return false;
    (*at)++;
    return true;
}

static int days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

// Reads "Z" or "+hh:mm"; false when neither is there. *offset_s is what local time is ahead of UTC.
static bool read_offset(const char **at, int64_t *offset_s)
{
    *offset_s = 0;
    if (read_char(at, 'Z') || read_char(at, 'z'))
        return true;
    int sign = **at == '-' ? -1 : 1;
    if (**at != '+' && **at != '-')
        return false;
    (*at)++;
    int hours = read_digits(at, 2);
    if (hours < 0 || hours > 23 || !read_char(at, ':'))
        return false;
    int minutes = read_digits(at, 2);
    if (minutes < 0 || minutes > 59)
        return false;
    *offset_s = sign * (hours * 3600 + minutes * 60);
    return true;
}

int wall_parse(const char *text, struct wall *out, struct err *err)
{
    const char *at = text;
    int year = read_digits(&at, 4);
    int month = year >= 0 && read_char(&at, '-') ? read_digits(&at, 2) : -1;
    int day = month >= 1 && month <= 12 && read_char(&at, '-') ? read_digits(&at, 2) : -1;
    bool ok = day >= 1 && day <= days_in_month(year, month) &&
              (read_char(&at, 'T') || read_char(&at, 't') || read_char(&at, ' '));
    int hour = ok ? read_digits(&at, 2) : -1;
    int minute = hour >= 0 && hour <= 23 && read_char(&at, ':') ? read_digits(&at, 2) : -1;
    int second = minute >= 0 && minute <= 59 && read_char(&at, ':') ? read_digits(&at, 2) : -1;
    ok = second >= 0 && second <= 59;
    int64_t fraction = 0;
    if (ok && (read_char(&at, '.') || read_char(&at, ','))) {
        int digits = 0;
        for (; digits < 9 && isdigit((unsigned char)*at); digits++)
            fraction = fraction * 10 + (*at++ - '0');
        ok = digits > 0;
        for (; digits < 9; digits++)
            fraction *= 10;
    }
    int64_t offset_s = 0;
    if (!ok || !read_offset(&at, &offset_s) || *at)
        return err_set(err, ERR_INVALID_ARGUMENT, "'%.64s' is not an RFC 3339 time", text);
    struct date date = {.year = year, .month = (unsigned)month, .day = (unsigned)day};
    int64_t seconds =
        days_of_date(date) * S_PER_DAY + hour * 3600 + minute * 60 + second - offset_s;
    int64_t ns;
    if (__builtin_mul_overflow(seconds, NS_PER_S, &ns) || __builtin_add_overflow(ns, fraction, &ns))
        return err_set(err, ERR_OUT_OF_RANGE, "time '%.64s' is outside the years 1678 to 2262",
                       text);
    out->ns = ns;
    return 0;
}

// ---- durations ---------------------------------------------------------------------------------

// Appends value / unit with up to `digits` fraction digits, without trailing zeros.
static int put_fraction(char *out, size_t room, uint64_t value, uint64_t unit, int digits,
                        const char *suffix)
{
    uint64_t whole = value / unit, fraction = value % unit;
    if (!fraction)
        return snprintf(out, room, "%llu%s", (unsigned long long)whole, suffix);
    char text[16];
    int used = snprintf(text, sizeof text, "%0*llu", digits, (unsigned long long)fraction);
    while (used > 0 && text[used - 1] == '0')
        text[--used] = '\0';
    return snprintf(out, room, "%llu.%s%s", (unsigned long long)whole, text, suffix);
}

const char *duration_format(int64_t duration_ns, char out[DURATION_TEXT_BYTES])
{
    uint64_t left = duration_ns < 0 ? -(uint64_t)duration_ns : (uint64_t)duration_ns;
    size_t used = 0;
    if (duration_ns < 0)
        out[used++] = '-';
    char *at = out + used;
    size_t room = DURATION_TEXT_BYTES - used;
    if (left == 0) {
        snprintf(at, room, "0s");
    } else if (left < NS_PER_US) {
        put_fraction(at, room, left, 1, 0, "ns");
    } else if (left < NS_PER_MS) {
        put_fraction(at, room, left, NS_PER_US, 3, "\u00b5s");
    } else if (left < NS_PER_S) {
        put_fraction(at, room, left, NS_PER_MS, 6, "ms");
    } else {
        uint64_t hours = left / NS_PER_H, minutes = left / NS_PER_MIN % 60;
        if (hours)
            used += (size_t)snprintf(out + used, DURATION_TEXT_BYTES - used, "%lluh",
                                     (unsigned long long)hours);
        if (hours || minutes)
            used += (size_t)snprintf(out + used, DURATION_TEXT_BYTES - used, "%llum",
                                     (unsigned long long)minutes);
        put_fraction(out + used, DURATION_TEXT_BYTES - used, left % NS_PER_MIN, NS_PER_S, 9, "s");
    }
    return out;
}

struct unit {
    const char *name;
    int64_t ns;
};

// Longer names first where one is a prefix of another.
static const struct unit units[] = {
    {"ns", 1},         {"us", NS_PER_US}, {"\u00b5s", NS_PER_US}, {"\u03bcs", NS_PER_US},
    {"ms", NS_PER_MS}, {"s", NS_PER_S},   {"m", NS_PER_MIN},      {"h", NS_PER_H},
};

static const struct unit *read_unit(const char **at)
{
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        size_t length = strlen(units[i].name);
        if (strncmp(*at, units[i].name, length) == 0) {
            *at += length;
            return &units[i];
        }
    }
    return NULL;
}

// One "12.5h" of a duration: adds it to *total. 0, or -code.
static int read_part(const char **at, uint64_t *total, const char *text, struct err *err)
{
    uint64_t whole = 0, fraction = 0, scale = 1;
    int digits = 0;
    bool overflow = false;
    for (; isdigit((unsigned char)**at); (*at)++, digits++)
        overflow |= __builtin_mul_overflow(whole, 10, &whole) ||
                    __builtin_add_overflow(whole, (uint64_t)(**at - '0'), &whole);
    if (read_char(at, '.')) {
        for (; isdigit((unsigned char)**at); (*at)++, digits++) {
            if (scale >= UINT64_C(100000000000))
                continue; // finer than a nanosecond of any unit's worth
            fraction = fraction * 10 + (uint64_t)(**at - '0');
            scale *= 10;
        }
    }
    const struct unit *unit = digits ? read_unit(at) : NULL;
    if (!unit)
        return err_set(err, ERR_INVALID_ARGUMENT, "'%.64s' is not a duration such as 1m30s", text);
    uint64_t part;
    overflow |= __builtin_mul_overflow(whole, (uint64_t)unit->ns, &part);
    // The product needs up to 79 bits for hours; the quotient fits again.
    part += (uint64_t)((unsigned __int128)fraction * (uint64_t)unit->ns / scale);
    overflow |= __builtin_add_overflow(*total, part, total);
    if (overflow || *total > (uint64_t)INT64_MAX + 1)
        return err_set(err, ERR_OUT_OF_RANGE, "duration '%.64s' is too long", text);
    return 0;
}

int duration_parse(const char *text, int64_t *out_ns, struct err *err)
{
    const char *at = text;
    bool negative = *at == '-';
    if (*at == '-' || *at == '+')
        at++;
    uint64_t total = 0;
    if (strcmp(at, "0") == 0) {
        *out_ns = 0;
        return 0;
    }
    do {
        int result = read_part(&at, &total, text, err);
        if (result)
            return result;
    } while (*at);
    if (!negative && total > INT64_MAX)
        return err_set(err, ERR_OUT_OF_RANGE, "duration '%.64s' is too long", text);
    *out_ns = negative ? (int64_t)(0 - total) : (int64_t)total;
    return 0;
}
