// The control messages under address and undefined-behaviour sanitizers: what is right parses to what was sent, and thousands of
// damaged messages are refused or parsed without a step outside their bytes.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../src/control.h"
#include "../src/util.h"

static int passed, failed;

static void check(bool condition, const char *name)
{
    printf("%s %s\n", condition ? "pass" : "FAIL", name);
    if (condition) {
        passed++;
    } else {
        failed++;
    }
}

struct bytes {
    uint8_t data[MESSAGE_MAX + 64];
    size_t length;
};

static void put_u32(struct bytes *bytes, uint32_t value)
{
    for (int i = 0; i < 4; i++) {
        bytes->data[bytes->length++] = (uint8_t)(value >> (8 * i));
    }
}

static void put_text(struct bytes *bytes, const char *text)
{
    put_u32(bytes, (uint32_t)strlen(text));
    memcpy(bytes->data + bytes->length, text, strlen(text));
    bytes->length += strlen(text);
}

static void put_head(struct bytes *bytes, uint32_t op, uint32_t cell)
{
    bytes->length = 0;
    put_u32(bytes, CONTROL_VERSION | op << 16);
    put_u32(bytes, cell);
}

static void put_start(struct bytes *bytes)
{
    put_head(bytes, OP_START, 7);
    put_u32(bytes, START_SNAPSHOT);
    for (uint32_t i = 1; i <= 6; i++) {
        put_u32(bytes, i * 10);
    }
    put_text(bytes, "code-1");
    put_text(bytes, "/var/task");
    put_u32(bytes, 2);
    put_text(bytes, "/bin/sh");
    put_text(bytes, "");
    put_u32(bytes, 3);
    put_text(bytes, "A=1");
    put_text(bytes, "B=2");
    put_text(bytes, "C=");
}

// From an exact-size heap copy, so that one byte too far is seen.
static bool parse_copy(const uint8_t *data, size_t length, bool unpack)
{
    struct request request;
    uint8_t *copy = malloc(length ? length : 1);
    if (!copy) {
        abort();
    }
    memcpy(copy, data, length);
    bool right = control_parse(copy, length, &request);
    if (right && unpack && request.op == OP_START) {
        static char storage[MESSAGE_MAX + ARGUMENTS_MAX + ENVIRONMENT_MAX];
        static char *arguments[ARGUMENTS_MAX + 1], *environment[ENVIRONMENT_MAX + 1];
        char *at = storage;
        control_unpack(&request.start.arguments, &at, arguments);
        control_unpack(&request.start.environment, &at, environment);
        right = at <= storage + sizeof storage && !arguments[request.start.arguments.count];
        (void)control_path_component(request.start.code);
        (void)control_plain_name(request.start.code, TENANT_MAX);
    }
    free(copy);
    return right;
}

static void test_good(void)
{
    static struct bytes bytes;
    struct request request;
    put_head(&bytes, OP_MAKE, 5);
    put_text(&bytes, "default");
    put_u32(&bytes, 3);
    put_u32(&bytes, NETWORK_EGRESS);
    check(control_parse(bytes.data, bytes.length, &request) && request.cell == 5 && request.make.tenant.length == 7 && request.make.zygote == 3 &&
              request.make.network == NETWORK_EGRESS,
          "a MAKE parses");
    put_head(&bytes, OP_ZYGOTE, 8);
    put_u32(&bytes, 1);
    put_text(&bytes, "/usr/bin/node");
    put_u32(&bytes, 1);
    put_text(&bytes, "A=1");
    check(control_parse(bytes.data, bytes.length, &request) && request.zygote.arguments.count == 1 && request.zygote.environment.count == 1, "a ZYGOTE parses");
    put_head(&bytes, OP_RETIRE, 8);
    check(control_parse(bytes.data, bytes.length, &request) && request.op == OP_RETIRE, "a RETIRE parses");
    put_head(&bytes, OP_KILL, 6);
    check(control_parse(bytes.data, bytes.length, &request) && request.op == OP_KILL, "a KILL parses");
    put_start(&bytes);
    check(control_parse(bytes.data, bytes.length, &request) && request.start.flags == START_SNAPSHOT && request.start.memory_mb == 10 && request.start.max_files == 60 &&
              request.start.arguments.count == 2 && request.start.environment.count == 3,
          "a START parses");
    char storage[128], *at = storage, *items[4];
    control_unpack(&request.start.environment, &at, items);
    check(strcmp(items[0], "A=1") == 0 && strcmp(items[2], "C=") == 0 && !items[3], "a list unpacks to strings");
}

