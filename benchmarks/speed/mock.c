/* A provider that costs next to nothing: one thread, epoll, HTTP/1.1 with keep-alive on 127.0.0.1.
 *
 *   mock PORT GAP_MS CHUNKS ANSWER CHUNK LAST [CERTIFICATE KEY]
 *
 * A POST with "stream": true is answered by CHUNKS times the bytes of the file CHUNK, the first at
 * once and the others GAP_MS apart, each in a send of its own, and then by those of LAST; any other
 * request by those of ANSWER. The sixteen characters behind an @ of CHUNK become the time of the
 * send: nanoseconds of the monotonic clock in hexadecimal. With a certificate it speaks TLS, if it
 * was compiled with -DWITH_TLS. */
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
#ifdef WITH_TLS
#include <openssl/ssl.h>
static SSL_CTX *tls;
#endif

#define MOST 65536

typedef struct {
  int fd, left, greeted;
  char *in;
  size_t size, room, at; /* `at`: where its place among the streaming is */
#ifdef WITH_TLS
  SSL *ssl;
#endif
} Peer;
typedef struct {
  char *bytes;
  size_t size;
} Text;

static Peer *streaming[MOST];
static size_t streams;
static int poll_fd, gap, chunks;
static Text answer, chunk, last;
static char *stamp;

static Text read_file(const char *path) {
  Text text = {malloc(1 << 20), 0};
  FILE *file = fopen(path, "rb");
  if (!file) { perror(path); exit(1); }
  text.size = fread(text.bytes, 1, 1 << 20, file);
  fclose(file);
  return text;
}

static Text framed(Text body) { /* as one chunk of the chunked coding */
  Text out = {malloc(body.size + 64), 0};
  out.size = (size_t)sprintf(out.bytes, "%zx\r\n", body.size);
  memcpy(out.bytes + out.size, body.bytes, body.size);
  memcpy(out.bytes + out.size + body.size, "\r\n", 2);
  out.size += body.size + 2;
  return out;
}

static Text headed(Text body) {
  Text out = {malloc(body.size + 256), 0};
  out.size = (size_t)sprintf(out.bytes,
      "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
      "x-request-id: req_0123456789abcdef\r\n\r\n", body.size);
  memcpy(out.bytes + out.size, body.bytes, body.size);
  out.size += body.size;
  return out;
}

static int send_all(Peer *peer, const char *bytes, size_t size) { /* 0, or -1 if it is gone or stuck */
#ifdef WITH_TLS
  if (peer->ssl) return SSL_write(peer->ssl, bytes, (int)size) == (int)size ? 0 : -1;
#endif
  return send(peer->fd, bytes, size, MSG_NOSIGNAL) == (ssize_t)size ? 0 : -1;
}

static ssize_t receive(Peer *peer) { /* bytes, 0 at the end, -1 with EAGAIN if there are none yet */
#ifdef WITH_TLS
  if (peer->ssl) {
    int found = SSL_read(peer->ssl, peer->in + peer->size, (int)(peer->room - peer->size));
    if (found > 0) return found;
    int why = SSL_get_error(peer->ssl, found);
    errno = EAGAIN;
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? -1 : 0;
  }
#endif
  return recv(peer->fd, peer->in + peer->size, peer->room - peer->size, 0);
}

static int has_more(Peer *peer) { /* TLS may hold what epoll does not tell of */
#ifdef WITH_TLS
  return peer->ssl != 0;
#else
  (void)peer;
  return 0;
#endif
}

static void stop_streaming(Peer *peer) {
  streaming[peer->at] = streaming[--streams];
  streaming[peer->at]->at = peer->at;
  peer->left = 0;
}

static void drop(Peer *peer) {
  if (peer->left) stop_streaming(peer);
#ifdef WITH_TLS
  if (peer->ssl) SSL_free(peer->ssl);
#endif
  close(peer->fd);
  free(peer->in);
  free(peer);
}

static int send_event(Peer *peer) { /* 1 after the last one, -1 if it could not be sent */
  if (peer->left == 1) return send_all(peer, last.bytes, last.size) ? -1 : 1;
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  char digits[17];
  sprintf(digits, "%016llx", (unsigned long long)now.tv_sec * 1000000000ull + (unsigned long long)now.tv_nsec);
  memcpy(stamp, digits, 16);
  peer->left--;
  return send_all(peer, chunk.bytes, chunk.size);
}

static int begin_stream(Peer *peer) {
  static const char head[] =
      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
      "Transfer-Encoding: chunked\r\n\r\n";
  if (send_all(peer, head, sizeof head - 1)) return -1;
  peer->at = streams;
  streaming[streams++] = peer;
  peer->left = chunks + 1;
  return send_event(peer) < 0 ? -1 : 0;
}

