#include <stdlib.h>
#include <sys/wait.h>

#include "loop.h"

void child_add(struct loop *loop, struct child *child, pid_t pid)
{
    struct child **bucket = &loop->children[(uint32_t)pid % BUCKETS];
    child->pid = pid;
    child->next = *bucket;
    *bucket = child;
}

static bool known(const struct loop *loop, pid_t pid)
{
    const struct child *child = loop->children[(uint32_t)pid % BUCKETS];
    while (child && child->pid != pid) {
        child = child->next;
    }
    return child;
}

static struct child *take(struct loop *loop, pid_t pid)
{
    struct child **at = &loop->children[(uint32_t)pid % BUCKETS];
    while (*at && (*at)->pid != pid) {
        at = &(*at)->next;
    }
    struct child *child = *at;
    if (child) {
        *at = child->next;
        child->pid = 0; // the kernel may give it to another
    }
    return child;
}

static bool take_early(struct loop *loop, pid_t pid, int *status)
{
    for (struct early_end **at = &loop->early_ends; *at; at = &(*at)->next) {
        struct early_end *early = *at;
        if (early->pid == pid) {
            *status = early->status;
            *at = early->next;
            free(early);
            return true;
        }
    }
    return false;
}

bool child_add_late(struct loop *loop, struct child *child, pid_t pid)
{
    int status;
    siginfo_t info;
    if (take_early(loop, pid, &status)) {
        child->ended(loop, child->owner, status);
        return true;
    }
    if (known(loop, pid) || waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT)) {
        return false;
    }
    child_add(loop, child, pid);
    return true;
}

void child_forget(struct loop *loop, pid_t pid)
{
    int ignored;
    take_early(loop, pid, &ignored);
}

// Guests end before their FORKED is read; what else is unknown is forgotten with them.
static void keep_early(struct loop *loop, pid_t pid, int status)
{
    bool forking = false;
    for (const struct zygote *zygote = loop->zygotes; zygote; zygote = zygote->next) {
        forking |= zygote->forking > 0;
    }
    struct early_end *early = forking ? malloc(sizeof *early) : NULL;
    if (early) {
        *early = (struct early_end){.next = loop->early_ends, .pid = pid, .status = status};
        loop->early_ends = early;
    } else if (forking) {
        diag("out of memory"); // a guest whose end is never known: better none
        loop->stop = true;
    }
}

void children_forget_early(struct loop *loop)
{
    while (loop->early_ends) {
        struct early_end *early = loop->early_ends;
        loop->early_ends = early->next;
        free(early);
    }
}

void children_reap(struct loop *loop)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct child *child = take(loop, pid);
        if (child) {
            child->ended(loop, child->owner, status);
        } else {
            keep_early(loop, pid, status);
        }
    }
}
