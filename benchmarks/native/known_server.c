/*
 * A server of known timing: OpenAI chat streaming (SSE, chunked) over HTTP/1.1, one thread, one epoll loop.
 *
 *   known_server --ttft-ms 200 --gap-ms 100 --tokens 64 --truth FILE [--role at-once] [--pause AT:SECONDS]...
 *
 * It prints its port and then one JSON line when it is ended (SIGTERM): requests, chunks, its own lateness, CPU.
 * The truth is what was written, never a configured value: FILE gets one record per generation, in the byte order
 * of this host, when it ends:
 *
 *   char id[64] (x-request-id, zero padded) | int64 received_ns | int64 late_max_ns | uint32 chunks | uint32 whole
 *   | int64 written_ns[chunks]
 *
 * Times are CLOCK_MONOTONIC. received_ns: the request had been read. written_ns[i]: immediately before the write
 * that carries token i. late_max_ns: the longest a token was written after it was due. whole: 0 when the client went
 * away, 1 when all was written at once, 2 when the kernel made a write wait (the stamps are then too early).
 * A request's max_tokens is its length; --tokens is that of requests without one. A pause stops everything, as a
 * stopped engine does, AT seconds after the first chat request; what was due later comes that much later.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "timing.h"

enum { MAX_FD = 65536, MAX_TOKENS = 100000, MAX_PAUSES = 16, EVENTS = 1024, BODY = 1 << 24 };
enum { IDLE, STREAMING };

struct connection {
    int fd, state, role_sent, wants_usage, streamed, held_back;
    unsigned generation;
    char id[64];
    char *in, *out, *piece;
    size_t in_size, in_used, out_size, out_used, piece_used, word_at;
    int64_t received, first_due, late_max, *written;
    uint32_t tokens, done, room;
};

static struct connection *connections[MAX_FD];
static int64_t ttft, gap, started, pause_at[MAX_PAUSES], pause_ns[MAX_PAUSES];
static int pauses, pauses_done, role_at_once, poller, listener, default_tokens = 64;
static const char *model = "known-model";
/* Words of one length, in turn: an answer of one word over and over is a sick one, and is looked at as such. */
static const char words[][5] = {"once", "upon", "many", "long", "year", "when", "ship", "from", "land", "went", "over",
                                "blue", "deep", "seas", "with", "some", "salt", "wind", "they", "sang", "more", "than"};
static FILE *truth;
static uint64_t requests, chunks;
static volatile sig_atomic_t ended;

static void end(int number) { (void)number, ended = 1; }

static void write_truth(struct connection *c, int whole) {
    if (!truth) return;
    uint32_t tail[2] = {c->done, whole ? 1 + c->held_back : 0};
    fwrite(c->id, sizeof c->id, 1, truth);
    fwrite(&c->received, 8, 1, truth), fwrite(&c->late_max, 8, 1, truth);
    fwrite(tail, sizeof tail, 1, truth), fwrite(c->written, 8, c->done, truth);
}

static void drop(struct connection *c) {
    if (c->state == STREAMING) write_truth(c, 0);
    close(c->fd);
    connections[c->fd] = NULL;
    free(c->in), free(c->out), free(c->piece), free(c->written), free(c);
}

static void watch(struct connection *c, uint32_t events) {
    struct epoll_event event = {.events = events, .data.fd = c->fd};
    epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &event);
}

/* Write, or keep for later what the kernel does not take. Returns 0 when the connection was dropped. */
static int put(struct connection *c, const char *data, size_t size) {
    ssize_t sent = c->out_used ? 0 : send(c->fd, data, size, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) return drop(c), 0;
    size_t left = size - (sent > 0 ? (size_t)sent : 0);
    if (!left) return 1;
    c->held_back = 1;
    if (c->out_used + left > c->out_size) c->out = must(realloc(c->out, c->out_size = 2 * (c->out_used + left)));
    memcpy(c->out + c->out_used, data + size - left, left);
    c->out_used += left;
    watch(c, EPOLLIN | EPOLLOUT);
    return 1;
}

