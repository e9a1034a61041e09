#include "control.h"

#include <string.h>

#include "util.h"

struct reader {
    const uint8_t *data;
    size_t left;
    bool failed;
};

static const uint8_t *take(struct reader *reader, size_t length)
{
    if (reader->failed || reader->left < length) {
        reader->failed = true;
        return NULL;
    }
    const uint8_t *at = reader->data;
    reader->data += length;
    reader->left -= length;
    return at;
}

static uint16_t take_u16(struct reader *reader)
{
    const uint8_t *at = take(reader, 2);
    return at ? (uint16_t)(at[0] | at[1] << 8) : 0;
}

static uint32_t load_u32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static uint32_t take_u32(struct reader *reader)
{
    const uint8_t *at = take(reader, 4);
    return at ? load_u32(at) : 0;
}

static struct text take_text(struct reader *reader, uint32_t max)
{
    uint32_t length = take_u32(reader);
    if (length > max) {
        reader->failed = true;
    }
    const uint8_t *at = take(reader, length);
    if (!at || memchr(at, 0, length)) {
        reader->failed = true;
        return (struct text){"", 0};
    }
    return (struct text){(const char *)at, length};
}

static struct text_list take_list(struct reader *reader, uint32_t max)
{
    uint32_t count = take_u32(reader);
    struct text_list list = {reader->data, count};
    if (count > max) {
        reader->failed = true;
    }
    for (uint32_t i = 0; i < count && !reader->failed; i++) {
        take_text(reader, MESSAGE_MAX);
    }
    return list;
}

static void take_start(struct reader *reader, struct start_request *start)
{
    start->flags = take_u32(reader);
    start->memory_mb = take_u32(reader);
    start->tmp_mb = take_u32(reader);
    start->pids_max = take_u32(reader);
    start->cpu_weight = take_u32(reader);
    start->cpu_quota_milli = take_u32(reader);
    start->max_files = take_u32(reader);
    start->code = take_text(reader, CODE_NAME_MAX);
    start->cwd = take_text(reader, CWD_MAX);
    start->arguments = take_list(reader, ARGUMENTS_MAX);
    start->environment = take_list(reader, ENVIRONMENT_MAX);
}

bool control_parse(const void *data, size_t length, struct request *request)
{
    struct reader reader = {data, length, length > MESSAGE_MAX};
    memset(request, 0, sizeof *request);
    uint16_t version = take_u16(&reader);
    request->op = take_u16(&reader);
    request->cell = take_u32(&reader);
    if (reader.failed || version != CONTROL_VERSION || request->cell == 0) {
        return false;
    }
    switch (request->op) {
    case OP_MAKE:
        request->make.tenant = take_text(&reader, TENANT_MAX);
        request->make.zygote = take_u32(&reader);
        request->make.network = take_u32(&reader);
        break;
    case OP_START:
        take_start(&reader, &request->start);
        break;
    case OP_ZYGOTE:
        request->zygote.arguments = take_list(&reader, ARGUMENTS_MAX);
        request->zygote.environment = take_list(&reader, ENVIRONMENT_MAX);
        break;
    case OP_KILL:
    case OP_RETIRE:
    case OP_SNAPSHOT:
    case OP_RENEW:
        break;
    default:
        return false;
    }
    return !reader.failed && reader.left == 0;
}

void control_unpack(const struct text_list *list, char **storage, char **pointers)
{
    const uint8_t *at = list->items;
    for (uint32_t i = 0; i < list->count; i++) {
        uint32_t length = load_u32(at);
        memcpy(*storage, at + 4, length);
        (*storage)[length] = 0;
        pointers[i] = *storage;
        *storage += length + 1;
        at += 4 + length;
    }
    pointers[list->count] = NULL;
}

bool control_plain_name(struct text name, uint32_t max)
{
    if (name.length == 0 || name.length > max || name.data[0] == '.' || name.data[0] == '-') {
        return false;
    }
    for (uint32_t i = 0; i < name.length; i++) {
        char c = name.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && c != '.' && c != '_' && c != '-') {
            return false;
        }
    }
    return true;
}

bool control_path_component(struct text name)
{
    if (name.length == 0 || name.length > CODE_NAME_MAX || memchr(name.data, '/', name.length) || memchr(name.data, 0, name.length)) {
        return false;
    }
    return !(name.length == 1 && name.data[0] == '.') && !(name.length == 2 && memcmp(name.data, "..", 2) == 0);
}

static void put(struct message *message, const void *data, size_t length)
{
    if (length <= sizeof message->data - message->length) {
        memcpy(message->data + message->length, data, length);
        message->length += length;
    }
}

void message_u32(struct message *message, uint32_t value)
{
    put(message, (uint8_t[]){(uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16), (uint8_t)(value >> 24)}, 4);
}

void message_begin(struct message *message, enum op op, uint32_t cell)
{
    message->length = 0;
    message_u32(message, CONTROL_VERSION | (uint32_t)op << 16);
    message_u32(message, cell);
}

void message_text(struct message *message, const char *text)
{
    size_t room = sizeof message->data - message->length;
    size_t length = strlen(text);
    if (room < 4) {
        return;
    }
    if (length > room - 4) {
        length = room - 4;
    }
    message_u32(message, (uint32_t)length);
    put(message, text, length);
}
