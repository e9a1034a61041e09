#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher.h"
#include "probe.h"
#include "root.h"
#include "seccomp_profile.h"
#include "snapshot_filter.h"
#include "util.h"
#include "walls.h"

// The stub: stays in the host's namespaces, makes the outer init and waits for it.

static int usage(void)
{
    fputs("usage: flint-launcher run --connect PATH --instance ID --code DIR --runtime-dir DIR\n"
          "                      [--root DIR] [--uid-base N] [--uid-count N] [--cgroup auto|none|PATH]\n"
          "                      [--egress on|off] [--egress-allow LIST] [--egress-deny LIST] [--egress-connections N]\n"
          "       flint-launcher probe [the same options]\n",
          stderr);
    return 2;
}

static bool parse_number(const char *text, uint32_t *number)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    *number = (uint32_t)value;
    return errno == 0 && *text >= '0' && *text <= '9' && *end == 0 && value <= UINT32_MAX;
}

static bool parse_options(int count, char **arguments, struct options *options)
{
    static const struct option known[] = {
        {"connect", required_argument, NULL, 'c'}, {"instance", required_argument, NULL, 'i'},    {"code", required_argument, NULL, 'd'},
        {"runtime-dir", required_argument, NULL, 'b'}, {"root", required_argument, NULL, 'r'},    {"uid-base", required_argument, NULL, 'u'},
        {"uid-count", required_argument, NULL, 'n'},   {"cgroup", required_argument, NULL, 'g'},
        {"egress", required_argument, NULL, 'e'},      {"egress-allow", required_argument, NULL, 'a'}, {"egress-deny", required_argument, NULL, 'x'},
        {"egress-connections", required_argument, NULL, 'm'},
#ifdef FLINT_WALLS
        {"without", required_argument, NULL, 'w'},
#endif
        {0}};
    *options = (struct options){.cgroup = "auto", .uid_base = 1900000000, .uid_count = 65536, .egress.connections = EGRESS_CONNECTIONS};
    if (count < 2 || (strcmp(arguments[1], "run") != 0 && strcmp(arguments[1], "probe") != 0)) {
        return false;
    }
    options->probe = strcmp(arguments[1], "probe") == 0;
    for (int option; (option = getopt_long(count - 1, arguments + 1, "", known, NULL)) != -1;) {
        switch (option) {
        case 'c': options->connect = optarg; break;
        case 'i': options->instance = optarg; break;
        case 'd': options->code = optarg; break;
        case 'b': options->runtime = optarg; break;
        case 'r': options->root = optarg; break;
        case 'g': options->cgroup = optarg; break;
        case 'a': options->egress.allow = optarg; break;
        case 'x': options->egress.deny = optarg; break;
        case 'e':
            if (strcmp(optarg, "on") != 0 && strcmp(optarg, "off") != 0) {
                return false;
            }
            options->egress.on = strcmp(optarg, "on") == 0;
            break;
        case 'm':
            if (!parse_number(optarg, &options->egress.connections)) {
                return false;
            }
            break;
        case 'u':
            if (!parse_number(optarg, &options->uid_base)) {
                return false;
            }
            break;
        case 'n':
            if (!parse_number(optarg, &options->uid_count)) {
                return false;
            }
            break;
#ifdef FLINT_WALLS
        case 'w':
            if (!walls_remove(optarg)) {
                return false;
            }
            break;
#endif
        default: return false;
        }
    }
    if (optind != count - 1) {
        return false;
    }
    if (options->probe) {
        options->instance = options->instance ? options->instance : "probe";
        options->code = options->code ? options->code : "/usr";
        options->runtime = options->runtime ? options->runtime : "/usr";
    }
    return options->instance && options->code && options->runtime && (options->probe || options->connect);
}

static const char *check_options(const struct options *options)
{
    size_t length = strspn(options->instance, "abcdefghijklmnopqrstuvwxyz0123456789");
    if (length < 1 || length > 16 || options->instance[length]) {
        return "--instance: 1 to 16 of a-z and 0-9";
    }
    if (options->uid_base < 1 || options->uid_count < 2 || options->uid_count > 65536 ||
        options->uid_base > UINT32_MAX - 1 - options->uid_count) {
        return "--uid-base, --uid-count: 2 to 65536 ids, none of them 0";
    }
    return options->cgroup[0] ? egress_check_options(&options->egress) : "--cgroup: auto, none or a path";
}

static int connect_worker(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        return -ENAMETOOLONG;
    }
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    if (connect(fd, (struct sockaddr *)&address, sizeof address)) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

static void raise_file_limit(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &files)) {
            diag("cannot raise the limit of open files: %s", strerror(errno));
        }
    }
}

// Others' read and search rights, since the outer namespace's root is not the host's.
static int check_open_to_all(const char *option, const char *path)
{
    struct stat info;
    if (stat(path, &info)) {
        diag("%s %s: %s", option, path, strerror(errno));
        return -errno;
    }
    if (!S_ISDIR(info.st_mode)) {
        diag("%s %s: not a directory", option, path);
        return -ENOTDIR;
    }
    if (geteuid() == 0 && (info.st_mode & 05) != 05) {
        diag("%s %s: mode %o; sandboxes read it as other users, so it needs o+rx (directories above it may be private)", option, path,
             info.st_mode & 07777);
        return -EACCES;
    }
    return 0;
}

