// Which keys a compose file of version 3 may have, and what each of them holds.
#ifndef CMD_SKEP_COMPOSE_RULES_H
#define CMD_SKEP_COMPOSE_RULES_H

enum shape {
    ANY,
    TEXT,     // a scalar
    NUMBER,   // a number, or a text that is one
    TRUTH,    // a boolean, or a text that is one
    LIST,     // of scalars; one scalar stands for a list of one
    COMMAND,  // a list of words, or a text to be split
    TEST,     // a list of words, or a text for the shell
    PAIRS,    // a map, or a list of "A=b"
    HOSTS,    // a map of names to addresses, or a list of "name:address"
    LIMITS,   // a map of numbers, or of what `below` says
    EXTERNAL, // a boolean, or a map checked by `below`
    MAP,      // a map checked by `below` for each of its values
    JOINED,   // such a map, or a list of its keys
    OBJECT,   // a map checked by `below`
    OBJECTS,  // a list of such
    PORTS,    // the same, or "80:80"
    MOUNTS,   // the same, or "source:target:ro"
    FILES,    // the same, or the source alone
    IGNORED,  // legal, but nothing in a swarm
    REFUSED,  // known, and not possible in a swarm
};

struct rule {
    const char *key;
    enum shape shape;
    const struct rule *below;
};

// The whole file. Tables end with a row without a key.
extern const struct rule compose_rules[];

const struct rule *rule_for(const struct rule *rules, const char *key); // NULL: no such key
const char *rule_nearest(const struct rule *rules, const char *key); // what was meant; may be NULL
const char *rule_instead(const char *key); // what to do instead of a refused key; may be NULL

#endif
