/*
 * A server that answers like the API, made to cost little: one thread, epoll, keep-alive, answers made beforehand.
 *
 *     server ITEMS [CERTIFICATE KEY]
 *
 * It prints the port of HTTP, and of HTTPS where it has a certificate, and ends when its standard input does.
 * POST /v1/chat/completions, POST /v1/embeddings, GET /v1/files?after=&limit=. What follows is not counted as a request:
 * GET /count gives the requests so far and the processor seconds that they took, GET /set?delay_ms=&items= sets both.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#ifdef WITH_TLS
#include <openssl/err.h>
#include <openssl/ssl.h>
#endif

enum { FLOATS = 1536, ITEM = 176, EVENTS = 512, ROOM = 65536 };

typedef struct {
    char *bytes;
    size_t size, room;
} Text;

typedef struct Connection {
    int fd, secure, shaken, closing, waiting;
    void *tls;
    Text in, out;
    size_t sent;
    double due;
    struct Connection *next;
} Connection;

static const char SENTENCE[] =
    "The quick brown fox jumps over the lazy dog while the rain keeps falling on the roof of the old station. ";
static char *items, *answer_text, *floats_text, *base64_text;
static size_t floats_size, base64_size, answer_size;
static long all_items, served_items, counted, delay_ms;
static Connection *first_waiting, *last_waiting;
static int polled;

static void fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

static double now_ms(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

static void reserve(Text *text, size_t more) {
    if (text->size + more <= text->room) return;
    size_t room = text->room ? text->room : 8192;
    while (room < text->size + more) room *= 2;
    char *bytes = realloc(text->bytes, room);
    if (!bytes) fail("more memory");
    text->bytes = bytes;
    text->room = room;
}

static void add(Text *text, const char *bytes, size_t size) {
    reserve(text, size);
    memcpy(text->bytes + text->size, bytes, size);
    text->size += size;
}

/* -- the answers, made once */

static void make_vector(void) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static float vector[FLOATS];
    uint32_t state = 2463534242u;
    floats_text = malloc(FLOATS * 16);
    base64_text = malloc(FLOATS * 4 / 3 * 4 + 4);
    if (!floats_text || !base64_text) fail("memory for a vector");
    for (int at = 0; at < FLOATS; at++) {
        state ^= state << 13, state ^= state >> 17, state ^= state << 5;
        vector[at] = ((double)state / UINT32_MAX - 0.5) / 12;
        floats_size += sprintf(floats_text + floats_size, "%s%.8g", at ? "," : "", vector[at]);
    }
    const unsigned char *from = (const unsigned char *)vector; /* 6,144 bytes: a multiple of three, no padding */
    for (size_t at = 0; at < sizeof vector; at += 3) {
        uint32_t three = from[at] << 16 | from[at + 1] << 8 | from[at + 2];
        for (int shift = 18; shift >= 0; shift -= 6) base64_text[base64_size++] = digits[three >> shift & 63];
    }
}

static void make_answers(long count) {
    all_items = served_items = count;
    items = malloc((size_t)count * ITEM + 1);
    answer_text = malloc(4096);
    if (!items || !answer_text) fail("memory for the items");
    for (long at = 0; at < count; at++) { /* each as wide as the next, so that a page is one piece of memory */
        char *item = items + at * ITEM;
        int size = sprintf(item,
                           "{\"id\":\"file-%08ld\",\"object\":\"file\",\"bytes\":120000,\"created_at\":1677610602,"
                           "\"filename\":\"part-%08ld.jsonl\",\"purpose\":\"batch\",\"status\":\"processed\"",
                           at, at);
        memset(item + size, ' ', ITEM - size);
        memcpy(item + ITEM - 2, "},", 2);
    }
    char content[800] = "";
    while (strlen(content) + sizeof SENTENCE < 640) strcat(content, SENTENCE);
    answer_size = sprintf(answer_text,
                          "\"object\":\"chat.completion\",\"created\":1741569952,\"model\":\"gpt-4o-mini-2024-07-18\","
                          "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"%s\","
                          "\"refusal\":null,\"annotations\":[]},\"logprobs\":null,\"finish_reason\":\"stop\"}],"
                          "\"usage\":{\"prompt_tokens\":190,\"completion_tokens\":120,\"total_tokens\":310,"
                          "\"prompt_tokens_details\":{\"cached_tokens\":0,\"audio_tokens\":0}},"
                          "\"service_tier\":\"default\"}",
                          content);
    make_vector();
}

