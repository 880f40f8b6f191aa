/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "pssst_client.h"

#include <string.h>

#define FLAG_REPLY 0x8000u
#define FLAG_CLIENT_AUTH 0x4000u
#define FLAG_PADDED 0x2000u
#define FLAG_PSK 0x1000u
#define FLAG_FRESH 0x0800u
#define COPIED_FLAGS (FLAG_CLIENT_AUTH | FLAG_PSK | FLAG_FRESH)

#define HEADER_LEN 4u
#define KEY_LEN 32u
#define TAG_LEN 16u
#define TRANSACTION_ID_LEN 8u
#define PROOF_LEN 64u /* suite 1: C, e */
#define CLAIM_LEN 40u /* 0xf002: M, t */
#define BLOCK_LEN 16u
/* Blocks that AES gets at once. */
#define CTR_BLOCKS 4u

/* Names what a secret decides and others see: the check of constant time excepts it. */
#ifndef PSSST_DISCLOSE
#define PSSST_DISCLOSE(memory, len) ((void)0)
#endif

/* Stops on the first failure of a function. */
#define TRY(call)                                                                                  \
    do {                                                                                           \
        error = (call);                                                                            \
        if (error != PSSST_OK) {                                                                   \
            goto end;                                                                              \
        }                                                                                          \
    } while (0)

/* ------------------------------------------------------------------------------------- bytes */

void pssst_wipe(void *memory, size_t len)
{
    volatile uint8_t *bytes = (volatile uint8_t *)memory;
    while (len > 0) {
        *bytes++ = 0;
        len--;
    }
}

static void write_u16(uint8_t *bytes, uint16_t value)
{
    bytes[0] = (uint8_t)(value >> 8);
    bytes[1] = (uint8_t)(value & 0xffu);
}

static uint16_t read_u16(const uint8_t *bytes)
{
    return (uint16_t)(((unsigned)bytes[0] << 8) | bytes[1]);
}

/* Returns whether the bytes are equal, in constant time, and discloses it. */
static int equal(const uint8_t *a, const uint8_t *b, size_t len)
{
    unsigned difference = 0;
    size_t i;
    for (i = 0; i < len; i++) {
        difference |= (unsigned)(a[i] ^ b[i]);
    }
    difference = (difference + 0xffu) >> 8;
    PSSST_DISCLOSE(&difference, sizeof difference);
    return difference == 0;
}

/* Returns whether all bytes are zero, in constant time, and discloses it. */
static int is_zero(const uint8_t *bytes, size_t len)
{
    unsigned any = 0;
    size_t i;
    for (i = 0; i < len; i++) {
        any |= bytes[i];
    }
    /* Zero or not, and no more. */
    any = (any + 0xffu) >> 8;
    PSSST_DISCLOSE(&any, sizeof any);
    return any == 0;
}

/* ---------------------------------------------------------------------------------- platform */

static pssst_error sha256(const pssst_platform *platform, uint8_t out[32], const uint8_t *data,
                          size_t len)
{
    /* No NULL, also where there is nothing. */
    return platform->sha256(platform->context, out, len > 0 ? data : out, len) == 0
               ? PSSST_OK
               : PSSST_PLATFORM_FAILED;
}

/* A product of zeros is an error: anyone would know it. */
static pssst_error x25519(const pssst_platform *platform, uint8_t out[32],
                          const uint8_t scalar[32], const uint8_t point[32])
{
    if (platform->x25519(platform->context, out, scalar, point) != 0) {
        return PSSST_PLATFORM_FAILED;
    }
    return is_zero(out, KEY_LEN) ? PSSST_WEAK_KEY : PSSST_OK;
}

static pssst_error aes(const pssst_platform *platform, const uint8_t *key, size_t key_len,
                       uint8_t *blocks, size_t count)
{
    return platform->aes(platform->context, key, key_len, blocks, blocks, count) == 0
               ? PSSST_OK
               : PSSST_PLATFORM_FAILED;
}

/* H(n, parts) = SHA-256("PSSSTv2" | n | parts) for parts of 4 and 32 bytes. */
typedef struct hash_input {
    uint8_t bytes[8 + 4 * KEY_LEN];
    size_t len;
} hash_input;

static void hash_add(hash_input *input, const uint8_t *part, size_t len)
{
    memcpy(input->bytes + input->len, part, len);
    input->len += len;
}

