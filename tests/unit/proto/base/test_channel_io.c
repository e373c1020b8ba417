#include <check.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/base/channel_io.h"
#include "proto/base/check.h"

Suite *suite_channel_io(void);

enum { NUMBER = 1, PIPE = 2, BULK = 3 };
static const struct channel_rule rules[] = {
    {.type = NUMBER, .name = "number", .bytes_min = 4, .bytes_max = 4},
    {.type = PIPE, .name = "pipe", .bytes_max = 8, .fds_min = 1, .fds_max = 2},
    {.type = BULK, .name = "bulk", .bytes_max = CHANNEL_PAYLOAD_BYTES_MAX},
};
static const struct channel_rules table = {rules, COUNT_OF(rules)};

struct side {
    struct channel *channel;
    unsigned messages;
    unsigned sum;
    size_t bytes;
    int kept_fd;
    bool close_inside; // closes the channel from the callback
    bool closed;
    struct err why;
};

static struct loop loop;
static struct side ours, theirs;

static void on_message(void *owner, const struct channel_message *message)
{
    struct side *side = owner;
    side->messages++;
    side->bytes += message->payload_bytes;
    if (message->type == NUMBER)
        side->sum += message->payload[3];
    if (message->type == PIPE) {
        side->kept_fd = message->fds[0];
        message->fds[0] = -1;
    }
    if (side->close_inside) {
        channel_close(side->channel);
        side->channel = NULL;
    }
}

static void on_closed(void *owner, const struct err *why)
{
    struct side *side = owner;
    ck_assert(!side->closed);
    side->closed = true;
    side->why = *why;
}

static const struct channel_handler handler = {on_message, on_closed};

static void setup(void)
{
    loop_init(&loop);
    int fds[2];
    ck_assert_int_eq(channel_pair(fds, NULL), 0);
    ours = theirs = (struct side){.kept_fd = -1};
    ck_assert_int_eq(channel_open(&loop, fds[0], &table, &handler, &ours, &ours.channel, NULL), 0);
    ck_assert_int_eq(channel_open(&loop, fds[1], &table, &handler, &theirs, &theirs.channel, NULL),
                     0);
}

static void teardown(void)
{
    channel_close(ours.channel);
    channel_close(theirs.channel);
    loop_fini(&loop);
}

static bool theirs_closed(void *ctx)
{
    (void)ctx;
    return theirs.closed;
}

static bool theirs_got(void *ctx)
{
    return theirs.messages >= *(unsigned *)ctx;
}

static void wait_for(unsigned messages)
{
    ck_assert(loop_run_until(&loop, theirs_got, &messages, 30000));
}

static int send_number(uint8_t number)
{
    uint8_t payload[4] = {0, 0, 0, number};
    return channel_send(ours.channel, NUMBER, payload, sizeof payload, NULL, 0, NULL);
}

// Goal: messages arrive whole, in order, in both directions.
START_TEST(channel_carries_messages)
{
    for (uint8_t i = 1; i <= 100; i++)
        ck_assert_int_eq(send_number(i), 0);
    wait_for(100);
    ck_assert_uint_eq(theirs.sum, 5050);
    ck_assert(channel_flushed(ours.channel));
}
END_TEST

// Goal: a descriptor that is kept works and is close-on-exec; one that is not kept is closed.
START_TEST(channel_passes_descriptors)
{
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(channel_send(ours.channel, PIPE, "p", 1, ends, 2, NULL), 0);
    close(ends[0]);
    close(ends[1]);
    wait_for(1);
    ck_assert_int_ge(theirs.kept_fd, 3);
    ck_assert_int_ne(fcntl(theirs.kept_fd, F_GETFD) & FD_CLOEXEC, 0);
    char byte;
    // The write end was not kept, so the read end is at its end.
    ck_assert_int_eq(read(theirs.kept_fd, &byte, 1), 0);
    close(theirs.kept_fd);
}
END_TEST

// Goal: the largest message passes, and a queue of them arrives once the other side reads.
START_TEST(channel_carries_the_largest_messages)
{
    static uint8_t bulk[CHANNEL_PAYLOAD_BYTES_MAX];
    for (int i = 0; i < 40; i++)
        ck_assert_int_eq(channel_send(ours.channel, BULK, bulk, sizeof bulk, NULL, 0, NULL), 0);
    wait_for(40);
    ck_assert_uint_eq(theirs.bytes, 40 * sizeof bulk);
}
END_TEST

// Goal: the queue has an end, and then a clear error; nothing already taken is lost.
START_TEST(channel_refuses_beyond_its_queue)
{
    static uint8_t bulk[CHANNEL_PAYLOAD_BYTES_MAX];
    unsigned sent = 0;
    int result;
    while ((result = channel_send(ours.channel, BULK, bulk, sizeof bulk, NULL, 0, NULL)) == 0) {
        sent++;
        ck_assert_uint_lt(sent, 1000);
    }
    ck_assert_int_eq(result, -ERR_RESOURCE_EXHAUSTED);
    ck_assert(!channel_room(ours.channel, sizeof bulk));
    wait_for(sent);
    ck_assert(channel_room(ours.channel, sizeof bulk));
}
END_TEST

