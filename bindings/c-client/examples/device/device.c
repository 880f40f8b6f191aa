/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "device.h"

#include <stdio.h>
#include <string.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <psa/crypto.h>

#include "device_config.h"
#include "pssst_psa.h"
#include "pssst_text.h"
#include "pssst_udp.h"

static const char LINK[] = DEVICE_LINK;
static pssst_client client;
static struct sockaddr_in server;
/* A request and, behind it, a reply, of this many bytes each. */
static uint8_t buffer[2 * 512];

/* Reads the server's address: an IPv4 address, since a device may have no resolver. */
static int read_address(const pssst_link *link)
{
    char host[16] = {0};
    if (link->host.at == NULL || link->host.len >= sizeof host) {
        return 0;
    }
    memcpy(host, link->host.at, link->host.len);
    memset(&server, 0, sizeof server);
    server.sin_family = AF_INET;
    server.sin_port = htons(link->port);
    return inet_pton(AF_INET, host, &server.sin_addr) == 1;
}

pssst_error device_start(void)
{
    static const char identity[] = DEVICE_IDENTITY;
    uint8_t client_key[32], z2[32];
    pssst_link link;
    pssst_error error;

    if (psa_crypto_init() != PSA_SUCCESS) {
        return PSSST_PLATFORM_FAILED;
    }
    error = pssst_link_parse(&PSSST_PSA_PLATFORM, LINK, sizeof LINK - 1, &link);
    if (error == PSSST_OK && (!link.has_key || !read_address(&link))) {
        error = PSSST_LINK_INVALID;
    }
    if (error == PSSST_OK) {
        error = pssst_precomputed_parse(&PSSST_PSA_PLATFORM, identity, sizeof identity - 1, link.key,
                                        client_key, z2);
    }
    if (error == PSSST_OK) {
        error = pssst_client_init_precomputed(&client, &PSSST_PSA_PLATFORM, PSSST_SUITE_F002,
                                              link.key, client_key, z2);
    }
    pssst_wipe(z2, sizeof z2);
    return error;
}

pssst_error device_send(const char *reading)
{
    uint8_t *reply;
    size_t len;
    pssst_request_report report;
    const pssst_error error = pssst_udp_request(
        &client, (const struct sockaddr *)&server, sizeof server, &PSSST_DEFAULT_RETRY,
        (const uint8_t *)reading, strlen(reading), buffer, sizeof buffer, &reply, &len, &report);
    if (error == PSSST_OK) {
        printf("%.*s\n", (int)len, (const char *)reply);
    } else {
        printf("%s: %s, %lu packets sent\n", reading, pssst_error_name(error),
               (unsigned long)report.sent);
    }
    return error;
}
