#include "inspect.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "util.h"

enum { CONTROL = 4, NAME_SIZE = 120, POOL_THREADS = 4 };

struct descriptor {
    int fd;
    char name[NAME_SIZE]; // "pipe:[7]", "anon_inode:[eventpoll]", a path; cut
};

struct descriptors {
    size_t count;
    struct descriptor items[];
};

// ---- /proc ----

static int read_link(const char *path, char *link, size_t size)
{
    ssize_t length = readlink(path, link, size - 1);
    link[length < 0 ? 0 : length] = 0;
    return length < 0 ? -errno : 0;
}

static bool is_number(const char *name)
{
    return isdigit((unsigned char)name[0]);
}

static void comm_of(const char *directory, char comm[32])
{
    char path[96];
    snprintf(path, sizeof path, "%s/comm", directory);
    ssize_t length = read_text(AT_FDCWD, path, comm, 32);
    comm[length > 0 ? length - 1 : 0] = 0; // the line's end
}

static int each_shown(bool (*visit)(pid_t pid, void *state), void *state)
{
    DIR *stream = opendir("/proc");
    if (!stream) {
        return -errno;
    }
    bool go_on = true;
    for (struct dirent *entry; go_on && (entry = readdir(stream));) {
        pid_t pid = is_number(entry->d_name) ? (pid_t)strtol(entry->d_name, NULL, 10) : 0;
        if (pid > 1) {
            go_on = visit(pid, state);
        }
    }
    closedir(stream);
    return 0;
}

static void each_child(pid_t parent, bool (*visit)(pid_t pid, void *state), void *state)
{
    char path[64], text[65536];
    snprintf(path, sizeof path, "/proc/%d/task", parent);
    DIR *stream = opendir(path);
    for (struct dirent *entry; stream && (entry = readdir(stream));) {
        snprintf(path, sizeof path, "/proc/%d/task/%.10s/children", parent, entry->d_name);
        ssize_t length = is_number(entry->d_name) ? read_text(AT_FDCWD, path, text, sizeof text) : 0;
        for (char *rest = NULL, *item = length > 0 ? strtok_r(text, " ", &rest) : NULL; item; item = strtok_r(NULL, " ", &rest)) {
            pid_t pid = (pid_t)strtol(item, NULL, 10);
            if (pid > 1 && !visit(pid, state)) {
                break;
            }
        }
    }
    if (stream) {
        closedir(stream);
    }
}

int each_process(pid_t guest, const struct leaves *leaves, bool (*visit)(pid_t pid, void *state), void *state)
{
    int result = each_shown(visit, state);
    if (leaves->on) {
        leaves_each(leaves, visit, state);
    } else {
        each_child(1, visit, state);
        each_child(guest, visit, state);
    }
    return result;
}

bool process_lives(pid_t pid)
{
    char path[32], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    if (read_text(AT_FDCWD, path, text, sizeof text) <= 0) {
        return false;
    }
    const char *state = strrchr(text, ')');
    return state && state[1] && state[2] != 'Z' && state[2] != 'X';
}

// ---- descriptors ----

// A bound of the numbers that are in use.
static int number_bound(pid_t pid)
{
    char path[32], text[4096];
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    ssize_t length = read_text(AT_FDCWD, path, text, sizeof text);
    const char *size = length > 0 ? strstr(text, "\nFDSize:") : NULL;
    return size ? (int)strtol(size + strlen("\nFDSize:"), NULL, 10) : -1;
}

// Each as a copy of its own, since /proc shows a process that is not dumpable to none but the owner of its user namespace's root, which not every namespace has.
static int each_descriptor(pid_t pid, bool (*visit)(int fd, int copy, void *state), void *state)
{
    int bound = number_bound(pid), process = (int)syscall(SYS_pidfd_open, pid, 0);
    int result = bound < 0 ? -ESRCH : process < 0 ? -errno : 0;
    for (int fd = 0; fd < bound && !result; fd++) {
        int copy = (int)syscall(SYS_pidfd_getfd, process, fd, 0);
        if (copy >= 0) {
            result = visit(fd, copy, state) ? 0 : -ENOMEM;
            close(copy);
        } else if (errno != EBADF) {
            result = -errno;
        }
    }
    if (process >= 0) {
        close(process);
    }
    return result;
}

static void name_copy(int copy, char name[NAME_SIZE])
{
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", copy);
    read_link(path, name, NAME_SIZE);
}

struct listing {
    struct descriptors *list;
    size_t capacity;
};

