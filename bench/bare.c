/* What the kernel alone costs a client: epoll and recvmsg with receive time stamps, and nothing done with what comes.

   bare STREAMS SECONDS PORT: keeps so many requests in flight, prints tokens and CPU seconds. A receive counts as one
   token. A request ends where an answer's last chunk does. */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#define MOST_TOKENS 100

static char request[4096];
static int request_length;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static double cpu(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static void write_request(int tokens)
{
    char prompt[1201] = "", body[2048];
    for (int i = 0; i < 200; i++) strcat(prompt, "word ");
    int length = sprintf(body,
        "{\"model\":\"metronome\",\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}],\"max_tokens\":%d,"
        "\"stream\":true,\"stream_options\":{\"include_usage\":true}}", prompt, tokens);
    request_length = sprintf(request,
        "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        "Content-Length: %d\r\n\r\n%s", length, body);
}

static void open_streams(int poll, int streams, int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < streams; i++) {
        int line = socket(AF_INET, SOCK_STREAM, 0), on = 1, stamps = 1 << 3 | 1 << 4;
        setsockopt(line, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        setsockopt(line, SOL_SOCKET, 37, &stamps, sizeof stamps);
        if (connect(line, (struct sockaddr *)&address, sizeof address)) {
            perror("connect");
            exit(1);
        }
        struct epoll_event event = {.events = EPOLLIN, .data.fd = line};
        epoll_ctl(poll, EPOLL_CTL_ADD, line, &event);
        write_request(1 + rand() % MOST_TOKENS); /* so that streams are not in step, as ours are not */
        send(line, request, request_length, 0);
    }
}

static int receive(int line)
{
    static char data[65536];
    char control[256];
    struct iovec part = {data, sizeof data};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t length = recvmsg(line, &message, MSG_DONTWAIT);
    if (length >= 5 && !memcmp(data + length - 5, "0\r\n\r\n", 5)) send(line, request, request_length, 0);
    return length > 0;
}

int main(int count, char **arguments)
{
    if (count != 4) return 2;
    double seconds = atof(arguments[2]);
    int poll = epoll_create1(0);
    open_streams(poll, atoi(arguments[1]), atoi(arguments[3]));
    write_request(MOST_TOKENS);
    struct epoll_event ready[1024];
    long tokens = 0;
    double begun = now(), begun_cpu = cpu();
    while (now() - begun < seconds) {
        int events = epoll_wait(poll, ready, 1024, 100);
        for (int i = 0; i < events; i++) tokens += receive(ready[i].data.fd);
    }
    printf("%ld %f\n", tokens, cpu() - begun_cpu);
    return 0;
}
