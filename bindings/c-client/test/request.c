/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The request loop on a network and in a time that the test makes. */
#include <stdio.h>
#include <string.h>

#include "../pssst_request.h"
#include "test_port.h"
#include "vector.h"

#define MAX_SENT 16u

static unsigned passed, failed;

static void check(int holds, const char *what)
{
    if (holds) {
        passed++;
    } else {
        failed++;
        printf("FAILED  %s\n", what);
    }
}

/* The network of a test, and what happened on it. */
static struct {
    uint32_t now, start;
    unsigned sends, failing_sends, failing_addresses;
    uint32_t times[MAX_SENT];
    uint8_t first[1500], last[1500];
    int changed[MAX_SENT]; /* whether the packet is another than the first */
    uint32_t moves_after;  /* packets before the device has another address; 0: it never moves */
    uint32_t forged_every; /* pause between forged datagrams; 0: none */
    uint32_t answers_after; /* packets before the server answers; 0: never */
    unsigned received;
} net;

static const struct vector *vector;

static uint32_t test_now(void *context)
{
    (void)context;
    return net.now;
}

static int test_address(void *context, uint8_t address[PSSST_ADDRESS_LEN])
{
    (void)context;
    if (net.failing_addresses > 0) {
        net.failing_addresses--;
        return -1;
    }
    address[0] = 10;
    if (net.moves_after != 0 && net.sends >= net.moves_after) {
        static const uint8_t another[32] = {77};
        test_port_random(another);
        address[0] = 11;
    }
    return 0;
}

static int test_send(void *context, const uint8_t *packet, size_t len)
{
    (void)context;
    if (net.failing_sends > 0) {
        net.failing_sends--;
        return -1;
    }
    if (net.sends == MAX_SENT) {
        return -1;
    }
    if (net.sends == 0) {
        memcpy(net.first, packet, len);
    }
    net.changed[net.sends] = memcmp(net.first, packet, len) != 0;
    net.times[net.sends++] = net.now - net.start;
    return 0;
}

static int test_receive(void *context, uint8_t *buffer, size_t capacity, uint32_t timeout,
                        size_t *len)
{
    (void)context;
    *len = 0;
    if (net.answers_after != 0 && net.sends >= net.answers_after && capacity >= vector->reply_len &&
        (net.forged_every == 0 || net.received++ > 3)) {
        net.now += 20;
        memcpy(buffer, vector->reply, vector->reply_len);
        *len = vector->reply_len;
        return 0;
    }
    if (net.forged_every != 0 && net.forged_every < timeout) {
        net.now += net.forged_every;
        memcpy(buffer, vector->reply, vector->reply_len);
        buffer[vector->reply_len - 1] ^= 1;
        *len = vector->reply_len;
        return 0;
    }
    net.now += timeout;
    return 0;
}

static pssst_platform platform;
static pssst_request_report report;

static pssst_error request(const pssst_retry *retry, uint32_t start)
{
    static uint8_t buffer[3000];
    const pssst_network network = {test_now, test_address, test_send, test_receive, NULL};
    pssst_client client;
    uint8_t *reply;
    size_t reply_len;
    pssst_error error;

    net.now = net.start = start;
    test_port_random(vector->random);
    error = pssst_client_init(&client, &platform, vector->suite, vector->server,
                              vector->secret_len == 0 ? NULL : vector->secret);
    if (error != PSSST_OK) {
        return error;
    }
    error = pssst_request(&client, &network, retry, vector->message, vector->message_len, buffer,
                          sizeof buffer, &reply, &reply_len, &report);
    if (error == PSSST_OK) {
        check(reply_len == vector->answer_len && memcmp(reply, vector->answer, reply_len) == 0,
              "the reply's message");
    } else {
        check(reply == NULL && reply_len == 0, "an error has no reply");
    }
    return error;
}

static void reset(void) { memset(&net, 0, sizeof net); }

int main(void)
{
    static const pssst_retry patient = {1000, 4, 60000}, single = {1000, 0, 3000}, hasty = {0, 9, 300};
    const uint32_t starts[] = {0, 5000, UINT32_C(0xfffff000)};
    unsigned i, j;

    test_port(&platform);
    for (i = 0; vector == NULL; i++) {
        const struct vector *v = &VECTORS[i];
        if (v->suite == PSSST_SUITE_F002 && v->secret_len > 0 && v->psk_len == 0 &&
            v->padded_to == 0 && v->fresh == 0) {
            vector = v;
        }
    }
    for (j = 0; j < sizeof starts / sizeof *starts; j++) {
        reset();
        check(request(&patient, starts[j]) == PSSST_NO_REPLY, "no reply");
        check(net.now - net.start == 60000, "at the deadline");
        check(net.sends == 5 && report.sent == 5 && report.sealed == 1, "five packets");
        for (i = 1; i < 5; i++) {
            const uint32_t pause = net.times[i] - net.times[i - 1];
            check(pause >= (1000u << (i - 1)) && pause <= (1500u << (i - 1)), "growing pauses");
            check(i < 2 || pause == 2 * (net.times[i - 1] - net.times[i - 2]), "twice as long");
            check(!net.changed[i], "the same bytes again");
        }
    }
    reset();
    check(request(&PSSST_DEFAULT_RETRY, 7) == PSSST_NO_REPLY && net.now - net.start == 10000,
          "the deadline ends what is left");
    reset();
    check(request(&single, 7) == PSSST_NO_REPLY && net.sends == 1, "one packet only");
    reset();
    check(request(&hasty, 7) == PSSST_NO_REPLY && net.sends > 3 && net.sends < 8, "the least pause");

    reset();
    net.answers_after = 1;
    check(request(&patient, 7) == PSSST_OK && net.sends == 1 && net.now - net.start == 20, "a reply");
    reset();
    net.answers_after = 3;
    check(request(&patient, 7) == PSSST_OK && net.sends == 3 && report.sent == 3, "a late reply");
    reset();
    net.answers_after = 1;
    net.forged_every = 5;
    check(request(&patient, 7) == PSSST_OK && report.refused == 4 && net.sends == 1,
          "a reply after forged ones");
    reset();
    net.forged_every = 1;
    check(request(&PSSST_DEFAULT_RETRY, 7) == PSSST_NO_REPLY && report.refused > 1000 &&
              net.now - net.start == 10000 && net.sends == 4,
          "a flood of forged replies changes no time");

    reset();
    net.moves_after = 2;
    check(request(&patient, 7) == PSSST_NO_REPLY && report.sealed == 2, "sealed anew");
    check(!net.changed[1] && net.changed[2] && net.changed[3], "when the address changed");

    reset();
    net.failing_sends = 2;
    check(request(&patient, 7) == PSSST_NO_REPLY && report.send_errors == 2 && net.sends == 3,
          "a network that comes up");
    reset();
    net.failing_sends = 100;
    check(request(&patient, 7) == PSSST_NETWORK_FAILED && report.send_errors == 5,
          "a network that is away");
    reset();
    net.failing_addresses = 100;
    check(request(&patient, 7) == PSSST_NETWORK_FAILED && report.send_errors == 5, "no route");

    printf("%u passed, %u failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}
