#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The control messages of LAUNCHER.md: parsing what the worker sends, building what it is sent.

enum op {
    OP_MAKE = 0x01,
    OP_START = 0x02,
    OP_KILL = 0x03,
    OP_ZYGOTE = 0x04,
    OP_RETIRE = 0x05,
    OP_SNAPSHOT = 0x06,
    OP_RENEW = 0x07,
    OP_HELLO = 0x81,
    OP_READY = 0x82,
    OP_FAILED = 0x83,
    OP_EXITED = 0x84,
    OP_GONE = 0x85,
    OP_ZYGOTE_READY = 0x86,
    OP_ZYGOTE_GONE = 0x87,
    OP_FORKED = 0x88,
    OP_FORK_EXITED = 0x89,
    OP_UNSAFE = 0x8a,
    OP_EGRESS = 0x8b,
};

enum {
    CONTROL_VERSION = 2,
    TENANT_MAX = 64,
    CODE_NAME_MAX = 255,
    CWD_MAX = 4095,
    ARGUMENTS_MAX = 1024,
    ENVIRONMENT_MAX = 4096,
    EXITED_MEMORY_LIMIT = 1,
    START_SNAPSHOT = 1, // START's flags: the guest is to become a template
    NETWORK_NONE = 0,   // MAKE's network
    NETWORK_EGRESS = 1,
};

// Bytes inside the message that was parsed; not ended with NUL, and holding none.
struct text {
    const char *data;
    uint32_t length;
};

struct text_list {
    const uint8_t *items; // the first item's length
    uint32_t count;
};

struct start_request {
    uint32_t flags, memory_mb, tmp_mb, pids_max, cpu_weight, cpu_quota_milli, max_files;
    struct text code, cwd;
    struct text_list arguments, environment;
};

struct make_request {
    struct text tenant;
    uint32_t zygote, network;
};

struct zygote_request {
    struct text_list arguments, environment;
};

struct request {
    enum op op;
    uint32_t cell;
    struct make_request make;     // MAKE
    struct start_request start;   // START
    struct zygote_request zygote; // ZYGOTE
};

// False when the bytes are not exactly one message that a worker may send. Refers into data.
bool control_parse(const void *data, size_t length, struct request *request);

// Copies a parsed list to NUL-ended strings in storage (which moves on) and fills pointers, ended by NULL. The caller's
// storage must have room for the message's length plus one byte per item, pointers for count + 1.
void control_unpack(const struct text_list *list, char **storage, char **pointers);

// A name that may become one path component of ours: letters, digits, '.', '_', '-', not beginning with '.' or '-'.
bool control_plain_name(struct text name, uint32_t max);
// A name that is one path component, whatever its characters.
bool control_path_component(struct text name);

struct message {
    uint8_t data[8192];
    size_t length;
};

void message_begin(struct message *message, enum op op, uint32_t cell);
void message_u32(struct message *message, uint32_t value);
// Cuts what does not fit.
void message_text(struct message *message, const char *text);