static void hash_begin(hash_input *input, uint8_t n, const uint8_t *part, size_t len)
{
    memcpy(input->bytes, "PSSSTv2", 7);
    input->bytes[7] = n;
    input->len = 8;
    hash_add(input, part, len);
}

static pssst_error hash_end(hash_input *input, const pssst_platform *platform, uint8_t out[32])
{
    pssst_error error = sha256(platform, out, input->bytes, input->len);
    pssst_wipe(input, sizeof *input);
    return error;
}

/* ------------------------------------------------------------------------ GHASH and POLYVAL */

/*
 * GHASH of GCM, one bit after the other, so that time and addresses depend on lengths alone.
 * POLYVAL of GCM-SIV is GHASH with the bytes of every block reversed and a key multiplied by x
 * (RFC 8452, appendix A).
 */
typedef struct universal_hash {
    uint32_t key[4];
    uint32_t state[4];
    int reversed;
} universal_hash;

static void load_block(uint32_t words[4], const uint8_t block[BLOCK_LEN], int reversed)
{
    unsigned i;
    for (i = 0; i < BLOCK_LEN; i++) {
        words[i / 4] = (words[i / 4] << 8) | block[reversed ? 15 - i : i];
    }
}

static void store_block(uint8_t block[BLOCK_LEN], const uint32_t words[4], int reversed)
{
    unsigned i;
    for (i = 0; i < BLOCK_LEN; i++) {
        block[reversed ? 15 - i : i] = (uint8_t)((words[i / 4] >> (24 - 8 * (i % 4))) & 0xffu);
    }
}

/* Multiplies by x in GCM's order of bits. */
static void multiply_x(uint32_t v[4])
{
    const uint32_t carry = (uint32_t)0 - (v[3] & 1u);
    v[3] = (v[3] >> 1) | (v[2] << 31);
    v[2] = (v[2] >> 1) | (v[1] << 31);
    v[1] = (v[1] >> 1) | (v[0] << 31);
    v[0] = (v[0] >> 1) ^ (UINT32_C(0xe1000000) & carry);
}

static void universal_init(universal_hash *hash, const uint8_t key[BLOCK_LEN], int reversed)
{
    memset(hash, 0, sizeof *hash);
    hash->reversed = reversed;
    load_block(hash->key, key, reversed);
    if (reversed) {
        multiply_x(hash->key);
    }
}

static void universal_block(universal_hash *hash, const uint8_t block[BLOCK_LEN])
{
    uint32_t x[4] = {0}, v[4], z[4] = {0};
    unsigned i, j;
    load_block(x, block, hash->reversed);
    for (j = 0; j < 4; j++) {
        x[j] ^= hash->state[j];
        v[j] = hash->key[j];
    }
    for (i = 0; i < 128; i++) {
        const uint32_t mask = (uint32_t)0 - ((x[i / 32] >> (31 - i % 32)) & 1u);
        for (j = 0; j < 4; j++) {
            z[j] ^= v[j] & mask;
        }
        multiply_x(v);
    }
    memcpy(hash->state, z, sizeof z);
    pssst_wipe(x, sizeof x);
    pssst_wipe(v, sizeof v);
    pssst_wipe(z, sizeof z);
}

/* Takes data, and zeros up to the end of its last block. */
static void universal_update(universal_hash *hash, const uint8_t *data, size_t len)
{
    while (len >= BLOCK_LEN) {
        universal_block(hash, data);
        data += BLOCK_LEN;
        len -= BLOCK_LEN;
    }
    if (len > 0) {
        uint8_t block[BLOCK_LEN] = {0};
        memcpy(block, data, len);
        universal_block(hash, block);
        pssst_wipe(block, sizeof block);
    }
}

/* -------------------------------------------------------------------------------------- AEAD */

/* AES-128-GCM under suite 1, else AES-256-GCM-SIV. */
typedef struct aead {
    const pssst_platform *platform;
    int is_siv;
    uint8_t key[32];
    size_t key_len;
    uint8_t nonce[12];
    universal_hash hash;
} aead;

