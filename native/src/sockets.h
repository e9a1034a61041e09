#pragma once
#include <stdint.h>

// Ends every TCP and UDP socket of the caller's network namespace, also those whose process is gone: what waits for a peer, what holds bytes unread or
// unsent, TIME_WAIT. Nobody may live who could make new ones, and the caller may have none that is to stay. 0 when none is left; -EOPNOTSUPP on a
// kernel that ends no socket (CONFIG_INET_DIAG_DESTROY) where there is one; -ETIMEDOUT when some stay.
int sockets_end(int64_t until);
