/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Links, keys and documents: all that is read lies within the text. With a first byte that says
 * so, a link gets a true checksum, so that the rest of the parser is reached. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../pssst_text.h"

static int cheap_sha256(void *context, uint8_t out[32], const uint8_t *data, size_t len)
{
    size_t i;
    (void)context;
    memset(out, 1, 32);
    for (i = 0; i < len; i++) {
        out[i % 32] = (uint8_t)(out[i % 32] * 31u + data[i]);
    }
    return 0;
}

static const pssst_platform CHEAP = {NULL, cheap_sha256, NULL, NULL, NULL};

static void check_span(const char *text, size_t len, pssst_span span)
{
    if (span.at != NULL &&
        (span.at < text || span.len > len || (size_t)(span.at - text) > len - span.len)) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char front[] = "pssst://";
    uint8_t key[32], client_key[32], z2[32], master[8];
    pssst_link link;
    char *text, again[PSSST_PUBLIC_KEY_TEXT_LEN + 1];
    size_t len;
    int with_sum;

    if (size < 1) {
        return 0;
    }
    with_sum = (data[0] & 1u) != 0;
    data++;
    size--;
    len = with_sum ? sizeof front - 1 + size + 15 : size;
    text = malloc(len + 1);
    if (text == NULL) {
        abort();
    }
    if (with_sum) {
        uint8_t hash[32];
        memcpy(text, front, sizeof front - 1);
        memcpy(text + sizeof front - 1, data, size);
        (void)cheap_sha256(NULL, hash, (const uint8_t *)text, sizeof front - 1 + size);
        sprintf(text + sizeof front - 1 + size, "&check=%02x%02x%02x%02x", hash[0], hash[1],
                hash[2], hash[3]);
    } else {
        memcpy(text, data, size);
    }
    text = realloc(text, len + (len == 0));
    if (pssst_link_parse(&CHEAP, text, len, &link) == PSSST_OK) {
        check_span(text, len, link.host);
        check_span(text, len, link.directory_host);
        check_span(text, len, link.token);
        if (link.host.at == NULL && link.directory_host.at == NULL) {
            abort();
        }
    }
    if (pssst_public_key_parse(text, len, key) == PSSST_OK) {
        uint8_t read[32];
        pssst_public_key_format(key, again);
        if (pssst_public_key_parse(again, strlen(again), read) != PSSST_OK ||
            memcmp(read, key, 32) != 0) {
            abort();
        }
    }
    (void)pssst_secret_key_parse(text, len, key);
    memset(key, 1, sizeof key);
    (void)pssst_precomputed_parse(&CHEAP, text, len, key, client_key, z2);
    (void)pssst_psk_parse(text, len, key, master);
    free(text);
    return 0;
}