/* Derives the keys of one packet from D, or D'. */
static pssst_error aead_init(aead *cipher, const pssst_platform *platform, uint16_t suite,
                             const uint8_t secret[32], int is_reply)
{
    uint8_t blocks[6 * BLOCK_LEN];
    pssst_error error;
    unsigned i;

    memset(blocks, 0, sizeof blocks);
    cipher->platform = platform;
    cipher->is_siv = suite != PSSST_SUITE_1;
    if (cipher->is_siv) {
        memcpy(cipher->nonce, is_reply ? "PSSST server" : "PSSST client", 12);
        for (i = 0; i < 6; i++) {
            blocks[BLOCK_LEN * i] = (uint8_t)i;
            memcpy(blocks + BLOCK_LEN * i + 4, cipher->nonce, 12);
        }
        TRY(aes(platform, secret, 32, blocks, 6));
        /* The front of each block is a piece of the two keys. */
        for (i = 1; i < 6; i++) {
            memcpy(blocks + 8 * i, blocks + BLOCK_LEN * i, 8);
        }
        memcpy(cipher->key, blocks + BLOCK_LEN, 32);
        cipher->key_len = 32;
    } else {
        memcpy(cipher->nonce, secret + (is_reply ? 24 : 16), 8);
        memcpy(cipher->nonce + 8, is_reply ? "RPLY" : "RQST", 4);
        memcpy(cipher->key, secret, 16);
        cipher->key_len = 16;
        TRY(aes(platform, cipher->key, cipher->key_len, blocks, 1));
    }
    universal_init(&cipher->hash, blocks, cipher->is_siv);
end:
    pssst_wipe(blocks, sizeof blocks);
    return error;
}

static void put_bits(uint8_t field[8], size_t len, int little_endian)
{
    uint64_t bits = (uint64_t)len * 8;
    unsigned i;
    for (i = 0; i < 8; i++) {
        field[little_endian ? i : 7 - i] = (uint8_t)(bits & 0xffu);
        bits >>= 8;
    }
}

/* Computes the tag, over the ciphertext (GCM) or the plaintext (GCM-SIV). */
static pssst_error aead_tag(aead *cipher, const uint8_t *additional, size_t additional_len,
                            const uint8_t *data, size_t len, uint8_t tag[TAG_LEN])
{
    uint8_t lengths[BLOCK_LEN], mask[BLOCK_LEN] = {0};
    pssst_error error;
    unsigned i;

    put_bits(lengths, additional_len, cipher->is_siv);
    put_bits(lengths + 8, len, cipher->is_siv);
    universal_update(&cipher->hash, additional, additional_len);
    universal_update(&cipher->hash, data, len);
    universal_block(&cipher->hash, lengths);
    store_block(tag, cipher->hash.state, cipher->is_siv);

    memcpy(mask, cipher->nonce, sizeof cipher->nonce);
    if (!cipher->is_siv) {
        mask[15] = 1;
        TRY(aes(cipher->platform, cipher->key, cipher->key_len, mask, 1));
    }
    for (i = 0; i < TAG_LEN; i++) {
        tag[i] ^= mask[i];
    }
    error = PSSST_OK;
    if (cipher->is_siv) {
        tag[15] &= 0x7f;
        TRY(aes(cipher->platform, cipher->key, cipher->key_len, tag, 1));
    }
end:
    pssst_wipe(mask, sizeof mask);
    return error;
}

/* Encrypts or decrypts in counter mode. */
static pssst_error aead_crypt(const aead *cipher, const uint8_t tag[TAG_LEN], uint8_t *data,
                              size_t len)
{
    uint8_t counter[BLOCK_LEN] = {0}, stream[CTR_BLOCKS * BLOCK_LEN];
    pssst_error error = PSSST_OK;

    if (cipher->is_siv) {
        memcpy(counter, tag, TAG_LEN);
        counter[15] |= 0x80;
    } else {
        memcpy(counter, cipher->nonce, sizeof cipher->nonce);
        counter[15] = 2;
    }
    while (len > 0) {
        const size_t part = len < sizeof stream ? len : sizeof stream;
        const size_t blocks = (part + BLOCK_LEN - 1) / BLOCK_LEN;
        size_t i;
        for (i = 0; i < blocks; i++) {
            unsigned carry = 1, at;
            memcpy(stream + BLOCK_LEN * i, counter, BLOCK_LEN);
            for (at = 0; at < 4; at++) {
                uint8_t *byte = counter + (cipher->is_siv ? at : 15 - at);
                carry += *byte;
                *byte = (uint8_t)(carry & 0xffu);
                carry >>= 8;
            }
        }
        TRY(aes(cipher->platform, cipher->key, cipher->key_len, stream, blocks));
        for (i = 0; i < part; i++) {
            data[i] ^= stream[i];
        }
        data += part;
        len -= part;
    }
end:
    pssst_wipe(stream, sizeof stream);
    pssst_wipe(counter, sizeof counter);
    return error;
}

