/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Runs the lines of `vectors.py`, read from standard input, and prints how many held. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../pssst_client.h"
#include "../pssst_text.h"
#include "test_port.h"

#define MAX_LINE 400000u
#define MAX_WORDS 40u
#define MAX_PACKET 70000u

static pssst_platform platform;
static unsigned passed, failed, for_servers;
static char *words[MAX_WORDS];
static unsigned word_count;

static int fail(const char *what)
{
    printf("FAILED  %s %s %s: %s\n", words[0], words[1], word_count > 2 ? words[2] : "", what);
    return 0;
}

/* Returns the bytes of hexadecimal digits; NULL for "-". */
static uint8_t *bytes_of(unsigned word, size_t *len)
{
    const char *text = word < word_count ? words[word] : "-";
    uint8_t *bytes;
    size_t i;
    *len = 0;
    if (strcmp(text, "-") == 0) {
        return NULL;
    }
    *len = strcmp(text, ".") == 0 ? 0 : strlen(text) / 2;
    /* Of its very length, so that sanitizers see any byte beyond. */
    bytes = malloc(*len + (*len == 0));
    if (bytes == NULL) {
        exit(2);
    }
    for (i = 0; i < *len; i++) {
        unsigned value;
        if (sscanf(text + 2 * i, "%2x", &value) != 1) {
            exit(2);
        }
        bytes[i] = (uint8_t)value;
    }
    return bytes;
}

static unsigned long number_of(unsigned word)
{
    return strcmp(words[word], "-") == 0 ? 0 : strtoul(words[word], NULL, 10);
}

static int same(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
    return a_len == b_len && (a_len == 0 || memcmp(a, b, a_len) == 0);
}

/* The fields of a case. */
struct fields {
    uint8_t *server, *secret, *client, *psk, *random, *ephemeral, *message, *packet;
    size_t server_len, message_len, packet_len;
};

static void read_fields(struct fields *f)
{
    size_t len;
    f->server = bytes_of(4, &f->server_len);
    f->secret = bytes_of(5, &len);
    f->client = bytes_of(6, &len);
    f->psk = bytes_of(7, &len);
    f->random = bytes_of(8, &len);
    f->ephemeral = bytes_of(9, &len);
    f->message = bytes_of(10, &f->message_len);
    f->packet = bytes_of(11, &f->packet_len);
}

static void free_fields(struct fields *f)
{
    free(f->server);
    free(f->secret);
    free(f->client);
    free(f->psk);
    free(f->random);
    free(f->ephemeral);
    free(f->message);
    free(f->packet);
}

static pssst_error set_options(pssst_client *client, const struct fields *f)
{
    pssst_error error = PSSST_OK;
    if (f->psk != NULL) {
        error = pssst_client_set_psk(client, f->psk);
    }
    if (error == PSSST_OK && number_of(12) != 0) {
        error = pssst_client_set_padding(client, (uint16_t)number_of(12));
    }
    if (error == PSSST_OK && number_of(13) != 0) {
        error = pssst_client_set_fresh_replies(client, 1);
    }
    return error;
}

static int check_sealed(pssst_error error, const uint8_t *packet, size_t len,
                        const struct fields *f)
{
    if (error != PSSST_OK) {
        return fail(pssst_error_name(error));
    }
    if (f->packet != NULL && !same(packet, len, f->packet, f->packet_len)) {
        return fail("another packet");
    }
    return 1;
}

/* Opens the replies of the case, one after the other, with one pending request. */
static int check_replies(const pssst_pending *pending)
{
    const unsigned long replies = number_of(3);
    unsigned long i;
    for (i = 0; i < replies; i++) {
        const unsigned at = 14 + 3 * (unsigned)i;
        size_t reply_len, expected_len, message_len;
        uint8_t *const reply = bytes_of(at + 1, &reply_len);
        uint8_t *const expected = bytes_of(at + 2, &expected_len);
        uint8_t *message;
        const pssst_pending before = *pending;
        const pssst_error error =
            pssst_pending_open(pending, reply, reply_len, &message, &message_len);
        const int named = strcmp(pssst_error_name(error), words[at]) == 0;
        const int unchanged = memcmp(&before, pending, sizeof before) == 0;
        const int right = error != PSSST_OK ? message == NULL && message_len == 0
                                            : same(message, message_len, expected, expected_len);
        free(reply);
        free(expected);
        if (!named) {
            printf("        expected %s, got %s\n", words[at], pssst_error_name(error));
            return fail("another outcome of the reply");
        }
        if (!right || !unchanged) {
            return fail("another message, or the pending request was changed");
        }
    }
    return 1;
}

