/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "pssst_bearssl.h"

#include <string.h>

#include <bearssl.h>

#ifdef PSSST_BEARSSL_M15
#define C25519 br_ec_c25519_m15
#else
#define C25519 br_ec_c25519_m31
#endif

/* BearSSL takes the scalar of this curve little-endian, as RFC 7748 has it, and clamps it; its
 * other curves are big-endian. */
static int bearssl_x25519(void *context, uint8_t out[32], const uint8_t scalar[32],
                          const uint8_t point[32])
{
    (void)context;
    memcpy(out, point, 32);
    return C25519.mul(out, 32, scalar, 32, BR_EC_curve25519) == 1 ? 0 : -1;
}

static int bearssl_sha256(void *context, uint8_t out[32], const uint8_t *data, size_t len)
{
    br_sha256_context hash;
    (void)context;
    br_sha256_init(&hash);
    br_sha256_update(&hash, data, len);
    br_sha256_out(&hash, out);
    pssst_wipe(&hash, sizeof hash);
    return 0;
}

/* CBC of one block with zeros as its start is the block cipher. */
static int bearssl_aes(void *context, const uint8_t *key, size_t key_len, const uint8_t *in,
                       uint8_t *out, size_t blocks)
{
    br_aes_ct_cbcenc_keys keys;
    uint8_t start[16];
    (void)context;
    br_aes_ct_cbcenc_init(&keys, key, key_len);
    if (out != in) {
        memcpy(out, in, 16 * blocks);
    }
    while (blocks > 0) {
        memset(start, 0, sizeof start);
        br_aes_ct_cbcenc_run(&keys, start, out, sizeof start);
        out += sizeof start;
        blocks--;
    }
    pssst_wipe(&keys, sizeof keys);
    pssst_wipe(start, sizeof start);
    return 0;
}

void pssst_bearssl_platform(pssst_platform *platform,
                            int (*random)(void *context, uint8_t *out, size_t len), void *context)
{
    platform->x25519 = bearssl_x25519;
    platform->sha256 = bearssl_sha256;
    platform->aes = bearssl_aes;
    platform->random = random;
    platform->context = context;
}
