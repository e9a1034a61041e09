// A zygote for the tests: serves, and each guest then does what comes over its channel, words ended by NUL and at last by a byte 4: a directory, a number of variables, these, and
// a program to run (a word that begins with a slash) or a word for what it does itself.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

extern int flint_zygote_serve(void) __attribute__((weak));
extern int flint_zygote_go(int snapshot) __attribute__((weak));
extern int flint_zygote_is_fork(void) __attribute__((weak));

static void show(const char *path)
{
    char block[4096];
    int fd = open(path, O_RDONLY);
    if (fd < 0) {
        printf("%s: %s\n", path, strerror(errno));
        return;
    }
    fflush(stdout);
    for (ssize_t got; (got = read(fd, block, sizeof block)) > 0;) {
        if (write(1, block, (size_t)got) != got) {
            exit(98);
        }
    }
    close(fd);
}

static int act(int count, char **words, const char *cwd, char **variables)
{
    const char *what = words[0];
    if (what[0] == '/') {
        // A new program finds what an exec guest finds: no handler, nothing blocked or ignored.
        for (int number = 1; number < NSIG; number++) {
            signal(number, SIG_DFL);
        }
        if (chdir(cwd) || fcntl(3, F_SETFD, 0)) {
            return 97;
        }
        execve(words[0], words, variables);
        perror(words[0]);
        return 127;
    }
    if (strcmp(what, "exit") == 0) {
        exit(atoi(words[1]));
    }
    if (strcmp(what, "signal") == 0) {
        raise(atoi(words[1]));
        sleep(5);
    }
    if (strcmp(what, "abort") == 0) {
        abort();
    }
    if (strcmp(what, "segfault") == 0) {
        return *(volatile int *)8;
    }
    if (strcmp(what, "show") == 0) {
        for (int i = 1; i < count; i++) {
            show(words[i]);
        }
        return 0;
    }
    if (strcmp(what, "descriptors") == 0) {
        for (int fd = 0; fd < 4096; fd++) {
            struct stat info;
            if (fstat(fd, &info) == 0) {
                printf("%d ", fd);
            }
        }
        printf("\n");
        return 0;
    }
    if (strcmp(what, "wait") == 0) {
        printf("waiting\n");
        fflush(stdout);
        char byte;
        return read(3, &byte, 1) == 1 ? byte : 0;
    }
    if (strcmp(what, "ids") == 0) {
        char here[64] = "";
        struct stat self;
        stat("/proc/self", &self); // the kernel's root, unless it is dumpable
        printf("pid=%d ppid=%d sid=%d fork=%d dumpable=%d cwd=%s owner=%u\n", getpid(), getppid(), getsid(0) == getpid(), flint_zygote_is_fork(),
               prctl(PR_GET_DUMPABLE), getcwd(here, sizeof here), self.st_uid);
        return 0;
    }
    return 99;
}

int main(int count, char **arguments)
{
    static char line[65536], *words[1024];
    size_t length = 0;
    // As an interpreter has: a descriptor of its own, which a guest must not have.
    int extra = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    if (!flint_zygote_serve || extra < 0) {
        fprintf(stderr, "the library is not preloaded\n");
        return 96;
    }
    if (count > 1 && strcmp(arguments[1], "end") == 0) {
        return 5;
    }
    int result = flint_zygote_serve();
    if (result) {
        fprintf(stderr, "serve: %s\n", strerror(-result));
        return 95;
    }
    result = flint_zygote_go(0);
    if (result) {
        fprintf(stderr, "go: %s\n", strerror(-result));
        return 94;
    }
    while (length == 0 || line[length - 1] != 4) {
        ssize_t got = read(3, line + length, 1); // what follows is the program's
        if (got != 1) {
            return 93;
        }
        length++;
    }
    int found = 0;
    for (size_t at = 0; at + 1 < length; at += strlen(line + at) + 1) {
        words[found++] = line + at;
    }
    static char *variables[1024];
    int variable_count = atoi(words[1]);
    memcpy(variables, words + 2, (size_t)variable_count * sizeof *words);
    result = act(found - 2 - variable_count, words + 2 + variable_count, words[0], variables);
    fflush(stdout);
    return result;
}
