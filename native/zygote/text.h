#pragma once
#include <stdint.h>

// Puts a program's code, mapped from its file, into huge pages where the kernel can: forks have those from the start, while of a file's mapping they get page by page what
// they touch. It stays as readable and executable as it was, and is never writable. Only where no other thread changes the mapping.
void text_settle(uintptr_t from, uintptr_t to);
