/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A sensor: sends readings to the server of a link, and prints the replies.
 *
 *   sensor [OPTIONS] LINK READING...
 *
 *   -i FILE   identity: a secret key (`pssst keygen`) or what `pssst precompute` wrote
 *   -q FILE   pre-shared key (`pssst enroll`, `pssst clients psk`)
 *   -p BYTES  pad requests to so many bytes
 *   -f        ask for fresh replies
 *   -t MS     deadline of a request, 10000 by default
 *   -r MS     first pause before a retransmission, 1000 by default
 *
 * It ends with 0 if every reading got its reply, 3 if one got none, else 1 or 2.
 */
#define _POSIX_C_SOURCE 200809L

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "pssst_bearssl.h"
#include "pssst_client.h"
#include "pssst_text.h"
#include "pssst_udp.h"

/* The longest datagram that passes any IPv6 network. */
#define MAX_DATAGRAM 1232u

static int system_random(void *context, uint8_t *out, size_t len)
{
    (void)context;
    return getrandom(out, len, 0) == (ssize_t)len ? 0 : -1;
}

static void fail(const char *what, pssst_error error)
{
    fprintf(stderr, "sensor: %s: %s\n", what, pssst_error_name(error));
    exit(error == PSSST_NO_REPLY ? 3 : 1);
}

/* Reads a whole file; returns its length. */
static size_t read_file(const char *path, char *text, size_t capacity)
{
    FILE *file = fopen(path, "r");
    size_t len;
    if (file == NULL) {
        perror(path);
        exit(2);
    }
    len = fread(text, 1, capacity, file);
    (void)fclose(file);
    if (len == capacity) {
        fprintf(stderr, "sensor: %s is too long\n", path);
        exit(2);
    }
    return len;
}

static void make_client(pssst_client *client, const pssst_platform *platform,
                        const pssst_link *link, const char *identity_file)
{
    char text[4096];
    uint8_t client_key[32], secret[32];
    const uint16_t suite = pssst_link_suite(link);
    pssst_error error;
    if (identity_file == NULL) {
        error = pssst_client_init(client, platform, suite, link->key, NULL);
    } else {
        const size_t len = read_file(identity_file, text, sizeof text);
        error = pssst_precomputed_parse(platform, text, len, link->key, client_key, secret);
        if (error == PSSST_OK) {
            error = pssst_client_init_precomputed(client, platform, suite, link->key, client_key,
                                                  secret);
        } else if (error == PSSST_INVALID_KEY) {
            error = pssst_secret_key_parse(text, len, secret);
            if (error == PSSST_OK) {
                error = pssst_client_init(client, platform, suite, link->key, secret);
            }
        }
        pssst_wipe(text, sizeof text);
        pssst_wipe(secret, sizeof secret);
    }
    if (error != PSSST_OK) {
        fail(identity_file == NULL ? "the server key" : identity_file, error);
    }
}

static void set_psk(pssst_client *client, const char *file)
{
    char text[1024];
    uint8_t psk[32], master[8];
    const size_t len = read_file(file, text, sizeof text);
    pssst_error error = pssst_psk_parse(text, len, psk, master);
    if (error == PSSST_OK) {
        error = pssst_client_set_psk(client, psk);
    }
    pssst_wipe(text, sizeof text);
    pssst_wipe(psk, sizeof psk);
    if (error != PSSST_OK) {
        fail(file, error);
    }
}

static struct addrinfo *resolve(const pssst_link *link)
{
    char host[PSSST_LINK_MAX_LEN + 1], port[8];
    struct addrinfo hints, *found = NULL;
    const int brackets = link->host.len > 0 && link->host.at[0] == '[';
    int status;
    (void)snprintf(host, sizeof host, "%.*s", (int)link->host.len - (brackets ? 2 : 0),
                   link->host.at + (brackets ? 1 : 0));
    (void)snprintf(port, sizeof port, "%u", (unsigned)link->port);
    memset(&hints, 0, sizeof hints);
    hints.ai_socktype = SOCK_DGRAM;
    status = getaddrinfo(host, port, &hints, &found);
    if (status != 0) {
        fprintf(stderr, "sensor: %s: %s\n", host, gai_strerror(status));
        exit(1);
    }
    return found;
}

int main(int argc, char **argv)
{
    /* Room for a request and, behind it, for a reply. */
    static uint8_t buffer[2 * MAX_DATAGRAM];
    const char *identity = NULL, *psk = NULL;
    unsigned long padding = 0;
    int fresh = 0, option, status = 0;
    pssst_retry retry = PSSST_DEFAULT_RETRY;
    pssst_platform platform;
    pssst_client client;
    pssst_link link;
    struct addrinfo *server;
    pssst_error error;

    while ((option = getopt(argc, argv, "i:q:p:ft:r:")) != -1) {
        switch (option) {
        case 'i': identity = optarg; break;
        case 'q': psk = optarg; break;
        case 'p': padding = strtoul(optarg, NULL, 10); break;
        case 'f': fresh = 1; break;
        case 't': retry.deadline = (uint32_t)strtoul(optarg, NULL, 10); break;
        case 'r': retry.initial_timeout = (uint32_t)strtoul(optarg, NULL, 10); break;
        default: return 2;
        }
    }
    if (argc - optind < 2 || padding > MAX_DATAGRAM) {
        fprintf(stderr, "usage: sensor [-i FILE] [-q FILE] [-p BYTES] [-f] [-t MS] [-r MS] LINK READING...\n");
        return 2;
    }
    pssst_bearssl_platform(&platform, system_random, NULL);
    error = pssst_link_parse(&platform, argv[optind], strlen(argv[optind]), &link);
    if (error != PSSST_OK) {
        fail("the link", error);
    }
    if (!link.has_key || link.host.at == NULL || pssst_link_suite(&link) == 0) {
        fprintf(stderr, "sensor: the link needs a server and its X25519 key\n");
        return 2;
    }
    make_client(&client, &platform, &link, identity);
    if (psk != NULL) {
        set_psk(&client, psk);
    }
    error = padding == 0 ? PSSST_OK : pssst_client_set_padding(&client, (uint16_t)padding);
    if (error == PSSST_OK && fresh) {
        error = pssst_client_set_fresh_replies(&client, 1);
    }
    if (error != PSSST_OK) {
        fail("an option", error);
    }
    server = resolve(&link);
    for (optind++; optind < argc; optind++) {
        const char *reading = argv[optind];
        uint8_t *reply;
        size_t reply_len;
        pssst_request_report report;
        error = pssst_udp_request(&client, server->ai_addr, server->ai_addrlen, &retry,
                                  (const uint8_t *)reading, strlen(reading), buffer, sizeof buffer,
                                  &reply, &reply_len, &report);
        if (error == PSSST_OK) {
            printf("%.*s\n", (int)reply_len, (const char *)reply);
        } else {
            fprintf(stderr, "sensor: %s: %s, %lu packets sent, %lu datagrams refused\n", reading,
                    pssst_error_name(error), (unsigned long)report.sent,
                    (unsigned long)report.refused);
            status = error == PSSST_NO_REPLY ? 3 : 1;
        }
    }
    freeaddrinfo(server);
    pssst_wipe(&client, sizeof client);
    pssst_wipe(buffer, sizeof buffer);
    return status;
}
