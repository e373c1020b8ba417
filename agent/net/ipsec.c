#include "agent/net/ipsec.h"

#include <stdlib.h>
#include <string.h>

#include "agent/gossip/keyring.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

static_assert(IPSEC_KEY_BYTES == KEYRING_KEY_BYTES, "one size of keys");

static void wipe(void *bytes, size_t size)
{
    volatile uint8_t *at = bytes;
    while (size--)
        *at++ = 0;
}

// ---- keys ---------------------------------------------------------------------------------------

static int key_check(const Swarm__EncryptionKey *key, struct err *err)
{
    if (key->algorithm != SWARM__ENCRYPTION_KEY__ALGORITHM__AES_128_GCM)
        return err_set(err, ERR_INVALID_ARGUMENT, "an IPsec key of algorithm %d", key->algorithm);
    if (key->key.len != IPSEC_KEY_BYTES)
        return err_set(err, ERR_INVALID_ARGUMENT, "an IPsec key of %zu bytes", key->key.len);
    return 0;
}

int ipsec_keys_load(Swarm__EncryptionKey *const *keys, size_t count, struct ipsec_keys *out,
                    struct err *err)
{
    const Swarm__EncryptionKey *found[IPSEC_KEYS];
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        if (!str_equal(keys[i]->subsystem, KEYRING_IPSEC))
            continue;
        if (at == IPSEC_KEYS)
            return err_set(err, ERR_INVALID_ARGUMENT, "more than %d IPsec keys", IPSEC_KEYS);
        if (key_check(keys[i], err) < 0)
            return -ERR_INVALID_ARGUMENT;
        // Insertion keeps them in the order of their times.
        size_t place = at++;
        while (place > 0 && found[place - 1]->lamport_time > keys[i]->lamport_time) {
            found[place] = found[place - 1];
            place--;
        }
        found[place] = keys[i];
    }
    if (at == 0)
        return err_set(err, ERR_FAILED_PRECONDITION, "the manager gave no IPsec keys");
    if (at != IPSEC_KEYS)
        return err_set(err, ERR_INVALID_ARGUMENT, "%zu IPsec keys instead of %d", at, IPSEC_KEYS);
    for (size_t i = 1; i < IPSEC_KEYS; i++)
        if (found[i]->lamport_time == found[i - 1]->lamport_time)
            return err_set(err, ERR_INVALID_ARGUMENT, "two IPsec keys of one time");
    for (size_t i = 0; i < IPSEC_KEYS; i++) {
        memcpy(out->keys[i].key, found[i]->key.data, IPSEC_KEY_BYTES);
        out->keys[i].tag = (uint32_t)found[i]->lamport_time;
    }
    return 0;
}

void ipsec_keys_wipe(struct ipsec_keys *keys)
{
    wipe(keys, sizeof *keys);
}

// ---- numbers ------------------------------------------------------------------------------------

static uint32_t fnv(uint32_t hash, uint8_t byte)
{
    return (hash ^ byte) * 16777619u;
}

static uint32_t fnv_u32(uint32_t hash, uint32_t value)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        hash = fnv(hash, (uint8_t)(value >> shift));
    return hash;
}

// The 16 bytes of ::ffff:a.b.c.d.
static uint32_t fnv_address(uint32_t hash, uint32_t address)
{
    for (int i = 0; i < 10; i++)
        hash = fnv(hash, 0);
    hash = fnv(fnv(hash, 0xff), 0xff);
    return fnv_u32(hash, address);
}

uint32_t ipsec_spi(uint32_t from, uint32_t tag, uint32_t to)
{
    return fnv_address(fnv_u32(fnv_address(2166136261u, from), tag), to);
}

// ---- sets ---------------------------------------------------------------------------------------

void ipsec_set_init(struct ipsec_set *set)
{
    memset(set, 0, sizeof *set);
}

void ipsec_set_fini(struct ipsec_set *set)
{
    if (set->states)
        wipe(set->states, set->states_count * sizeof *set->states);
    free(set->states);
    free(set->policies);
    ipsec_set_init(set);
}

