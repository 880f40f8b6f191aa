/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "pssst_text.h"

#include <string.h>

/* ---------------------------------------------------------------------------------- spans */

static int is_digit(char c) { return c >= '0' && c <= '9'; }

static int is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

static int is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c; }

static pssst_span trim(const char *text, size_t len)
{
    pssst_span span;
    while (len > 0 && is_space(text[0])) {
        text++;
        len--;
    }
    while (len > 0 && is_space(text[len - 1])) {
        len--;
    }
    span.at = text;
    span.len = len;
    return span;
}

static int is(pssst_span span, const char *text)
{
    return span.len == strlen(text) && memcmp(span.at, text, span.len) == 0;
}

/* Cuts the span at the first place of a text. Returns whether there is one; the span then begins
 * after it. */
static int cut(pssst_span *span, const char *text, pssst_span *front)
{
    const size_t len = strlen(text);
    size_t at;
    for (at = 0; at + len <= span->len; at++) {
        if (memcmp(span->at + at, text, len) == 0) {
            front->at = span->at;
            front->len = at;
            span->at += at + len;
            span->len -= at + len;
            return 1;
        }
    }
    *front = *span;
    span->at += span->len;
    span->len = 0;
    return 0;
}

/* Reads hexadecimal digits that are exactly `count` bytes. */
static int read_hex(pssst_span text, uint8_t *bytes, size_t count, int capitals)
{
    size_t i;
    if (text.len != 2 * count) {
        return 0;
    }
    for (i = 0; i < text.len; i++) {
        const char c = capitals ? lower(text.at[i]) : text.at[i];
        unsigned digit;
        if (is_digit(c)) {
            digit = (unsigned)(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            digit = (unsigned)(c - 'a') + 10;
        } else {
            return 0;
        }
        bytes[i / 2] = (uint8_t)(i % 2 == 0 ? digit << 4 : bytes[i / 2] | digit);
    }
    return 1;
}

/* ------------------------------------------------------------------------- Bech32m (BIP 350) */

static const char BECH32[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

#define BECH32_MAX_LEN 1023u
#define CHECKSUM_LEN 6u

static uint32_t checksum_step(uint32_t sum, unsigned value)
{
    static const uint32_t GENERATOR[5] = {UINT32_C(0x3b6a57b2), UINT32_C(0x26508e6d),
                                          UINT32_C(0x1ea119fa), UINT32_C(0x3d4233dd),
                                          UINT32_C(0x2a1462b3)};
    const uint32_t top = sum >> 25;
    unsigned i;
    sum = ((sum & UINT32_C(0x1ffffff)) << 5) ^ value;
    for (i = 0; i < 5; i++) {
        if (((top >> i) & 1u) != 0) {
            sum ^= GENERATOR[i];
        }
    }
    return sum;
}

/* The checksum's state after the prefix, in small letters. */
static uint32_t checksum_prefix(const char *prefix, size_t len)
{
    uint32_t sum = 1;
    size_t i;
    for (i = 0; i < len; i++) {
        sum = checksum_step(sum, (unsigned)(unsigned char)lower(prefix[i]) >> 5);
    }
    sum = checksum_step(sum, 0);
    for (i = 0; i < len; i++) {
        sum = checksum_step(sum, (unsigned)(unsigned char)lower(prefix[i]) & 31u);
    }
    return sum;
}

/* Returns the value of a letter of the alphabet, or 32. */
static unsigned letter_value(char letter)
{
    const char *found = letter == '\0' ? NULL : strchr(BECH32, lower(letter));
    return found == NULL ? 32 : (unsigned)(found - BECH32);
}

/* Reads as many bytes as there is room for, under this prefix and in one case throughout. */
static pssst_error bech32m_decode(pssst_span text, const char *prefix, uint8_t *bytes,
                                  size_t count)
{
    size_t separator = text.len, i, values, written = 0;
    uint32_t sum, bits = 0;
    unsigned small = 0, capital = 0, pending = 0;

    for (i = 0; i < text.len; i++) {
        const char c = text.at[i];
        if (c < 33 || c > 126) {
            return PSSST_KEY_CHECKSUM;
        }
        small |= (unsigned)(c >= 'a' && c <= 'z');
        capital |= (unsigned)(c >= 'A' && c <= 'Z');
        if (c == '1') {
            separator = i;
        }
    }
    if ((small & capital) != 0 || separator == text.len || separator == 0 || separator > 83 ||
        text.len > BECH32_MAX_LEN || text.len - separator - 1 < CHECKSUM_LEN) {
        return PSSST_KEY_CHECKSUM;
    }
    sum = checksum_prefix(text.at, separator);
    for (i = separator + 1; i < text.len; i++) {
        const unsigned value = letter_value(text.at[i]);
        if (value > 31) {
            return PSSST_KEY_CHECKSUM;
        }
        sum = checksum_step(sum, value);
    }
    if (sum != UINT32_C(0x2bc830a3)) {
        return PSSST_KEY_CHECKSUM;
    }

    values = text.len - separator - 1 - CHECKSUM_LEN;
    if (separator != strlen(prefix) || 5 * values / 8 != count || 5 * values - 8 * count > 4) {
        return PSSST_INVALID_KEY;
    }
    for (i = 0; i < separator; i++) {
        if (lower(text.at[i]) != prefix[i]) {
            return PSSST_INVALID_KEY;
        }
    }
    for (i = 0; i < values; i++) {
        bits = ((bits << 5) | letter_value(text.at[separator + 1 + i])) & 0xfffu;
        pending += 5;
        if (pending >= 8) {
            pending -= 8;
            bytes[written++] = (uint8_t)((bits >> pending) & 0xffu);
        }
    }
    /* The unused bits are zero, so that each key has one text. */
    return (bits & ((1u << pending) - 1u)) == 0 ? PSSST_OK : PSSST_INVALID_KEY;
}

static pssst_error key_parse(const char *text, size_t len, const char *prefix, uint8_t key[32])
{
    const pssst_span span = trim(text, len);
    const size_t prefix_len = strlen(prefix);
    size_t i;

    for (i = 0; i < prefix_len && i < span.len && lower(span.at[i]) == prefix[i]; i++) {
    }
    if (i == prefix_len && span.len > i && span.at[i] == '1') {
        return bech32m_decode(span, prefix, key, 32);
    }
    return read_hex(span, key, 32, 1) ? PSSST_OK : PSSST_INVALID_KEY;
}

pssst_error pssst_public_key_parse(const char *text, size_t len, uint8_t key[32])
{
    return key_parse(text, len, "pssst", key);
}

void pssst_public_key_format(const uint8_t key[32], char text[PSSST_PUBLIC_KEY_TEXT_LEN + 1])
{
    uint32_t sum = checksum_prefix("pssst", 5), bits = 0;
    unsigned pending = 0, i, at = 6;

    memcpy(text, "pssst1", 6);
    for (i = 0; i < 52; i++) {
        unsigned value;
        if (pending < 5) {
            bits = ((bits << 8) | (i < 51 ? key[(5 * i + pending) / 8] : 0u)) & 0xffffu;
            pending += 8;
        }
        pending -= 5;
        value = (unsigned)(bits >> pending) & 31u;
        sum = checksum_step(sum, value);
        text[at++] = BECH32[value];
    }
    for (i = 0; i < CHECKSUM_LEN; i++) {
        sum = checksum_step(sum, 0);
    }
    sum ^= UINT32_C(0x2bc830a3);
    for (i = 0; i < CHECKSUM_LEN; i++) {
        text[at++] = BECH32[(sum >> (5 * (CHECKSUM_LEN - 1 - i))) & 31u];
    }
    text[at] = '\0';
}

/* ----------------------------------------------------------------------------------- links */

static const char SCHEME[] = "pssst://";
#define SCHEME_LEN (sizeof SCHEME - 1)

static int is_ipv4(pssst_span text)
{
    unsigned parts = 0;
    while (parts < 4) {
        pssst_span part;
        unsigned value = 0;
        size_t i;
        const int more = cut(&text, ".", &part);
        if (part.len == 0 || part.len > 3 || (part.len > 1 && part.at[0] == '0')) {
            return 0;
        }
        for (i = 0; i < part.len; i++) {
            if (!is_digit(part.at[i])) {
                return 0;
            }
            value = 10 * value + (unsigned)(part.at[i] - '0');
        }
        parts++;
        if (value > 255 || more != (parts < 4)) {
            return 0;
        }
    }
    return 1;
}

static int is_ipv6(pssst_span text)
{
    unsigned groups = 0;
    int shortened = 0;
    size_t at = 0;

    if (text.len >= 2 && memcmp(text.at, "::", 2) == 0) {
        shortened = 1;
        at = 2;
        if (at == text.len) {
            return 1;
        }
    }
    for (;;) {
        size_t digits = 0;
        while (at + digits < text.len &&
               (is_digit(text.at[at + digits]) ||
                (lower(text.at[at + digits]) >= 'a' && lower(text.at[at + digits]) <= 'f'))) {
            digits++;
        }
        if (at + digits < text.len && text.at[at + digits] == '.') {
            pssst_span rest;
            rest.at = text.at + at;
            rest.len = text.len - at;
            groups += 2;
            return is_ipv4(rest) && (shortened ? groups < 8 : groups == 8);
        }
        if (digits == 0 || digits > 4) {
            return 0;
        }
        groups++;
        at += digits;
        if (at == text.len) {
            return shortened ? groups < 8 : groups == 8;
        }
        if (text.at[at] != ':') {
            return 0;
        }
        at++;
        if (at < text.len && text.at[at] == ':') {
            if (shortened) {
                return 0;
            }
            shortened = 1;
            at++;
            if (at == text.len) {
                return groups < 8;
            }
        }
    }
}

/* Splits HOST:PORT. */
static int read_address(pssst_span text, pssst_span *host, uint16_t *port)
{
    unsigned long value = 0;
    size_t colon = text.len, i;

    for (i = 0; i < text.len; i++) {
        if (text.at[i] == ':') {
            colon = i;
        }
    }
    if (colon == text.len || text.len - colon - 1 < 1 || text.len - colon - 1 > 5) {
        return 0;
    }
    for (i = colon + 1; i < text.len; i++) {
        if (!is_digit(text.at[i])) {
            return 0;
        }
        value = 10 * value + (unsigned long)(text.at[i] - '0');
    }
    if (value == 0 || value > 65535) {
        return 0;
    }
    host->at = text.at;
    host->len = colon;
    *port = (uint16_t)value;
    if (host->len > 2 && host->at[0] == '[' && host->at[host->len - 1] == ']') {
        pssst_span inner;
        inner.at = host->at + 1;
        inner.len = host->len - 2;
        return is_ipv6(inner);
    }
    for (i = 0; i < host->len; i++) {
        const char c = host->at[i];
        if (!is_digit(c) && !is_letter(c) && c != '-' && c != '.' && c != '_') {
            return 0;
        }
    }
    return host->len > 0;
}

/* In the one form that is written. */
static pssst_error read_link_key(pssst_span text, pssst_link *link)
{
    uint8_t key[32];
    size_t i;
    int is_hash;
    for (i = 0; i < text.len; i++) {
        if (text.at[i] >= 'A' && text.at[i] <= 'Z') {
            return PSSST_LINK_INVALID;
        }
    }
    is_hash = bech32m_decode(text, "pssst", key, 32) != PSSST_OK;
    if (is_hash && bech32m_decode(text, "pssst-pq", key, 32) != PSSST_OK) {
        return PSSST_LINK_INVALID;
    }
    if (link->has_key || link->has_key_hash) {
        return PSSST_LINK_REPEATED;
    }
    memcpy(link->key, key, sizeof key);
    link->has_key = (uint8_t)!is_hash;
    link->has_key_hash = (uint8_t)is_hash;
    return PSSST_OK;
}

static pssst_error read_suites(pssst_span text, pssst_link *link)
{
    unsigned count = 0, i;
    int more = 1;
    if (link->suites[0] != 0) {
        return PSSST_LINK_REPEATED;
    }
    while (more) {
        pssst_span name;
        uint16_t suite;
        more = cut(&text, ",", &name);
        if (is(name, "1")) {
            suite = 1;
        } else if (is(name, "f002")) {
            suite = 0xf002;
        } else if (is(name, "f003")) {
            suite = 0xf003;
        } else {
            return PSSST_LINK_INVALID;
        }
        for (i = 0; i < count; i++) {
            if (link->suites[i] == suite) {
                return PSSST_LINK_INVALID;
            }
        }
        /* There are three, each once. */
        link->suites[count++] = suite;
    }
    return PSSST_OK;
}

static pssst_error read_span(pssst_span value, pssst_span *place)
{
    if (place->at != NULL) {
        return PSSST_LINK_REPEATED;
    }
    *place = value;
    return PSSST_OK;
}

static pssst_error read_parameter(pssst_span name, pssst_span value, pssst_link *link,
                                  pssst_span *directory)
{
    if (is(name, "key")) {
        return read_link_key(value, link);
    }
    if (is(name, "suites")) {
        return read_suites(value, link);
    }
    if (is(name, "directory")) {
        return read_span(value, directory);
    }
    if (is(name, "pin")) {
        uint8_t pin[32];
        if (!read_hex(value, pin, sizeof pin, 0)) {
            return PSSST_LINK_INVALID;
        }
        if (link->has_pin) {
            return PSSST_LINK_REPEATED;
        }
        memcpy(link->pin, pin, sizeof pin);
        link->has_pin = 1;
        return PSSST_OK;
    }
    if (is(name, "token")) {
        return read_span(value, &link->token);
    }
    return PSSST_LINK_UNKNOWN_PARAMETER;
}

/* Checks the parts, and that those are there which the others need. */
static pssst_error check_link(pssst_link *link, pssst_span server, pssst_span directory)
{
    size_t i;
    if (server.len > 0 && !read_address(server, &link->host, &link->port)) {
        return PSSST_LINK_INVALID;
    }
    if (directory.at != NULL &&
        !read_address(directory, &link->directory_host, &link->directory_port)) {
        return PSSST_LINK_INVALID;
    }
    if (link->token.at != NULL) {
        for (i = 0; i < link->token.len; i++) {
            const char c = link->token.at[i];
            if (!is_digit(c) && !is_letter(c) && c != '-' && c != '_') {
                return PSSST_LINK_INVALID;
            }
        }
        if (link->token.len == 0) {
            return PSSST_LINK_INVALID;
        }
    }
    if (directory.at != NULL) {
        return PSSST_OK;
    }
    if (server.len == 0 || !link->has_key || link->has_pin || link->token.at != NULL) {
        return PSSST_LINK_MISSING;
    }
    for (i = 0; i < 3; i++) {
        if (link->suites[i] == 0xf003) {
            return PSSST_LINK_MISSING;
        }
    }
    return PSSST_OK;
}

/* Compares the checksum: the front of the hash of what stands before it. */
static pssst_error check_sum(const pssst_platform *platform, pssst_span text, pssst_span sum)
{
    uint8_t hash[32], given[4];
    if (platform->sha256(platform->context, hash, (const uint8_t *)text.at, text.len) != 0) {
        return PSSST_PLATFORM_FAILED;
    }
    return read_hex(sum, given, sizeof given, 0) && memcmp(hash, given, sizeof given) == 0
               ? PSSST_OK
               : PSSST_LINK_CHECKSUM;
}

static pssst_error parse_link(const pssst_platform *platform, pssst_span text, pssst_link *link)
{
    static const char CHECK[] = "&check=";
    pssst_span server, directory = {NULL, 0}, sum;
    size_t i;
    int more = 1;
    pssst_error error;

    if (text.len < SCHEME_LEN) {
        return PSSST_LINK_NOT_LINK;
    }
    for (i = 0; i < SCHEME_LEN; i++) {
        if (lower(text.at[i]) != SCHEME[i]) {
            return PSSST_LINK_NOT_LINK;
        }
    }
    if (text.len > PSSST_LINK_MAX_LEN) {
        return PSSST_LINK_TOO_LONG;
    }
    /* The checksum before the rest: a damaged link makes no sense anywhere. */
    for (i = text.len; i >= sizeof CHECK - 1; i--) {
        if (memcmp(text.at + i - (sizeof CHECK - 1), CHECK, sizeof CHECK - 1) == 0) {
            break;
        }
    }
    if (i < sizeof CHECK - 1) {
        return PSSST_LINK_CUT;
    }
    sum.at = text.at + i;
    sum.len = text.len - i;
    text.len = i - (sizeof CHECK - 1);
    error = check_sum(platform, text, sum);
    if (error != PSSST_OK) {
        return error;
    }
    if (memcmp(text.at, SCHEME, SCHEME_LEN) != 0) {
        return PSSST_LINK_NOT_LINK;
    }
    text.at += SCHEME_LEN;
    text.len -= SCHEME_LEN;
    if (!cut(&text, "/?", &server)) {
        return PSSST_LINK_INVALID;
    }
    while (more) {
        pssst_span parameter, name;
        more = cut(&text, "&", &parameter);
        (void)cut(&parameter, "=", &name);
        error = read_parameter(name, parameter, link, &directory);
        if (error != PSSST_OK) {
            return error;
        }
    }
    return check_link(link, server, directory);
}

pssst_error pssst_link_parse(const pssst_platform *platform, const char *text, size_t len,
                             pssst_link *link)
{
    pssst_error error;
    memset(link, 0, sizeof *link);
    error = parse_link(platform, trim(text, len), link);
    if (error != PSSST_OK) {
        memset(link, 0, sizeof *link);
    }
    return error;
}

uint16_t pssst_link_suite(const pssst_link *link)
{
    unsigned i;
    if (link->suites[0] == 0) {
        return PSSST_SUITE_F002;
    }
    for (i = 0; i < 3; i++) {
        if (link->suites[i] == PSSST_SUITE_1 || link->suites[i] == PSSST_SUITE_F002) {
            return link->suites[i];
        }
    }
    return 0;
}

/* ------------------------------------------------------------------------------- documents */

/* Reads the base64 of a PEM document, byte after byte. */
typedef struct pem_reader {
    pssst_span text;
    uint32_t bits;
    unsigned pending;
    int ended;
    int bad;
} pem_reader;

/* Finds the document; text before it is passed over. */
static int pem_begin(pem_reader *reader, const char *text, size_t len, const char *first,
                     const char *last)
{
    pssst_span span = trim(text, len), before;
    const size_t last_len = strlen(last);
    memset(reader, 0, sizeof *reader);
    if (!cut(&span, first, &before) || span.len < last_len ||
        memcmp(span.at + span.len - last_len, last, last_len) != 0) {
        return 0;
    }
    reader->text.at = span.at;
    reader->text.len = span.len - last_len;
    return 1;
}

/* Returns the next byte, or -1 at the end. */
static int pem_next(pem_reader *reader)
{
    while (reader->pending < 8) {
        char c;
        unsigned value;
        if (reader->text.len == 0) {
            if ((reader->bits & ((1u << reader->pending) - 1u)) != 0 || reader->pending > 4) {
                reader->bad = 1;
            }
            return -1;
        }
        c = *reader->text.at++;
        reader->text.len--;
        if (is_space(c)) {
            continue;
        }
        if (c == '=') {
            reader->ended = 1;
            continue;
        }
        if (c >= 'A' && c <= 'Z') {
            value = (unsigned)(c - 'A');
        } else if (c >= 'a' && c <= 'z') {
            value = (unsigned)(c - 'a') + 26;
        } else if (is_digit(c)) {
            value = (unsigned)(c - '0') + 52;
        } else if (c == '+' || c == '/') {
            value = c == '+' ? 62 : 63;
        } else {
            reader->bad = 1;
            return -1;
        }
        if (reader->ended) {
            reader->bad = 1;
            return -1;
        }
        reader->bits = ((reader->bits << 6) | value) & 0x3fffu;
        reader->pending += 6;
    }
    reader->pending -= 8;
    return (int)((reader->bits >> reader->pending) & 0xffu);
}

/* Reads so many bytes. Returns how many there were. */
static size_t pem_read(pem_reader *reader, uint8_t *bytes, size_t count)
{
    size_t i;
    for (i = 0; i < count; i++) {
        const int byte = pem_next(reader);
        if (byte < 0) {
            break;
        }
        bytes[i] = (uint8_t)byte;
    }
    return i;
}

pssst_error pssst_secret_key_parse(const char *text, size_t len, uint8_t key[32])
{
    /* PKCS #8 of an X25519 key (RFC 8410), version 1 and without attributes. */
    static const uint8_t EXPECTED[16] = {0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06,
                                         0x03, 0x2b, 0x65, 0x6e, 0x04, 0x22, 0x04, 0x20};
    pem_reader reader;
    uint8_t front[sizeof EXPECTED], more;
    int valid;

    if (!pem_begin(&reader, text, len, "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----")) {
        return key_parse(text, len, "pssst-secret-key-", key);
    }
    valid = pem_read(&reader, front, sizeof front) == sizeof front &&
            memcmp(front, EXPECTED, sizeof front) == 0 && pem_read(&reader, key, 32) == 32 &&
            pem_read(&reader, &more, 1) == 0 && !reader.bad;
    pssst_wipe(&reader, sizeof reader);
    if (!valid) {
        pssst_wipe(key, 32);
        return PSSST_INVALID_KEY;
    }
    return PSSST_OK;
}

pssst_error pssst_precomputed_parse(const pssst_platform *platform, const char *text, size_t len,
                                    const uint8_t server_key[32], uint8_t client_key[32],
                                    uint8_t z2[32])
{
    pem_reader reader;
    uint8_t hash[32], entry[64];
    size_t count, entries = 0;
    int found = 0;
    pssst_error error = PSSST_INVALID_KEY;

    memset(client_key, 0, 32);
    memset(z2, 0, 32);
    if (platform->sha256(platform->context, hash, server_key, 32) != 0) {
        return PSSST_PLATFORM_FAILED;
    }
    if (!pem_begin(&reader, text, len, "-----BEGIN PSSST PRECOMPUTED IDENTITY-----",
                   "-----END PSSST PRECOMPUTED IDENTITY-----") ||
        pem_read(&reader, client_key, 32) != 32) {
        goto end;
    }
    while ((count = pem_read(&reader, entry, sizeof entry)) == sizeof entry) {
        entries++;
        if (memcmp(entry, hash, sizeof hash) == 0) {
            memcpy(z2, entry + 32, 32);
            found = 1;
        }
    }
    if (!reader.bad && count == 0 && entries > 0) {
        error = found ? PSSST_OK : PSSST_UNKNOWN_SERVER_KEY;
    }
end:
    if (error != PSSST_OK) {
        pssst_wipe(z2, 32);
    }
    pssst_wipe(&reader, sizeof reader);
    pssst_wipe(entry, sizeof entry);
    return error;
}

pssst_error pssst_psk_parse(const char *text, size_t len, uint8_t psk[32], uint8_t master[8])
{
    pem_reader reader;
    uint8_t more;
    int valid;

    valid = pem_begin(&reader, text, len, "-----BEGIN PSSST PSK-----", "-----END PSSST PSK-----") &&
            pem_read(&reader, psk, 32) == 32 && pem_read(&reader, master, 8) == 8 &&
            pem_read(&reader, &more, 1) == 0 && !reader.bad;
    pssst_wipe(&reader, sizeof reader);
    if (!valid) {
        pssst_wipe(psk, 32);
        return PSSST_INVALID_KEY;
    }
    return PSSST_OK;
}
