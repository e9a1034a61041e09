// A function for the tests of snapshots: a zygote whose guest does what comes over its channel, a line of words each, and answers each with a line. The word "template" makes
// it the template; each fork says "fork" and goes on the same way. Most of what is tried is the word "sys": any system call.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern int flint_zygote_serve(void) __attribute__((weak));
extern int flint_zygote_go(int snapshot) __attribute__((weak));
extern int flint_zygote_template(void) __attribute__((weak));

static char line[65536], answer[65536], buffer[1 << 20], *words[256];
static int count, event;
static volatile sig_atomic_t handled, named, asked;
static char *remembered;

static void handler(int number)
{
    handled = number;
}

static __attribute__((noreturn)) void *idle(void *unused)
{
    (void)unused;
    prctl(PR_SET_NAME, "wor\nker");
    named = 1;
    for (;;) {
        pause();
    }
}

static int use_memory(long megabytes)
{
    char *block = mmap(NULL, (size_t)megabytes << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (long at = 0; block != MAP_FAILED && at < megabytes << 20; at += 4096) {
        block[at] = 1;
    }
    return block == MAP_FAILED ? -1 : 0;
}

// Once the main thread asks to be a template, and reads no more, and a byte has come.
static void *use_later(void *megabytes)
{
    char byte;
    while (!asked) {
        usleep(1000);
    }
    if (read(3, &byte, 1) == 1) {
        use_memory((long)megabytes);
    }
    return NULL;
}

static void receive(void)
{
    size_t length = 0;
    while (length < sizeof line - 1) {
        if (read(3, line + length, 1) != 1) {
            _exit(0);
        }
        if (line[length] == '\n') {
            break;
        }
        length++;
    }
    line[length] = 0;
    count = 0;
    for (char *state = NULL, *word = strtok_r(line, " ", &state); word && count < 255; word = strtok_r(NULL, " ", &state)) {
        words[count++] = word;
    }
    words[count] = NULL;
}

static void reply(void)
{
    size_t length = strlen(answer);
    answer[length] = '\n';
    for (size_t done = 0; done <= length;) {
        ssize_t put = write(3, answer + done, length + 1 - done);
        if (put <= 0) {
            _exit(90);
        }
        done += (size_t)put;
    }
}

static void say(long result)
{
    if (result < 0) {
        snprintf(answer, sizeof answer, "-1 %s", strerrorname_np(errno) ? strerrorname_np(errno) : "?");
    } else {
        snprintf(answer, sizeof answer, "%ld", result);
    }
}

// Words: a number; s:TEXT, a string; b:, a buffer of zeros
static long value(const char *word)
{
    if (strncmp(word, "s:", 2) == 0) {
        return (long)(word + 2);
    }
    if (strcmp(word, "b:") == 0) {
        memset(buffer, 0, 4096);
        return (long)buffer;
    }
    return (long)strtoul(word, NULL, 0);
}

static void system_call(void)
{
    long arguments[7] = {0};
    for (int i = 0; i < 7 && i + 1 < count; i++) {
        arguments[i] = value(words[i + 1]);
    }
    say(syscall(arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5], arguments[6]));
}

static void read_file(const char *path)
{
    int fd = open(path, O_RDONLY);
    ssize_t length = fd < 0 ? -1 : read(fd, answer, sizeof answer - 1);
    if (length < 0) {
        say(-1);
    } else {
        answer[length] = 0;
        for (char *at = answer; *at; at++) {
            *at = *at == '\n' ? '|' : *at;
        }
    }
    if (fd >= 0) {
        close(fd);
    }
}

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    say(fd < 0 ? -1 : write(fd, text, strlen(text)));
    if (fd >= 0) {
        close(fd);
    }
}

static void fill(const char *path)
{
    long total = 0;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    for (ssize_t put; fd >= 0 && (put = write(fd, buffer, sizeof buffer)) > 0;) {
        total += put;
    }
    snprintf(answer, sizeof answer, "%ld", total);
}

static void make_files(void)
{
    long made = 0;
    char path[64];
    for (;; made++) {
        snprintf(path, sizeof path, "/tmp/file%ld", made);
        int fd = open(path, O_WRONLY | O_CREAT, 0644);
        if (fd < 0) {
            break;
        }
        close(fd);
    }
    snprintf(answer, sizeof answer, "%ld %s", made, strerrorname_np(errno));
}

// Processes that outlive whoever asked for them: each in a session of its own, orphaned, all signals but two ignored.
static void daemons(int wanted)
{
    int made = 0;
    for (; made < wanted; made++) {
        pid_t child = fork();
        if (child < 0) {
            break;
        }
        if (child == 0) {
            setsid();
            if (fork() == 0) {
                for (int number = 1; number < NSIG; number++) {
                    signal(number, SIG_IGN);
                }
                for (;;) {
                    pause();
                }
            }
            _exit(0);
        }
        waitpid(child, NULL, 0);
    }
    snprintf(answer, sizeof answer, "%d", made);
}

