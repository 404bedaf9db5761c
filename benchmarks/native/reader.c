/*
 * The floor: what it costs to read N streams with epoll and to do nothing with them but stamp and count.
 *
 *   reader PORT STREAMS TOKENS SECONDS RAMP_SECONDS
 *
 * A closed loop: each connection asks again when its answer has ended, until the time is up. Prints one JSON line with
 * requests, chunks (events with text), reads, and its CPU seconds, user and system. Where it is late it reads several
 * chunks at once: then each costs less, and the row is no floor for a reader that is in time.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct stream {
    int fd;
    char tail[8]; /* the last bytes of the read before: an end may be cut in two */
    int64_t first, last;
};

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static char request[1024];
static int request_size;
static uint64_t requests, chunks, reads;

static void ask(struct stream *one) {
    memset(one->tail, 0, sizeof one->tail);
    one->first = 0;
    if (send(one->fd, request, (size_t)request_size, MSG_NOSIGNAL) != request_size) perror("send"), exit(1);
}

static void open_stream(struct stream *one, int port, int poller) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int yes = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    one->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(one->fd, (struct sockaddr *)&address, sizeof address)) perror("connect"), exit(1);
    setsockopt(one->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = one};
    epoll_ctl(poller, EPOLL_CTL_ADD, one->fd, &event);
    ask(one);
}

/* Returns 1 when the answer has ended. */
static int read_some(struct stream *one) {
    static char buffer[65536 + 8];
    ssize_t got = recv(one->fd, buffer + 7, sizeof buffer - 8, MSG_DONTWAIT);
    if (got <= 0) {
        if (got < 0 && errno == EAGAIN) return 0;
        fprintf(stderr, "the server ended a connection\n"), exit(1);
    }
    one->last = now_ns();
    reads++;
    if (!one->first) one->first = one->last;
    memcpy(buffer, one->tail, 7);
    size_t size = (size_t)got + 7;
    char *stop = buffer + size;
    for (char *at = buffer + 7; (at = memmem(at, (size_t)(stop - at), "\"content\":\" ", 12)); at += 12) chunks++;
    memcpy(one->tail, buffer + size - 7, 7);
    return !memcmp(buffer + size - 7, "\r\n0\r\n\r\n", 7);
}

/* Not ru_maxrss: that includes what the starter held before this program took its place. */
static double peak_mib(void) {
    char line[256];
    long kib = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status)) sscanf(line, "VmHWM: %ld", &kib);
    if (status) fclose(status);
    return (double)kib / 1024;
}

int main(int count, char **words) {
    if (count != 6) return fprintf(stderr, "usage: reader PORT STREAMS TOKENS SECONDS RAMP_SECONDS\n"), 2;
    int port = atoi(words[1]), streams = atoi(words[2]), opened = 0, busy = 0;
    char body[512];
    int size = snprintf(body, sizeof body,
                        "{\"model\":\"known-model\","
                        "\"messages\":[{\"role\":\"user\",\"content\":\"Tell me a story.\"}],"
                        "\"max_tokens\":%d,\"stream\":true,\"stream_options\":{\"include_usage\":true}}",
                        atoi(words[3]));
    request_size = snprintf(request, sizeof request,
                            "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\n"
                            "content-type: application/json\r\n"
                            "content-length: %d\r\n\r\n%s",
                            size, body);
    int64_t start = now_ns(), ramp = (int64_t)(atof(words[5]) * 1e9);
    int64_t stop = start + ramp + (int64_t)(atof(words[4]) * 1e9);
    struct stream *all = calloc((size_t)streams, sizeof *all);
    struct epoll_event events[1024];
    int poller = epoll_create1(0);
    do {
        for (; opened < streams && now_ns() >= start + ramp * opened / streams; opened++, busy++)
            open_stream(&all[opened], port, poller);
        int ready = epoll_wait(poller, events, 1024, opened < streams ? 1 : 100);
        for (int i = 0; i < ready; i++) {
            if (!read_some(events[i].data.ptr)) continue;
            requests++;
            if (now_ns() < stop) ask(events[i].data.ptr);
            else busy--;
        }
    } while (busy || opened < streams);
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    double cpu = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                 (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    printf("{\"requests\":%llu,\"chunks\":%llu,\"reads\":%llu,\"cpu_seconds\":%.4f,\"peak_mib\":%.1f}\n",
           (unsigned long long)requests, (unsigned long long)chunks, (unsigned long long)reads, cpu, peak_mib());
    return 0;
}
