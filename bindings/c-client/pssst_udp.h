/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Requests over UDP by BSD sockets: POSIX, lwIP, Zephyr's POSIX names. For IPv4 and IPv6. */
#ifndef PSSST_UDP_H
#define PSSST_UDP_H

#include <sys/socket.h>

#include "pssst_request.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Sends a message to the server at this address and waits for its reply, as `pssst_request`
 * describes, with a socket of its own. Only datagrams from the server's address are looked at.
 *
 * Before each retransmission it asks the system for the address that packets would leave from: if
 * it changed, the message is sealed anew and leaves from a new socket.
 */
pssst_error pssst_udp_request(const pssst_client *client, const struct sockaddr *server,
                              socklen_t server_len, const pssst_retry *retry,
                              const uint8_t *message, size_t message_len, uint8_t *buffer,
                              size_t capacity, uint8_t **reply, size_t *reply_len,
                              pssst_request_report *report);

#ifdef __cplusplus
}
#endif

#endif
