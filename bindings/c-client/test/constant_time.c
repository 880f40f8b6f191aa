/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Runs transactions under valgrind with secrets marked as undefined: valgrind complains where one
 * of them decides a jump or an address. Secret are c, Z2, Q, the random bytes, e, and the messages
 * in both directions; public are the server key, the packets and their lengths.
 */
#include <stdio.h>
#include <string.h>

#include <valgrind/memcheck.h>

#include "../pssst_client.h"
#include "test_port.h"
#include "vector.h"

/* A copy that valgrind takes for secret. */
static const uint8_t *secret(uint8_t *copy, const uint8_t *bytes, size_t len)
{
    memcpy(copy, bytes, len);
    VALGRIND_MAKE_MEM_UNDEFINED(copy, len);
    return copy;
}

static int run(const pssst_platform *platform, const struct vector *v)
{
    static uint8_t message[4096], packet[4096], reply[4096];
    uint8_t key[32], psk[32], random[32];
    pssst_client client;
    pssst_pending pending;
    uint8_t *answer;
    size_t len, answer_len;
    pssst_error error =
        pssst_client_init(&client, platform, v->suite, v->server,
                          v->secret_len == 0 ? NULL : secret(key, v->secret, 32));
    if (error == PSSST_OK && v->psk_len > 0) {
        error = pssst_client_set_psk(&client, secret(psk, v->psk, 32));
    }
    if (error == PSSST_OK && v->padded_to > 0) {
        error = pssst_client_set_padding(&client, v->padded_to);
    }
    if (error == PSSST_OK && v->fresh) {
        error = pssst_client_set_fresh_replies(&client, 1);
    }
    if (error != PSSST_OK) {
        return 1;
    }
    (void)secret(message, v->message, v->message_len);
    if (v->random_len > 0) {
        test_port_random(secret(random, v->random, 32));
        error = pssst_client_seal(&client, message, v->message_len, packet, sizeof packet, &len,
                                  &pending);
    } else {
        error = pssst_client_seal_with_ephemeral(&client, secret(random, v->ephemeral, 32), message,
                                                 v->message_len, packet, sizeof packet, &len,
                                                 &pending);
    }
    VALGRIND_MAKE_MEM_DEFINED(packet, sizeof packet);
    if (error != PSSST_OK || len != v->packet_len || memcmp(packet, v->packet, len) != 0) {
        return 1;
    }
    /* A forged reply, then the true one. */
    memcpy(reply, v->reply, v->reply_len);
    reply[v->reply_len - 1] ^= 1;
    if (pssst_pending_open(&pending, reply, v->reply_len, &answer, &answer_len) !=
        PSSST_DECRYPT_FAILED) {
        return 1;
    }
    VALGRIND_MAKE_MEM_DEFINED(reply, sizeof reply);
    memcpy(reply, v->reply, v->reply_len);
    if (pssst_pending_open(&pending, reply, v->reply_len, &answer, &answer_len) != PSSST_OK ||
        answer_len != v->answer_len) {
        return 1;
    }
    VALGRIND_MAKE_MEM_DEFINED(reply, sizeof reply);
    return answer_len > 0 && memcmp(answer, v->answer, answer_len) != 0;
}

int main(void)
{
    pssst_platform platform;
    size_t i;
    test_port(&platform);
    for (i = 0; i < sizeof VECTORS / sizeof *VECTORS; i++) {
        if (run(&platform, &VECTORS[i]) != 0) {
            printf("vector %u failed\n", (unsigned)i);
            return 1;
        }
    }
    printf("%u transactions\n", (unsigned)i);
    return i >= 10 ? 0 : 1;
}