/* The head says the limits of an account so large that nobody waits for it. */
static void add_head(Text *out, const char *status, size_t length) {
    reserve(out, 1400);
    out->size += sprintf(
        out->bytes + out->size,
        "HTTP/1.1 %s\r\nDate: Sat, 01 Mar 2025 12:00:00 GMT\r\nContent-Type: application/json\r\n"
        "Content-Length: %zu\r\nConnection: keep-alive\r\naccess-control-expose-headers: X-Request-ID\r\n"
        "openai-organization: org-benchmark\r\nopenai-processing-ms: 12\r\nopenai-version: 2020-10-01\r\n"
        "x-ratelimit-limit-requests: 600000000\r\nx-ratelimit-limit-tokens: 900000000000\r\n"
        "x-ratelimit-remaining-requests: 599999999\r\nx-ratelimit-remaining-tokens: 899999999000\r\n"
        "x-ratelimit-reset-requests: 0s\r\nx-ratelimit-reset-tokens: 0s\r\nx-request-id: req_%032lx\r\n"
        "strict-transport-security: max-age=31536000; includeSubDomains; preload\r\ncf-cache-status: DYNAMIC\r\n"
        "set-cookie: __cf_bm=abcdefghijklmnopqrstuvwxyz0123456789-1741569952-1.0.1.1; path=/; HttpOnly; Secure\r\n"
        "X-Content-Type-Options: nosniff\r\nServer: cloudflare\r\nCF-RAY: 91e1a2b3c4d5e6f7-AMS\r\n\r\n",
        status, length, counted);
}

static void add_whole(Text *out, const char *status, const char *body, size_t size) {
    add_head(out, status, size);
    add(out, body, size);
}

static void refuse(Text *out, const char *status, const char *why) {
    char body[300];
    int size = snprintf(body, sizeof body,
                        "{\"error\":{\"message\":\"%s\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":null}}",
                        why);
    add_whole(out, status, body, size);
}

static void chat(Text *out) {
    char id[64];
    int size = sprintf(id, "{\"id\":\"chatcmpl-AbCdEfGh%08ldIjKlMn\",", counted);
    add_head(out, "200 OK", size + answer_size);
    add(out, id, size);
    add(out, answer_text, answer_size);
}

/* -- as much JSON as it takes to count the inputs of an embedding */

static const char *past_text(const char *at, const char *end) {
    for (at++; at < end && *at != '"'; at++) at += *at == '\\';
    return at < end ? at + 1 : end;
}

static const char *past_value(const char *at, const char *end) {
    int depth = 0;
    while (at < end) {
        if (*at == '"') {
            at = past_text(at, end);
        } else if (*at == '[' || *at == '{') {
            depth++, at++;
        } else if (*at == ']' || *at == '}') {
            if (!depth) return at;
            depth--, at++;
        } else if (*at == ',' && !depth) {
            return at;
        } else {
            at++;
            continue;
        }
        if (!depth) return at;
    }
    return end;
}

static const char *past_space(const char *at, const char *end) {
    while (at < end && strchr(" \t\r\n", *at)) at++;
    return at;
}

static long elements(const char *at, const char *end) {
    long count = 0;
    for (at = past_space(at + 1, end); at < end && *at != ']'; at = past_space(at, end)) {
        if (*at == ',') at = past_space(at + 1, end);
        const char *after = past_value(at, end);
        if (after == at) break;
        at = after, count++;
    }
    return count;
}