static bool list_one(int fd, int copy, void *state)
{
    struct listing *listing = state;
    if (listing->list->count == listing->capacity) {
        listing->capacity *= 2;
        struct descriptors *larger = realloc(listing->list, sizeof *larger + listing->capacity * sizeof *larger->items);
        if (!larger) {
            return false;
        }
        listing->list = larger;
    }
    struct descriptor *one = &listing->list->items[listing->list->count++];
    one->fd = fd;
    name_copy(copy, one->name);
    return true;
}

struct descriptors *descriptors_list(pid_t pid)
{
    struct listing listing = {.capacity = 64};
    listing.list = malloc(sizeof *listing.list + listing.capacity * sizeof *listing.list->items);
    if (!listing.list) {
        return NULL;
    }
    listing.list->count = 0;
    int result = each_descriptor(pid, list_one, &listing);
    if (result) {
        free(listing.list);
        errno = -result;
        return NULL;
    }
    return listing.list;
}

static bool was_there(const struct descriptors *before, int fd, const char *name)
{
    for (size_t i = 0; i < before->count; i++) {
        if (before->items[i].fd == fd && strcmp(before->items[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_plain_device(const struct stat *info)
{
    unsigned number = minor(info->st_rdev);
    return S_ISCHR(info->st_mode) && major(info->st_rdev) == 1 && (number == 3 || number == 5 || number == 8 || number == 9); // null, zero, random, urandom
}

static bool is_read_only(int copy)
{
    struct statvfs info;
    return fstatvfs(copy, &info) == 0 && info.f_flag & ST_RDONLY;
}

struct inspection {
    const struct descriptors *before;
    dev_t tmp, proc;
    struct findings *findings;
};

static bool inspect_descriptor(int fd, int copy, void *state)
{
    const struct inspection *inspection = state;
    struct findings *findings = inspection->findings;
    char name[NAME_SIZE];
    struct stat info;
    name_copy(copy, name);
    // 0 to 3 are every fork's own, and control is closed in each.
    if (fd <= CONTROL || was_there(inspection->before, fd, name)) {
        return true;
    }
    int flags = fcntl(copy, F_GETFL);
    if (flags < 0 || fstat(copy, &info)) {
        finding(findings, "descriptor %d (%s) cannot be looked at", fd, name);
    } else if (is_plain_device(&info)) {
        return true;
    } else if (S_ISSOCK(info.st_mode)) {
        finding(findings, "descriptor %d is a socket: connect in the handler, not during init", fd);
    } else if (S_ISFIFO(info.st_mode)) {
        finding(findings, "descriptor %d is a pipe, opened during init", fd);
    } else if (!S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode)) {
        finding(findings, "descriptor %d is %s, opened during init", fd, name);
    } else if (info.st_dev == inspection->tmp) {
        finding(findings, "descriptor %d is open in /tmp: %s", fd, name);
    } else if (info.st_dev == inspection->proc) {
        finding(findings, "descriptor %d is open in /proc: %s", fd, name); // about the template, not about the fork that has it
    } else if ((flags & O_ACCMODE) != O_RDONLY || !is_read_only(copy)) {
        finding(findings, "descriptor %d can be written: %s", fd, name);
    }
    return true;
}

// ---- threads and processes ----

// Where its call may not be looked at, it is enough that it does not run.
static bool waits_for_work(const char *directory)
{
    char path[96], text[512];
    snprintf(path, sizeof path, "%s/syscall", directory);
    ssize_t length = read_text(AT_FDCWD, path, text, sizeof text);
    if (length == -EACCES) {
        snprintf(path, sizeof path, "%s/stat", directory);
        const char *state = read_text(AT_FDCWD, path, text, sizeof text) > 0 ? strrchr(text, ')') : NULL;
        return state && state[1] == ' ' && state[2] != 'R';
    }
    return length > 0 && is_number(text) && strtol(text, NULL, 10) == SYS_futex;
}

// libuv names the threads of its pool from 1.50 on; before they have their process's name. A fork makes itself a new pool when it needs one.
static bool may_be_of_pool(pid_t pid, const char *comm)
{
    char path[32], program[PATH_MAX];
    snprintf(path, sizeof path, "/proc/%d/exe", pid);
    const char *name = read_link(path, program, sizeof program) ? NULL : strrchr(program, '/');
    return name && strncmp(name, "/node", 5) == 0 && (strcmp(comm, "libuv-worker") == 0 || strncmp(comm, "node", 4) == 0);
}

static void inspect_threads(pid_t pid, struct findings *findings)
{
    char directory[64];
    int pool = 0;
    snprintf(directory, sizeof directory, "/proc/%d/task", pid);
    DIR *stream = opendir(directory);
    if (!stream) {
        finding(findings, "its threads cannot be looked at: %s", strerror(errno));
        return;
    }
    for (struct dirent *entry; (entry = readdir(stream));) {
        pid_t thread = is_number(entry->d_name) ? (pid_t)strtol(entry->d_name, NULL, 10) : pid;
        char comm[32];
        if (thread == pid) {
            continue;
        }
        snprintf(directory, sizeof directory, "/proc/%d/task/%d", pid, thread);
        comm_of(directory, comm);
        if (may_be_of_pool(pid, comm) && pool < POOL_THREADS && waits_for_work(directory)) {
            pool++;
            continue;
        }
        finding(findings, "a thread (%.32s) was started during init: start it in the handler (numpy starts none with OPENBLAS_NUM_THREADS=1)", comm);
    }
    closedir(stream);
}

struct others {
    pid_t pid;
    struct findings *findings;
    pid_t named[FINDINGS_MAX];
    size_t count;
};

static bool name_other(pid_t pid, void *state)
{
    struct others *others = state;
    char directory[32], comm[32];
    bool named = pid == others->pid;
    for (size_t i = 0; i < others->count; i++) {
        named |= others->named[i] == pid;
    }
    if (!named && others->count < FINDINGS_MAX) {
        others->named[others->count++] = pid;
        snprintf(directory, sizeof directory, "/proc/%d", pid);
        const bool hidden = faccessat(AT_FDCWD, directory, F_OK, AT_EACCESS) != 0; // access alone asks without the capabilities that /proc goes by
        comm_of(directory, comm);
        finding(others->findings, "a process (%d, %.32s) was started during init and %s", pid, hidden ? "of a program that cannot be read" : comm,
                hidden || process_lives(pid) ? "is still there" : "was never waited for");
    }
    return true;
}

// ---- memory ----

// A shared mapping is harmless when nobody can ever write to it: a file of a read-only file system. What is written in /proc is ours to parse; the name at its end is
// the guest's choice, without line breaks.
static void inspect_mapping(char *line, dev_t tmp, struct findings *findings)
{
    unsigned major_number = 0, minor_number = 0;
    char rights[5] = "";
    int name_at = 0;
    if (sscanf(line, "%*s %4s %*s %x:%x %*s %n", rights, &major_number, &minor_number, &name_at) < 3 || strlen(rights) != 4 || rights[3] != 's') {
        return;
    }
    const char *name = name_at > 0 ? line + name_at : "";
    size_t length = strlen(name);
    bool deleted = length > 10 && strcmp(name + length - 10, " (deleted)") == 0;
    if (rights[1] != 'w' && name[0] == '/' && !deleted && strncmp(name, "/dev/", 5) != 0 && strncmp(name, "/memfd:", 7) != 0 && strncmp(name, "/SYSV", 5) != 0 &&
        makedev(major_number, minor_number) != tmp) {
        return;
    }
    finding(findings, "memory that its forks would share was mapped during init: %.100s", length ? name : "without a name");
}

static void inspect_memory(pid_t pid, dev_t tmp, struct findings *findings)
{
    char path[32], *line = NULL;
    size_t size = 0;
    snprintf(path, sizeof path, "/proc/%d/maps", pid);
    FILE *stream = fopen(path, "re");
    if (!stream) {
        finding(findings, "its memory cannot be looked at: %s", strerror(errno));
        return;
    }
    while (getline(&line, &size, stream) > 0) {
        line[strcspn(line, "\n")] = 0;
        inspect_mapping(line, tmp, findings);
    }
    free(line);
    fclose(stream);
}

void inspect(pid_t pid, const struct leaves *leaves, const struct descriptors *before, dev_t tmp, struct findings *findings)
{
    char path[32];
    struct stat info;
    struct others others = {.pid = pid, .findings = findings};
    struct inspection inspection = {before, tmp, stat("/proc", &info) ? 0 : info.st_dev, findings};
    inspect_threads(pid, findings);
    int result = each_process(pid, leaves, name_other, &others);
    if (!result) {
        result = each_descriptor(pid, inspect_descriptor, &inspection);
    }
    if (result) {
        finding(findings, "its processes and descriptors cannot be looked at: %s", strerror(-result));
    }
    inspect_memory(pid, tmp, findings);
    snprintf(path, sizeof path, "/proc/%d/cwd", pid);
    if (stat(path, &info)) {
        finding(findings, "its working directory cannot be looked at: %s", strerror(errno));
    } else if (info.st_dev == tmp || info.st_dev == inspection.proc) {
        finding(findings, "its working directory is in /%s", info.st_dev == tmp ? "tmp" : "proc");
    }
}
