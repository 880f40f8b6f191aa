/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "pssst_psa.h"

#include <string.h>

#include <psa/crypto.h>

/* The scalar is imported: PSA could make keys of its own, but the client derives e. */
static int psa_x25519(void *context, uint8_t out[32], const uint8_t scalar[32],
                      const uint8_t point[32])
{
    psa_key_attributes_t attributes = PSA_KEY_ATTRIBUTES_INIT;
    psa_key_id_t key;
    size_t len = 0;
    psa_status_t status;

    (void)context;
    psa_set_key_usage_flags(&attributes, PSA_KEY_USAGE_DERIVE);
    psa_set_key_algorithm(&attributes, PSA_ALG_ECDH);
    psa_set_key_type(&attributes, PSA_KEY_TYPE_ECC_KEY_PAIR(PSA_ECC_FAMILY_MONTGOMERY));
    psa_set_key_bits(&attributes, 255);
    if (psa_import_key(&attributes, scalar, 32, &key) != PSA_SUCCESS) {
        return -1;
    }
    status = psa_raw_key_agreement(PSA_ALG_ECDH, key, point, 32, out, 32, &len);
    if (psa_destroy_key(key) != PSA_SUCCESS) {
        return -1;
    }
    /* So PSA refuses a point of low order. The client has its own error for zeros. */
    if (status == PSA_ERROR_INVALID_ARGUMENT) {
        memset(out, 0, 32);
        return 0;
    }
    return status == PSA_SUCCESS && len == 32 ? 0 : -1;
}

static int psa_sha256(void *context, uint8_t out[32], const uint8_t *data, size_t len)
{
    size_t written = 0;
    (void)context;
    return psa_hash_compute(PSA_ALG_SHA_256, data, len, out, 32, &written) == PSA_SUCCESS ? 0 : -1;
}

static int psa_aes(void *context, const uint8_t *key, size_t key_len, const uint8_t *in,
                   uint8_t *out, size_t blocks)
{
    psa_key_attributes_t attributes = PSA_KEY_ATTRIBUTES_INIT;
    psa_cipher_operation_t operation = PSA_CIPHER_OPERATION_INIT;
    psa_key_id_t id;
    size_t written = 0, rest = 0;
    psa_status_t status;

    (void)context;
    psa_set_key_usage_flags(&attributes, PSA_KEY_USAGE_ENCRYPT);
    psa_set_key_algorithm(&attributes, PSA_ALG_ECB_NO_PADDING);
    psa_set_key_type(&attributes, PSA_KEY_TYPE_AES);
    psa_set_key_bits(&attributes, 8 * key_len);
    if (psa_import_key(&attributes, key, key_len, &id) != PSA_SUCCESS) {
        return -1;
    }
    status = psa_cipher_encrypt_setup(&operation, id, PSA_ALG_ECB_NO_PADDING);
    if (status == PSA_SUCCESS) {
        status = psa_cipher_update(&operation, in, 16 * blocks, out, 16 * blocks, &written);
    }
    if (status == PSA_SUCCESS) {
        status = psa_cipher_finish(&operation, out + written, 16 * blocks - written, &rest);
    }
    (void)psa_cipher_abort(&operation);
    if (psa_destroy_key(id) != PSA_SUCCESS || status != PSA_SUCCESS) {
        return -1;
    }
    return written + rest == 16 * blocks ? 0 : -1;
}

static int psa_random(void *context, uint8_t *out, size_t len)
{
    (void)context;
    return psa_generate_random(out, len) == PSA_SUCCESS ? 0 : -1;
}

const pssst_platform PSSST_PSA_PLATFORM = {psa_x25519, psa_sha256, psa_aes, psa_random, NULL};
