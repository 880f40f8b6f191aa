/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A transaction of the table that `vectors.py --table` writes. */
#ifndef VECTOR_H
#define VECTOR_H

#include <stddef.h>
#include <stdint.h>

struct vector {
    uint16_t suite, padded_to;
    int fresh;
    const uint8_t *server;
    size_t server_len;
    const uint8_t *secret;
    size_t secret_len;
    const uint8_t *psk;
    size_t psk_len;
    const uint8_t *random;
    size_t random_len;
    const uint8_t *ephemeral;
    size_t ephemeral_len;
    const uint8_t *message;
    size_t message_len;
    const uint8_t *packet;
    size_t packet_len;
    const uint8_t *reply;
    size_t reply_len;
    const uint8_t *answer;
    size_t answer_len;
};

#include "vectors_table.h"

#define VECTOR_COUNT (sizeof VECTORS / sizeof *VECTORS)

#endif