static int answer(struct connection *c, int status, const char *body) {
    char text[2048];
    int size = snprintf(text, sizeof text,
                        "HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n%s%.63s%s\r\n%s",
                        status, status == 200 ? "OK" : "Not Found", strlen(body), *c->id ? "x-request-id: " : "",
                        c->id, *c->id ? "\r\n" : "", body);
    return put(c, text, (size_t)size);
}

/* One event as an HTTP chunk, appended at `at`; returns the new end. */
static size_t event(char *at, size_t used, size_t size, const char *json) {
    return used + (size_t)snprintf(at + used, size - used, "%zx\r\ndata: %s\n\n\r\n", strlen(json) + 8, json);
}

static size_t delta(struct connection *c, char *at, size_t used, size_t size, const char *inner, const char *reason) {
    char json[512];
    snprintf(json, sizeof json,
             "{\"id\":\"chatcmpl-%.63s\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,"
             "\"model\":\"%.100s\",\"choices\":[{\"index\":0,\"delta\":{%s},\"logprobs\":null,\"finish_reason\":%s}]}",
             c->id, model, inner, reason);
    return event(at, used, size, json);
}

static size_t role_and_header(struct connection *c, char *text, size_t size) {
    size_t used = (size_t)snprintf(text, size,
                                   "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
                                   "transfer-encoding: chunked\r\n%s%.63s%s\r\n",
                                   *c->id ? "x-request-id: " : "", c->id, *c->id ? "\r\n" : "");
    c->role_sent = 1;
    return delta(c, text, used, size, "\"role\":\"assistant\",\"content\":\"\"", "null");
}

/* A whole number after a key of the body, or -1. Bodies are our clients' own, so this is no JSON reader. */
static long number_after(const char *body, const char *key) {
    const char *found = strstr(body, key);
    if (!found) return -1;
    found += strlen(key);
    return strtol(found + strspn(found, " :"), NULL, 10);
}

static int true_after(const char *body, const char *key) {
    const char *found = strstr(body, key);
    return found && !strncmp(found + strlen(key) + strspn(found + strlen(key), " :"), "true", 4);
}

static int begin(struct connection *c, const char *body) {
    char text[2048];
    long wanted = number_after(body, "\"max_completion_tokens\"");
    if (wanted <= 0) wanted = number_after(body, "\"max_tokens\"");
    if (wanted <= 0) wanted = default_tokens;
    /* An answer's own id is "chatcmpl-" and the request's; one that has none gets a number, so that all can be told. */
    if (!*c->id) snprintf(c->id, sizeof c->id, "known-%llu", (unsigned long long)requests);
    c->tokens = wanted > MAX_TOKENS ? MAX_TOKENS : (uint32_t)wanted;
    c->streamed = true_after(body, "\"stream\"");
    c->wants_usage = true_after(body, "\"include_usage\"");
    c->received = now_ns();
    if (!started) started = c->received;
    c->first_due = c->received + ttft;
    c->done = 0, c->late_max = 0, c->role_sent = 0, c->held_back = 0, c->state = STREAMING;
    if (c->room < c->tokens) c->written = must(realloc(c->written, (c->room = c->tokens) * sizeof *c->written));
    if (!c->piece) c->piece = must(malloc(1024));
    c->piece_used = delta(c, c->piece, 0, 1024, "\"content\":\" word\"", "null");
    c->word_at = (size_t)((char *)memmem(c->piece, c->piece_used, ":\" word\"}", 9) - c->piece) + 3;
    requests++;
    push((struct entry){c->streamed ? c->first_due : c->first_due + (c->tokens - 1) * gap, c->fd, c->generation});
    if (!role_at_once || !c->streamed) return 1;
    return put(c, text, role_and_header(c, text, sizeof text));
}

static int finish_plain(struct connection *c) {
    char body[1024];
    snprintf(body, sizeof body,
             "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":\"%.100s\","
             "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"words\"},"
             "\"finish_reason\":\"length\"}],\"usage\":{\"prompt_tokens\":16,\"completion_tokens\":%u,"
             "\"total_tokens\":%u}}",
             model, c->tokens, c->tokens + 16);
    c->state = IDLE;
    return answer(c, 200, body);
}

