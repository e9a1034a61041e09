#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#include "loop.h"

enum { MESSAGE_CELL_AT = 4 };

void tell(struct loop *loop, const struct message *message, int *fds, size_t count)
{
    int result = outbox_send(&loop->outbox, message, fds, count);
    if (result == -EAGAIN) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = &loop->from_worker};
        result = epoll_ctl(loop->epoll, EPOLL_CTL_MOD, loop->outbox.socket, &event) ? -errno : 0;
    }
    if (result == -ETOOMANYREFS) {
        uint32_t id;
        memcpy(&id, message->data + MESSAGE_CELL_AT, sizeof id);
        tell_lost(loop, id);
    } else if (result) {
        loop->stop = true;
    }
}

// Where all have one uid a guest can hold as many descriptors under way between sockets as the kernel allows the user, and then none can be sent: the end of this
// cell, which would have needed them, not of all.
void tell_lost(struct loop *loop, uint32_t id)
{
    struct cell *cell = *cells_find(loop, id);
    if (cell) {
        cells_refuse(loop, cell, "descriptors", ETOOMANYREFS, strerror(ETOOMANYREFS));
    } else {
        loop->stop = true;
    }
}

void tell_failed(struct loop *loop, struct cell *cell, const char *phase, int error, const char *text)
{
    struct message message;
    cell->failed = true;
    message_begin(&message, OP_FAILED, cell->id);
    message_text(&message, phase);
    message_u32(&message, (uint32_t)error);
    message_text(&message, text);
    tell(loop, &message, NULL, 0);
}

static uint32_t end_flags(const struct cell *cell)
{
    return cell->memory_hit || memory_watch_killed(&cell->memory) ? EXITED_MEMORY_LIMIT : 0;
}

void tell_forked(struct loop *loop, struct cell *cell, int *fds)
{
    struct message message;
    message_begin(&message, OP_FORKED, cell->id);
    message_u32(&message, cell->fork);
    tell(loop, &message, fds, CELL_READY_FDS - 1);
}

void tell_fork_exited(struct loop *loop, struct cell *cell, uint32_t code, uint32_t signal)
{
    struct message message;
    message_begin(&message, OP_FORK_EXITED, cell->id);
    message_u32(&message, cell->fork);
    message_u32(&message, code);
    message_u32(&message, signal);
    message_u32(&message, end_flags(cell));
    cell->fork = 0;
    tell(loop, &message, NULL, 0);
}

void tell_unsafe(struct loop *loop, struct cell *cell, const struct findings *findings)
{
    struct message message;
    uint32_t count = findings->count < FINDINGS_MAX ? findings->count : FINDINGS_MAX;
    message_begin(&message, OP_UNSAFE, cell->id);
    message_u32(&message, count);
    for (uint32_t i = 0; i < count; i++) {
        message_text(&message, findings->text[i]);
    }
    tell(loop, &message, NULL, 0);
}

void tell_exited(struct loop *loop, struct cell *cell, uint32_t code, uint32_t signal)
{
    struct message message;
    if (cell->fork) {
        tell_fork_exited(loop, cell, 0, SIGKILL); // what runs in a cell ends with its template
    }
    cell->told_end = true;
    message_begin(&message, OP_EXITED, cell->id);
    message_u32(&message, code);
    message_u32(&message, signal);
    message_u32(&message, end_flags(cell));
    tell(loop, &message, NULL, 0);
}

void tell_gone(struct loop *loop, uint32_t id, const char *trouble)
{
    struct message message;
    message_begin(&message, OP_GONE, id);
    message_u32(&message, trouble ? 0 : 1);
    if (trouble) {
        message_text(&message, trouble);
    }
    tell(loop, &message, NULL, 0);
}

void tell_zygote_ready(struct loop *loop, const struct zygote *zygote)
{
    struct message message;
    message_begin(&message, OP_ZYGOTE_READY, zygote->id);
    message_u32(&message, (uint32_t)zygote->process.pid);
    tell(loop, &message, NULL, 0);
}

void tell_zygote_gone(struct loop *loop, uint32_t id, int status, const char *text)
{
    struct message message;
    message_begin(&message, OP_ZYGOTE_GONE, id);
    message_u32(&message, WIFEXITED(status) ? (uint32_t)WEXITSTATUS(status) : 0);
    message_u32(&message, WIFSIGNALED(status) ? (uint32_t)WTERMSIG(status) : 0);
    message_text(&message, text);
    tell(loop, &message, NULL, 0);
}

void tell_hello(struct loop *loop)
{
    struct message message;
    char json[sizeof message.data - 16];
    if (!hello_json(loop->launcher, json, sizeof json)) {
        diag("HELLO does not fit its message");
        loop->stop = true;
        return;
    }
    message_begin(&message, OP_HELLO, 0);
    message_text(&message, json);
    tell(loop, &message, NULL, 0);
}

void tell_egress(struct loop *loop)
{
    struct message message;
    struct egress *egress = &loop->launcher->egress;
    int fds[] = {egress->dns_udp, egress->dns_tcp};
    message_begin(&message, OP_EGRESS, 0);
    tell(loop, &message, fds, 2);
    egress->dns_udp = egress->dns_tcp = -1; // the message's now
}