static void test_bad(void)
{
    static struct bytes bytes;
    struct request request;
    put_start(&bytes);
    bool any = false;
    for (size_t length = 0; length < bytes.length; length++) {
        any |= parse_copy(bytes.data, length, false);
    }
    check(!any, "no beginning of a START parses");
    bytes.data[bytes.length] = 0;
    check(!parse_copy(bytes.data, bytes.length + 1, false), "a byte too many does not parse");
    put_start(&bytes);
    bytes.data[0] = 1;
    check(!control_parse(bytes.data, bytes.length, &request), "another version does not parse");
    put_head(&bytes, OP_KILL, 0);
    check(!control_parse(bytes.data, bytes.length, &request), "cell 0 does not parse");
    put_head(&bytes, OP_HELLO, 1);
    check(!control_parse(bytes.data, bytes.length, &request), "a launcher's message does not parse");
    put_head(&bytes, OP_MAKE, 1);
    put_u32(&bytes, 3);
    memcpy(bytes.data + bytes.length, "a\0b", 3);
    bytes.length += 3;
    check(!control_parse(bytes.data, bytes.length, &request), "a NUL inside a string does not parse");
    put_head(&bytes, OP_MAKE, 1);
    put_u32(&bytes, UINT32_MAX);
    check(!parse_copy(bytes.data, bytes.length, false), "a length of 4 GB does not parse");
}

static struct text text_of(const char *text)
{
    return (struct text){text, (uint32_t)strlen(text)};
}

static void test_names(void)
{
    static const char *const bad[] = {"", ".", "..", "a/b", "/", "../a"};
    static const char *const bad_tenants[] = {"", ".", "..", "-a", "a/b", "+launcher", "a b", "\xc3\xa4"};
    bool any = false;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        any |= control_path_component(text_of(bad[i]));
    }
    check(!any && control_path_component(text_of("0a.b-c")), "a code name is one path component");
    any = false;
    for (size_t i = 0; i < sizeof bad_tenants / sizeof *bad_tenants; i++) {
        any |= control_plain_name(text_of(bad_tenants[i]), TENANT_MAX);
    }
    check(!any && control_plain_name(text_of("default"), TENANT_MAX), "a tenant is a plain name");
}

static void test_mutations(void)
{
    static struct bytes bytes;
    unsigned parsed = 0, count = 20000;
    srand(1);
    for (unsigned i = 0; i < count; i++) {
        put_start(&bytes);
        if (i % 5 == 0) {
            put_head(&bytes, OP_MAKE, 1);
            put_text(&bytes, "default");
            put_u32(&bytes, 0);
            put_u32(&bytes, 0);
        }
        int changes = 1 + rand() % 8;
        for (int change = 0; change < changes; change++) {
            size_t at = (size_t)rand() % bytes.length;
            switch (rand() % 4) {
            case 0: bytes.data[at] = (uint8_t)rand(); break;
            case 1: bytes.data[at] ^= (uint8_t)(1 << rand() % 8); break;
            case 2: bytes.length = at + 1; break;
            default:
                memmove(bytes.data + at + 1, bytes.data + at, bytes.length - at);
                bytes.length++;
                break;
            }
        }
        parsed += parse_copy(bytes.data, bytes.length, true);
    }
    printf("  %u of %u damaged messages still parse\n", parsed, count);
    check(parsed > 0 && parsed < count / 2, "20000 damaged messages stay inside their bytes");
}

int main(void)
{
    test_good();
    test_bad();
    test_names();
    test_mutations();
    printf("%d passed, %d failed, 0 skipped\n", passed, failed);
    return failed != 0;
}
