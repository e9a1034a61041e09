#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// Functions below return 0 (or a length) on success and -errno on failure unless they say otherwise.

enum { MESSAGE_MAX = 128 * 1024, MESSAGE_FDS_MAX = 8 };

// One line on stderr, written at once so that lines of several processes never mix.
void diag(const char *format, ...) __attribute__((format(printf, 1, 2)));

int write_text(int dir, const char *path, const char *text);
// Reads at most size - 1 bytes and ends them with NUL.
ssize_t read_text(int dir, const char *path, char *buffer, size_t size);
int copy_file(const char *from, int to_dir, const char *to, mode_t mode);
int make_file(int dir, const char *path, const char *text, mode_t mode);

int send_packet(int socket, const void *data, size_t length, const int *fds, size_t count);
// Returns 0 at the end of the stream. Descriptors arrive close-on-exec; more than capacity is an error, and none is kept then.
ssize_t receive_packet(int socket, void *buffer, size_t size, int *fds, size_t capacity, size_t *count);

void close_fd(int *fd);
// Closes every descriptor from 3 up that is not listed. Reorders keep; negative entries are ignored.
int close_all_but(int *keep, size_t count);
int64_t monotonic_ms(void);
int64_t monotonic_us(void);
