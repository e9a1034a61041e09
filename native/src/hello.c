#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "launcher.h"

struct writer {
    char *at;
    size_t left;
    bool full;
};

static void put(struct writer *writer, const char *text)
{
    size_t length = strlen(text);
    if (writer->full || length >= writer->left) {
        writer->full = true;
        return;
    }
    memcpy(writer->at, text, length + 1);
    writer->at += length;
    writer->left -= length;
}

static void put_string(struct writer *writer, const char *text)
{
    put(writer, "\"");
    for (; *text; text++) {
        char one[8] = {*text};
        if (*text == '"' || *text == '\\') {
            snprintf(one, sizeof one, "\\%c", *text);
        } else if ((unsigned char)*text < ' ' || (unsigned char)*text > '~') {
            snprintf(one, sizeof one, "\\u%04x", (unsigned char)*text < ' ' ? (unsigned char)*text : '?');
        }
        put(writer, one);
    }
    put(writer, "\"");
}

static void put_member(struct writer *writer, const char *name, const char *value)
{
    put(writer, ",");
    put_string(writer, name);
    put(writer, ":");
    put_string(writer, value);
}

static void put_flag(struct writer *writer, const char *name, bool value)
{
    put(writer, ",");
    put_string(writer, name);
    put(writer, value ? ":true" : ":false");
}

bool hello_json(const struct launcher *launcher, char *json, size_t size)
{
    static const char *const modes[] = {"root", "subuid", "single-uid"};
    static const struct {
        enum ability ability;
        const char *name;
    } descriptors[] = {{CG_FREEZE, "freeze"}, {CG_MEMORY, "memoryPeak"}, {CG_CPUACCT, "cpuUsage"}};
    const struct cgroups *groups = &launcher->cgroups;
    struct writer writer = {json, size, false};
    struct utsname kernel = {0};
    int dir;
    bool v2, first = true;
    uname(&kernel);
    put(&writer, "{\"protocol\":2");
    put_flag(&writer, "zygotes", true);
    put_flag(&writer, "snapshots", launcher->seccomp);
    put_flag(&writer, "egress", launcher->egress.ready);
    put_member(&writer, "mode", modes[launcher->mode]);
    put_member(&writer, "kernel", kernel.release);
    put_member(&writer, "cgroup", groups->kind);
    put_flag(&writer, "memory", groups->serves[CG_MEMORY] >= 0);
    put_flag(&writer, "pids", groups->serves[CG_PIDS] >= 0);
    put_flag(&writer, "cpu", groups->serves[CG_CPU] >= 0);
    put_member(&writer, "freezer", !cgroup_serves(groups, CG_FREEZE, &dir, &v2) ? "none" : v2 ? "v2" : "v1");
    put_flag(&writer, "peakReset", groups->peak_reset);
    put(&writer, ",\"descriptors\":[");
    for (size_t i = 0; i < sizeof descriptors / sizeof *descriptors; i++) {
        if (groups->serves[descriptors[i].ability] >= 0) {
            put(&writer, first ? "" : ",");
            put_string(&writer, descriptors[i].name);
            first = false;
        }
    }
    put(&writer, "]");
    put_flag(&writer, "seccomp", launcher->seccomp);
    put(&writer, ",\"missing\":[");
    for (size_t i = 0; i < launcher->missing.count; i++) {
        put(&writer, i ? ",{" : "{");
        put_string(&writer, "what");
        put(&writer, ":");
        put_string(&writer, launcher->missing.items[i].what);
        put_member(&writer, "why", launcher->missing.items[i].why);
        put_member(&writer, "fix", launcher->missing.items[i].fix);
        put(&writer, "}");
    }
    put(&writer, "]}");
    return !writer.full;
}
