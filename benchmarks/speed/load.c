/* A client that places calls: one thread, epoll, HTTP/1.1 with keep-alive to 127.0.0.1.
 *
 *   load PORT REQUEST CONNECTIONS SECONDS RATE NUMBERS FIRST
 *
 * REQUEST is a file with the bytes of a whole request; eight # in it become a number under
 * NUMBERS, for each call the next one, the first one FIRST (modulo NUMBERS). With RATE 0 each
 * connection places its next call when the last one is answered (a closed loop). With a rate calls
 * are due so many times a second, and one's time runs from when it was due, whether or not a
 * connection was free (an open loop, without coordinated omission).
 *
 * It connects, says `ready`, waits for a line, places calls, says `end` when the time is over, waits
 * for what is on its way, and prints what it saw as one JSON object; times are in microseconds. An
 * event of a stream is known by an @, the sixteen hexadecimal digits of its time, and an @. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

/* What the slowest has on its way: 256 streams take it some 15 s, and longer beside other work. */
#define FINISH_NS 60000000000ull

typedef struct {
  uint64_t *values;
  size_t count, room;
} Times;
typedef enum { HEAD, BODY, SIZE, DATA, AFTER_DATA, TRAILER } Part;
typedef struct {
  int fd, busy, status, closes, digits, is_blocked;
  uint64_t due, stamp, left; /* `left`: bytes of the body or of a chunk */
  size_t sent, head_size, events;
  Part part;
  char head[16384];
} Line;

static Line *lines;
static int connections, port, poll_fd;
static char *request, *number;
static size_t request_size;
static uint64_t began, ends, interval, placed, numbers, first;
static Times calls, events, firsts;
static size_t answered, bad, broken, in_window, bytes, reconnected;
static int *idle, idles;

static uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

static void add(Times *times, uint64_t value) {
  if (times->count == times->room) times->values = realloc(times->values, (times->room = 2 * times->room + 65536) * sizeof value);
  times->values[times->count++] = value;
}

static void watch(Line *line, uint32_t what, int how) {
  struct epoll_event event = {.events = what, .data.ptr = line};
  epoll_ctl(poll_fd, how, line->fd, &event);
}

static void open_line(Line *line) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int one = 1;
  line->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(line->fd, (void *)&address, sizeof address)) { perror("connect"); exit(1); }
  setsockopt(line->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  watch(line, EPOLLIN, EPOLL_CTL_ADD);
  line->is_blocked = 0;
}

static void send_rest(Line *line) {
  while (line->sent < request_size) {
    ssize_t sent = send(line->fd, request + line->sent, request_size - line->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) break; /* full, or gone: then there is something to read */
    line->sent += (size_t)sent;
  }
  int is_blocked = line->sent < request_size;
  if (is_blocked != line->is_blocked) watch(line, is_blocked ? EPOLLIN | EPOLLOUT : EPOLLIN, EPOLL_CTL_MOD);
  line->is_blocked = is_blocked;
}

static void place(Line *line, uint64_t due) {
  line->busy = 1;
  line->due = due;
  line->sent = line->head_size = line->events = 0;
  line->status = line->closes = line->digits = 0;
  line->part = HEAD;
  send_rest(line);
}

static void place_due(void) { /* what is due now, as far as lines are free */
  uint64_t now = now_ns();
  if (now >= ends) return;
  while (idles) {
    uint64_t due = interval ? began + placed * interval : now;
    if (due > now) return;
    if (number) {
      char digits[24];
      sprintf(digits, "%08llu", (unsigned long long)((first + placed) % numbers));
      memcpy(number, digits, 8);
    }
    placed++;
    place(&lines[idle[--idles]], due);
  }
}

static void free_line(Line *line) {
  line->busy = 0;
  idle[idles++] = (int)(line - lines);
}

static void renew(Line *line) {
  close(line->fd);
  open_line(line);
}

