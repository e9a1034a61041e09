#pragma once

// A zygote's heap, arranged so that forking it and ending its forks are cheap: both cost the kernel per mapped page, and a huge page is one.

// Before the interpreter's heap grows. Only in a zygote.
void heap_begin(void);
// When the zygote is about to serve: puts what the heap has into huge pages, where the kernel can. A guest's first write to one splits its own view of it and copies
// 4 KB, as ever. What boot read from files is unmapped from memory, and comes back from the page cache where it is touched.
void heap_settle(void);