static void embeddings(Text *out, const char *at, const char *end) {
    long inputs = 0;
    int base64 = 0;
    at = past_space(at, end);
    if (at < end && *at == '{') at++;
    while ((at = past_space(at, end)) < end && *at == '"') {
        const char *key = at + 1, *colon = past_text(at, end);
        size_t size = colon - key - 1;
        at = past_space(colon, end);
        if (at >= end || *at != ':') break;
        at = past_space(at + 1, end);
        const char *after = past_value(at, end);
        if (size == 5 && !memcmp(key, "input", 5)) {
            inputs = *at == '[' ? elements(at, end) : 1;
            const char *inner = past_space(at + 1, end); /* tokens: one input of numbers */
            if (*at == '[' && inner < end && *inner >= '0' && *inner <= '9') inputs = 1;
        }
        if (size == 15 && !memcmp(key, "encoding_format", 15)) base64 = !strncmp(at, "\"base64\"", 8);
        at = past_space(after, end);
        if (at < end && *at == ',') at++;
    }
    if (!inputs) {
        refuse(out, "400 Bad Request", "'input' is missing or empty");
        return;
    }
    const char *vector = base64 ? base64_text : floats_text;
    size_t size = base64 ? base64_size : floats_size;
    static Text body;
    char piece[160];
    body.size = 0;
    add(&body, "{\"object\":\"list\",\"data\":[", 25);
    for (long index = 0; index < inputs; index++) {
        add(&body, piece, sprintf(piece, "%s{\"object\":\"embedding\",\"index\":%ld,\"embedding\":%c", index ? "," : "",
                                  index, base64 ? '"' : '['));
        add(&body, vector, size);
        add(&body, base64 ? "\"}" : "]}", 2);
    }
    add(&body, piece, sprintf(piece,
                              "],\"model\":\"text-embedding-3-small\",\"usage\":{\"prompt_tokens\":%ld,\"total_tokens\":%ld}}",
                              8 * inputs, 8 * inputs));
    add_whole(out, "200 OK", body.bytes, body.size);
}

static long number(const char *query, const char *name, long otherwise) {
    const char *found = strstr(query, name);
    return found ? atol(found + strlen(name)) : otherwise;
}

static void files(Text *out, const char *query) {
    long from = number(query, "after=file-", -1) + 1, limit = number(query, "limit=", 10000);
    if (from > served_items) from = served_items;
    long count = served_items - from < limit ? served_items - from : limit;
    char start[] = "{\"object\":\"list\",\"data\":[", close[160];
    size_t piece = count ? (size_t)count * ITEM - 1 : 0; /* without the last comma */
    int size = count ? sprintf(close, "],\"first_id\":\"file-%08ld\",\"last_id\":\"file-%08ld\",\"has_more\":%s}", from,
                               from + count - 1, from + count < served_items ? "true" : "false")
                     : sprintf(close, "],\"first_id\":null,\"last_id\":null,\"has_more\":false}");
    add_head(out, "200 OK", sizeof start - 1 + piece + size);
    add(out, start, sizeof start - 1);
    add(out, items + from * ITEM, piece);
    add(out, close, size);
}