/* Seals in place, and writes the tag. */
static pssst_error aead_seal(const pssst_platform *platform, uint16_t suite,
                             const uint8_t secret[32], const uint8_t *additional,
                             size_t additional_len, uint8_t *data, size_t len,
                             uint8_t tag[TAG_LEN])
{
    aead cipher;
    pssst_error error;

    TRY(aead_init(&cipher, platform, suite, secret, 0));
    if (!cipher.is_siv) {
        TRY(aead_crypt(&cipher, NULL, data, len));
    }
    TRY(aead_tag(&cipher, additional, additional_len, data, len, tag));
    if (cipher.is_siv) {
        TRY(aead_crypt(&cipher, tag, data, len));
    }
end:
    pssst_wipe(&cipher, sizeof cipher);
    return error;
}

/* Opens in place; wipes the data if its tag is another one. */
static pssst_error aead_open(const pssst_platform *platform, uint16_t suite,
                             const uint8_t secret[32], const uint8_t *additional,
                             size_t additional_len, uint8_t *data, size_t len,
                             const uint8_t tag[TAG_LEN])
{
    aead cipher;
    uint8_t expected[TAG_LEN];
    pssst_error error;

    TRY(aead_init(&cipher, platform, suite, secret, 1));
    if (cipher.is_siv) {
        TRY(aead_crypt(&cipher, tag, data, len));
    }
    TRY(aead_tag(&cipher, additional, additional_len, data, len, expected));
    if (!equal(expected, tag, TAG_LEN)) {
        error = PSSST_DECRYPT_FAILED;
        goto end;
    }
    if (!cipher.is_siv) {
        TRY(aead_crypt(&cipher, NULL, data, len));
    }
end:
    if (error != PSSST_OK) {
        pssst_wipe(data, len);
    }
    pssst_wipe(&cipher, sizeof cipher);
    pssst_wipe(expected, sizeof expected);
    return error;
}

/* ------------------------------------------------------------------------------------ client */

static const uint8_t BASE_POINT[32] = {9};

/* 5L - 1, L being the order of the base point: minus one on the prime-order subgroup, a multiple
 * of eight, and unchanged by clamping. */
static const uint8_t MINUS_ONE[32] = {0xa0, 0x23, 0xcd, 0xd0, 0x83, 0xef, 0x5b, 0xb8, 0x2f, 0x10, 0xd6,
                                      0x2e, 0x59, 0xe1, 0x5a, 0x68, 0,    0,    0,    0,    0,    0,
                                      0,    0,    0,    0,    0,    0,    0,    0,    0,    0x50};

/*
 * Checks a public key. A point of the prime-order subgroup and its negative have one coordinate;
 * for any other point, and for a coordinate not below p, the product has another one.
 */
static pssst_error check_key(const pssst_platform *platform, const uint8_t key[32])
{
    uint8_t product[32];
    const pssst_error error = x25519(platform, product, MINUS_ONE, key);
    if (error != PSSST_OK) {
        return error;
    }
    return memcmp(product, key, KEY_LEN) == 0 ? PSSST_OK : PSSST_INVALID_KEY;
}

/* Sets S and P. */
static pssst_error set_server_key(pssst_client *client, const uint8_t server_key[32])
{
    const pssst_error error = check_key(client->platform, server_key);
    if (error != PSSST_OK) {
        return error;
    }
    memcpy(client->server_key, server_key, KEY_LEN);
    return sha256(client->platform, client->key_hash, server_key, KEY_LEN);
}

static pssst_error init_anonymous(pssst_client *client, const pssst_platform *platform,
                                  uint16_t suite, const uint8_t server_key[32])
{
    memset(client, 0, sizeof *client);
    if (suite != PSSST_SUITE_1 && suite != PSSST_SUITE_F002) {
        return PSSST_UNSUPPORTED_OPTION;
    }
    client->platform = platform;
    client->suite = suite;
    return set_server_key(client, server_key);
}

pssst_error pssst_client_init(pssst_client *client, const pssst_platform *platform, uint16_t suite,
                              const uint8_t server_key[32], const uint8_t *secret_key)
{
    pssst_error error;

    TRY(init_anonymous(client, platform, suite, server_key));
    if (secret_key != NULL) {
        client->flags = FLAG_CLIENT_AUTH;
        memcpy(client->hedge, secret_key, KEY_LEN);
        TRY(x25519(platform, client->client_key, secret_key, BASE_POINT));
        TRY(x25519(platform, client->z2, secret_key, server_key));
    }
end:
    if (error != PSSST_OK) {
        pssst_wipe(client, sizeof *client);
    }
    return error;
}

