/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A firmware that seals an authenticated request under suite 0xf002 and opens its reply. */
#include "../../port/pssst_bearssl.h"

static volatile uint8_t input[32];
static uint8_t server[32] = {9}, secret[32], packet[200];

static int board_random(void *context, uint8_t *out, size_t len)
{
    size_t i;
    (void)context;
    for (i = 0; i < len; i++) {
        out[i] = input[i % 32];
    }
    return 0;
}

int main(void)
{
    pssst_platform platform;
    pssst_client client;
    pssst_pending pending;
    uint8_t *message;
    size_t len;
    pssst_error error;
    pssst_bearssl_platform(&platform, board_random, NULL);
    server[0] = input[0];
    error = pssst_client_init(&client, &platform, PSSST_SUITE_F002, server, secret);
    if (error == PSSST_OK) {
        error = pssst_client_seal(&client, secret, 32, packet, sizeof packet, &len, &pending);
    }
    if (error == PSSST_OK) {
        error = pssst_pending_open(&pending, packet, len, &message, &len);
    }
    return (int)error;
}
