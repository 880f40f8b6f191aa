/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Beyond the vectors: options, renewal, documents, and a platform that fails. */
#include <stdio.h>
#include <string.h>

#include "../pssst_client.h"
#include "../pssst_text.h"
#include "test_port.h"

static unsigned passed, failed;

static void check(int holds, const char *what)
{
    if (holds) {
        passed++;
    } else {
        failed++;
        printf("FAILED  %s\n", what);
    }
}

static pssst_platform platform;
static const uint8_t base[32] = {9};
static const uint8_t secret[32] = {1, 2, 3};
static const uint8_t message[] = "23.5 C";
static uint8_t server[32], other[32];

static void options(void)
{
    pssst_client client;
    uint8_t psk[32] = {5};
    (void)pssst_client_init(&client, &platform, PSSST_SUITE_1, server, secret);
    check(pssst_client_set_psk(&client, psk) == PSSST_UNSUPPORTED_OPTION, "Q under suite 1");
    check(pssst_client_set_padding(&client, 64) == PSSST_UNSUPPORTED_OPTION, "padding, suite 1");
    check(pssst_client_set_fresh_replies(&client, 1) == PSSST_UNSUPPORTED_OPTION, "fresh, suite 1");
    check(pssst_client_packet_len(&client, 10) == 126, "length under suite 1");
    (void)pssst_client_init(&client, &platform, PSSST_SUITE_F002, server, NULL);
    check(pssst_client_set_psk(&client, psk) == PSSST_UNSUPPORTED_OPTION, "Q without an identity");
    check(pssst_client_packet_len(&client, 10) == 62, "length without an identity");
    check(pssst_client_max_message_len(&client, 51) == 0, "no room");
    check(pssst_client_max_message_len(&client, 1232) == 1180, "longest message");
    check(pssst_client_packet_len(&client, (size_t)-1) == 0, "a length that overflows");
    (void)pssst_client_init(&client, &platform, PSSST_SUITE_F002, server, secret);
    check(pssst_client_packet_len(&client, 10) == 102, "length with an identity");
    check(pssst_client_set_padding(&client, 200) == PSSST_OK, "padding");
    check(pssst_client_packet_len(&client, 107) == 200, "the longest padded message");
    check(pssst_client_packet_len(&client, 108) == 0, "too long when padded");
    check(pssst_client_max_message_len(&client, 199) == 0, "padded to more than there is");
    check(pssst_client_max_message_len(&client, 200) == 107, "longest padded message");
    (void)pssst_client_set_padding(&client, 20);
    check(pssst_client_packet_len(&client, 0) == 0, "padded to less than a request has");
    (void)pssst_client_set_padding(&client, 0);
    check(pssst_client_packet_len(&client, 10) == 102, "padding off");
    check(pssst_client_init(&client, &platform, 0xf003, server, secret) == PSSST_UNSUPPORTED_OPTION,
          "a suite that is not here");
    check(client.platform == NULL, "a client that was not made is empty");
}

static void sealing_fails(void)
{
    uint8_t packet[128], *text;
    size_t len, text_len;
    pssst_client client;
    pssst_pending pending, empty;
    unsigned function, after;
    memset(&client, 0, sizeof client);
    memset(&empty, 0, sizeof empty);
    check(pssst_client_seal(&client, message, 6, packet, sizeof packet, &len, &pending) ==
              PSSST_UNSUPPORTED_OPTION,
          "a client that was not made");
    (void)pssst_client_init(&client, &platform, PSSST_SUITE_F002, server, secret);
    (void)pssst_client_set_padding(&client, 100);
    check(pssst_client_seal(&client, message, 100, packet, sizeof packet, &len, &pending) ==
                  PSSST_MESSAGE_TOO_LONG &&
              len == 0,
          "a message that does not fit");
    for (function = TEST_X25519; function <= TEST_RANDOM; function *= 2) {
        for (after = 0;; after++) {
            const pssst_error expected =
                function == TEST_RANDOM ? PSSST_RANDOMNESS_UNAVAILABLE : PSSST_PLATFORM_FAILED;
            pssst_error error;
            test_port_fail(function, after);
            memset(packet, 0xaa, sizeof packet);
            error = pssst_client_seal(&client, message, 6, packet, sizeof packet, &len, &pending);
            test_port_fail(0, 0);
            if (error == PSSST_OK) {
                break;
            }
            check(error == expected && len == 0, "a failing function is reported");
            check(packet[0] == 0xaa || packet[0] == 0, "no packet is left");
            check(memcmp(&pending, &empty, sizeof pending) == 0, "no secret is left");
            packet[0] = 0xc0;
            check(pssst_pending_open(&pending, packet, 60, &text, &text_len) ==
                      PSSST_UNSUPPORTED_OPTION,
                  "what was not sealed opens nothing");
        }
        check(after > 0, "the function is used");
    }
}