static int prepare_root(struct launcher *launcher)
{
    struct root_failure failure = {0};
    const struct options *options = &launcher->options;
    int result = check_open_to_all("--code", options->code);
    if (!result) {
        result = check_open_to_all("--runtime-dir", options->runtime);
    }
    if (!result && options->root) {
        result = check_open_to_all("--root", options->root);
    }
    if (result || launcher->mode != MODE_ROOT) {
        return result; // an ordinary user mounts in the namespace where that is allowed
    }
    if (unshare(CLONE_NEWNS)) {
        result = -errno;
        diag("cannot make a mount namespace: %s", strerror(errno));
        return result;
    }
    result = root_build(&(struct root_sources){options->root, options->code, options->runtime, options->egress.on ? egress_resolv_conf : NULL}, &failure);
    if (result) {
        diag("%s %s: %s", failure.step, failure.subject, strerror(-result));
    } else if (options->egress.on) {
        egress_offer_tun();
    }
    return result;
}

static void block_signals(sigset_t *mask)
{
    static const int waited[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP};
    sigemptyset(mask);
    for (size_t i = 0; i < sizeof waited / sizeof *waited; i++) {
        sigaddset(mask, waited[i]);
    }
    struct sigaction standard = {.sa_handler = SIG_DFL}, ignore = {.sa_handler = SIG_IGN};
    if (sigprocmask(SIG_SETMASK, mask, NULL) || sigaction(SIGCHLD, &standard, NULL) || sigaction(SIGPIPE, &ignore, NULL)) {
        diag("signals: %s", strerror(errno));
    }
}

// Returns the outer init's exit status. A signal asks it to finish; it is obeyed when everything is gone.
static int wait_for_init(pid_t init, const sigset_t *mask, int *life)
{
    int status;
    for (;;) {
        pid_t pid = waitpid(init, &status, WNOHANG);
        if (pid == init || (pid < 0 && errno != EINTR)) {
            return pid == init && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
        }
        siginfo_t info;
        int signal = sigwaitinfo(mask, &info);
        if (signal > 0 && signal != SIGCHLD) {
            close_fd(life);
        }
    }
}

// A probe tells what is wrong in its report, which is what it is for.
static int cannot_begin(struct launcher *launcher)
{
    if (!launcher->options.probe) {
        return 1;
    }
    missing_add(&launcher->missing, "cells", "see the line on stderr", "the launcher cannot begin here");
    probe_print(launcher);
    return 0;
}

static int run(struct launcher *launcher, int probe_end, const sigset_t *mask)
{
    int life[2], report[2];
    const char *why = "";
    int result = seccomp_profile_build(&launcher->filter, &why);
    if (!result) {
        why = "building the snapshots' rules";
        result = snapshot_filter_build(&launcher->snapshot_filter);
    }
    if (result) {
        diag("seccomp: %s: %s", why, strerror(-result));
        return cannot_begin(launcher);
    }
    launcher->seccomp = true;
    struct cgroup_owner owner = {launcher->mode == MODE_ROOT, launcher->uid_base, launcher->gid_base};
    if (!cgroup_prepare(&launcher->cgroups, launcher->options.cgroup, launcher->options.instance, owner, &launcher->missing)) {
        return cannot_begin(launcher);
    }
    if (prepare_root(launcher) || pipe2(life, O_CLOEXEC) || pipe2(report, O_CLOEXEC)) {
        cgroup_remove_instance(&launcher->cgroups, launcher->options.instance);
        return cannot_begin(launcher);
    }
    launcher->life = life[0];
    launcher->report = report[1];
    pid_t init = outer_start(launcher);
    if (init < 0) {
        diag("cannot make the outer namespaces: %s", strerror(-init));
        cgroup_remove_instance(&launcher->cgroups, launcher->options.instance);
        return cannot_begin(launcher);
    }
    // The worker must see the end of the connection when the outer init is gone.
    close_fd(&launcher->control);
    close(life[0]);
    close(report[1]);
    if (launcher->options.probe) {
        probe_report(launcher, probe_end, report[0]);
        close_fd(&life[1]);
    }
    result = wait_for_init(init, mask, &life[1]);
    cgroup_remove_instance(&launcher->cgroups, launcher->options.instance);
    return launcher->options.probe ? 0 : result;
}

int main(int count, char **arguments)
{
    struct launcher launcher = {.control = -1, .life = -1, .report = -1};
    sigset_t mask;
    int pair[2] = {-1, -1};
    if (!parse_options(count, arguments, &launcher.options)) {
        return usage();
    }
    const char *wrong = check_options(&launcher.options);
    if (wrong) {
        diag("%s", wrong);
        return 2;
    }
    block_signals(&mask);
    raise_file_limit();
    umask(022);
    if (launcher.options.probe) {
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
            diag("socketpair: %s", strerror(errno));
            return 1;
        }
        launcher.control = pair[0];
    } else {
        launcher.control = connect_worker(launcher.options.connect);
        if (launcher.control < 0) {
            diag("cannot connect to %s: %s", launcher.options.connect, strerror(-launcher.control));
            return 1;
        }
    }
    if (fcntl(launcher.control, F_SETFL, O_NONBLOCK)) {
        diag("fcntl: %s", strerror(errno));
        return 1;
    }
    int result = outer_choose_mode(&launcher);
    return result ? 1 : run(&launcher, pair[1], &mask);
}
