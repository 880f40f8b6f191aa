/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "pssst_request.h"

#include <string.h>

#define MIN_PAUSE 10u
/* So that no sum of times overflows. */
#define MAX_TIME UINT32_C(0x3fffffff)

const pssst_retry PSSST_DEFAULT_RETRY = {1000, 4, 10000};

/* A request and its place in time. */
typedef struct request {
    const pssst_client *client;
    const pssst_network *network;
    uint8_t *buffer;
    size_t capacity;
    size_t packet_len;
    uint8_t address[PSSST_ADDRESS_LEN];
    pssst_pending pending;
    pssst_request_report report;
} request;

static uint32_t at_most(uint32_t value, uint32_t limit) { return value < limit ? value : limit; }

static pssst_error seal(request *r, const uint8_t *message, size_t message_len)
{
    r->report.sealed++;
    return pssst_client_seal(r->client, message, message_len, r->buffer, r->capacity,
                             &r->packet_len, &r->pending);
}

/* Sends the packet, or a new one if the local address is another: the same bytes from two addresses
 * would link them. An error of the network is counted: the next attempt may succeed. */
static pssst_error transmit(request *r, const uint8_t *message, size_t message_len)
{
    const pssst_network *network = r->network;
    uint8_t address[PSSST_ADDRESS_LEN] = {0};
    pssst_error error;

    if (network->local_address != NULL) {
        if (network->local_address(network->context, address) != 0) {
            r->report.send_errors++;
            return PSSST_OK;
        }
        if (r->report.sent > 0 && memcmp(address, r->address, sizeof address) != 0) {
            error = seal(r, message, message_len);
            if (error != PSSST_OK) {
                return error;
            }
        }
        memcpy(r->address, address, sizeof address);
    }
    if (network->send(network->context, r->buffer, r->packet_len) == 0) {
        r->report.sent++;
    } else {
        r->report.send_errors++;
    }
    return PSSST_OK;
}

/* Takes what arrives for so long. Returns whether the reply is there. */
static int wait_for_reply(request *r, uint32_t timeout, uint8_t **reply, size_t *reply_len)
{
    const pssst_network *network = r->network;
    const uint32_t start = network->now(network->context);
    uint32_t waited = 0;

    do {
        uint8_t *const datagram = r->buffer + r->packet_len;
        size_t len = 0;
        if (network->receive(network->context, datagram, r->capacity - r->packet_len,
                             timeout - waited, &len) == 0 &&
            len > 0) {
            if (pssst_pending_open(&r->pending, datagram, len, reply, reply_len) == PSSST_OK) {
                return 1;
            }
            r->report.refused++;
        }
        waited = network->now(network->context) - start;
    } while (waited < timeout);
    return 0;
}

/* Returns the first pause, with its random part. */
static pssst_error first_pause(const pssst_platform *platform, uint32_t initial, uint32_t *pause)
{
    uint8_t random[2];
    const uint32_t least = at_most(initial < MIN_PAUSE ? MIN_PAUSE : initial, MAX_TIME);
    if (platform->random(platform->context, random, sizeof random) != 0) {
        return PSSST_RANDOMNESS_UNAVAILABLE;
    }
    *pause = least +
             (uint32_t)((uint64_t)(least / 2) * (((uint32_t)random[0] << 8) | random[1]) / 0xffffu);
    return PSSST_OK;
}

pssst_error pssst_request(const pssst_client *client, const pssst_network *network,
                          const pssst_retry *retry, const uint8_t *message, size_t message_len,
                          uint8_t *buffer, size_t capacity, uint8_t **reply, size_t *reply_len,
                          pssst_request_report *report)
{
    const uint32_t deadline = at_most(retry->deadline, MAX_TIME);
    const uint32_t start = network->now(network->context);
    uint32_t pause = 0, left = deadline, round;
    request r;
    pssst_error error;

    *reply = NULL;
    *reply_len = 0;
    memset(&r, 0, sizeof r);
    r.client = client;
    r.network = network;
    r.buffer = buffer;
    r.capacity = capacity;
    error = seal(&r, message, message_len);
    if (error == PSSST_OK) {
        error = first_pause(client->platform, retry->initial_timeout, &pause);
    }
    for (round = 0; error == PSSST_OK; round++) {
        const int last = round == retry->max_retransmits;
        error = transmit(&r, message, message_len);
        if (error != PSSST_OK) {
            break;
        }
        if (wait_for_reply(&r, last ? left : at_most(pause, left), reply, reply_len)) {
            break;
        }
        left = network->now(network->context) - start;
        left = left < deadline ? deadline - left : 0;
        if (last || left == 0) {
            error = r.report.sent > 0 ? PSSST_NO_REPLY : PSSST_NETWORK_FAILED;
        }
        pause = at_most(pause, MAX_TIME) * 2;
    }
    if (report != NULL) {
        *report = r.report;
    }
    pssst_wipe(&r, sizeof r);
    return error;
}
