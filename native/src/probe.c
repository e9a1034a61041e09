#include "probe.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util.h"

enum { TRIAL_CELL = 1 };

// What the outer init said of itself and the host: it alone knows some of that.
static char hello[MESSAGE_MAX];

static void keep_hello(const uint8_t *message, size_t length)
{
    size_t text = length - 8 - 4;
    if (length > 12 && text < sizeof hello) {
        memcpy(hello, message + 12, text);
        hello[text] = 0;
    }
}

static void cannot_begin(struct launcher *launcher, int report)
{
    char text[300];
    ssize_t length = read(report, text, sizeof text - 1);
    text[length > 0 ? length : 0] = 0;
    missing_add(&launcher->missing, "cells",
                "user namespaces must be allowed here: sysctl kernel.unprivileged_userns_clone, user.max_user_namespaces, AppArmor's "
                "restriction, or the seccomp profile of the container that Flint runs in",
                "the outer namespaces could not be set up: %s", text[0] ? text : "the outer init was killed");
}

static void trial_failed(struct launcher *launcher, const uint8_t *message, size_t length)
{
    struct {
        uint32_t length;
        const char *text;
    } parts[2] = {{0, ""}, {0, ""}};
    size_t at = 8;
    // phase, errno, message; our own launcher wrote them, but lengths are still looked at
    for (int i = 0; i < 2; i++) {
        if (length < at + 4) {
            break;
        }
        memcpy(&parts[i].length, message + at, 4);
        at += 4;
        if (length - at < parts[i].length) {
            parts[i].length = 0;
            break;
        }
        parts[i].text = (const char *)message + at;
        at += parts[i].length + (i == 0 ? 4 : 0);
    }
    missing_add(&launcher->missing, "cells", "see what the message names", "a trial cell could not be made, at %.*s: %.*s", (int)parts[0].length,
                parts[0].text, (int)parts[1].length, parts[1].text);
}

// False when something is to be told beside what HELLO said.
static bool trial(struct launcher *launcher, int worker, int report)
{
    static uint8_t message[MESSAGE_MAX];
    struct message make;
    for (;;) {
        int fds[MESSAGE_FDS_MAX];
        size_t count = 0;
        ssize_t length = receive_packet(worker, message, sizeof message, fds, MESSAGE_FDS_MAX, &count);
        for (size_t i = 0; i < count; i++) {
            close(fds[i]);
        }
        if (length < 8) {
            cannot_begin(launcher, report);
            return false;
        }
        enum op op = (enum op)(message[2] | message[3] << 8);
        if (op == OP_READY) {
            return true;
        }
        if (op == OP_FAILED) {
            trial_failed(launcher, message, (size_t)length);
            return false;
        }
        if (op != OP_HELLO) {
            continue;
        }
        keep_hello(message, (size_t)length);
        message_begin(&make, OP_MAKE, TRIAL_CELL);
        message_text(&make, "probe");
        message_u32(&make, 0);
        message_u32(&make, strstr(hello, "\"egress\":true") ? NETWORK_EGRESS : NETWORK_NONE);
        if (send_packet(worker, make.data, make.length, NULL, 0)) {
            cannot_begin(launcher, report);
            return false;
        }
    }
}

void probe_print(const struct launcher *launcher)
{
    static char json[16384];
    if (hello_json(launcher, json, sizeof json)) {
        puts(json);
        fflush(stdout);
    } else {
        diag("the report does not fit");
    }
}

void probe_report(struct launcher *launcher, int worker_end, int report)
{
    bool good = trial(launcher, worker_end, report);
    close(worker_end);
    if (good && hello[0]) {
        puts(hello);
        fflush(stdout);
    } else {
        probe_print(launcher);
    }
}
