#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher.h"
#include "root.h"
#include "util.h"

enum { SINGLE_UID_INSIDE = 1000 };

// ---- ids ----

struct id_range {
    uint32_t first, count;
};

static struct id_range find_subordinate(const char *file, const char *user, uid_t uid)
{
    struct id_range best = {0, 0};
    FILE *stream = fopen(file, "re");
    char *line = NULL, number[16];
    size_t size = 0;
    snprintf(number, sizeof number, "%u", uid);
    while (stream && getline(&line, &size, stream) > 0) {
        char *state = NULL;
        const char *name = strtok_r(line, ":", &state);
        const char *first = strtok_r(NULL, ":", &state);
        const char *count = strtok_r(NULL, ":\n", &state);
        if (!name || !first || !count || (strcmp(name, number) != 0 && (!user || strcmp(name, user) != 0))) {
            continue;
        }
        struct id_range range = {(uint32_t)strtoul(first, NULL, 10), (uint32_t)strtoul(count, NULL, 10)};
        best = range.count > best.count ? range : best;
    }
    free(line);
    if (stream) {
        fclose(stream);
    }
    return best;
}

static bool program_exists(const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "/usr/bin/%s", name);
    return access(path, X_OK) == 0;
}

// Asks the system's own program, since libc's lookup loads libraries, which a static program cannot do safely. NULL: no name is known.
static const char *own_name(char *line, int size)
{
    char command[48];
    snprintf(command, sizeof command, "getent passwd %u 2>/dev/null", (unsigned)geteuid());
    FILE *answer = popen(command, "re");
    bool got = answer && fgets(line, size, answer);
    if (answer) {
        pclose(answer);
    }
    char *end = got ? strchr(line, ':') : NULL;
    if (!end || end == line) {
        return NULL;
    }
    *end = 0;
    return line;
}

int outer_choose_mode(struct launcher *launcher)
{
    if (geteuid() == 0) {
        launcher->mode = MODE_ROOT;
        launcher->uid_base = launcher->gid_base = launcher->options.uid_base;
        launcher->uid_count = launcher->options.uid_count;
        return 0;
    }
    char line[1024];
    const char *name = own_name(line, sizeof line);
    struct id_range uids = find_subordinate("/etc/subuid", name, geteuid());
    struct id_range gids = find_subordinate("/etc/subgid", name, geteuid());
    uint32_t count = uids.count < gids.count ? uids.count : gids.count;
    if (count >= 2 && program_exists("newuidmap") && program_exists("newgidmap")) {
        launcher->mode = MODE_SUBUID;
        launcher->uid_base = uids.first;
        launcher->gid_base = gids.first;
        launcher->uid_count = count < 65535 ? count + 1 : 65536; // inside, 0 is the user
        return 0;
    }
    launcher->mode = MODE_SINGLE_UID;
    launcher->uid_base = geteuid();
    launcher->gid_base = getegid();
    launcher->uid_count = 1;
    missing_add(&launcher->missing, "uids", "install uidmap and give the user a range of at least 1002 in /etc/subuid and /etc/subgid (usermod --add-subuids)",
                count < 2 ? "%s has no subordinate ids; all sandboxes share its uid" : "newuidmap is not installed; all sandboxes share the uid of %s",
                name ? name : "the user");
    return 0;
}