struct ipsec_state *ipsec_set_state(struct ipsec_set *set)
{
    if (set->states_count == set->states_cap) {
        // Not realloc: it may leave keys behind.
        size_t cap = set->states_cap ? 2 * set->states_cap : 64;
        struct ipsec_state *states = mem_alloc_array(cap, sizeof *states);
        if (set->states) {
            memcpy(states, set->states, set->states_count * sizeof *states);
            wipe(set->states, set->states_count * sizeof *states);
            free(set->states);
        }
        set->states = states;
        set->states_cap = cap;
    }
    return &set->states[set->states_count++];
}

struct ipsec_policy *ipsec_set_policy(struct ipsec_set *set)
{
    if (set->policies_count == set->policies_cap) {
        set->policies_cap = set->policies_cap ? 2 * set->policies_cap : 32;
        set->policies = (struct ipsec_policy *)mem_realloc(
            set->policies, set->policies_cap * sizeof(struct ipsec_policy));
    }
    struct ipsec_policy *policy = &set->policies[set->policies_count++];
    memset(policy, 0, sizeof *policy);
    return policy;
}

static int compare(uint32_t a, uint32_t b)
{
    return a < b ? -1 : a > b;
}

static int state_order(const void *left, const void *right)
{
    const struct ipsec_state *a = left, *b = right;
    int order = compare(a->from, b->from);
    if (order == 0)
        order = compare(a->to, b->to);
    return order ? order : compare(a->spi, b->spi);
}

static int policy_order(const void *left, const void *right)
{
    const struct ipsec_policy *a = left, *b = right;
    int order = compare(a->from, b->from);
    if (order == 0)
        order = compare(a->to, b->to);
    return order ? order : compare(a->port, b->port);
}

void ipsec_set_sort(struct ipsec_set *set)
{
    if (set->states_count > 1)
        qsort(set->states, set->states_count, sizeof *set->states, state_order);
    if (set->policies_count > 1)
        qsort(set->policies, set->policies_count, sizeof *set->policies, policy_order);
}

static void put_state(struct ipsec_set *out, uint32_t from, uint32_t to, uint32_t spi,
                      const struct ipsec_key *key)
{
    struct ipsec_state *state = ipsec_set_state(out);
    state->from = from;
    state->to = to;
    state->spi = spi;
    memcpy(state->aead, key->key, IPSEC_KEY_BYTES);
    for (unsigned i = 0; i < 4; i++)
        state->aead[IPSEC_KEY_BYTES + i] = (uint8_t)(spi >> (24 - 8 * i));
}

void ipsec_compile(struct ipsec_set *out, const struct ipsec_local *local,
                   const struct ipsec_keys *keys, const uint32_t *peers, size_t count)
{
    CHECK(out->states_count == 0);
    CHECK(count <= IPSEC_PEERS_MAX);
    const struct ipsec_key *primary = &keys->keys[1];
    for (size_t i = 0; i < count; i++) {
        uint32_t peer = peers[i];
        if (peer == local->advertised || peer == local->bound || peer == 0)
            continue;
        for (size_t k = 0; k < IPSEC_KEYS; k++)
            put_state(out, peer, local->bound,
                      ipsec_spi(peer, keys->keys[k].tag, local->advertised), &keys->keys[k]);
        uint32_t spi = ipsec_spi(local->advertised, primary->tag, peer);
        put_state(out, local->bound, peer, spi, primary);
        *ipsec_set_policy(out) = (struct ipsec_policy){local->bound, peer, spi, local->port};
    }
    *ipsec_set_policy(out) = (struct ipsec_policy){.port = local->port};
    ipsec_set_sort(out);
}

void ipsec_keep(struct ipsec_set *wanted, const struct ipsec_set *actual)
{
    const size_t states = wanted->states_count, policies = wanted->policies_count;
    for (size_t i = 0; i < actual->states_count; i++)
        if (!states || !bsearch(&actual->states[i], wanted->states, states,
                                sizeof(struct ipsec_state), state_order))
            *ipsec_set_state(wanted) = actual->states[i];
    for (size_t i = 0; i < actual->policies_count; i++)
        if (!policies || !bsearch(&actual->policies[i], wanted->policies, policies,
                                  sizeof(struct ipsec_policy), policy_order))
            *ipsec_set_policy(wanted) = actual->policies[i];
    ipsec_set_sort(wanted);
}

