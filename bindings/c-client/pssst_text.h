/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Keys, links and identity files as text: optional, for devices that read them themselves.
 *
 * Texts need no NUL at their end; ASCII white space around them is ignored. Nothing here runs in
 * constant time.
 */
#ifndef PSSST_TEXT_H
#define PSSST_TEXT_H

#include "pssst_client.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Length of a public key as text. */
#define PSSST_PUBLIC_KEY_TEXT_LEN 64u
/* Length of the longest link. */
#define PSSST_LINK_MAX_LEN 1024u

/* Reads a public key, of a server or a client: `pssst1...`, or 64 hexadecimal digits.
 * PSSST_KEY_CHECKSUM, PSSST_INVALID_KEY. */
pssst_error pssst_public_key_parse(const char *text, size_t len, uint8_t key[32]);

/* Reads a secret key: the PEM document that `pssst keygen` writes, `PSSST-SECRET-KEY-1...`, or 64
 * hexadecimal digits. Errors as above. */
pssst_error pssst_secret_key_parse(const char *text, size_t len, uint8_t key[32]);

/* Writes a public key as `pssst1...`, and a NUL. */
void pssst_public_key_format(const uint8_t key[32], char text[PSSST_PUBLIC_KEY_TEXT_LEN + 1]);

/* A part of a text that belongs to the caller. */
typedef struct pssst_span {
    const char *at; /* NULL: the part is not there */
    size_t len;
} pssst_span;

/* The parts of a link. */
typedef struct pssst_link {
    pssst_span host; /* of the server: a name, an IPv4 address, or an IPv6 address in brackets */
    uint16_t port;
    uint8_t has_key;
    uint8_t has_key_hash; /* `key` is the hash of a key of suite 0xf003 */
    uint8_t key[32];
    uint16_t suites[3]; /* the preferred one first, zeros after the last */
    pssst_span directory_host;
    uint16_t directory_port;
    uint8_t has_pin;
    uint8_t pin[32];
    pssst_span token; /* secret */
} pssst_link;

/* Reads a link; its spans point into `text`. Of the platform it needs `sha256`. The errors are
 * those of links. A link is not signed: take it from someone you would take the key from. */
pssst_error pssst_link_parse(const pssst_platform *platform, const char *text, size_t len,
                             pssst_link *link);

/* Returns the suite of the link that a client of this library uses: the first that it knows. 0 if
 * there is none. */
uint16_t pssst_link_suite(const pssst_link *link);

/*
 * Reads C and the Z2 for this server key out of a precomputed identity, which `pssst precompute`
 * and `pssst renew` write (`BEGIN PSSST PRECOMPUTED IDENTITY`). Pass them to
 * `pssst_client_init_precomputed`, then wipe Z2.
 *
 * PSSST_INVALID_KEY: not such a document. PSSST_UNKNOWN_SERVER_KEY: it has no Z2 for the key.
 */
pssst_error pssst_precomputed_parse(const pssst_platform *platform, const char *text, size_t len,
                                    const uint8_t server_key[32], uint8_t client_key[32],
                                    uint8_t z2[32]);

/* Reads a pre-shared key and the name of its master, as `pssst enroll` and `pssst renew` write them
 * (`BEGIN PSSST PSK`). PSSST_INVALID_KEY for anything else. */
pssst_error pssst_psk_parse(const char *text, size_t len, uint8_t psk[32], uint8_t master[8]);

#ifdef __cplusplus
}
#endif

#endif
