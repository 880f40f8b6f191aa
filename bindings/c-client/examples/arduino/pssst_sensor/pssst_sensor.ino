/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A sensor on an ESP8266, whose Arduino core contains BearSSL. Copy pssst_client.[ch],
 * pssst_text.[ch], pssst_request.[ch] and port/pssst_bearssl.[ch] into this folder, and change the
 * port's `../pssst_client.h` and `bearssl.h` to `pssst_client.h` and `bearssl/bearssl.h`.
 */
#include <ESP8266WiFi.h>
#include <WiFiUdp.h>

#include "pssst_bearssl.h"
#include "pssst_client.h"
#include "pssst_request.h"
#include "pssst_text.h"

extern "C" int os_get_random(unsigned char *buffer, size_t len);

static const char NETWORK[] = "...", PASSWORD[] = "...";
/* What `pssst serve` prints, with an IPv4 address; and what `pssst precompute` wrote. */
static const char LINK[] = "pssst://192.0.2.1:45678/?key=pssst1...&check=...";
static const char IDENTITY[] = "-----BEGIN PSSST PRECOMPUTED IDENTITY-----\n"
                               "...\n"
                               "-----END PSSST PRECOMPUTED IDENTITY-----\n";

static WiFiUDP udp;
static IPAddress server;
static uint16_t port;
static pssst_platform platform;
static pssst_client client;
static uint8_t buffer[1024];

static int board_random(void *, uint8_t *out, size_t len) { return os_get_random(out, len); }

static uint32_t board_now(void *) { return millis(); }

static int board_address(void *, uint8_t address[PSSST_ADDRESS_LEN])
{
    const IPAddress local = WiFi.localIP();
    for (int i = 0; i < 4; i++) {
        address[i] = local[i];
    }
    return WiFi.isConnected() ? 0 : -1;
}

static int board_send(void *, const uint8_t *packet, size_t len)
{
    return udp.beginPacket(server, port) == 1 && udp.write(packet, len) == len && udp.endPacket() == 1 ? 0 : -1;
}

static int board_receive(void *, uint8_t *datagram, size_t capacity, uint32_t timeout, size_t *len)
{
    const uint32_t start = millis();
    *len = 0;
    do {
        const int size = udp.parsePacket();
        if (size > 0 && udp.remoteIP() == server && udp.remotePort() == port) {
            *len = udp.read(datagram, capacity);
            return 0;
        }
        delay(1); /* also runs what the core has to do */
    } while (millis() - start < timeout);
    return 0;
}

static const pssst_network network = {board_now, board_address, board_send, board_receive, NULL};

static void stop(const char *what, pssst_error error)
{
    Serial.printf("%s: %s\n", what, pssst_error_name(error));
    for (;;) {
        delay(1000);
    }
}

void setup()
{
    uint8_t client_key[32], z2[32];
    pssst_link link;
    char host[16] = {0};

    Serial.begin(115200);
    WiFi.begin(NETWORK, PASSWORD);
    while (!WiFi.isConnected()) {
        delay(100);
    }
    udp.begin(0);
    pssst_bearssl_platform(&platform, board_random, NULL);
    pssst_error error = pssst_link_parse(&platform, LINK, sizeof LINK - 1, &link);
    if (error != PSSST_OK || !link.has_key || link.host.len >= sizeof host) {
        stop("link", error);
    }
    memcpy(host, link.host.at, link.host.len);
    if (!server.fromString(host)) {
        stop("address", PSSST_LINK_INVALID);
    }
    port = link.port;
    error = pssst_precomputed_parse(&platform, IDENTITY, sizeof IDENTITY - 1, link.key, client_key, z2);
    if (error == PSSST_OK) {
        error = pssst_client_init_precomputed(&client, &platform, PSSST_SUITE_F002, link.key, client_key, z2);
    }
    pssst_wipe(z2, sizeof z2);
    if (error != PSSST_OK) {
        stop("client", error);
    }
}

void loop()
{
    static const char reading[] = "23.5 C";
    uint8_t *reply;
    size_t len;
    const pssst_error error =
        pssst_request(&client, &network, &PSSST_DEFAULT_RETRY, (const uint8_t *)reading, sizeof reading - 1, buffer,
                      sizeof buffer, &reply, &len, NULL);
    if (error == PSSST_OK) {
        Serial.printf("%.*s\n", (int)len, (const char *)reply);
    } else {
        Serial.println(pssst_error_name(error));
    }
    delay(60000);
}