// Goal: when one side closes, the other hears of it once and may not send any more.
START_TEST(channel_tells_the_end)
{
    channel_close(ours.channel);
    ours.channel = NULL;
    ck_assert(loop_run_until(&loop, theirs_closed, NULL, 30000));
    ck_assert_int_eq(theirs.why.code, ERR_OK);
    ck_assert_int_eq(channel_send(theirs.channel, NUMBER, "1234", 4, NULL, 0, NULL),
                     -ERR_UNAVAILABLE);
}
END_TEST

// Goal: messages sent before the end still arrive.
START_TEST(channel_delivers_what_came_before_the_end)
{
    ck_assert_int_eq(send_number(1), 0);
    channel_close(ours.channel);
    ours.channel = NULL;
    ck_assert(loop_run_until(&loop, theirs_closed, NULL, 30000));
    ck_assert_uint_eq(theirs.messages, 1);
}
END_TEST

// Goal: a message that the rules forbid ends the channel and is not delivered.
START_TEST(channel_ends_at_a_forbidden_message)
{
    ck_assert_int_eq(channel_send(ours.channel, NUMBER, "12345", 5, NULL, 0, NULL), 0);
    ck_assert(loop_run_until(&loop, theirs_closed, NULL, 30000));
    ck_assert_int_eq(theirs.why.code, ERR_OUT_OF_RANGE);
    ck_assert_uint_eq(theirs.messages, 0);
}
END_TEST

// Goal: closing from inside a callback is safe.
START_TEST(channel_may_be_closed_inside_a_message)
{
    theirs.close_inside = true;
    for (uint8_t i = 0; i < 5; i++)
        ck_assert_int_eq(send_number(1), 0);
    wait_for(1);
    ck_assert_uint_eq(theirs.messages, 1);
}
END_TEST

// Sends one raw packet to a fresh channel and gives the code it ended with.
static enum err_code end_of_raw(const void *packet, size_t size, const int *fds, size_t count)
{
    int pair[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
    channel_close(theirs.channel);
    theirs = (struct side){.kept_fd = -1};
    ck_assert_int_eq(channel_open(&loop, pair[0], &table, &handler, &theirs, &theirs.channel, NULL),
                     0);
    char control[CMSG_SPACE(sizeof(int) * 32)] = {0};
    struct iovec part = {.iov_base = (void *)(uintptr_t)packet, .iov_len = size};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    if (count) {
        header.msg_control = control;
        header.msg_controllen = CMSG_SPACE(sizeof(int) * count);
        struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(sizeof(int) * count);
        memcpy(CMSG_DATA(rights), fds, sizeof(int) * count);
    }
    ck_assert_int_eq(sendmsg(pair[1], &header, 0), (ssize_t)size);
    ck_assert(loop_run_until(&loop, theirs_closed, NULL, 30000));
    close(pair[1]);
    ck_assert_uint_eq(theirs.messages, 0);
    return theirs.why.code;
}

static int open_fds(void)
{
    int count = 0;
    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

// Goal: junk, packets that are too long and too many descriptors end the channel and leak nothing.
START_TEST(channel_survives_hostile_packets)
{
    static uint8_t huge[CHANNEL_HEADER_BYTES + CHANNEL_PAYLOAD_BYTES_MAX + 1] = {0, BULK};
    const uint8_t bare[] = {0, NUMBER, 0, 2, 0, 0, 0, 0};
    int fds[32];
    for (int i = 0; i < 32; i++)
        fds[i] = 2;
    ck_assert_int_eq(end_of_raw("junk", 4, NULL, 0), ERR_INVALID_ARGUMENT);
    int before = open_fds();
    ck_assert_int_eq(end_of_raw(huge, sizeof huge, NULL, 0), ERR_OUT_OF_RANGE);
    ck_assert_int_eq(end_of_raw(bare, sizeof bare, fds, 2), ERR_OUT_OF_RANGE);
    ck_assert_int_eq(end_of_raw(bare, sizeof bare, fds, 32), ERR_OUT_OF_RANGE);
    ck_assert_int_eq(open_fds(), before);
}
END_TEST

// Goal: only the right kind of socket is taken.
START_TEST(channel_wants_a_packet_socket)
{
    int ends[2];
    struct channel *channel = NULL;
    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(channel_open(&loop, ends[0], &table, &handler, &ours, &channel, NULL),
                     -ERR_INVALID_ARGUMENT);
    ck_assert_ptr_null(channel);
    ck_assert_int_eq(fcntl(ends[0], F_GETFD), -1);
    close(ends[1]);
}
END_TEST

Suite *suite_channel_io(void)
{
    Suite *suite = suite_create("channel_io");
    TCase *tcase = tcase_create("channel");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, channel_carries_messages);
    tcase_add_test(tcase, channel_passes_descriptors);
    tcase_add_test(tcase, channel_carries_the_largest_messages);
    tcase_add_test(tcase, channel_refuses_beyond_its_queue);
    tcase_add_test(tcase, channel_tells_the_end);
    tcase_add_test(tcase, channel_delivers_what_came_before_the_end);
    tcase_add_test(tcase, channel_ends_at_a_forbidden_message);
    tcase_add_test(tcase, channel_may_be_closed_inside_a_message);
    tcase_add_test(tcase, channel_survives_hostile_packets);
    tcase_add_test(tcase, channel_wants_a_packet_socket);
    suite_add_tcase(suite, tcase);
    return suite;
}
