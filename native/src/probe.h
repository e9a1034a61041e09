#pragma once
#include "launcher.h"

// Plays the worker for one trial cell and prints what HELLO would say, with what the trial found.
void probe_report(struct launcher *launcher, int worker_end, int report);
// Prints the report as it stands.
void probe_print(const struct launcher *launcher);
