#include "cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util.h"

// The stub's part, done in the host's namespaces with the identity that Flint was started with.

static const char *const ability_names[CG_ABILITIES] = {"memory", "pids", "cpu", "cpuacct", "freezer"};

#define HOST_LEAF "+host"

struct found_mount {
    char point[PATH_MAX];
    char root[PATH_MAX]; // what of the hierarchy is mounted there
    bool v2;
    unsigned controllers;
};

void missing_add(struct missing *missing, const char *what, const char *fix, const char *format, ...)
{
    if (missing->count == sizeof missing->items / sizeof *missing->items) {
        return;
    }
    va_list arguments;
    snprintf(missing->items[missing->count].what, sizeof missing->items->what, "%s", what);
    snprintf(missing->items[missing->count].fix, sizeof missing->items->fix, "%s", fix);
    va_start(arguments, format);
    vsnprintf(missing->items[missing->count].why, sizeof missing->items->why, format, arguments);
    va_end(arguments);
    missing->count++;
}

// mountinfo writes space, tab, newline and backslash as three octal digits.
static void unescape(char *text)
{
    char *to = text;
    for (const char *from = text; *from;) {
        if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' && from[2] <= '7' && from[3] >= '0' && from[3] <= '7') {
            *to++ = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
            from += 4;
        } else {
            *to++ = *from++;
        }
    }
    *to = 0;
}

static unsigned controllers_in(const char *list, const char *separators)
{
    char copy[1024];
    unsigned found = 0;
    snprintf(copy, sizeof copy, "%s", list);
    for (char *state = NULL, *item = strtok_r(copy, separators, &state); item; item = strtok_r(NULL, separators, &state)) {
        for (int ability = 0; ability < CG_ABILITIES; ability++) {
            if (strcmp(item, ability_names[ability]) == 0) {
                found |= 1U << ability;
            }
        }
    }
    return found;
}

static bool parse_mount(char *line, struct found_mount *mount)
{
    char *state = NULL, *fields[5], *item = strtok_r(line, " ", &state);
    for (int i = 0; i < 5; i++, item = strtok_r(NULL, " ", &state)) {
        if (!item) {
            return false;
        }
        fields[i] = item;
    }
    while (item && strcmp(item, "-") != 0) {
        item = strtok_r(NULL, " ", &state);
    }
    const char *type = strtok_r(NULL, " ", &state);
    const char *source = strtok_r(NULL, " ", &state);
    const char *options = strtok_r(NULL, " \n", &state);
    if (!type || !source || !options || (strcmp(type, "cgroup") != 0 && strcmp(type, "cgroup2") != 0)) {
        return false;
    }
    unescape(fields[3]);
    unescape(fields[4]);
    mount->v2 = strcmp(type, "cgroup2") == 0;
    mount->controllers = mount->v2 ? 0 : controllers_in(options, ",");
    snprintf(mount->root, sizeof mount->root, "%s", fields[3]);
    snprintf(mount->point, sizeof mount->point, "%s", fields[4]);
    return true;
}

static size_t find_mounts(struct found_mount *mounts, size_t capacity)
{
    FILE *file = fopen("/proc/self/mountinfo", "re");
    char *line = NULL;
    size_t size = 0, count = 0;
    unsigned seen = 0;
    bool seen_v2 = false;
    if (!file) {
        return 0;
    }
    while (count < capacity && getline(&line, &size, file) > 0) {
        struct found_mount *mount = &mounts[count];
        if (!parse_mount(line, mount) || access(mount->point, R_OK | X_OK)) {
            continue;
        }
        // The same hierarchy may be mounted twice; the first that can be reached is taken.
        if (mount->v2 ? seen_v2 : (mount->controllers & ~seen) == 0) {
            continue;
        }
        seen |= mount->controllers;
        seen_v2 |= mount->v2;
        count++;
    }
    free(line);
    fclose(file);
    return count;
}

// The path of this process in a hierarchy, as /proc/self/cgroup tells it.
static bool own_path(const struct found_mount *mount, char path[PATH_MAX])
{
    FILE *file = fopen("/proc/self/cgroup", "re");
    char *line = NULL;
    size_t size = 0;
    bool found = false;
    if (!file) {
        return false;
    }
    while (!found && getline(&line, &size, file) > 0) {
        char *list = strchr(line, ':');
        char *at = list ? strchr(list + 1, ':') : NULL;
        if (!at) {
            continue;
        }
        *at++ = 0;
        at[strcspn(at, "\n")] = 0;
        found = mount->v2 ? list[1] == 0 : (controllers_in(list + 1, ",") & mount->controllers) != 0;
        if (found) {
            size_t prefix = strcmp(mount->root, "/") == 0 ? 0 : strlen(mount->root);
            found = strncmp(at, mount->root, prefix) == 0;
            snprintf(path, PATH_MAX, "%s", found ? at + prefix : "/");
        }
    }
    free(line);
    fclose(file);
    return found;
}