static void count_so_far(Text *out) {
    struct rusage use;
    char body[160];
    getrusage(RUSAGE_SELF, &use);
    double seconds = use.ru_utime.tv_sec + use.ru_stime.tv_sec + (use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
    add_whole(out, "200 OK", body, sprintf(body, "{\"requests\":%ld,\"cpu_seconds\":%.6f}", counted, seconds));
}

static void set(Text *out, const char *query) {
    long wanted = number(query, "items=", served_items);
    delay_ms = number(query, "delay_ms=", delay_ms);
    served_items = wanted < all_items ? wanted : all_items;
    add_whole(out, "200 OK", "{}", 2);
}

static int is(const char *line, const char *start) { return !strncmp(line, start, strlen(start)); }

/* Gives whether the answer is one that is kept back by the delay. */
static int answer(Text *out, const char *line, const char *body, size_t size) {
    if (is(line, "GET /count ")) return count_so_far(out), 0;
    if (is(line, "GET /set?")) return set(out, line), 0;
    counted++;
    if (is(line, "POST /v1/chat/completions ")) chat(out);
    else if (is(line, "POST /v1/embeddings ")) embeddings(out, body, body + size);
    else if (is(line, "GET /v1/files ") || is(line, "GET /v1/files?")) files(out, line);
    else refuse(out, "404 Not Found", "no such path here");
    return 1;
}

/* -- connections */

static ssize_t take(Connection *one, char *into, size_t room) {
#ifdef WITH_TLS
    if (one->secure) {
        int got = SSL_read(one->tls, into, room);
        if (got > 0) return got;
        int why = SSL_get_error(one->tls, got);
        ERR_clear_error();
        return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? -1 : 0;
    }
#endif
    ssize_t got = recv(one->fd, into, room, 0);
    return got < 0 && errno != EAGAIN && errno != EINTR ? 0 : got;
}

static ssize_t give(Connection *one, const char *from, size_t size) {
#ifdef WITH_TLS
    if (one->secure) {
        int gave = SSL_write(one->tls, from, size > ROOM ? ROOM : size);
        if (gave > 0) return gave;
        int why = SSL_get_error(one->tls, gave);
        ERR_clear_error();
        return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? -1 : 0;
    }
#endif
    ssize_t gave = send(one->fd, from, size, MSG_NOSIGNAL);
    return gave < 0 && errno != EAGAIN && errno != EINTR ? 0 : gave;
}

static void drop(Connection *one) {
    if (one->fd < 0) return;
#ifdef WITH_TLS
    if (one->tls) SSL_free(one->tls);
#endif
    close(one->fd);
    one->fd = -1;
    free(one->in.bytes);
    free(one->out.bytes);
    one->in.bytes = one->out.bytes = NULL;
    if (!one->waiting) free(one); /* else the queue of the delayed frees it */
}

/* Gives whether the connection is still there. */
static int flush(Connection *one) {
    while (one->sent < one->out.size) {
        ssize_t gave = give(one, one->out.bytes + one->sent, one->out.size - one->sent);
        if (!gave) return drop(one), 0;
        if (gave < 0) return 1; /* edge-triggered: it is told when there is room */
        one->sent += gave;
    }
    one->out.size = one->sent = 0;
    if (one->closing) return drop(one), 0;
    return 1;
}

static void later(Connection *one) {
    one->due = now_ms() + delay_ms;
    one->waiting = 1;
    one->next = NULL;
    if (last_waiting) last_waiting->next = one;
    else first_waiting = one;
    last_waiting = one;
}

static size_t length_said(const char *head, const char *end) {
    for (const char *line = head; line && line < end; line = memchr(line, '\n', end - line)) {
        line += *line == '\n';
        if (!strncasecmp(line, "content-length:", 15)) return strtoul(line + 15, NULL, 10);
    }
    return 0;
}

/* Answers every whole request that has arrived. */
static void serve(Connection *one) {
    size_t used = 0;
    int delayed = 0;
    while (used < one->in.size) {
        char *head = one->in.bytes + used, *end = memmem(head, one->in.size - used, "\r\n\r\n", 4);
        if (!end) break;
        size_t whole = end + 4 - head, body = length_said(head, end);
        if (one->in.size - used < whole + body) break;
        end[2] = 0; /* the look-ups in the head end here */
        if (strcasestr(head, "\nconnection: close\r")) one->closing = 1;
        *strchr(head, '\r') = 0;
        delayed |= answer(&one->out, head, end + 4, body);
        used += whole + body;
    }
    memmove(one->in.bytes, one->in.bytes + used, one->in.size - used);
    one->in.size -= used;
    if (delayed && delay_ms && !one->waiting) later(one);
    if (!one->waiting) flush(one);
}

static void ready(Connection *one, uint32_t events) {
#ifdef WITH_TLS
    if (one->secure && !one->shaken) {
        int done = SSL_accept(one->tls);
        if (done != 1) {
            int why = SSL_get_error(one->tls, done);
            ERR_clear_error();
            if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) drop(one);
            return;
        }
        one->shaken = 1;
    }
#endif
    if (events & EPOLLOUT && one->out.size && !one->waiting && !flush(one)) return;
    for (;;) {
        reserve(&one->in, ROOM);
        ssize_t got = take(one, one->in.bytes + one->in.size, ROOM);
        if (!got) {
            drop(one);
            return;
        }
        if (got < 0) break;
        one->in.size += got;
        if (!one->secure && got < ROOM && !(events & EPOLLRDHUP)) break;
    }
    if (one->in.size) serve(one);
}