static size_t request_size(Peer *peer) { /* of the first request received, 0 if it is not whole */
  char *end = memmem(peer->in, peer->size, "\r\n\r\n", 4);
  if (!end) return 0;
  size_t head = (size_t)(end - peer->in) + 4, body = 0;
  *end = 0;
  char *length = strcasestr(peer->in, "\r\ncontent-length:");
  int is_chunked = strcasestr(peer->in, "\r\ntransfer-encoding: chunked") != 0;
  int expects = strcasestr(peer->in, "\r\nexpect: 100-continue") != 0;
  if (length) body = strtoul(length + 17, 0, 10);
  *end = '\r';
  if (is_chunked) {
    char *close = memmem(peer->in + head, peer->size - head, "0\r\n\r\n", 5);
    return close ? (size_t)(close + 5 - peer->in) : 0;
  }
  if (expects && !peer->greeted && peer->size == head && ++peer->greeted)
    send_all(peer, "HTTP/1.1 100 Continue\r\n\r\n", 25);
  return peer->size >= head + body ? head + body : 0;
}

static int answer_all(Peer *peer) { /* -1 if the peer is gone */
  size_t size;
  while (!peer->left && (size = request_size(peer))) {
    int wants_stream = memmem(peer->in, size, "\"stream\":true", 13) || memmem(peer->in, size, "\"stream\": true", 14);
    memmove(peer->in, peer->in + size, peer->size -= size);
    peer->greeted = 0;
    if (wants_stream ? begin_stream(peer) : send_all(peer, answer.bytes, answer.size)) return -1;
  }
  return 0;
}

static void on_readable(Peer *peer) {
  for (;;) {
    if (peer->room - peer->size < 65536) peer->in = realloc(peer->in, (peer->room = 2 * peer->room + 65536) + 1);
    ssize_t found = receive(peer), room = (ssize_t)(peer->room - peer->size);
    if (found < 0 && errno == EAGAIN) break;
    if (found <= 0) { drop(peer); return; }
    peer->size += (size_t)found;
    peer->in[peer->size] = 0;
    if (!has_more(peer) && found < room) break;
  }
  if (answer_all(peer)) drop(peer);
}

static void on_tick(uint64_t now_ms) { /* streams have their turns at different milliseconds */
  for (size_t i = 0; i < streams;) {
    Peer *peer = streaming[i];
    if ((now_ms + (uint64_t)peer->fd) % (uint64_t)gap) { i++; continue; }
    int told = send_event(peer);
    if (told == 0) { i++; continue; }
    if (told > 0) stop_streaming(peer);
    if (told < 0 || answer_all(peer)) drop(peer);
  }
}

static void on_connections(int listening) {
  int fd, one = 1;
  while ((fd = accept4(listening, 0, 0, SOCK_NONBLOCK)) >= 0) {
    Peer *peer = calloc(1, sizeof *peer);
    peer->fd = fd;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
#ifdef WITH_TLS
    if (tls) {
      peer->ssl = SSL_new(tls);
      SSL_set_fd(peer->ssl, fd);
      SSL_set_accept_state(peer->ssl);
    }
#endif
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = peer};
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event);
  }
}

static void set_up_tls(const char *certificate, const char *key) {
#ifdef WITH_TLS
  tls = SSL_CTX_new(TLS_server_method());
  if (SSL_CTX_use_certificate_chain_file(tls, certificate) == 1 && SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) == 1) return;
#endif
  fprintf(stderr, "no TLS with %s and %s\n", certificate, key);
  exit(1);
}

static int listen_at(int port) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(fd, (void *)&address, sizeof address) || listen(fd, 4096)) { perror("bind"); exit(1); }
  return fd;
}

int main(int argc, char **argv) {
  if (argc != 7 && argc != 9) { fprintf(stderr, "mock PORT GAP_MS CHUNKS ANSWER CHUNK LAST [CERTIFICATE KEY]\n"); return 2; }
  gap = atoi(argv[2]);
  chunks = atoi(argv[3]);
  answer = headed(read_file(argv[4]));
  chunk = framed(read_file(argv[5]));
  last = framed(read_file(argv[6]));
  memcpy(last.bytes + last.size, "0\r\n\r\n", 5);
  last.size += 5;
  stamp = (char *)memchr(chunk.bytes, '@', chunk.size) + 1;
  if (argc == 9) set_up_tls(argv[7], argv[8]);
  signal(SIGPIPE, SIG_IGN);
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  int listening = listen_at(atoi(argv[1])), timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
  poll_fd = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = 0}, ticks = {.events = EPOLLIN, .data.ptr = &timer};
  epoll_ctl(poll_fd, EPOLL_CTL_ADD, listening, &event);
  struct itimerspec each_ms = {{0, 1000000}, {0, 1000000}};
  timerfd_settime(timer, 0, &each_ms, 0);
  epoll_ctl(poll_fd, EPOLL_CTL_ADD, timer, &ticks);
  struct epoll_event events[512];
  for (uint64_t now_ms = 0;;) {
    int found = epoll_wait(poll_fd, events, 512, -1);
    uint64_t passed = 0;
    for (int i = 0; i < found; i++) {
      if (!events[i].data.ptr) on_connections(listening);
      else if (events[i].data.ptr != &timer) on_readable(events[i].data.ptr);
      else if (read(timer, &passed, sizeof passed) != sizeof passed) passed = 0;
    }
    /* After all that was received: what is dropped here cannot be among `events` any more. */
    /* What a busy processor kept from being sent in time is sent late, not all at once. */
    for (passed = passed > (uint64_t)gap ? (uint64_t)gap : passed; passed; passed--) on_tick(++now_ms);
  }
}
