/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A PSSST client for devices, in C99: it seals requests and opens their replies.
 *
 * Suites 0x0001 and 0xf002, anonymous and authenticated. It allocates nothing, has no global
 * state and no recursion. It needs four functions of the platform (`pssst_platform`). What depends
 * on secrets runs in constant time, provided that the platform's functions do.
 *
 * The fields of the structures are private. One client can be used by several threads, as long as
 * none changes it. Wipe a client, and each pending reply, with `pssst_wipe` after use.
 */
#ifndef PSSST_CLIENT_H
#define PSSST_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The suite of the other implementations. A server must answer the same request with the same
 * bytes, or an attacker who sees two answers forges a third. */
#define PSSST_SUITE_1 0x0001u
/* The suite to use: X25519, AES-256-GCM-SIV. */
#define PSSST_SUITE_F002 0xf002u

#define PSSST_KEY_LEN 32u
/* Bytes that the longest request and reply have around their messages. */
#define PSSST_MAX_OVERHEAD 116u

/* Errors. Their numbers and names never change. */
typedef enum pssst_error {
    PSSST_OK = 0,
    /* Refusals of a packet. After any of them, wait on: a forged packet costs nothing. */
    PSSST_TRUNCATED = 1,
    PSSST_NOT_REPLY = 2,
    PSSST_RESERVED_FLAGS = 3,
    PSSST_UNSUPPORTED_SUITE = 4,
    PSSST_REPLY_MISMATCH = 5,
    PSSST_WEAK_KEY = 6, /* also: a key of low order, of a server or a client */
    PSSST_DECRYPT_FAILED = 7,
    PSSST_BAD_PADDING = 8,
    /* Errors of the caller or the device. */
    PSSST_BUFFER_TOO_SMALL = 9,
    PSSST_MESSAGE_TOO_LONG = 10,   /* it does not fit into the padded length */
    PSSST_UNSUPPORTED_OPTION = 11, /* suite, keys and options do not go together */
    PSSST_INVALID_KEY = 12,        /* not a key of this kind, or an alias of another key */
    PSSST_KEY_CHECKSUM = 13,       /* a character of the key is wrong, missing or one too many */
    PSSST_RANDOMNESS_UNAVAILABLE = 14,
    PSSST_PLATFORM_FAILED = 15, /* one of the platform's other functions failed */
    /* Errors of a request on the network (pssst_request.h). */
    PSSST_NO_REPLY = 16,
    PSSST_NETWORK_FAILED = 17,
    /* Errors of a link (pssst_text.h). */
    PSSST_LINK_NOT_LINK = 18,
    PSSST_LINK_TOO_LONG = 19,
    PSSST_LINK_CUT = 20,
    PSSST_LINK_CHECKSUM = 21,
    PSSST_LINK_UNKNOWN_PARAMETER = 22,
    PSSST_LINK_REPEATED = 23,
    PSSST_LINK_INVALID = 24,
    PSSST_LINK_MISSING = 25,
    /* Error of an identity file (pssst_text.h): it has no Z2 for this server key. */
    PSSST_UNKNOWN_SERVER_KEY = 26
} pssst_error;

/* Returns the name of an error, for logs: "decrypt_failed". Never NULL. */
const char *pssst_error_name(pssst_error error);

/*
 * The four functions of the platform. Each returns 0 on success, and gets `context` as its first
 * argument. `out` overlaps no input, except that `aes` may get the same `in` and `out`.
 */
typedef struct pssst_platform {
    /* RFC 7748: little-endian, the scalar is clamped. A point of low order gives 32 zeros. */
    int (*x25519)(void *context, uint8_t out[32], const uint8_t scalar[32],
                  const uint8_t point[32]);
    int (*sha256)(void *context, uint8_t out[32], const uint8_t *data, size_t len);
    /* Encrypts blocks of 16 bytes, each by itself (ECB). `key_len` is 16 or 32. */
    int (*aes)(void *context, const uint8_t *key, size_t key_len, const uint8_t *in, uint8_t *out,
               size_t blocks);
    /* Bytes of a cryptographic generator. */
    int (*random)(void *context, uint8_t *out, size_t len);
    void *context;
} pssst_platform;

/* Seals requests for one server, anonymously or as one client. */
typedef struct pssst_client {
    const pssst_platform *platform;
    uint8_t server_key[32]; /* S */
    uint8_t key_hash[32];   /* P */
    uint8_t client_key[32]; /* C */
    uint8_t hedge[32];      /* c, or Z2 where the device does not hold c */
    uint8_t z2[32];         /* x25519(c, S) */
    uint8_t psk[32];        /* Q */
    uint16_t suite;
    uint16_t flags;
    uint16_t pad_to;
    uint8_t precomputed;
} pssst_client;

