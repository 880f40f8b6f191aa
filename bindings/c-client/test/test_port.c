/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "test_port.h"

#include <string.h>

#ifdef TEST_PORT_PSA
#include "../port/pssst_psa.h"
#include <psa/crypto.h>
#else
#include "../port/pssst_bearssl.h"
#endif

static pssst_platform inner;
static uint8_t given[32];
static unsigned failing, calls_left;

static int fails(unsigned function)
{
    if ((failing & function) == 0) {
        return 0;
    }
    if (calls_left == 0) {
        return 1;
    }
    calls_left--;
    return 0;
}

static int test_x25519(void *context, uint8_t out[32], const uint8_t scalar[32],
                       const uint8_t point[32])
{
    return fails(TEST_X25519) ? -1 : inner.x25519(context, out, scalar, point);
}

static int test_sha256(void *context, uint8_t out[32], const uint8_t *data, size_t len)
{
    return fails(TEST_SHA256) ? -1 : inner.sha256(context, out, data, len);
}

static int test_aes(void *context, const uint8_t *key, size_t key_len, const uint8_t *in,
                    uint8_t *out, size_t blocks)
{
    return fails(TEST_AES) ? -1 : inner.aes(context, key, key_len, in, out, blocks);
}

static int test_random(void *context, uint8_t *out, size_t len)
{
    (void)context;
    if (fails(TEST_RANDOM) || len > sizeof given) {
        return -1;
    }
    memcpy(out, given, len);
    return 0;
}

void test_port(pssst_platform *platform)
{
#ifdef TEST_PORT_PSA
    inner = psa_crypto_init() == PSA_SUCCESS ? PSSST_PSA_PLATFORM : inner;
#else
    pssst_bearssl_platform(&inner, test_random, NULL);
#endif
    failing = 0;
    platform->x25519 = test_x25519;
    platform->sha256 = test_sha256;
    platform->aes = test_aes;
    platform->random = test_random;
    platform->context = inner.context;
}

void test_port_random(const uint8_t random[32]) { memcpy(given, random, sizeof given); }

void test_port_fail(unsigned functions, unsigned after)
{
    failing = functions;
    calls_left = after;
}
