/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif

#include "pssst_udp.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

typedef struct udp {
    const struct sockaddr *server;
    socklen_t server_len;
    int fd; /* -1: none yet */
    uint8_t address[PSSST_ADDRESS_LEN];
} udp;

static uint32_t udp_now(void *context)
{
    struct timespec now;
    (void)context;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint32_t)((uint64_t)now.tv_sec * 1000 + (uint64_t)(now.tv_nsec / 1000000));
}

/* Opens a socket that is connected, so that the system chooses its address, keeps it, and hands on
 * datagrams of the server only. Returns -1 on failure. */
static int open_socket(const udp *u, uint8_t address[PSSST_ADDRESS_LEN])
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } local;
    socklen_t len = sizeof local;
    const int fd = socket(u->server->sa_family, SOCK_DGRAM, 0);

    if (fd < 0) {
        return -1;
    }
    memset(address, 0, PSSST_ADDRESS_LEN);
    memset(&local, 0, sizeof local);
    if (connect(fd, u->server, u->server_len) != 0 || getsockname(fd, &local.any, &len) != 0) {
        (void)close(fd);
        return -1;
    }
    if (local.any.sa_family == AF_INET6) {
        memcpy(address, &local.v6.sin6_addr, 16);
    } else {
        memcpy(address, &local.v4.sin_addr, 4);
    }
    return fd;
}

static int udp_local_address(void *context, uint8_t address[PSSST_ADDRESS_LEN])
{
    udp *u = (udp *)context;
    const int fd = open_socket(u, address);
    if (fd < 0) {
        return -1;
    }
    if (u->fd >= 0 && memcmp(address, u->address, PSSST_ADDRESS_LEN) == 0) {
        /* The old socket's port is the one that replies come to. */
        (void)close(fd);
        return 0;
    }
    if (u->fd >= 0) {
        (void)close(u->fd);
    }
    u->fd = fd;
    memcpy(u->address, address, PSSST_ADDRESS_LEN);
    return 0;
}

static int udp_send(void *context, const uint8_t *packet, size_t len)
{
    const udp *u = (const udp *)context;
    const ssize_t sent = send(u->fd, packet, len, MSG_NOSIGNAL);
    return sent >= 0 && (size_t)sent == len ? 0 : -1;
}

/* Errors of the socket are what ICMP said, and anyone can forge that: the wait is not ended. */
static int udp_receive(void *context, uint8_t *buffer, size_t capacity, uint32_t timeout,
                       size_t *len)
{
    const udp *u = (const udp *)context;
    struct pollfd waiting;
    ssize_t received;

    *len = 0;
    waiting.fd = u->fd; /* poll takes a negative one for a plain pause */
    waiting.events = POLLIN;
    waiting.revents = 0;
    if (poll(&waiting, 1, (int)timeout) <= 0) {
        return 0;
    }
    received = recv(u->fd, buffer, capacity, 0);
    if (received < 0) {
        return -1;
    }
    *len = (size_t)received;
    return 0;
}

pssst_error pssst_udp_request(const pssst_client *client, const struct sockaddr *server,
                              socklen_t server_len, const pssst_retry *retry,
                              const uint8_t *message, size_t message_len, uint8_t *buffer,
                              size_t capacity, uint8_t **reply, size_t *reply_len,
                              pssst_request_report *report)
{
    udp u;
    pssst_network network;
    pssst_error error;

    memset(&u, 0, sizeof u);
    u.server = server;
    u.server_len = server_len;
    u.fd = -1;
    network.now = udp_now;
    network.local_address = udp_local_address;
    network.send = udp_send;
    network.receive = udp_receive;
    network.context = &u;
    error = pssst_request(client, &network, retry, message, message_len, buffer, capacity, reply,
                          reply_len, report);
    if (u.fd >= 0) {
        (void)close(u.fd);
    }
    return error;
}