static void making_fails(void)
{
    pssst_client client;
    unsigned after;
    for (after = 0; after < 3; after++) {
        test_port_fail(TEST_X25519, after);
        check(pssst_client_init(&client, &platform, PSSST_SUITE_F002, server, secret) ==
                      PSSST_PLATFORM_FAILED &&
                  client.platform == NULL,
              "a client whose keys cannot be computed");
    }
    test_port_fail(TEST_SHA256, 0);
    check(pssst_client_init(&client, &platform, PSSST_SUITE_F002, server, NULL) ==
              PSSST_PLATFORM_FAILED,
          "a client whose hash cannot be computed");
    test_port_fail(0, 0);
}

static void precomputed(void)
{
    static const uint8_t zeros[32] = {0};
    uint8_t alias[32];
    pssst_client client, device;
    (void)pssst_client_init(&client, &platform, PSSST_SUITE_F002, server, secret);
    check(pssst_client_init_precomputed(&device, &platform, PSSST_SUITE_F002, server,
                                        client.client_key, zeros) == PSSST_WEAK_KEY,
          "a Z2 of zeros");
    memcpy(alias, client.client_key, 32);
    alias[31] |= 0x80;
    check(pssst_client_init_precomputed(&device, &platform, PSSST_SUITE_F002, server, alias,
                                        client.z2) == PSSST_INVALID_KEY,
          "an alias of a client key");
    check(pssst_client_init_precomputed(&device, &platform, PSSST_SUITE_F002, server, zeros,
                                        client.z2) == PSSST_WEAK_KEY,
          "a client key of low order");
    (void)pssst_client_init_precomputed(&device, &platform, PSSST_SUITE_F002, server,
                                        client.client_key, client.z2);
    check(memcmp(device.hedge, client.z2, 32) == 0, "Z2 hedges where c is not there");
}

static void rotation(void)
{
    uint8_t psk[32] = {6};
    pssst_client client, device, fresh;
    (void)pssst_client_init(&client, &platform, PSSST_SUITE_F002, server, secret);
    (void)pssst_client_set_psk(&client, psk);
    (void)pssst_client_init_precomputed(&device, &platform, PSSST_SUITE_F002, server,
                                        client.client_key, client.z2);
    (void)pssst_client_init(&fresh, &platform, PSSST_SUITE_F002, other, secret);
    (void)pssst_client_set_psk(&fresh, psk);
    check(pssst_client_set_server_key(&client, other, fresh.z2) == PSSST_UNSUPPORTED_OPTION,
          "a Z2 that the client computes itself");
    check(pssst_client_set_server_key(&device, other, NULL) == PSSST_UNSUPPORTED_OPTION,
          "a new key without its Z2");
    check(memcmp(device.server_key, server, 32) == 0, "a failed change changes nothing");
    check(pssst_client_set_server_key(&client, other, NULL) == PSSST_OK &&
              memcmp(&client, &fresh, sizeof client) == 0,
          "a new server key");
    check(pssst_client_set_server_key(&device, other, fresh.z2) == PSSST_OK &&
              memcmp(device.z2, fresh.z2, 32) == 0 && memcmp(device.hedge, fresh.z2, 32) == 0,
          "a new server key and its Z2");
    check(pssst_client_set_psk(&client, NULL) == PSSST_OK && client.psk[0] == 0,
          "the pre-shared key is removed");
}

static void a_reply_is_computed_anew(void)
{
    uint8_t packet[128], reply[64], *text;
    size_t len, text_len;
    pssst_client client;
    pssst_pending pending;
    unsigned after;
    (void)pssst_client_init(&client, &platform, PSSST_SUITE_F002, server, secret);
    (void)pssst_client_set_fresh_replies(&client, 1);
    (void)pssst_client_seal(&client, message, 6, packet, sizeof packet, &len, &pending);
    for (after = 0; after < 2; after++) {
        memset(reply, 0x11, sizeof reply);
        reply[0] = 0xc8;
        reply[1] = 0;
        reply[2] = 0xf0;
        reply[3] = 0x02;
        memcpy(reply + 4, packet + 4, 8);
        test_port_fail(after == 0 ? TEST_X25519 : TEST_AES, 0);
        check(pssst_pending_open(&pending, reply, sizeof reply, &text, &text_len) ==
                      PSSST_PLATFORM_FAILED &&
                  text == NULL,
              "a failing function at the reply");
        test_port_fail(0, 0);
    }
}