static pssst_error set_z2(pssst_client *client, const uint8_t z2[32])
{
    if (is_zero(z2, KEY_LEN)) {
        return PSSST_WEAK_KEY;
    }
    memcpy(client->hedge, z2, KEY_LEN);
    memcpy(client->z2, z2, KEY_LEN);
    return PSSST_OK;
}

pssst_error pssst_client_init_precomputed(pssst_client *client, const pssst_platform *platform,
                                          uint16_t suite, const uint8_t server_key[32],
                                          const uint8_t client_key[32], const uint8_t z2[32])
{
    pssst_error error;

    TRY(init_anonymous(client, platform, suite, server_key));
    TRY(check_key(platform, client_key));
    client->flags = FLAG_CLIENT_AUTH;
    client->precomputed = 1;
    memcpy(client->client_key, client_key, KEY_LEN);
    TRY(set_z2(client, z2));
end:
    if (error != PSSST_OK) {
        pssst_wipe(client, sizeof *client);
    }
    return error;
}

pssst_error pssst_client_set_server_key(pssst_client *client, const uint8_t server_key[32],
                                        const uint8_t *z2)
{
    pssst_client changed = *client;
    pssst_error error;

    if ((z2 != NULL) != (client->precomputed != 0)) {
        error = PSSST_UNSUPPORTED_OPTION;
        goto end;
    }
    TRY(set_server_key(&changed, server_key));
    if (z2 != NULL) {
        TRY(set_z2(&changed, z2));
    } else if ((client->flags & FLAG_CLIENT_AUTH) != 0) {
        TRY(x25519(changed.platform, changed.z2, changed.hedge, server_key));
    }
    *client = changed;
end:
    pssst_wipe(&changed, sizeof changed);
    return error;
}

static void set_flag(pssst_client *client, unsigned flag, int on)
{
    client->flags = (uint16_t)(on ? client->flags | flag : client->flags & ~flag);
}

pssst_error pssst_client_set_psk(pssst_client *client, const uint8_t *psk)
{
    if (client->suite == PSSST_SUITE_1 || (client->flags & FLAG_CLIENT_AUTH) == 0) {
        return PSSST_UNSUPPORTED_OPTION;
    }
    set_flag(client, FLAG_PSK, psk != NULL);
    if (psk != NULL) {
        memcpy(client->psk, psk, KEY_LEN);
    } else {
        pssst_wipe(client->psk, KEY_LEN);
    }
    return PSSST_OK;
}

pssst_error pssst_client_set_padding(pssst_client *client, uint16_t packet_len)
{
    if (client->suite == PSSST_SUITE_1) {
        return PSSST_UNSUPPORTED_OPTION;
    }
    set_flag(client, FLAG_PADDED, packet_len != 0);
    client->pad_to = packet_len;
    return PSSST_OK;
}

pssst_error pssst_client_set_fresh_replies(pssst_client *client, int on)
{
    if (client->suite == PSSST_SUITE_1) {
        return PSSST_UNSUPPORTED_OPTION;
    }
    set_flag(client, FLAG_FRESH, on);
    return PSSST_OK;
}

/* Returns the length of what follows X and stands before the message. */
static size_t proof_len(const pssst_client *client)
{
    if ((client->flags & FLAG_CLIENT_AUTH) == 0) {
        return 0;
    }
    return client->suite == PSSST_SUITE_1 ? PROOF_LEN : CLAIM_LEN;
}

static size_t overhead(const pssst_client *client)
{
    return HEADER_LEN + KEY_LEN + proof_len(client) + TAG_LEN;
}

size_t pssst_client_packet_len(const pssst_client *client, size_t message_len)
{
    const size_t around = overhead(client);
    if ((client->flags & FLAG_PADDED) != 0) {
        return client->pad_to > around && message_len < client->pad_to - around ? client->pad_to : 0;
    }
    return message_len <= (size_t)-1 - around ? around + message_len : 0;
}

size_t pssst_client_max_message_len(const pssst_client *client, size_t max_packet_len)
{
    size_t around = overhead(client);
    if ((client->flags & FLAG_PADDED) != 0) {
        if (client->pad_to > max_packet_len) {
            return 0;
        }
        max_packet_len = client->pad_to;
        around += 1;
    }
    return max_packet_len > around ? max_packet_len - around : 0;
}

