/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Runs the vectors of the table on a target, and prints stack and instructions of one transaction:
 * authenticated, suite 0xf002, the longest such message of the table.
 */
#include <stdio.h>
#include <string.h>

#include "../../pssst_client.h"
#include "../test_port.h"
#include "../vector.h"

#define PAINTED 6000u
#define PAINT 0xa5u

#if defined(MEASURE_MPS2)
/* The board's timer of 25 or 20 MHz. With `-icount shift=0` an instruction takes a nanosecond. */
#ifndef MEASURE_TICK
#define MEASURE_TICK 40
#endif
#define TIMER ((volatile uint32_t *)MEASURE_MPS2)
static void meter_start(void)
{
    TIMER[0] = 0;
    TIMER[2] = UINT32_C(0xffffffff);
    TIMER[1] = UINT32_C(0xffffffff);
    TIMER[0] = 1;
}
static unsigned long meter_stop(void) { return (unsigned long)(UINT32_C(0xffffffff) - TIMER[1]) * MEASURE_TICK; }
#elif defined(__riscv)
static unsigned long begin;
static unsigned long instructions(void)
{
    unsigned long count;
    __asm__ volatile(".option push\n.option arch, +zicsr\ncsrr %0, minstret\n.option pop" : "=r"(count));
    return count;
}
static void meter_start(void) { begin = instructions(); }
static unsigned long meter_stop(void) { return instructions() - begin; }
#else
/* Nothing counts instructions here. */
static void meter_start(void) {}
static unsigned long meter_stop(void) { return 0; }
#endif

static pssst_platform platform;
static const struct vector *vector;
static pssst_client client;
static pssst_pending pending;
static uint8_t packet[1000];
static size_t len;
static pssst_error error;

static void seal(void)
{
    error = pssst_client_seal(&client, vector->message, vector->message_len, packet, sizeof packet,
                              &len, &pending);
}

static void open_reply(void)
{
    uint8_t *message;
    error = pssst_pending_open(&pending, packet, vector->reply_len, &message, &len);
}

/* The stack grows downwards on all these targets. */
static __attribute__((noinline)) volatile uint8_t *here(void)
{
    volatile uint8_t mark = 0;
    volatile uintptr_t address = (uintptr_t)&mark;
    return (volatile uint8_t *)(address + (uintptr_t)mark);
}

static __attribute__((noinline)) unsigned stack_of(void (*call)(void))
{
    volatile uint8_t *const top = here() - 64;
    unsigned i;
    for (i = 0; i < PAINTED; i++) {
        top[-(int)i] = PAINT;
    }
    call();
    for (i = PAINTED; i > 0 && top[-(int)(i - 1)] == PAINT; i--) {
    }
    return i + 64;
}

static int run(const struct vector *v)
{
    uint8_t *message;
    error = pssst_client_init(&client, &platform, v->suite, v->server, v->secret_len ? v->secret : NULL);
    if (error == PSSST_OK && v->psk_len > 0) {
        error = pssst_client_set_psk(&client, v->psk);
    }
    if (error == PSSST_OK && v->padded_to > 0) {
        error = pssst_client_set_padding(&client, v->padded_to);
    }
    if (error == PSSST_OK && v->fresh) {
        error = pssst_client_set_fresh_replies(&client, 1);
    }
    if (error != PSSST_OK) {
        return 0;
    }
    if (v->random_len > 0) {
        test_port_random(v->random);
        error = pssst_client_seal(&client, v->message, v->message_len, packet, sizeof packet, &len, &pending);
    } else {
        error = pssst_client_seal_with_ephemeral(&client, v->ephemeral, v->message, v->message_len, packet,
                                                 sizeof packet, &len, &pending);
    }
    if (error != PSSST_OK || len != v->packet_len || memcmp(packet, v->packet, len) != 0) {
        return 0;
    }
    /* A forged reply, then the true one. */
    memcpy(packet, v->reply, v->reply_len);
    packet[v->reply_len - 1] ^= 1;
    if (pssst_pending_open(&pending, packet, v->reply_len, &message, &len) != PSSST_DECRYPT_FAILED) {
        return 0;
    }
    memcpy(packet, v->reply, v->reply_len);
    return pssst_pending_open(&pending, packet, v->reply_len, &message, &len) == PSSST_OK &&
           len == v->answer_len && memcmp(message, v->answer, len) == 0;
}

static int measure(void)
{
    unsigned seal_stack, open_stack;
    unsigned long seal_count, open_count;
    if (pssst_client_init(&client, &platform, vector->suite, vector->server, vector->secret) != PSSST_OK) {
        return 0;
    }
    test_port_random(vector->random);
    seal_stack = stack_of(seal);
    meter_start();
    seal();
    seal_count = meter_stop();
    if (error != PSSST_OK) {
        return 0;
    }
    memcpy(packet, vector->reply, vector->reply_len);
    open_stack = stack_of(open_reply);
    memcpy(packet, vector->reply, vector->reply_len);
    meter_start();
    open_reply();
    open_count = meter_stop();
    printf("stack %u instructions %lu\n", seal_stack > open_stack ? seal_stack : open_stack,
           seal_count + open_count);
    printf("message of %u bytes, reply of %u; seal: stack %u, instructions %lu; open: stack %u, instructions %lu; client %u bytes, pending %u bytes\n",
           (unsigned)vector->message_len, (unsigned)vector->answer_len, seal_stack, seal_count, open_stack, open_count, (unsigned)sizeof(pssst_client),
           (unsigned)sizeof(pssst_pending));
    return error == PSSST_OK;
}

int main(void)
{
    unsigned i, held = 0;
    test_port(&platform);
    for (i = 0; i < VECTOR_COUNT; i++) {
        const struct vector *v = &VECTORS[i];
        held += (unsigned)run(v);
        if (v->suite == PSSST_SUITE_F002 && v->secret_len > 0 && v->psk_len == 0 && v->padded_to == 0 &&
            v->fresh == 0 && (vector == NULL || vector->message_len < v->message_len)) {
            vector = v;
        }
    }
    printf("%u of %u vectors\n", held, (unsigned)VECTOR_COUNT);
    if (vector == NULL || held != VECTOR_COUNT || !measure()) {
        printf("failed: %s\n", pssst_error_name(error));
        return 1;
    }
    return 0;
}