static void bomb(void)
{
    for (int i = 0; i < 8; i++) {
        if (fork() == 0) {
            for (;;) {
                if (fork() < 0) {
                    usleep(10000); // each that fails costs its cgroup memory for a while: all of them would end it
                }
            }
        }
    }
    snprintf(answer, sizeof answer, "bombed");
}

static void send_all_signals(pid_t to)
{
    long sent = 0;
    for (int number = 1; number <= 64; number++) {
        if (number != SIGKILL && number != SIGSTOP) {
            sent += kill(to, number) == 0;
        }
    }
    for (int i = 0; i < 5000; i++) {
        union sigval sigval = {.sival_int = 42};
        sent += sigqueue(to, SIGRTMIN + i % 8, sigval) == 0;
    }
    snprintf(answer, sizeof answer, "%ld", sent);
}

static void queue_signals(void)
{
    sigset_t all;
    long sent = 0;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    while (sigqueue(getpid(), SIGRTMIN, (union sigval){0}) == 0) {
        sent++;
    }
    snprintf(answer, sizeof answer, "%ld", sent);
}

static void abstract_socket(const char *name, int take)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "%s", name);
    socklen_t length = (socklen_t)(sizeof address.sun_family + 1 + strlen(name));
    int result = take ? bind(fd, (struct sockaddr *)&address, length) || listen(fd, 4) : connect(fd, (struct sockaddr *)&address, length);
    say(result ? -1 : fd);
}

// Connections that are left open with all the bytes in them that they take: nobody reads what listens at 80 of the tests' internet.
static void pour(const char *address, int connections)
{
    const struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(80), .sin_addr = {inet_addr(address)}};
    long all = 0;
    for (int i = 0; i < connections; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        // With bytes unread it would end by a reset, at once.
        if (connect(fd, (const struct sockaddr *)&to, sizeof to) || recv(fd, buffer, 100, 0) <= 0) {
            say(-1);
            return;
        }
        for (int idle = 0; idle < 20;) {
            ssize_t put = send(fd, buffer, sizeof buffer, MSG_DONTWAIT);
            all += put > 0 ? put : 0;
            idle = put > 0 ? 0 : idle + 1;
            usleep(put > 0 ? 0 : 5000);
        }
    }
    say(all);
}

// Milliseconds until it is connected.
static void reach(const char *address)
{
    const struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(80), .sin_addr = {inet_addr(address)}};
    struct timespec begin, end;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    if (connect(fd, (const struct sockaddr *)&to, sizeof to)) {
        say(-1);
        return;
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    say((end.tv_sec - begin.tv_sec) * 1000 + (end.tv_nsec - begin.tv_nsec) / 1000000);
}

// Connections of the cell to itself, in either family, that are over: each leaves a TIME_WAIT.
static void wait_in_vain(int connections)
{
    for (int i = 0; i < connections; i++) {
        struct sockaddr_in6 own = {.sin6_family = i % 2 ? AF_INET6 : AF_INET};
        own.sin6_addr = in6addr_any; // of AF_INET, 0.0.0.0
        socklen_t length = i % 2 ? sizeof own : sizeof(struct sockaddr_in);
        struct sockaddr *address = (struct sockaddr *)&own;
        int listener = socket(address->sa_family, SOCK_STREAM, 0), fd = socket(address->sa_family, SOCK_STREAM, 0);
        if (bind(listener, address, length) || listen(listener, 1) || getsockname(listener, address, &length) || connect(fd, address, length)) {
            say(-1);
            return;
        }
        int accepted = accept(listener, NULL, NULL);
        close(fd);
        close(accepted);
        close(listener);
    }
    say(connections);
}

static void list_descriptors(void)
{
    size_t at = 0;
    answer[0] = 0;
    for (int fd = 0; fd < 1024; fd++) {
        struct stat info;
        if (fstat(fd, &info) == 0) {
            at += (size_t)snprintf(answer + at, sizeof answer - at, "%d ", fd);
        }
    }
}

// A template that forks once more than it is asked to.
static void fork_in_every_fork(void)
{
    if (getppid() == 2 && syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) == 0) { // in the helper
        for (;;) {
            pause();
        }
    }
}

static void hang(void)
{
    if (getppid() == 2) {
        for (;;) {
            pause();
        }
    }
}

// One whose helper says that it is the fork.
static void pretend(void)
{
    const struct {
        unsigned kind;
        int error;
    } here = {7, 0};
    for (int fd = 5; fd < 64 && getppid() == 2; fd++) {
        send(fd, &here, sizeof here, MSG_NOSIGNAL);
    }
}