/* The key agreement: X, then Zx, which under suite 1 has the client's secret in it. */
static pssst_error agree(const pssst_client *client, const uint8_t e[32], uint8_t x[32],
                         uint8_t zx[32])
{
    const int proves = client->suite == PSSST_SUITE_1 && (client->flags & FLAG_CLIENT_AUTH) != 0;
    pssst_error error;

    TRY(x25519(client->platform, x, e, proves ? client->client_key : BASE_POINT));
    TRY(x25519(client->platform, zx, e, proves ? client->z2 : client->server_key));
end:
    return error;
}

/* Derives D from Zx, and writes what proves the client between X and the message. */
static pssst_error derive(const pssst_client *client, const uint8_t e[32], const uint8_t zx[32],
                          uint8_t *packet, uint8_t secret[32])
{
    const int authenticated = (client->flags & FLAG_CLIENT_AUTH) != 0;
    uint8_t *const x = packet + HEADER_LEN;
    uint8_t *const proof = x + KEY_LEN;
    hash_input input;
    uint8_t k1[32], derived[32];
    pssst_error error;
    unsigned i;

    if (client->suite == PSSST_SUITE_1) {
        memcpy(input.bytes, x, KEY_LEN);
        memcpy(input.bytes + KEY_LEN, zx, KEY_LEN);
        input.len = 2 * KEY_LEN;
        TRY(hash_end(&input, client->platform, secret));
        if (authenticated) {
            memcpy(proof, client->client_key, KEY_LEN);
            memcpy(proof + KEY_LEN, e, KEY_LEN);
        }
        return PSSST_OK;
    }

    hash_begin(&input, 1, packet, HEADER_LEN);
    hash_add(&input, client->key_hash, KEY_LEN);
    hash_add(&input, x, KEY_LEN);
    hash_add(&input, zx, KEY_LEN);
    TRY(hash_end(&input, client->platform, k1));
    if (!authenticated) {
        memcpy(secret, k1, KEY_LEN);
        goto end;
    }

    hash_begin(&input, 2, k1, KEY_LEN);
    TRY(hash_end(&input, client->platform, derived));
    for (i = 0; i < KEY_LEN; i++) {
        proof[i] = client->client_key[i] ^ derived[i];
    }
    hash_begin(&input, 3, k1, KEY_LEN);
    hash_add(&input, client->client_key, KEY_LEN);
    TRY(hash_end(&input, client->platform, derived));
    memcpy(proof + KEY_LEN, derived, CLAIM_LEN - KEY_LEN);

    hash_begin(&input, 4, k1, KEY_LEN);
    hash_add(&input, client->client_key, KEY_LEN);
    hash_add(&input, client->z2, KEY_LEN);
    hash_add(&input, client->psk, KEY_LEN);
    TRY(hash_end(&input, client->platform, secret));
end:
    pssst_wipe(k1, sizeof k1);
    pssst_wipe(derived, sizeof derived);
    return error;
}

static pssst_error seal_with(const pssst_client *client, const uint8_t e[32],
                             const uint8_t *message, size_t message_len, uint8_t *packet,
                             size_t packet_len, pssst_pending *pending)
{
    uint8_t *const proof = packet + HEADER_LEN + KEY_LEN;
    uint8_t *const text = proof + proof_len(client);
    uint8_t *const tag = packet + packet_len - TAG_LEN;
    /* Suite 1 encrypts its proof; 0xf002 has hidden it already. */
    uint8_t *const body = client->suite == PSSST_SUITE_1 ? proof : text;
    uint8_t zx[32];
    pssst_error error;

    write_u16(packet, client->flags);
    write_u16(packet + 2, client->suite);
    TRY(agree(client, e, packet + HEADER_LEN, zx));
    PSSST_DISCLOSE(packet + HEADER_LEN, KEY_LEN);
    TRY(derive(client, e, zx, packet, pending->secret));
    if (message_len > 0) {
        memcpy(text, message, message_len);
    }
    if ((client->flags & FLAG_PADDED) != 0) {
        memset(text + message_len, 0, (size_t)(tag - text) - message_len);
        text[message_len] = 0x80;
    }
    TRY(aead_seal(client->platform, client->suite, pending->secret, packet, HEADER_LEN, body,
                  (size_t)(tag - body), tag));

    pending->platform = client->platform;
    pending->suite = client->suite;
    pending->flags = client->flags;
    memcpy(pending->exchange_value, packet + HEADER_LEN, KEY_LEN);
    memcpy(pending->request_tag, tag, TAG_LEN);
    if ((client->flags & FLAG_FRESH) != 0) {
        memcpy(pending->ephemeral, e, KEY_LEN);
    }
end:
    pssst_wipe(zx, sizeof zx);
    if (error != PSSST_OK) {
        pssst_wipe(packet, packet_len);
        pssst_wipe(pending, sizeof *pending);
    }
    return error;
}