static bool holds(int dir, const char *file, pid_t pid)
{
    char text[65536];
    ssize_t length = read_text(dir, file, text, sizeof text);
    if (length <= 0) {
        return false;
    }
    if (pid == 0) {
        return true;
    }
    for (char *state = NULL, *item = strtok_r(text, "\n", &state); item; item = strtok_r(NULL, "\n", &state)) {
        if (strtol(item, NULL, 10) == pid) {
            return true;
        }
    }
    return false;
}

// A v2 cgroup that has processes cannot give controllers to its children: ours move into a leaf beside the cells.
static int move_to_leaf(int dir)
{
    char text[65536];
    if (mkdirat(dir, HOST_LEAF, 0755) && errno != EEXIST) {
        return -errno;
    }
    ssize_t length = read_text(dir, "cgroup.procs", text, sizeof text);
    if (length < 0) {
        return (int)length;
    }
    for (char *state = NULL, *item = strtok_r(text, "\n", &state); item; item = strtok_r(NULL, "\n", &state)) {
        int result = write_text(dir, HOST_LEAF "/cgroup.procs", item);
        if (result && result != -ESRCH) {
            return result;
        }
    }
    return 0;
}

// Returns the controllers that children of dir have after this.
static unsigned enable_controllers(int dir)
{
    char text[1024];
    static const char *const wanted[] = {"+memory", "+pids", "+cpu"};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        int result = write_text(dir, "cgroup.subtree_control", wanted[i]);
        if (result == -EBUSY && holds(dir, "cgroup.procs", getpid()) && move_to_leaf(dir) == 0) {
            write_text(dir, "cgroup.subtree_control", wanted[i]);
        }
    }
    return read_text(dir, "cgroup.subtree_control", text, sizeof text) > 0 ? controllers_in(text, " \n") : 0;
}

static int open_dir(int dir, const char *path)
{
    int fd = openat(dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int make_dir(int dir, const char *path)
{
    if (mkdirat(dir, path, 0755) && errno != EEXIST) {
        return -errno;
    }
    return open_dir(dir, path);
}

// Opens point/relative, making what is not there and, on v2, enabling controllers all the way down.
static int open_base(const struct found_mount *mount, const char *relative, unsigned *controllers)
{
    char copy[2 * PATH_MAX];
    int dir = open_dir(AT_FDCWD, mount->point);
    snprintf(copy, sizeof copy, "%s", relative);
    for (char *state = NULL, *item = strtok_r(copy, "/", &state); item && dir >= 0; item = strtok_r(NULL, "/", &state)) {
        if (mount->v2) {
            enable_controllers(dir);
        }
        int next = strcmp(item, "..") == 0 ? -EINVAL : make_dir(dir, item);
        close(dir);
        dir = next;
    }
    if (dir >= 0) {
        *controllers = mount->v2 ? enable_controllers(dir) : mount->controllers;
    }
    return dir;
}

static bool each_child(int dir, bool (*visit)(int dir, const char *name, void *state), void *state)
{
    int copy = open_dir(dir, ".");
    DIR *stream = copy < 0 ? NULL : fdopendir(copy);
    bool result = true;
    if (!stream) {
        if (copy >= 0) {
            close(copy);
        }
        return true;
    }
    for (struct dirent *entry; result && (entry = readdir(stream));) {
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.') {
            result = visit(dir, entry->d_name, state);
        }
    }
    closedir(stream);
    return result;
}

static bool is_empty(int dir, const char *name, void *state)
{
    int child = open_dir(dir, name);
    bool empty = true;
    if (child >= 0) {
        empty = !holds(child, "cgroup.procs", 0) && each_child(child, is_empty, state);
        close(child);
    }
    return empty;
}

static bool remove_tree(int dir, const char *name, void *state)
{
    int child = open_dir(dir, name);
    if (child < 0) {
        return true;
    }
    each_child(child, remove_tree, state);
    close(child);
    if (unlinkat(dir, name, AT_REMOVEDIR) && errno != ENOENT && errno != EBUSY) {
        diag("cannot remove cgroup %s: %s", name, strerror(errno));
    }
    return true;
}

static bool instance_name(const char *name)
{
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789");
    return length > 0 && length <= 16 && name[length] == 0;
}

static bool thaw_tree(int dir, const char *name, void *state)
{
    int child = open_dir(dir, name);
    if (child >= 0) {
        write_text(child, "freezer.state", "THAWED"); // where there is none it is not v1's freezer
        each_child(child, thaw_tree, state);
        close(child);
    }
    return true;
}

// A launcher of this name that was just killed may still be dying; wait for it a little.
static bool wait_empty(int base, const char *instance)
{
    for (int i = 0; i < 100; i++) {
        if (is_empty(base, instance, NULL)) {
            return true;
        }
        poll(NULL, 0, 20);
    }
    return false;
}

// Under the lock an instance whose launcher is not there is dead.
static bool is_dead(int dir, const char *name)
{
    char launcher[64];
    snprintf(launcher, sizeof launcher, "%.16s/+launcher/cgroup.procs", name);
    return instance_name(name) && !holds(dir, launcher, 0);
}

// The processes of a dead instance have been killed with it; only those that v1's freezer holds need help to die.
static bool thaw_one(int dir, const char *name, void *state)
{
    return is_dead(dir, name) ? thaw_tree(dir, name, state) : true;
}

static bool sweep_one(int dir, const char *name, void *state)
{
    if (is_dead(dir, name) && wait_empty(dir, name)) {
        remove_tree(dir, name, state);
    }
    return true;
}

static int give(int dir, struct cgroup_owner owner)
{
    static const char *const files[] = {"cgroup.procs", "tasks", "cgroup.threads", "cgroup.subtree_control"};
    if (!owner.give) {
        return 0;
    }
    if (fchown(dir, owner.uid, owner.gid)) {
        return -errno;
    }
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        if (fchownat(dir, files[i], owner.uid, owner.gid, 0) && errno != ENOENT) {
            return -errno;
        }
    }
    return 0;
}

