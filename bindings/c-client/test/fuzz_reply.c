/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Any packet gets an error and leaves the pending request as it was. */
#include "../pssst_client.c"

#include <stdlib.h>

/* Cheap functions: the parser is what is looked at. */
static int mix(void *context, uint8_t *out, const uint8_t *a, const uint8_t *b)
{
    unsigned i;
    (void)context;
    for (i = 0; i < 32; i++) {
        out[i] = (uint8_t)(a[i] * 7u + b[i] * 13u + i);
    }
    return 0;
}

static int cheap_x25519(void *context, uint8_t out[32], const uint8_t scalar[32],
                        const uint8_t point[32])
{
    return mix(context, out, scalar, point);
}

static int cheap_sha256(void *context, uint8_t out[32], const uint8_t *data, size_t len)
{
    uint8_t sums[32] = {1};
    size_t i;
    for (i = 0; i < len; i++) {
        sums[i % 32] = (uint8_t)(sums[i % 32] * 31u + data[i]);
    }
    return mix(context, out, sums, sums);
}

static int cheap_aes(void *context, const uint8_t *key, size_t key_len, const uint8_t *in,
                     uint8_t *out, size_t blocks)
{
    size_t i;
    (void)context;
    for (i = 0; i < 16 * blocks; i++) {
        out[i] = (uint8_t)(in[i] ^ key[i % key_len]);
    }
    return 0;
}

static int cheap_random(void *context, uint8_t *out, size_t len)
{
    (void)context;
    memset(out, 7, len);
    return 0;
}

static const pssst_platform CHEAP = {cheap_x25519, cheap_sha256, cheap_aes, cheap_random, NULL};

/* The end of padding, as it is defined. */
static int simple_unpad(const uint8_t *text, size_t *len)
{
    size_t end = *len;
    while (end > 0 && text[end - 1] == 0) {
        end--;
    }
    if (end == 0 || text[end - 1] != 0x80) {
        return 0;
    }
    *len = end - 1;
    return 1;
}

static void check_unpad(const uint8_t *data, size_t len)
{
    size_t mine = len, simple = len;
    const int good = unpad(data, &mine) == PSSST_OK;
    if (good != simple_unpad(data, &simple) || (good && mine != simple)) {
        abort();
    }
}

/* Seals a reply as a server does, with this plaintext. */
static void seal_reply(const pssst_pending *pending, uint8_t *packet, size_t len, size_t front,
                       const uint8_t secret[32])
{
    uint8_t additional[HEADER_LEN + TRANSACTION_ID_LEN + KEY_LEN + TAG_LEN];
    size_t additional_len = HEADER_LEN;
    aead cipher;
    uint8_t *const tag = packet + len - TAG_LEN;
    memcpy(additional, packet, front <= sizeof additional ? front : 0);
    if (pending->suite != PSSST_SUITE_1) {
        memcpy(additional + front, pending->request_tag, TAG_LEN);
        additional_len = front + TAG_LEN;
    }
    (void)aead_init(&cipher, pending->platform, pending->suite, secret, 1);
    if (cipher.is_siv) {
        (void)aead_tag(&cipher, additional, additional_len, packet + front, len - front - TAG_LEN, tag);
        (void)aead_crypt(&cipher, tag, packet + front, len - front - TAG_LEN);
    } else {
        (void)aead_crypt(&cipher, NULL, packet + front, len - front - TAG_LEN);
        (void)aead_tag(&cipher, additional, additional_len, packet + front, len - front - TAG_LEN, tag);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t message[3] = {1, 2, 3};
    uint8_t key[32], z2[32], request[256], *packet, *text;
    pssst_client client;
    pssst_pending pending, before;
    size_t len, text_len, front;
    unsigned mode;
    pssst_error error;
    int sealed = 0;

    if (size < 1) {
        return 0;
    }
    mode = data[0];
    data++;
    size--;
    check_unpad(data, size);
    memset(&client, 0, sizeof client);
    memset(key, 5, sizeof key);
    memset(z2, 6, sizeof z2);
    client.platform = &CHEAP;
    client.suite = (mode & 1u) != 0 ? PSSST_SUITE_1 : PSSST_SUITE_F002;
    client.flags = (mode & 2u) != 0 ? FLAG_CLIENT_AUTH : 0;
    memcpy(client.server_key, key, 32);
    memcpy(client.z2, z2, 32);
    if ((mode & 4u) != 0) {
        (void)pssst_client_set_fresh_replies(&client, 1);
    }
    if ((mode & 8u) != 0) {
        (void)pssst_client_set_psk(&client, z2);
    }
    if (pssst_client_seal(&client, message, sizeof message, request, sizeof request, &len,
                          &pending) != PSSST_OK) {
        abort();
    }
    packet = malloc(size + (size == 0));
    if (packet == NULL) {
        abort();
    }
    if (size > 0) {
        memcpy(packet, data, size);
    }
    /* With the front that the client expects, and perhaps a true tag. */
    front = HEADER_LEN + (client.suite == PSSST_SUITE_1 ? KEY_LEN : TRANSACTION_ID_LEN) +
            ((client.flags & FLAG_FRESH) != 0 ? KEY_LEN : 0u);
    if ((mode & 16u) != 0 && size >= front + TAG_LEN) {
        unsigned flags = client.flags | FLAG_REPLY;
        if (client.suite != PSSST_SUITE_1 && (mode & 32u) != 0) {
            flags |= FLAG_PADDED;
        }
        write_u16(packet, (uint16_t)flags);
        write_u16(packet + 2, client.suite);
        memcpy(packet + HEADER_LEN, pending.exchange_value,
               client.suite == PSSST_SUITE_1 ? KEY_LEN : TRANSACTION_ID_LEN);
        if ((mode & 64u) != 0) {
            uint8_t secret[32];
            memcpy(secret, pending.secret, sizeof secret);
            if ((client.flags & FLAG_FRESH) == 0 ||
                fresh_secret(&pending, packet + HEADER_LEN + TRANSACTION_ID_LEN, secret) ==
                    PSSST_OK) {
                seal_reply(&pending, packet, size, front, secret);
                sealed = 1;
            }
        }
    }
    before = pending;
    error = pssst_pending_open(&pending, packet, size, &text, &text_len);
    if (memcmp(&before, &pending, sizeof before) != 0) {
        abort();
    }
    if (error == PSSST_OK ? text < packet || text_len > size - front - TAG_LEN : text != NULL) {
        abort();
    }
    if (sealed) {
        size_t expected = size - front - TAG_LEN;
        const int padded = (mode & 32u) != 0 && client.suite != PSSST_SUITE_1;
        const int good = !padded || simple_unpad(data + front, &expected);
        if (error != (good ? PSSST_OK : PSSST_BAD_PADDING) ||
            (good && (text_len != expected ||
                      (expected > 0 && memcmp(text, data + front, expected) != 0)))) {
            abort();
        }
    }
    free(packet);
    return 0;
}