/* Checks that the packet fits; returns its length. */
static pssst_error prepare(const pssst_client *client, size_t message_len, size_t capacity,
                           size_t *packet_len, pssst_pending *pending)
{
    const size_t len = pssst_client_packet_len(client, message_len);
    memset(pending, 0, sizeof *pending);
    *packet_len = 0;
    if (client->platform == NULL) {
        return PSSST_UNSUPPORTED_OPTION;
    }
    if (len == 0) {
        return PSSST_MESSAGE_TOO_LONG;
    }
    if (len > capacity) {
        return PSSST_BUFFER_TOO_SMALL;
    }
    *packet_len = len;
    return PSSST_OK;
}

pssst_error pssst_client_seal(const pssst_client *client, const uint8_t *message,
                              size_t message_len, uint8_t *packet, size_t capacity,
                              size_t *packet_len, pssst_pending *pending)
{
    hash_input input;
    uint8_t e[32];
    pssst_error error;

    TRY(prepare(client, message_len, capacity, packet_len, pending));
    /* So hedged, a poor generator repeats e only with its message. */
    if (client->platform->random(client->platform->context, e, sizeof e) != 0) {
        error = PSSST_RANDOMNESS_UNAVAILABLE;
        goto end;
    }
    hash_begin(&input, 5, e, KEY_LEN);
    hash_add(&input, client->hedge, KEY_LEN);
    hash_add(&input, client->key_hash, KEY_LEN);
    TRY(sha256(client->platform, e, message, message_len));
    hash_add(&input, e, KEY_LEN);
    TRY(hash_end(&input, client->platform, e));
    TRY(seal_with(client, e, message, message_len, packet, *packet_len, pending));
end:
    pssst_wipe(e, sizeof e);
    pssst_wipe(&input, sizeof input);
    if (error != PSSST_OK) {
        *packet_len = 0;
    }
    return error;
}

#ifdef PSSST_CLIENT_TEST
pssst_error pssst_client_seal_with_ephemeral(const pssst_client *client, const uint8_t ephemeral[32],
                                             const uint8_t *message, size_t message_len,
                                             uint8_t *packet, size_t capacity, size_t *packet_len,
                                             pssst_pending *pending)
{
    pssst_error error = prepare(client, message_len, capacity, packet_len, pending);
    if (error == PSSST_OK) {
        error = seal_with(client, ephemeral, message, message_len, packet, *packet_len, pending);
    }
    if (error != PSSST_OK) {
        *packet_len = 0;
    }
    return error;
}
#endif

/* ------------------------------------------------------------------------------------- reply */

/* Returns the flags that must be zero. */
static unsigned reserved_flags(const pssst_pending *pending, unsigned flags)
{
    if (pending->suite == PSSST_SUITE_1) {
        return flags & ~(FLAG_REPLY | FLAG_CLIENT_AUTH);
    }
    /* A pre-shared key is a client's. */
    return flags & ~(FLAG_REPLY | FLAG_CLIENT_AUTH | FLAG_PADDED | FLAG_FRESH |
                     ((flags & FLAG_CLIENT_AUTH) != 0 ? FLAG_PSK : 0u));
}

/* D' = H(7, D | Y | x25519(e, Y)) */
static pssst_error fresh_secret(const pssst_pending *pending, const uint8_t y[32],
                                uint8_t secret[32])
{
    hash_input input;
    pssst_error error;

    TRY(x25519(pending->platform, secret, pending->ephemeral, y));
    hash_begin(&input, 7, pending->secret, KEY_LEN);
    hash_add(&input, y, KEY_LEN);
    hash_add(&input, secret, KEY_LEN);
    TRY(hash_end(&input, pending->platform, secret));
end:
    return error;
}