static void on_answer(Line *line) {
  uint64_t now = now_ns();
  if (line->status == 200) answered++; else bad++;
  if (line->status == 200 && now < ends) in_window++;
  if (line->status == 200) add(&calls, now - line->due);
  if (line->closes) { reconnected++; renew(line); }
  free_line(line);
}

static void on_gone(Line *line) { /* the other side closed; one that was not asked yet may */
  if (line->busy && line->head_size) broken++;
  reconnected++;
  renew(line);
  if (line->busy && !line->head_size) { place(line, line->due); return; }
  if (line->busy) free_line(line);
}

static void on_event(Line *line) {
  uint64_t now = now_ns();
  if (now >= ends) return;
  add(&events, now - line->stamp);
  if (!line->events++) add(&firsts, now - line->due);
}

static void look_for_events(Line *line, const char *data, size_t size) {
  for (const char *end = data + size; data < end; data++) {
    if (!line->digits) { /* outside of a stamp */
      data = memchr(data, '@', (size_t)(end - data));
      if (!data) return;
      line->digits = 1;
      line->stamp = 0;
    } else if (line->digits <= 16) {
      int digit = *data >= '0' && *data <= '9' ? *data - '0' : *data >= 'a' && *data <= 'f' ? *data - 'a' + 10 : -1;
      line->stamp = line->stamp << 4 | (uint64_t)(digit & 15);
      line->digits = digit < 0 ? 0 : line->digits + 1;
    } else {
      line->digits = 0;
      if (*data == '@') on_event(line);
    }
  }
}

static void read_head(Line *line) {
  line->status = atoi(line->head + 9);
  line->closes = strcasestr(line->head, "\r\nconnection: close") != 0;
  char *length = strcasestr(line->head, "\r\ncontent-length:");
  line->left = length ? strtoull(length + 17, 0, 10) : 0;
  line->part = strcasestr(line->head, "\r\ntransfer-encoding: chunked") ? SIZE : BODY;
  line->head_size = 1;
}

static size_t feed_head(Line *line, const char *data, size_t size) {
  size_t was = line->head_size, room = sizeof line->head - 1 - was, taken = size < room ? size : room;
  memcpy(line->head + was, data, taken);
  line->head[was + taken] = 0;
  line->head_size += taken;
  char *end = strstr(line->head, "\r\n\r\n");
  if (!end) return taken;
  size_t used = (size_t)(end + 4 - line->head) - was;
  end[2] = 0;
  read_head(line);
  return used;
}

/* Take a character of the chunked coding's own; 1 if it was the answer's last one. */
static int feed_framing(Line *line, char c) {
  if (line->part == SIZE) {
    int digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
    if (digit >= 0) line->left = line->left << 4 | (uint64_t)digit;
    if (c == '\n') line->part = line->left ? DATA : TRAILER;
    return 0;
  }
  if (line->part == AFTER_DATA) {
    if (c == '\n') line->part = SIZE;
    return 0;
  }
  return c == '\n'; /* no trailers are sent by what is measured */
}

/* Take what came; 1 once the answer is whole. */
static int feed(Line *line, const char *data, size_t size) {
  while (size || (line->part == BODY && !line->left)) {
    size_t used = 1;
    if (line->part == HEAD) {
      used = feed_head(line, data, size);
    } else if (line->part == BODY || line->part == DATA) {
      used = size < line->left ? size : line->left;
      look_for_events(line, data, used);
      line->left -= used;
      if (line->part == BODY && !line->left) return 1;
      if (line->part == DATA && !line->left) line->part = AFTER_DATA;
    } else if (feed_framing(line, *data)) {
      return 1;
    }
    data += used;
    size -= used;
  }
  return 0;
}