// ---- steps --------------------------------------------------------------------------------------

struct steps {
    struct ipsec_step *steps;
    size_t count;
};

static void step(struct steps *steps, enum ipsec_verb verb, const struct ipsec_state *state,
                 const struct ipsec_policy *policy)
{
    steps->steps[steps->count++] = (struct ipsec_step){verb, state, policy};
}

static const struct ipsec_state *same_state(const struct ipsec_set *set,
                                            const struct ipsec_state *state)
{
    const struct ipsec_state *found =
        set->states_count
            ? bsearch(state, set->states, set->states_count, sizeof *state, state_order)
            : NULL;
    return found && memcmp(found->aead, state->aead, IPSEC_AEAD_BYTES) == 0 ? found : NULL;
}

static const struct ipsec_policy *same_policy(const struct ipsec_set *set,
                                              const struct ipsec_policy *policy)
{
    return set->policies_count
               ? bsearch(policy, set->policies, set->policies_count, sizeof *policy, policy_order)
               : NULL;
}

// States of `from` that are not in `to`: those for decrypting, or the others.
static void states_only(struct steps *steps, enum ipsec_verb verb, const struct ipsec_set *from,
                        const struct ipsec_set *to, uint32_t bound, bool decrypt)
{
    for (size_t i = 0; i < from->states_count; i++)
        if ((from->states[i].to == bound) == decrypt && !same_state(to, &from->states[i]))
            step(steps, verb, &from->states[i], NULL);
}

struct ipsec_step *ipsec_diff(const struct ipsec_set *actual, const struct ipsec_set *wanted,
                              uint32_t bound, size_t *count)
{
    struct steps steps = {.steps =
                              mem_alloc_array(actual->states_count + wanted->states_count +
                                                  actual->policies_count + wanted->policies_count,
                                              sizeof(struct ipsec_step))};
    // Sorted, the one that blocks stands first.
    for (size_t i = 0; i < wanted->policies_count; i++)
        if (wanted->policies[i].to == 0 && !same_policy(actual, &wanted->policies[i]))
            step(&steps, IPSEC_POLICY_PUT, NULL, &wanted->policies[i]);
    states_only(&steps, IPSEC_STATE_DEL, actual, wanted, bound, true);
    states_only(&steps, IPSEC_STATE_ADD, wanted, actual, bound, true);
    // A state with the right numbers and a wrong key is in the way of the right one.
    for (size_t i = 0; i < actual->states_count; i++) {
        const struct ipsec_state *state = &actual->states[i];
        if (state->to != bound && !same_state(wanted, state) && wanted->states_count &&
            bsearch(state, wanted->states, wanted->states_count, sizeof *state, state_order))
            step(&steps, IPSEC_STATE_DEL, state, NULL);
    }
    states_only(&steps, IPSEC_STATE_ADD, wanted, actual, bound, false);
    for (size_t i = 0; i < wanted->policies_count; i++) {
        const struct ipsec_policy *policy = &wanted->policies[i];
        const struct ipsec_policy *there = same_policy(actual, policy);
        if (policy->to != 0 && (!there || there->spi != policy->spi))
            step(&steps, IPSEC_POLICY_PUT, NULL, policy);
    }
    for (size_t i = 0; i < actual->policies_count; i++)
        if (!same_policy(wanted, &actual->policies[i]))
            step(&steps, IPSEC_POLICY_DEL, NULL, &actual->policies[i]);
    for (size_t i = 0; i < actual->states_count; i++) {
        const struct ipsec_state *state = &actual->states[i];
        if (state->to != bound && !same_state(wanted, state) &&
            !(wanted->states_count &&
              bsearch(state, wanted->states, wanted->states_count, sizeof *state, state_order)))
            step(&steps, IPSEC_STATE_DEL, state, NULL);
    }
    *count = steps.count;
    return steps.steps;
}