static int write_map(pid_t pid, const char *file, uint32_t inside, uint32_t outside, uint32_t count)
{
    char path[64], text[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
    snprintf(text, sizeof text, "%u %u %u\n", inside, outside, count);
    return write_text(AT_FDCWD, path, text);
}

static int run_map_tool(const char *tool, pid_t pid, uint32_t own, uint32_t first, uint32_t count)
{
    char text[4][16], program[64];
    snprintf(program, sizeof program, "/usr/bin/%s", tool);
    snprintf(text[0], sizeof text[0], "%d", pid);
    snprintf(text[1], sizeof text[1], "%u", own);
    snprintf(text[2], sizeof text[2], "%u", first);
    snprintf(text[3], sizeof text[3], "%u", count);
    pid_t child = fork();
    if (child == 0) {
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        execl(program, tool, text[0], "0", text[1], "1", "1", text[2], text[3], (char *)NULL);
        _exit(127);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) < 0) {
        return -errno;
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EPERM;
}

static int map_ids(const struct launcher *launcher, pid_t pid)
{
    char path[64];
    int result;
    switch (launcher->mode) {
    case MODE_ROOT:
        result = write_map(pid, "uid_map", 0, launcher->uid_base, launcher->uid_count);
        return result ? result : write_map(pid, "gid_map", 0, launcher->gid_base, launcher->uid_count);
    case MODE_SUBUID:
        result = run_map_tool("newuidmap", pid, geteuid(), launcher->uid_base, launcher->uid_count - 1);
        return result ? result : run_map_tool("newgidmap", pid, getegid(), launcher->gid_base, launcher->uid_count - 1);
    case MODE_SINGLE_UID:
        break;
    }
    snprintf(path, sizeof path, "/proc/%d/setgroups", pid);
    result = write_text(AT_FDCWD, path, "deny");
    if (!result) {
        result = write_map(pid, "uid_map", SINGLE_UID_INSIDE, launcher->uid_base, 1);
    }
    return result ? result : write_map(pid, "gid_map", SINGLE_UID_INSIDE, launcher->gid_base, 1);
}

// ---- the outer init ----

static _Noreturn void give_up(const struct launcher *launcher, int error, const char *step, const char *subject)
{
    char text[512];
    snprintf(text, sizeof text, "%s %s: %s", step, subject, strerror(error < 0 ? -error : error));
    diag("%s", text);
    ssize_t ignored = write(launcher->report, text, strlen(text));
    (void)ignored;
    _exit(1);
}

static _Noreturn void outer_init(struct launcher *launcher, int go)
{
    const struct options *options = &launcher->options;
    struct root_failure failure;
    int keep[CG_ABILITIES + 3], count = 0;
    char byte;
    if (read(go, &byte, 1) != 1) {
        _exit(1); // the stub has said why
    }
    close(go);
    keep[count++] = launcher->control;
    keep[count++] = launcher->life;
    keep[count++] = launcher->report;
    for (size_t i = 0; i < launcher->cgroups.count; i++) {
        keep[count++] = launcher->cgroups.list[i].instance;
    }
    int result = close_all_but(keep, (size_t)count);
    if (result) {
        give_up(launcher, result, "close", "descriptors");
    }
    if (launcher->mode != MODE_SINGLE_UID && (setgroups(0, NULL) || setresgid(0, 0, 0) || setresuid(0, 0, 0))) {
        give_up(launcher, errno, "become", "the outer root");
    }
    // After the change of identity, which would clear it. The life pipe covers a stub that died before.
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)) {
        give_up(launcher, errno, "prctl", "of the outer init");
    }
    if (launcher->mode != MODE_ROOT) {
        result = root_build(&(struct root_sources){options->root, options->code, options->runtime, options->egress.on ? egress_resolv_conf : NULL}, &failure);
        if (result) {
            give_up(launcher, result, failure.step, failure.subject);
        }
    }
    egress_start(&launcher->egress, &launcher->options.egress, &launcher->missing);
    result = root_enter_outer(&failure);
    if (result) {
        give_up(launcher, result, failure.step, failure.subject);
    }
    launcher->template = root_make_template(&failure);
    if (launcher->template < 0) {
        give_up(launcher, launcher->template, failure.step, failure.subject);
    }
    sigset_t none;
    sigemptyset(&none);
    if (sigprocmask(SIG_SETMASK, &none, NULL)) {
        give_up(launcher, errno, "sigprocmask", "of the outer init");
    }
    close_fd(&launcher->report);
    _exit(loop_run(launcher));
}

pid_t outer_start(struct launcher *launcher)
{
    int go[2];
    if (pipe2(go, O_CLOEXEC)) {
        return -errno;
    }
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) {
        close(go[1]);
        outer_init(launcher, go[0]);
    }
    int result = pid < 0 ? -errno : 0;
    close(go[0]);
    if (!result) {
        result = map_ids(launcher, pid);
        if (result) {
            diag("cannot map the ids of the outer namespace (%u from %u): %s; is --uid-base free and in range?", launcher->uid_count,
                 launcher->uid_base, strerror(-result));
        }
    }
    if (!result) {
        result = cgroup_settle(&launcher->cgroups, pid);
        if (result) {
            diag("cannot enter the launcher's cgroup: %s", strerror(-result));
        }
    }
    if (!result && write(go[1], "g", 1) != 1) {
        result = -errno;
    }
    close(go[1]);
    if (result && pid > 0) {
        waitpid(pid, NULL, 0); // it has seen the end of `go`
    }
    return result ? result : pid;
}