// Whether processes may be moved there at all: v2 also wants the right to the directory that both cgroups have in common.
static int try_move(int launcher)
{
    char text[16];
    pid_t child = fork();
    if (child < 0) {
        return -errno;
    }
    if (child == 0) {
        for (;;) {
            pause();
        }
    }
    snprintf(text, sizeof text, "%d", child);
    int result = write_text(launcher, "cgroup.procs", text);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    return result;
}

static int open_hierarchy(struct hierarchy *one, const struct found_mount *mount, const char *relative, const char *instance,
                          struct cgroup_owner owner, bool *in_use)
{
    one->v2 = mount->v2;
    one->base = open_base(mount, relative, &one->controllers);
    if (one->base < 0) {
        return one->base;
    }
    int result = faccessat(one->base, ".", W_OK, AT_EACCESS) || flock(one->base, LOCK_EX) ? -errno : 0;
    if (!result) {
        each_child(one->base, sweep_one, NULL);
        *in_use = !wait_empty(one->base, instance);
        result = *in_use ? -EBUSY : 0;
    }
    if (!result) {
        remove_tree(one->base, instance, NULL);
        one->instance = make_dir(one->base, instance);
        result = one->instance < 0 ? one->instance : give(one->instance, owner);
    }
    if (!result && one->v2) {
        one->controllers &= enable_controllers(one->instance);
        one->controllers |= 1U << CG_FREEZE;
        if (one->controllers & 1U << CG_CPU) {
            one->controllers |= 1U << CG_CPUACCT;
        }
    }
    if (!result) {
        int launcher = make_dir(one->instance, "+launcher");
        result = launcher < 0 ? launcher : give(launcher, owner);
        if (!result) {
            result = try_move(launcher);
        }
        if (launcher >= 0) {
            close(launcher);
        }
    }
    if (result) {
        if (!*in_use) {
            remove_tree(one->base, instance, NULL);
        }
        close_fd(&one->base);
        close_fd(&one->instance);
    }
    return result;
}

static bool kernel_at_least(int major, int minor)
{
    struct utsname name;
    int have_major = 0, have_minor = 0;
    if (uname(&name) || sscanf(name.release, "%d.%d", &have_major, &have_minor) != 2) {
        return false;
    }
    return have_major > major || (have_major == major && have_minor >= minor);
}

static void describe(struct cgroups *groups)
{
    int dir;
    bool v2_memory = false, any_v1 = false, any_v2 = false;
    for (size_t i = 0; i < groups->count; i++) {
        any_v1 |= !groups->list[i].v2;
        any_v2 |= groups->list[i].v2;
    }
    groups->kind = any_v1 && any_v2 ? "hybrid" : any_v2 ? "v2" : any_v1 ? "v1" : "none";
    if (cgroup_serves(groups, CG_MEMORY, &dir, &v2_memory)) {
        groups->peak_reset = !v2_memory || kernel_at_least(6, 12);
    }
}

static const char *advice(bool root)
{
    return root ? "mount the cgroup file system writable, or set --cgroup to a directory that is"
                : "start Flint in a delegated cgroup: systemd-run --user --scope -p Delegate=yes -- ./run; or chown one to this user "
                  "and set --cgroup";
}