/* A request that was sent, and the only thing that opens its reply. */
typedef struct pssst_pending {
    const pssst_platform *platform;
    uint8_t secret[32];         /* D */
    uint8_t ephemeral[32];      /* e, for a fresh reply */
    uint8_t exchange_value[32]; /* X */
    uint8_t request_tag[16];
    uint16_t suite;
    uint16_t flags;
} pssst_pending;

/*
 * Makes a client of the server with this public key. `secret_key` is the client's own; NULL makes
 * an anonymous client. `platform` must live as long as the client and its pending replies.
 * Computes one X25519, or three with a secret key.
 *
 * PSSST_WEAK_KEY, PSSST_INVALID_KEY: the server key would let others read or accept requests.
 * After an error the client is wiped.
 */
pssst_error pssst_client_init(pssst_client *client, const pssst_platform *platform, uint16_t suite,
                              const uint8_t server_key[32], const uint8_t *secret_key);

/*
 * Makes a client that never holds its secret key c: its owner gave it C and Z2 = x25519(c, S)
 * (`pssst precompute`). Anyone who takes them can pose as this client towards this server, and
 * towards no other. Wipe your own copy of Z2. Errors as above, and PSSST_WEAK_KEY for Z2 of zeros.
 */
pssst_error pssst_client_init_precomputed(pssst_client *client, const pssst_platform *platform,
                                          uint16_t suite, const uint8_t server_key[32],
                                          const uint8_t client_key[32], const uint8_t z2[32]);

/*
 * Replaces the server key after a rotation, and keeps identity, options and pre-shared key. A
 * client that holds no secret key needs the Z2 of the new server key; for others, give NULL.
 * Pending replies stay valid. After an error the client is as it was.
 */
pssst_error pssst_client_set_server_key(pssst_client *client, const uint8_t server_key[32],
                                        const uint8_t *z2);

/* Sets the pre-shared key Q that the pool gave this client; NULL removes it. Only under suite
 * 0xf002 and for a client with an identity (PSSST_UNSUPPORTED_OPTION). */
pssst_error pssst_client_set_psk(pssst_client *client, const uint8_t *psk);

/* Pads every request's packet to so many bytes; 0 switches padding off. Only under 0xf002. */
pssst_error pssst_client_set_padding(pssst_client *client, uint16_t packet_len);

/* Asks for fresh replies, which stay closed when the server's secret key falls later. Each takes
 * one X25519 and 32 bytes more. Forward secrecy begins when the pending reply is wiped. Only under
 * 0xf002, and only if the server gives them: one that does not never answers. */
pssst_error pssst_client_set_fresh_replies(pssst_client *client, int on);

/* Returns the length of the packet of a message of so many bytes; 0 if it does not fit into the
 * padded length. */
size_t pssst_client_packet_len(const pssst_client *client, size_t message_len);

/* Returns the length of the longest message whose packet has at most so many bytes; 0 also where
 * none fits. */
size_t pssst_client_max_message_len(const pssst_client *client, size_t max_packet_len);

/*
 * Seals a message into a packet, and returns what opens the reply. `packet` has room for
 * `capacity` bytes and does not overlap the message.
 *
 * To send the request again, send the same bytes again, and only from the IP address that sent them
 * first. For a request that wants no reply, wipe `pending`. After an error, `packet` is not a
 * packet, its length is 0, and `pending` opens nothing.
 */
pssst_error pssst_client_seal(const pssst_client *client, const uint8_t *message,
                              size_t message_len, uint8_t *packet, size_t capacity,
                              size_t *packet_len, pssst_pending *pending);

/*
 * Opens a reply in place: on success `*message` points into `packet`. After an error the packet is
 * spoiled, and `pending` is as it was: wait on for the true reply. Take one reply, then wipe
 * `pending`.
 */
pssst_error pssst_pending_open(const pssst_pending *pending, uint8_t *packet, size_t packet_len,
                               uint8_t **message, size_t *message_len);

/* Overwrites memory with zeros, and is not optimized away. */
void pssst_wipe(void *memory, size_t len);

#ifdef PSSST_CLIENT_TEST
/* For test vectors only: seals with a given e. Two requests with one e can be read by anyone. */
pssst_error pssst_client_seal_with_ephemeral(const pssst_client *client, const uint8_t ephemeral[32],
                                             const uint8_t *message, size_t message_len,
                                             uint8_t *packet, size_t capacity, size_t *packet_len,
                                             pssst_pending *pending);
#endif

#ifdef __cplusplus
}
#endif

#endif