/* Write the token that is due. The stamp is taken immediately before the write that carries it. */
static void write_token(struct connection *c, int64_t due) {
    char text[4096], json[512];
    const char *data = c->piece;
    size_t used = c->piece_used;
    if (!c->streamed) {
        finish_plain(c);
        return;
    }
    int last = c->done + 1 == c->tokens;
    memcpy(c->piece + c->word_at, words[c->done % (sizeof words / sizeof *words)], 4);
    if (last || !c->role_sent) {
        used = c->role_sent ? 0 : role_and_header(c, text, sizeof text);
        memcpy(text + used, c->piece, c->piece_used);
        used += c->piece_used, data = text;
    }
    if (last) {
        used = delta(c, text, used, sizeof text, "", "\"length\"");
        snprintf(json, sizeof json,
                 "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,"
                 "\"model\":\"%.100s\",\"choices\":[],\"usage\":{\"prompt_tokens\":16,\"completion_tokens\":%u,"
                 "\"total_tokens\":%u}}",
                 model, c->tokens, c->tokens + 16);
        if (c->wants_usage) used = event(text, used, sizeof text, json);
        used = event(text, used, sizeof text, "[DONE]");
        used += (size_t)snprintf(text + used, sizeof text - used, "0\r\n\r\n");
    }
    int64_t stamp = now_ns();
    c->written[c->done++] = stamp;
    chunks++;
    note_lateness(stamp - due);
    if (stamp - due > c->late_max) c->late_max = stamp - due;
    if (last) c->state = IDLE, write_truth(c, 1);
    else push((struct entry){due + gap, c->fd, c->generation});
    put(c, data, used);
}

/* One request from the buffer, if a whole one is there. Returns 0 when the connection was dropped or waits for more. */
static int one_request(struct connection *c) {
    char *stop = c->in_used ? memmem(c->in, c->in_used, "\r\n\r\n", 4) : NULL;
    if (c->state != IDLE || !stop) return 0;
    char *body = stop + 4;
    size_t size = 0;
    *c->id = 0;
    *stop = 0;
    for (char *line = strstr(c->in, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        if (!strncasecmp(line, "content-length:", 15)) size = strtoul(line + 15, NULL, 10);
        if (!strncasecmp(line, "x-request-id:", 13)) {
            const char *value = line + 13 + strspn(line + 13, " ");
            size_t length = strcspn(value, "\r\n\"\\");
            if (length > 63) length = 63;
            memset(c->id, 0, sizeof c->id), memcpy(c->id, value, length);
        }
    }
    if (size > BODY) return drop(c), 0;
    if ((size_t)(c->in + c->in_used - body) < size) return *stop = '\r', 0;
    char kept = body[size];
    body[size] = 0;
    int alive, chat = !strncmp(c->in, "POST /v1/chat/completions", 25);
    char models[512];
    snprintf(models, sizeof models,
             "{\"object\":\"list\",\"data\":[{\"id\":\"%.100s\",\"object\":\"model\",\"created\":1700000000,"
             "\"owned_by\":\"known\",\"max_model_len\":131072}]}",
             model);
    if (chat) alive = begin(c, body);
    else if (!strncmp(c->in, "GET /v1/models", 14)) alive = answer(c, 200, models);
    else if (!strncmp(c->in, "GET /health", 11)) alive = answer(c, 200, "{}");
    else alive = answer(c, 404, "{\"error\":{\"message\":\"no such path\",\"type\":\"not_found\",\"code\":404}}");
    if (!alive) return 0;
    body[size] = kept;
    c->in_used -= (size_t)(body + size - c->in);
    memmove(c->in, body + size, c->in_used);
    return 1;
}

static void readable(struct connection *c) {
    if (c->in_used + 4096 > c->in_size) c->in = must(realloc(c->in, c->in_size = c->in_size ? c->in_size * 2 : 16384));
    ssize_t got = recv(c->fd, c->in + c->in_used, c->in_size - c->in_used - 1, 0);
    if (got == 0 || (got < 0 && errno != EAGAIN)) {
        drop(c);
        return;
    }
    if (got > 0) c->in_used += (size_t)got;
    while (one_request(c)) {}
}

static void writable(struct connection *c) {
    ssize_t sent = send(c->fd, c->out, c->out_used, MSG_NOSIGNAL);
    if (sent < 0) return;
    c->out_used -= (size_t)sent;
    memmove(c->out, c->out + sent, c->out_used);
    if (!c->out_used) watch(c, EPOLLIN);
}

static void accept_all(void) {
    static unsigned generation;
    int fd, one = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        if (fd >= MAX_FD) {
            close(fd);
            continue;
        }
        struct connection *c = connections[fd] = must(calloc(1, sizeof *c));
        c->fd = fd, c->generation = ++generation;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
    }
}