// Comes before any sweeping: what the freezer holds is in the other hierarchies too.
static void thaw_dead(const struct found_mount *mount, const char *relative)
{
    char path[3 * PATH_MAX];
    if ((size_t)snprintf(path, sizeof path, "%s/%s", mount->point, relative) >= sizeof path) {
        return;
    }
    int base = open_dir(AT_FDCWD, path);
    if (base < 0) {
        return; // nobody has been here
    }
    if (flock(base, LOCK_EX) == 0) {
        each_child(base, thaw_one, NULL);
    }
    close(base); // and unlocks
}

static bool base_path(const struct found_mount *mount, const char *option, bool root, char relative[2 * PATH_MAX])
{
    char own[PATH_MAX] = "";
    if (strcmp(option, "auto") != 0) {
        snprintf(relative, 2 * PATH_MAX, "%s", option);
        return true;
    }
    if (!root && !own_path(mount, own)) {
        return false;
    }
    // A launcher before this one has moved us there; the cgroup that is ours is the one above.
    size_t length = strlen(own), leaf = strlen("/" HOST_LEAF);
    if (length >= leaf && strcmp(own + length - leaf, "/" HOST_LEAF) == 0) {
        own[length - leaf] = 0;
    }
    snprintf(relative, 2 * PATH_MAX, "%s/flint", own + strspn(own, "/"));
    return true;
}

bool cgroup_prepare(struct cgroups *groups, const char *option, const char *instance, struct cgroup_owner owner, struct missing *missing)
{
    static struct found_mount mounts[16];
    bool root = geteuid() == 0, in_use = false;
    char why[CG_ABILITIES][200] = {{0}}, relative[2 * PATH_MAX];
    memset(groups, 0, sizeof *groups);
    groups->kind = "none";
    for (int i = 0; i < CG_ABILITIES; i++) {
        groups->serves[i] = -1;
        snprintf(why[i], sizeof why[i], "%s", strcmp(option, "none") == 0 ? "switched off by --cgroup none" : "no mounted hierarchy has it");
        groups->list[i].base = groups->list[i].instance = -1;
    }
    size_t count = strcmp(option, "none") == 0 ? 0 : find_mounts(mounts, sizeof mounts / sizeof *mounts);
    for (size_t i = 0; i < count; i++) {
        if (mounts[i].controllers & 1U << CG_FREEZE && base_path(&mounts[i], option, root, relative)) {
            thaw_dead(&mounts[i], relative);
        }
    }
    // v2 first: what it serves, freezing above all, is not made again in v1.
    unsigned served = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < count && groups->count < CG_ABILITIES; i++) {
            struct hierarchy *one = &groups->list[groups->count];
            if (mounts[i].v2 != (pass == 0) || (!mounts[i].v2 && (mounts[i].controllers & ~served) == 0) ||
                !base_path(&mounts[i], option, root, relative)) {
                continue;
            }
            int result = open_hierarchy(one, &mounts[i], relative, instance, owner, &in_use);
            if (in_use) {
                diag("instance %s is in use: its cgroup %s/%s/%s holds live processes", instance, mounts[i].point, relative, instance);
                return false;
            }
            for (int ability = 0; ability < CG_ABILITIES; ability++) {
                if (result && (mounts[i].controllers & 1U << ability || mounts[i].v2)) {
                    snprintf(why[ability], sizeof why[ability], "%.90s/%.60s: %s", mounts[i].point, relative + strspn(relative, "/"), strerror(-result));
                } else if (!result && mounts[i].v2 && !(one->controllers & 1U << ability)) {
                    snprintf(why[ability], sizeof why[ability], "%.90s/%.60s has not been given that controller", mounts[i].point, relative);
                } else if (!result && one->controllers & ~served & 1U << ability) {
                    groups->serves[ability] = (int)groups->count;
                }
            }
            if (!result) {
                one->controllers &= ~served;
                served |= one->controllers;
                groups->count++;
            }
        }
    }
    describe(groups);
    for (int ability = 0; ability < CG_ABILITIES; ability++) {
        if (groups->serves[ability] < 0) {
            missing_add(missing, ability_names[ability], advice(root), "%s", why[ability]);
        }
    }
    return true;
}

int cgroup_settle(struct cgroups *groups, pid_t launcher)
{
    char text[16];
    int result = 0;
    snprintf(text, sizeof text, "%d", launcher);
    for (size_t i = 0; i < groups->count && !result; i++) {
        result = write_text(groups->list[i].instance, "+launcher/cgroup.procs", text);
    }
    for (size_t i = 0; i < groups->count; i++) {
        if (flock(groups->list[i].base, LOCK_UN) && !result) {
            result = -errno;
        }
    }
    return result;
}

void cgroup_remove_instance(struct cgroups *groups, const char *instance)
{
    for (size_t i = 0; i < groups->count; i++) {
        if (wait_empty(groups->list[i].base, instance)) {
            remove_tree(groups->list[i].base, instance, NULL);
        }
    }
}
