#include "outbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"

struct outbox_item {
    struct outbox_item *next;
    size_t length, count;
    int fds[MESSAGE_FDS_MAX];
    uint8_t data[];
};

static void close_all(int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        close_fd(&fds[i]);
    }
}

static void remove_first(struct outbox *outbox)
{
    struct outbox_item *item = outbox->first;
    close_all(item->fds, item->count);
    outbox->first = item->next;
    if (!outbox->first) {
        outbox->last = NULL;
    }
    free(item);
}

uint32_t outbox_drop(struct outbox *outbox)
{
    uint32_t cell;
    memcpy(&cell, outbox->first->data + 4, sizeof cell); // behind version and op
    remove_first(outbox);
    return cell;
}

int outbox_flush(struct outbox *outbox)
{
    while (outbox->first) {
        struct outbox_item *item = outbox->first;
        int result = send_packet(outbox->socket, item->data, item->length, item->fds, item->count);
        if (result) {
            return result;
        }
        remove_first(outbox);
    }
    return 0;
}

int outbox_send(struct outbox *outbox, const struct message *message, int *fds, size_t count)
{
    int result = outbox->first ? -EAGAIN : send_packet(outbox->socket, message->data, message->length, fds, count);
    if (result != -EAGAIN) {
        close_all(fds, count);
        return result;
    }
    struct outbox_item *item = count <= MESSAGE_FDS_MAX ? malloc(sizeof *item + message->length) : NULL;
    if (!item) {
        close_all(fds, count);
        return -ENOMEM;
    }
    item->next = NULL;
    item->length = message->length;
    item->count = count;
    if (count > 0) {
        memcpy(item->fds, fds, count * sizeof *fds);
    }
    memcpy(item->data, message->data, message->length);
    if (outbox->last) {
        outbox->last->next = item;
    } else {
        outbox->first = item;
    }
    outbox->last = item;
    return -EAGAIN;
}