static int run_client_case(uint16_t suite, const struct fields *f)
{
    static uint8_t packet[MAX_PACKET];
    pssst_client client, precomputed;
    pssst_pending pending;
    size_t len;
    int ok = 1;
    pssst_error error = pssst_client_init(&client, &platform, suite, f->server, f->secret);
    if (error == PSSST_OK) {
        error = set_options(&client, f);
    }
    if (error != PSSST_OK) {
        return fail(pssst_error_name(error));
    }
    if (f->client != NULL && memcmp(f->client, client.client_key, 32) != 0) {
        return fail("another client key");
    }
    if (f->random != NULL) {
        /* The whole way, from the random bytes on. */
        test_port_random(f->random);
        error = pssst_client_seal(&client, f->message, f->message_len, packet, sizeof packet, &len,
                                  &pending);
        ok = check_sealed(error, packet, len, f);
        if (ok && f->packet == NULL) {
            /* Hedging: X shows e. */
            uint8_t x[32];
            static const uint8_t base[32] = {9};
            if (platform.x25519(platform.context, x, f->ephemeral,
                                suite == 1 && f->secret != NULL ? client.client_key : base) != 0 ||
                memcmp(x, packet + 4, 32) != 0) {
                return fail("another e");
            }
        }
        if (ok && pssst_client_packet_len(&client, f->message_len) != len) {
            ok = fail("another length than announced");
        }
        if (ok && len > 0) {
            error = pssst_client_seal(&client, f->message, f->message_len, packet, len - 1, &len,
                                      &pending);
            if (error != PSSST_BUFFER_TOO_SMALL || len != 0) {
                ok = fail("a buffer that is too small was taken");
            }
        }
    }
    /* With e given: what a client without its secret key seals, and what suite 1's cases have. */
    if (ok && f->secret != NULL) {
        error = pssst_client_init_precomputed(&precomputed, &platform, suite, f->server,
                                              client.client_key, client.z2);
        if (error == PSSST_OK) {
            error = set_options(&precomputed, f);
        }
        if (error == PSSST_OK) {
            error = pssst_client_seal_with_ephemeral(&precomputed, f->ephemeral, f->message,
                                                     f->message_len, packet, sizeof packet, &len,
                                                     &pending);
        }
        ok = check_sealed(error, packet, len, f);
    }
    if (ok) {
        error = pssst_client_seal_with_ephemeral(&client, f->ephemeral, f->message, f->message_len,
                                                 packet, sizeof packet, &len, &pending);
        ok = check_sealed(error, packet, len, f) && check_replies(&pending);
    }
    pssst_wipe(&client, sizeof client);
    return ok;
}

static int run_key_case(uint16_t suite, const struct fields *f)
{
    uint8_t key[32];
    pssst_client client;
    pssst_error error = pssst_public_key_parse(words[4], strlen(words[4]), key);
    if (error == PSSST_OK) {
        error = pssst_client_init(&client, &platform, suite, key, NULL);
    }
    (void)f;
    return strcmp(pssst_error_name(error), words[14]) == 0 ? 1 : fail(pssst_error_name(error));
}

/* A packet for a server is never a reply: a client that waits refuses each. */
static int run_server_case(const pssst_pending *waiting, const struct fields *f)
{
    size_t len = f->packet_len, message_len;
    uint8_t *message;
    pssst_error error = pssst_pending_open(waiting, f->packet, len, &message, &message_len);
    for_servers++;
    return error != PSSST_OK && error != PSSST_PLATFORM_FAILED ? 1 : fail("taken as a reply");
}

static int run_unsupported(const struct fields *f)
{
    pssst_client client;
    static const uint8_t key[32] = {9};
    const uint16_t suite = (uint16_t)strtoul(words[1], NULL, 16);
    (void)f;
    for_servers++;
    return pssst_client_init(&client, &platform, suite, key, NULL) == PSSST_UNSUPPORTED_OPTION
               ? 1
               : fail("a suite that this client lacks was taken");
}

static int span_is(pssst_span span, const uint8_t *text, size_t len)
{
    return span.at == NULL ? text == NULL
                           : text != NULL && span.len == len && memcmp(span.at, text, len) == 0;
}

static int address_is(pssst_span host, uint16_t port, const uint8_t *text, size_t len)
{
    char whole[1100];
    if (host.at == NULL) {
        return text == NULL;
    }
    sprintf(whole, "%.*s:%u", (int)host.len, host.at, (unsigned)port);
    return text != NULL && strlen(whole) == len && memcmp(whole, text, len) == 0;
}

static int key_is(int there, const uint8_t *key, unsigned word)
{
    size_t len;
    uint8_t *expected = bytes_of(word, &len);
    const int result = there ? expected != NULL && memcmp(key, expected, 32) == 0 : expected == NULL;
    free(expected);
    return result;
}