static void on_line(Line *line, uint32_t what) {
  static char data[1 << 18];
  if (what & EPOLLOUT) send_rest(line);
  if (!(what & (EPOLLIN | EPOLLHUP | EPOLLERR))) return;
  ssize_t found = recv(line->fd, data, sizeof data, MSG_DONTWAIT);
  if (found < 0 && errno == EAGAIN) return;
  if (found <= 0) { on_gone(line); return; }
  bytes += (size_t)found;
  if (line->busy && feed(line, data, (size_t)found)) on_answer(line);
}

static int compare(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x < y ? -1 : x > y;
}

static void tell(const char *name, Times *times) {
  static const struct { const char *name; double share; } shares[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p999", 0.999}, {"max", 1}};
  printf(", \"%s\": {\"count\": %zu", name, times->count);
  qsort(times->values, times->count, sizeof *times->values, compare);
  for (size_t i = 0; times->count && i < sizeof shares / sizeof *shares; i++) {
    size_t at = (size_t)(shares[i].share * (double)(times->count - 1) + 0.5);
    printf(", \"%s\": %.1f", shares[i].name, (double)times->values[at] / 1e3);
  }
  printf("}");
}

static void run_until(uint64_t until, int timer) {
  struct epoll_event found[512];
  while (now_ns() < until && (until == ends || idles < connections)) {
    place_due();
    int count = epoll_wait(poll_fd, found, 512, 20);
    for (int i = 0; i < count; i++) {
      uint64_t passed;
      if (found[i].data.ptr) on_line(found[i].data.ptr, found[i].events);
      else if (read(timer, &passed, sizeof passed) < 0) break;
    }
  }
}

int main(int argc, char **argv) {
  if (argc != 8) { fprintf(stderr, "load PORT REQUEST CONNECTIONS SECONDS RATE NUMBERS FIRST\n"); return 2; }
  port = atoi(argv[1]);
  connections = atoi(argv[3]);
  double seconds = atof(argv[4]), rate = atof(argv[5]);
  FILE *file = fopen(argv[2], "rb");
  if (!file) { perror(argv[2]); return 1; }
  request = malloc(64 << 20);
  request_size = fread(request, 1, 64 << 20, file);
  number = memmem(request, request_size, "########", 8);
  numbers = strtoull(argv[6], 0, 10);
  first = strtoull(argv[7], 0, 10);
  signal(SIGPIPE, SIG_IGN);
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  poll_fd = epoll_create1(0);
  lines = calloc((size_t)connections, sizeof *lines);
  idle = calloc((size_t)connections, sizeof *idle);
  for (int i = 0; i < connections; i++) { open_line(&lines[i]); idle[idles++] = i; }
  int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = 0};
  epoll_ctl(poll_fd, EPOLL_CTL_ADD, timer, &event);

  char line[16];
  puts("ready");
  fflush(stdout);
  if (!fgets(line, sizeof line, stdin)) return 1;
  began = now_ns();
  ends = began + (uint64_t)(seconds * 1e9);
  if (rate > 0) {
    interval = (uint64_t)(1e9 / rate);
    struct itimerspec ticks = {{(time_t)(interval / 1000000000ull), (long)(interval % 1000000000ull)}, {0, 1}};
    timerfd_settime(timer, 0, &ticks, 0);
  }
  run_until(ends, timer);
  puts("end");
  fflush(stdout);
  run_until(now_ns() + FINISH_NS, timer);

  uint64_t due = interval ? (ends - began) / interval : placed;
  printf("{\"seconds\": %.3f, \"calls\": %zu, \"answered\": %zu, \"bad\": %zu, \"broken\": %zu", seconds, in_window, answered, bad, broken);
  size_t owed = due > placed ? due - placed : 0;
  printf(", \"never_placed\": %zu, \"unanswered\": %d", owed, connections - idles);
  printf(", \"reconnected\": %zu, \"bytes\": %zu", reconnected, bytes);
  tell("latency", &calls);
  tell("first_event", &firsts);
  tell("event", &events);
  printf("}\n");
  return 0;
}