static void accept_all(int listener, int secure, void *context) {
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        Connection *one = calloc(1, sizeof *one);
        if (!one) fail("memory for a connection");
        one->fd = fd;
        one->secure = secure;
#ifdef WITH_TLS
        if (secure) {
            one->tls = SSL_new(context);
            SSL_set_fd(one->tls, fd);
            SSL_set_mode(one->tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
        }
#else
        (void)context;
#endif
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET | EPOLLRDHUP, .data.ptr = one};
        if (epoll_ctl(polled, EPOLL_CTL_ADD, fd, &event)) fail("watching a connection");
    }
}

static int release_due(void) {
    while (first_waiting) {
        Connection *one = first_waiting;
        double left = one->due - now_ms();
        if (left > 0) return (int)left + 1;
        first_waiting = one->next;
        if (!first_waiting) last_waiting = NULL;
        one->waiting = 0;
        if (one->fd < 0) free(one);
        else flush(one);
    }
    return -1;
}

static int listen_here(void *mark) {
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof place;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&place, size) || listen(fd, 4096)) fail("listening");
    getsockname(fd, (struct sockaddr *)&place, &size);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = mark};
    if (epoll_ctl(polled, EPOLL_CTL_ADD, fd, &event)) fail("watching a port");
    printf("%d\n", ntohs(place.sin_port));
    return fd;
}

int main(int count, char **words) {
    static int plain_mark, secure_mark, input_mark;
    struct epoll_event events[EVENTS];
    void *context = NULL;
    if (count < 2) return fprintf(stderr, "server ITEMS [CERTIFICATE KEY]\n"), 2;
    signal(SIGPIPE, SIG_IGN);
    make_answers(atol(words[1]));
    polled = epoll_create1(EPOLL_CLOEXEC);
    int plain = listen_here(&plain_mark), secure = -1;
    if (count == 4) {
#ifdef WITH_TLS
        context = SSL_CTX_new(TLS_server_method());
        if (SSL_CTX_use_certificate_chain_file(context, words[2]) != 1 ||
            SSL_CTX_use_PrivateKey_file(context, words[3], SSL_FILETYPE_PEM) != 1)
            return fprintf(stderr, "the certificate or its key cannot be used\n"), 1;
        secure = listen_here(&secure_mark);
#else
        return fprintf(stderr, "built without TLS\n"), 2;
#endif
    }
    fflush(stdout);
    struct epoll_event input = {.events = EPOLLIN | EPOLLHUP, .data.ptr = &input_mark};
    epoll_ctl(polled, EPOLL_CTL_ADD, 0, &input);
    for (;;) {
        int found = epoll_wait(polled, events, EVENTS, release_due());
        for (int at = 0; at < found; at++) {
            void *mark = events[at].data.ptr;
            if (mark == &plain_mark) accept_all(plain, 0, NULL);
            else if (mark == &secure_mark) accept_all(secure, 1, context);
            else if (mark == &input_mark) return 0;
            else ready(mark, events[at].events);
        }
    }
}
