#include "findings.h"

#include <stdarg.h>
#include <stdio.h>

void finding(struct findings *findings, const char *format, ...)
{
    if (findings->count == FINDINGS_MAX) {
        return;
    }
    va_list arguments;
    char *text = findings->text[findings->count++];
    va_start(arguments, format);
    vsnprintf(text, FINDING_SIZE, format, arguments);
    va_end(arguments);
    for (; *text; text++) {
        if (*text < ' ' || *text > '~') { // also what is above ASCII: it may be no character at all
            *text = '?';
        }
    }
}
