#include <sys/wait.h>

#include "loop.h"

void child_add(struct loop *loop, struct child *child, pid_t pid)
{
    struct child **bucket = &loop->children[(uint32_t)pid % BUCKETS];
    child->pid = pid;
    child->next = *bucket;
    *bucket = child;
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

void children_reap(struct loop *loop)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct child *child = take(loop, pid);
        if (child) {
            child->ended(loop, child->owner, status);
        }
    }
}
