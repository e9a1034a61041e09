#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

// The two programs that the warden runs.

// The path of an installed program, or NULL.
const char *egress_find(const char *name);
// Runs nft in a network namespace on the text that a file holds. 0, or -errno with its words.
int egress_run_nft(const char *nft, int network, int text, char *why, size_t size);
// Starts pasta in the caller's network namespace, with its link in another. Its words come from *said. Its pid or -errno.
pid_t egress_start_pasta(const char *pasta, int network, bool v4, bool v6, int *said);