static int run_link(void)
{
    size_t len, server_len, directory_len, token_len;
    uint8_t *text = bytes_of(1, &len);
    uint8_t *server = bytes_of(2, &server_len), *directory = bytes_of(3, &directory_len);
    uint8_t *token = bytes_of(4, &token_len);
    char suites[32] = "-";
    pssst_link link;
    int ok, i;
    const pssst_error error = pssst_link_parse(&platform, (char *)text, len, &link);
    if (error != PSSST_OK) {
        return fail(pssst_error_name(error));
    }
    for (i = 0; i < 3 && link.suites[i] != 0; i++) {
        sprintf(i == 0 ? suites : suites + strlen(suites), i == 0 ? "%x" : ",%x",
                (unsigned)link.suites[i]);
    }
    ok = address_is(link.host, link.port, server, server_len) &&
         address_is(link.directory_host, link.directory_port, directory, directory_len) &&
         span_is(link.token, token, token_len) && key_is(link.has_key, link.key, 5) &&
         key_is(link.has_key_hash, link.key, 6) && key_is(link.has_pin, link.pin, 7) &&
         strcmp(suites, words[8]) == 0;
    if (ok && link.has_key) {
        /* The key in its one form stands in the link. */
        char key[PSSST_PUBLIC_KEY_TEXT_LEN + 1];
        uint8_t *end = realloc(text, len + 1);
        pssst_public_key_format(link.key, key);
        text = end;
        text[len] = '\0';
        ok = strstr((char *)text, key) != NULL;
    }
    free(text);
    free(server);
    free(directory);
    free(token);
    return ok ? 1 : fail("other parts");
}

static int run_refused(void)
{
    size_t len;
    uint8_t *text = bytes_of(1, &len);
    pssst_link link;
    const pssst_error error = pssst_link_parse(&platform, (char *)text, len, &link);
    free(text);
    return strcmp(pssst_error_name(error), words[2]) == 0 ? 1 : fail(pssst_error_name(error));
}

static int run_case(const pssst_pending *waiting)
{
    const char *kind = words[0];
    const uint16_t suite = (uint16_t)strtoul(words[1], NULL, 16);
    struct fields f;
    int ok;

    if (strcmp(kind, "Link") == 0) {
        return run_link();
    }
    if (strcmp(kind, "Refused") == 0) {
        return run_refused();
    }
    read_fields(&f);
    if (suite != PSSST_SUITE_1 && suite != PSSST_SUITE_F002) {
        ok = run_unsupported(&f);
    } else if (strcmp(kind, "ServerKeyRejects") == 0) {
        ok = run_key_case(suite, &f);
    } else if (strcmp(kind, "Transaction") == 0 || strcmp(kind, "TwoReplies") == 0 ||
               strcmp(kind, "Hedging") == 0 || strcmp(kind, "ClientRejects") == 0) {
        ok = run_client_case(suite, &f);
    } else if (strcmp(kind, "ServerRejects") == 0 || strcmp(kind, "CutRequests") == 0 ||
               strcmp(kind, "ServerAccepts") == 0) {
        ok = run_server_case(waiting, &f);
    } else {
        ok = fail("a kind of case that the runner does not know");
    }
    free_fields(&f);
    return ok;
}

int main(void)
{
    static char line[MAX_LINE];
    static const uint8_t scalar[32] = {1};
    uint8_t server[32], packet[64];
    pssst_client client;
    pssst_pending waiting;
    size_t len;

    test_port(&platform);
    if (platform.x25519(platform.context, server, scalar, (const uint8_t[32]){9}) != 0 ||
        pssst_client_init(&client, &platform, PSSST_SUITE_F002, server, NULL) != PSSST_OK ||
        pssst_client_seal(&client, NULL, 0, packet, sizeof packet, &len, &waiting) != PSSST_OK) {
        printf("FAILED  no request could be sealed\n");
        return 1;
    }
    while (fgets(line, sizeof line, stdin) != NULL) {
        char *word;
        if (strchr(line, '\n') == NULL) {
            printf("FAILED  a line is too long\n");
            return 1;
        }
        word_count = 0;
        for (word = strtok(line, " \n"); word != NULL; word = strtok(NULL, " \n")) {
            if (word_count == MAX_WORDS) {
                return 1;
            }
            words[word_count++] = word;
        }
        if (run_case(&waiting)) {
            passed++;
        } else {
            failed++;
        }
    }
    printf("%u passed, %u failed (%u of them are for servers or other suites)\n", passed, failed,
           for_servers);
    return failed == 0 && passed > 700 ? 0 : 1;
}