static void pause_when_due(void) {
    if (pauses_done == pauses || !started || now_ns() < started + pause_at[pauses_done]) return;
    struct timespec length = {pause_ns[pauses_done] / 1000000000, pause_ns[pauses_done] % 1000000000};
    int64_t before = now_ns();
    nanosleep(&length, NULL);
    int64_t lost = now_ns() - before;
    for (size_t i = 0; i < heap_used; i++) heap[i].due += lost;
    fprintf(stderr, "pause %lld %lld\n", (long long)before, (long long)(before + lost));
    pauses_done++;
}

static void serve(void) {
    struct epoll_event events[EVENTS];
    while (!ended) {
        pause_when_due();
        int64_t now = now_ns(), until = now + 50000000;
        if (heap_used && heap[0].due < until) until = heap[0].due;
        struct timespec wait = {0, until > now ? until - now : 0};
        int count = epoll_pwait2(poller, events, EVENTS, &wait, NULL);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                accept_all();
                continue;
            }
            struct connection *c = connections[fd];
            if (c && events[i].events & EPOLLOUT) writable(c);
            if (c && events[i].events & ~EPOLLOUT) readable(c);
        }
        /* At most so many tokens before the sockets are looked at again. */
        for (int i = 0; i < 64 && heap_used && heap[0].due <= now_ns(); i++) {
            struct entry one = pop();
            struct connection *c = connections[one.fd];
            if (!c || c->generation != one.generation || c->state != STREAMING) continue;
            write_token(c, one.due);
            c = connections[one.fd];
            if (c && c->state == IDLE && c->in_used)
                while (one_request(c)) {}
        }
    }
}

static void listen_on(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t size = sizeof address;
    int one = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 4096)) perror("listen"), exit(1);
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    poller = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
}

int main(int count, char **given) {
    int port = 0;
    for (int i = 1; i + 1 < count; i += 2) {
        const char *name = given[i], *value = given[i + 1];
        if (!strcmp(name, "--port")) port = atoi(value);
        else if (!strcmp(name, "--ttft-ms")) ttft = (int64_t)(atof(value) * 1e6);
        else if (!strcmp(name, "--gap-ms")) gap = (int64_t)(atof(value) * 1e6);
        else if (!strcmp(name, "--tokens")) default_tokens = atoi(value);
        else if (!strcmp(name, "--model")) model = value;
        else if (!strcmp(name, "--role")) role_at_once = !strcmp(value, "at-once");
        else if (!strcmp(name, "--truth")) truth = must(fopen(value, "wb"));
        else if (!strcmp(name, "--pause") && pauses < MAX_PAUSES) {
            const char *length = strchr(value, ':');
            if (!length) return fprintf(stderr, "--pause is AT:SECONDS\n"), 2;
            pause_at[pauses] = (int64_t)(atof(value) * 1e9), pause_ns[pauses++] = (int64_t)(atof(length + 1) * 1e9);
        } else return fprintf(stderr, "unknown option %s\n", name), 2;
    }
    if (truth) setvbuf(truth, NULL, _IOFBF, 1 << 20);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, end), signal(SIGINT, end);
    prctl(PR_SET_TIMERSLACK, 1);
    listen_on(port);
    serve();
    for (int fd = 0; fd < MAX_FD; fd++)
        if (connections[fd] && connections[fd]->state == STREAMING) write_truth(connections[fd], 0);
    if (truth) fclose(truth);
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    printf("{\"requests\":%llu,\"chunks\":%llu,\"late_p50_ms\":%.3f,\"late_p99_ms\":%.3f,\"late_max_ms\":%.3f,"
           "\"cpu_seconds\":%.3f}\n",
           (unsigned long long)requests, (unsigned long long)chunks, late_percentile_ms(0.5), late_percentile_ms(0.99),
           late_percentile_ms(1), (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
               (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
    return 0;
}
