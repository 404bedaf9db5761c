/* Clock, a heap of what is due, and a histogram of how late it was done. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { HISTOGRAM = 64 * 16 };

struct entry {
    int64_t due;
    int fd;
    unsigned generation;
};

static struct entry *heap;
static size_t heap_used, heap_size;
static uint64_t lateness[HISTOGRAM];

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void *must(void *memory) {
    if (!memory) fprintf(stderr, "out of memory\n"), exit(1);
    return memory;
}

static void push(struct entry one) {
    if (heap_used == heap_size) {
        heap_size = heap_size ? heap_size * 2 : 1024;
        heap = must(realloc(heap, heap_size * sizeof *heap));
    }
    size_t at = heap_used++;
    for (; at && heap[(at - 1) / 2].due > one.due; at = (at - 1) / 2) heap[at] = heap[(at - 1) / 2];
    heap[at] = one;
}

static struct entry pop(void) {
    struct entry top = heap[0], last = heap[--heap_used];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < heap_used; at = child) {
        if (child + 1 < heap_used && heap[child + 1].due < heap[child].due) child++;
        if (heap[child].due >= last.due) break;
        heap[at] = heap[child];
    }
    heap[at] = last;
    return top;
}

/* Lateness in a histogram of 16 steps per doubling, from 1 us: about 4 % exact, and of a fixed size. */
static void note_lateness(int64_t late) {
    uint64_t us = late < 1000 ? 1 : (uint64_t)late / 1000;
    int power = 63 - __builtin_clzll(us);
    int step = power >= 4 ? (int)(us >> (power - 4)) & 15 : (int)(us << (4 - power)) & 15;
    lateness[power * 16 + step]++;
}

static double late_percentile_ms(double share) {
    uint64_t total = 0, seen = 0;
    for (int i = 0; i < HISTOGRAM; i++) total += lateness[i];
    for (int i = 0; i < HISTOGRAM; i++)
        if ((seen += lateness[i]) && seen >= share * total) return (1ULL << (i / 16)) * (1 + (i % 16) / 16.0) / 1000;
    return 0;
}