/* Finds the end of a padded message, in a time that depends on the length of both alone. */
static pssst_error unpad(const uint8_t *text, size_t *len)
{
    size_t mark = 0, i;
    unsigned good = 0;
    for (i = 0; i < *len; i++) {
        /* All ones if the byte is not zero. */
        const size_t set = (size_t)0 - (size_t)(((unsigned)text[i] + 0xffu) >> 8);
        const unsigned is_mark = (((unsigned)text[i] ^ 0x80u) - 1u) >> 15 & 1u;
        mark = (mark & ~set) | (i & set);
        good = (good & ~(unsigned)set) | (is_mark & (unsigned)set);
    }
    PSSST_DISCLOSE(&good, sizeof good);
    PSSST_DISCLOSE(&mark, sizeof mark);
    if (good == 0) {
        return PSSST_BAD_PADDING;
    }
    *len = mark;
    return PSSST_OK;
}

pssst_error pssst_pending_open(const pssst_pending *pending, uint8_t *packet, size_t packet_len,
                               uint8_t **message, size_t *message_len)
{
    uint8_t additional[HEADER_LEN + TRANSACTION_ID_LEN + KEY_LEN + TAG_LEN];
    uint8_t secret[32];
    size_t id_len, front_len, additional_len;
    unsigned flags;
    int fresh;
    pssst_error error;

    *message = NULL;
    *message_len = 0;
    if (pending->platform == NULL) {
        return PSSST_UNSUPPORTED_OPTION;
    }
    if (packet_len < HEADER_LEN) {
        return PSSST_TRUNCATED;
    }
    flags = read_u16(packet);
    fresh = pending->suite != PSSST_SUITE_1 && (flags & FLAG_FRESH) != 0;
    id_len = pending->suite == PSSST_SUITE_1 ? KEY_LEN : TRANSACTION_ID_LEN;
    front_len = HEADER_LEN + id_len + (fresh ? KEY_LEN : 0u);
    if (packet_len < front_len + TAG_LEN) {
        return PSSST_TRUNCATED;
    }
    if ((flags & FLAG_REPLY) == 0) {
        return PSSST_NOT_REPLY;
    }
    if (reserved_flags(pending, flags) != 0) {
        return PSSST_RESERVED_FLAGS;
    }
    if (read_u16(packet + 2) != pending->suite) {
        return PSSST_UNSUPPORTED_SUITE;
    }
    if ((flags & ~(FLAG_REPLY | FLAG_PADDED)) != (pending->flags & COPIED_FLAGS) ||
        memcmp(packet + HEADER_LEN, pending->exchange_value, id_len) != 0) {
        return PSSST_REPLY_MISMATCH;
    }

    memcpy(secret, pending->secret, sizeof secret);
    if (fresh) {
        TRY(fresh_secret(pending, packet + HEADER_LEN + id_len, secret));
    }
    additional_len = pending->suite == PSSST_SUITE_1 ? HEADER_LEN : front_len;
    memcpy(additional, packet, additional_len);
    if (pending->suite != PSSST_SUITE_1) {
        memcpy(additional + additional_len, pending->request_tag, TAG_LEN);
        additional_len += TAG_LEN;
    }
    packet_len -= front_len + TAG_LEN;
    TRY(aead_open(pending->platform, pending->suite, secret, additional, additional_len,
                  packet + front_len, packet_len, packet + front_len + packet_len));
    if ((flags & FLAG_PADDED) != 0) {
        TRY(unpad(packet + front_len, &packet_len));
    }
    *message = packet + front_len;
    *message_len = packet_len;
end:
    pssst_wipe(secret, sizeof secret);
    return error;
}

const char *pssst_error_name(pssst_error error)
{
    static const char *const NAMES[] = {
        "ok",
        "truncated",
        "not_reply",
        "reserved_flags",
        "unsupported_suite",
        "reply_mismatch",
        "weak_key",
        "decrypt_failed",
        "bad_padding",
        "buffer_too_small",
        "message_too_long",
        "unsupported_option",
        "invalid_key",
        "key_checksum",
        "randomness_unavailable",
        "platform_failed",
        "no_reply",
        "network_failed",
        "link_not_link",
        "link_too_long",
        "link_cut",
        "link_checksum",
        "link_unknown_parameter",
        "link_repeated",
        "link_invalid",
        "link_missing",
        "unknown_server_key",
    };
    const unsigned place = (unsigned)error;
    return place < sizeof NAMES / sizeof *NAMES ? NAMES[place] : "unknown";
}