static void keys_as_text(void)
{
    static const char KEY[] = "pssst1qurswpc8qurswpc8qurswpc8qurswpc8qurswpc8qurswpc8qursuv82ak";
    static const char *const BAD[] = {
        "", "pssst", "pssst1", "pssst-secret-key-1qqqqqq", "hello",
        "pssst-pq1hz9ghksus9tvda5ur9rvymja572dtv83z80rdp8mxatglumd6whqfzaasr",
        "dd2991b0a65a9962ffaae24516308f514901b6b186b6ac6ffa48cdea5d55c31",
        "dd2991b0a65a9962ffaae24516308f514901b6b186b6ac6ffa48cdea5d55c3170",
    };
    char text[PSSST_PUBLIC_KEY_TEXT_LEN + 1], changed[sizeof KEY], capitals[sizeof KEY];
    uint8_t key[32];
    unsigned at, i;
    check(pssst_public_key_parse(KEY, strlen(KEY), key) == PSSST_OK && key[0] == 7 && key[31] == 7,
          "a key");
    pssst_public_key_format(key, text);
    check(strcmp(text, KEY) == 0, "a key is written as it is read");
    for (at = 0; at < sizeof KEY; at++) {
        capitals[at] = (char)(KEY[at] >= 'a' && KEY[at] <= 'z' ? KEY[at] - 32 : KEY[at]);
    }
    check(pssst_public_key_parse(capitals, strlen(KEY), key) == PSSST_OK, "in capital letters");
    for (at = 6; at < strlen(KEY); at++) {
        static const char OTHERS[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7lb1io -Q";
        for (i = 0; i < strlen(OTHERS); i++) {
            memcpy(changed, KEY, sizeof KEY);
            changed[at] = OTHERS[i];
            if (OTHERS[i] != KEY[at] && !(OTHERS[i] == ' ' && at == strlen(KEY) - 1)) {
                const pssst_error error = pssst_public_key_parse(changed, strlen(KEY), key);
                check(error == PSSST_KEY_CHECKSUM, "a changed character");
            }
        }
        memcpy(changed, KEY, at);
        memcpy(changed + at, KEY + at + 1, sizeof KEY - at - 1);
        check(pssst_public_key_parse(changed, strlen(KEY) - 1, key) == PSSST_KEY_CHECKSUM,
              "a lost character");
    }
    for (i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        check(pssst_public_key_parse(BAD[i], strlen(BAD[i]), key) != PSSST_OK, BAD[i]);
    }
    /* BIP 350's own: another prefix, and valid. */
    check(pssst_public_key_parse("pssst-secret-key-1m55erv9xt2vk9la2ufz3vvy029ysrd43s6m2cml6frx75h2"
                                 "4cvtsrrtrpj", 76, key) == PSSST_INVALID_KEY,
          "a secret key where a public one is wanted");
    check(pssst_secret_key_parse(" PSSST-SECRET-KEY-1M55ERV9XT2VK9LA2UFZ3VVY029YSRD43S6M2CML6FRX75H2"
                                 "4CVTSRRTRPJ\n", 78, key) == PSSST_OK && key[0] == 0xdd,
          "a secret key");
}

static void documents(void)
{
    static const char BEGIN[] = "-----BEGIN PSSST PSK-----\n";
    static const char PSK[] = "a comment\n-----BEGIN PSSST PSK-----\r\n"
                              "XFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFxcXFwAESIzRFVmdw==\r\n"
                              "-----END PSSST PSK-----\n \n";
    char text[256];
    uint8_t psk[32], master[8];
    size_t len;
    check(pssst_psk_parse(PSK, strlen(PSK), psk, master) == PSSST_OK && psk[0] == 0x5c &&
              psk[31] == 0x5c && master[0] == 0 && master[7] == 0x77,
          "a pre-shared key");
    for (len = 0; len < strlen(PSK) - 3; len++) {
        check(pssst_psk_parse(PSK, len, psk, master) == PSSST_INVALID_KEY, "a document that is cut");
    }
    sprintf(text, "%sXFxc!\n-----END PSSST PSK-----", BEGIN);
    check(pssst_psk_parse(text, strlen(text), psk, master) == PSSST_INVALID_KEY, "not base64");
    sprintf(text, "%s%s", PSK, PSK);
    check(pssst_psk_parse(text, strlen(text), psk, master) == PSSST_INVALID_KEY, "two documents");
}

static void names(void)
{
    unsigned i, j;
    for (i = 0; i <= PSSST_UNKNOWN_SERVER_KEY; i++) {
        check(strcmp(pssst_error_name((pssst_error)i), "unknown") != 0, "every error has its name");
        for (j = 0; j < i; j++) {
            check(strcmp(pssst_error_name((pssst_error)i), pssst_error_name((pssst_error)j)) != 0,
                  "one name for one error");
        }
    }
    check(strcmp(pssst_error_name((pssst_error)i), "unknown") == 0, "no error with this number");
    check(strcmp(pssst_error_name(PSSST_LINK_MISSING), "link_missing") == 0, "names in their order");
}

int main(void)
{
    static const uint8_t scalars[2][32] = {{11}, {12}};
    test_port(&platform);
    test_port_random(secret);
    (void)platform.x25519(platform.context, server, scalars[0], base);
    (void)platform.x25519(platform.context, other, scalars[1], base);
    options();
    sealing_fails();
    making_fails();
    precomputed();
    rotation();
    a_reply_is_computed_anew();
    keys_as_text();
    documents();
    names();
    printf("%u passed, %u failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}
