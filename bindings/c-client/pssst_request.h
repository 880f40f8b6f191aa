/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * One request over an unreliable network: the same bytes again with growing pauses, until a true
 * reply or the deadline. Over functions that you give; pssst_udp.h has those of sockets.
 */
#ifndef PSSST_REQUEST_H
#define PSSST_REQUEST_H

#include "pssst_client.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Room for an IP address. */
#define PSSST_ADDRESS_LEN 16u

/* The network. Each function gets `context` first, and returns 0 on success. */
typedef struct pssst_network {
    /* Milliseconds of a clock that is never set. It may overflow. */
    uint32_t (*now)(void *context);
    /*
     * Writes the local IP address that packets to the server leave from now, zeros behind it. What
     * `send` sends after it must leave from this address, or fail. NULL for a device whose address
     * never changes.
     */
    int (*local_address)(void *context, uint8_t address[PSSST_ADDRESS_LEN]);
    int (*send)(void *context, const uint8_t *packet, size_t len);
    /* Waits at most so long for a datagram of the server. `*len` is 0 if none came. */
    int (*receive)(void *context, uint8_t *buffer, size_t capacity, uint32_t timeout, size_t *len);
    void *context;
} pssst_network;

/* Times in milliseconds. */
typedef struct pssst_retry {
    /* The first pause, at least 10. Up to half as much is added at random, so that devices that
     * lost the network together do not return together. Each further pause is twice as long. */
    uint32_t initial_timeout;
    uint32_t max_retransmits;
    uint32_t deadline;
} pssst_retry;

/* 1 s, four retransmissions, 10 s in all: as this project's other clients have it. */
extern const pssst_retry PSSST_DEFAULT_RETRY;

/* Counts of a request, for logs. */
typedef struct pssst_request_report {
    uint32_t sent;        /* packets */
    uint32_t refused;     /* datagrams that were not its reply */
    uint32_t send_errors; /* the last packets may not have left */
    uint32_t sealed;      /* more than 1 after the local address changed */
} pssst_request_report;

/*
 * Sends a message and waits for its reply. `buffer` holds the packet and, behind it, what arrives;
 * it does not overlap the message. A datagram that is longer than the rest of the buffer is cut
 * and refused: give room for the packet and for the longest reply with PSSST_MAX_OVERHEAD.
 *
 * On success `*reply` points into `buffer`. `report` may be NULL. Blocks until the deadline at
 * most. A server may carry out a request more than once, also one that ends in PSSST_NO_REPLY.
 * PSSST_NETWORK_FAILED: nothing could be sent.
 */
pssst_error pssst_request(const pssst_client *client, const pssst_network *network,
                          const pssst_retry *retry, const uint8_t *message, size_t message_len,
                          uint8_t *buffer, size_t capacity, uint8_t **reply, size_t *reply_len,
                          pssst_request_report *report);

#ifdef __cplusplus
}
#endif

#endif
