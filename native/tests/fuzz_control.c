// Random messages for the parser of the control messages, under address and undefined-behaviour sanitizers: FLINT_FUZZ_SECONDS (5) with a new seed every time, which is
// printed; FLINT_FUZZ_SEED repeats a run. Whatever parses must unpack within what LAUNCHER.md promises, and say the same when it is parsed again.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../src/control.h"
#include "../src/util.h"

static uint8_t data[MESSAGE_MAX + 4096];
static size_t length;
static uint64_t state;

static uint32_t number(uint32_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)((state >> 16) % below);
}

static void put_u32(uint32_t value)
{
    memcpy(data + length, &value, 4);
    length += 4;
}

static uint32_t odd_number(void)
{
    static const uint32_t odd[] = {0, 1, 2, 8, 255, 1024, 1025, 4096, 4097, 65535, 131072, 0x7fffffff, 0x80000000, 0xfffffffc, 0xffffffff};
    return number(3) ? number(300) : odd[number(sizeof odd / sizeof *odd)];
}

static void put_text(void)
{
    static const char *const texts[] = {"", "default", "code-1", "/var/task", "/bin/sh", "A=1", "..", "a/b", "/", "\xff\xfe", "a\nb", "x=y=z", "t.1_2-3"};
    const char *text = texts[number(sizeof texts / sizeof *texts)];
    put_u32((uint32_t)strlen(text));
    memcpy(data + length, text, strlen(text));
    length += strlen(text);
}

static void put_list(void)
{
    uint32_t count = number(20) ? number(6) : number(3000);
    put_u32(count);
    for (uint32_t i = 0; i < count && length < MESSAGE_MAX; i++) {
        put_text();
    }
}

static void make_message(void)
{
    uint32_t op = 1 + number(8);
    length = 0;
    put_u32(CONTROL_VERSION | op << 16);
    put_u32(1 + number(5));
    if (op == OP_MAKE) {
        put_text();
        put_u32(odd_number());
        put_u32(odd_number());
    } else if (op == OP_START) {
        for (int i = 0; i < 7; i++) {
            put_u32(odd_number());
        }
        put_text();
        put_text();
        put_list();
        put_list();
    } else if (op == OP_ZYGOTE) {
        put_list();
        put_list();
    }
}

static void damage(void)
{
    for (uint32_t changes = number(5); changes > 0; changes--) {
        size_t at = number((uint32_t)length);
        uint32_t value = odd_number();
        switch (number(6)) {
        case 0: data[at] = (uint8_t)number(256); break;
        case 1: data[at] ^= (uint8_t)(1U << number(8)); break;
        case 2: length = at + 1; break;
        case 3: memmove(data + at + 1, data + at, length - at); length++; break;
        case 4: memmove(data + at, data + at + 1, length - at - 1); length -= length > 1; break;
        default: memcpy(data + at, &value, length - at < 4 ? length - at : 4); break;
        }
    }
}

// Into storage of exactly the size that the header promises to be enough.
static bool unpack(const struct text_list *list, uint32_t most)
{
    if (list->count > most) {
        return false;
    }
    char *storage = malloc(length + list->count + 1), *at = storage, **pointers = malloc((list->count + 1) * sizeof *pointers);
    if (!storage || !pointers) {
        abort();
    }
    control_unpack(list, &at, pointers);
    bool right = !pointers[list->count] && (size_t)(at - storage) <= length + list->count;
    for (uint32_t i = 0; i < list->count; i++) {
        right = right && strlen(pointers[i]) < length;
    }
    free(storage);
    free(pointers);
    return right;
}

static bool round_is_right(unsigned *parsed)
{
    struct request request, again;
    uint8_t *copy = malloc(length);
    if (!copy) {
        abort();
    }
    memcpy(copy, data, length);
    bool right = true;
    if (control_parse(copy, length, &request)) {
        (*parsed)++;
        right = request.cell && control_parse(copy, length, &again) && again.op == request.op && request.op >= OP_MAKE && request.op <= OP_RENEW;
        if (request.op == OP_START) {
            right = right && unpack(&request.start.arguments, ARGUMENTS_MAX) && unpack(&request.start.environment, ENVIRONMENT_MAX);
            (void)control_path_component(request.start.code);
        } else if (request.op == OP_ZYGOTE) {
            right = right && unpack(&request.zygote.arguments, ARGUMENTS_MAX) && unpack(&request.zygote.environment, ENVIRONMENT_MAX);
        } else if (request.op == OP_MAKE && control_plain_name(request.make.tenant, TENANT_MAX)) {
            right = right && request.make.tenant.length > 0 && request.make.tenant.length <= TENANT_MAX && !memchr(request.make.tenant.data, '/', request.make.tenant.length);
        }
    }
    free(copy);
    return right;
}

int main(void)
{
    const char *asked = getenv("FLINT_FUZZ_SEED"), *seconds = getenv("FLINT_FUZZ_SECONDS");
    uint64_t seed = asked ? strtoull(asked, NULL, 10) : (uint64_t)time(NULL) * 2654435761U | 1;
    time_t end = time(NULL) + (seconds ? atoi(seconds) : 5);
    unsigned rounds = 0, parsed = 0, wrong = 0;
    state = seed ? seed : 1;
    printf("FLINT_FUZZ_SEED=%llu\n", (unsigned long long)seed);
    fflush(stdout);
    while (time(NULL) < end && !wrong) {
        for (int i = 0; i < 1000 && !wrong; i++, rounds++) {
            make_message();
            damage();
            wrong += !round_is_right(&parsed);
        }
    }
    printf("%s %u random messages, of which %u parse\n", wrong || !parsed || parsed == rounds ? "FAIL" : "pass", rounds, parsed);
    printf("%d passed, %d failed, 0 skipped\n", !wrong && parsed && parsed < rounds, wrong || !parsed || parsed == rounds);
    return wrong != 0;
}