static int act(void)
{
    const char *word = words[0], *first = count > 1 ? words[1] : "", *second = count > 2 ? words[2] : "";
    snprintf(answer, sizeof answer, "ok");
    if (strcmp(word, "sys") == 0) {
        system_call();
    } else if (strcmp(word, "read") == 0) {
        read_file(first);
    } else if (strcmp(word, "write") == 0) {
        write_file(first, second);
    } else if (strcmp(word, "bytes") == 0) { // bytes FD COUNT: from where its offset is
        ssize_t got = read(atoi(first), answer, (size_t)atoi(second));
        answer[got < 0 ? 0 : got] = 0;
    } else if (strcmp(word, "remember") == 0) {
        free(remembered);
        remembered = strdup(first);
    } else if (strcmp(word, "recall") == 0) {
        snprintf(answer, sizeof answer, "%s", remembered ? remembered : "nothing");
    } else if (strcmp(word, "setenv") == 0) {
        setenv(first, second, 1);
    } else if (strcmp(word, "getenv") == 0) {
        snprintf(answer, sizeof answer, "%s", getenv(first) ? getenv(first) : "unset");
    } else if (strcmp(word, "pid") == 0) {
        snprintf(answer, sizeof answer, "%d %d %d", getpid(), getppid(), getsid(0) == getpid());
    } else if (strcmp(word, "event") == 0) { // what was left in it; or leaves something
        uint64_t number = 7;
        say(count > 1 ? write(event, &number, sizeof number) : read(event, &number, sizeof number));
    } else if (strcmp(word, "cwd") == 0) {
        snprintf(answer, sizeof answer, "%.4000s", getcwd(buffer, 4096) ? buffer : strerrorname_np(errno));
    } else if (strcmp(word, "link") == 0) {
        ssize_t length = readlink(first, answer, sizeof answer - 1);
        answer[length < 0 ? 0 : length] = 0;
    } else if (strcmp(word, "mask") == 0) { // blocks one signal, handles another
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGUSR1);
        sigprocmask(SIG_BLOCK, &set, NULL);
        signal(SIGUSR2, handler);
    } else if (strcmp(word, "handled") == 0) {
        snprintf(answer, sizeof answer, "%d", (int)handled);
    } else if (strcmp(word, "raise") == 0) {
        raise(atoi(first));
    } else if (strcmp(word, "exit") == 0) {
        _exit(atoi(first));
    } else if (strcmp(word, "abort") == 0) {
        abort();
    } else if (strcmp(word, "say") == 0) {
        dprintf(atoi(first), "%s\n", second);
    } else if (strcmp(word, "thread") == 0) {
        pthread_t thread;
        say(pthread_create(&thread, NULL, idle, NULL) ? -1 : 0);
        while (!named) {
            usleep(1000);
        }
    } else if (strcmp(word, "later") == 0) {
        pthread_t thread;
        say(pthread_create(&thread, NULL, use_later, (void *)atol(first)) ? -1 : 0);
    } else if (strcmp(word, "fill") == 0) {
        fill(first);
    } else if (strcmp(word, "files") == 0) {
        make_files();
    } else if (strcmp(word, "daemons") == 0) {
        daemons(atoi(first));
    } else if (strcmp(word, "spawn") == 0) { // spawn PROGRAM ARGUMENT: once it runs
        pid_t pid = vfork();
        if (pid == 0) {
            execl(first, first, second, (char *)NULL);
            _exit(127);
        }
        say(pid);
    } else if (strcmp(word, "bomb") == 0) {
        bomb();
    } else if (strcmp(word, "memory") == 0) {
        say(use_memory(atol(first)));
    } else if (strcmp(word, "signals") == 0) {
        send_all_signals(atoi(first));
    } else if (strcmp(word, "queue") == 0) {
        queue_signals();
    } else if (strcmp(word, "listen") == 0) {
        abstract_socket(first, 1);
    } else if (strcmp(word, "connect") == 0) {
        abstract_socket(first, 0);
    } else if (strcmp(word, "pour") == 0) {
        pour(first, atoi(second));
    } else if (strcmp(word, "reach") == 0) {
        reach(first);
    } else if (strcmp(word, "closed") == 0) {
        wait_in_vain(atoi(first));
    } else if (strcmp(word, "descriptors") == 0) {
        list_descriptors();
    } else if (strcmp(word, "atfork") == 0) {
        pthread_atfork(NULL, NULL, NULL);
        pthread_atfork(strcmp(first, "more") == 0 ? fork_in_every_fork : strcmp(first, "pretend") == 0 ? pretend : hang, NULL, NULL);
    } else if (strcmp(word, "lie") == 0) { // says for the template what only a fork may say
        const struct {
            unsigned kind;
            int error;
        } waiting = {4, 0};
        send(4, &waiting, sizeof waiting, 0);
    } else if (strcmp(word, "template") == 0) {
        reply();
        asked = 1;
        int result = flint_zygote_template();
        if (result) {
            errno = -result;
            say(-1);
            return 0;
        }
        snprintf(answer, sizeof answer, "fork");
    } else {
        return -1;
    }
    return 0;
}

int main(void)
{
    int result = flint_zygote_serve ? flint_zygote_serve() : -ENOSYS;
    if (result) {
        fprintf(stderr, "serve: %s\n", strerror(-result));
        return 95;
    }
    // As an interpreter has, which makes itself a new one after each fork.
    event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (event < 0 || (result = flint_zygote_go(1))) {
        dprintf(2, "go: %s\n", strerror(-result));
        return 94;
    }
    for (;;) {
        receive();
        if (count > 0 && act()) {
            return 93;
        }
        reply();
    }
}
