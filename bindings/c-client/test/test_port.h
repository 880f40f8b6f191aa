/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The platform that tests use: another one, with random bytes that the test gives, and with
 * functions that fail on demand. */
#ifndef TEST_PORT_H
#define TEST_PORT_H

#include "../pssst_client.h"

/* Functions, for `test_port_fail`. */
enum { TEST_X25519 = 1, TEST_SHA256 = 2, TEST_AES = 4, TEST_RANDOM = 8 };

/* Sets the platform: BearSSL's functions, or PSA's with TEST_PORT_PSA. */
void test_port(pssst_platform *platform);

/* Sets the bytes that `random` gives from now on, as often as it is asked. */
void test_port_random(const uint8_t random[32]);

/* Lets the functions with these bits fail from the call with this number on, 0 being the next. */
void test_port_fail(unsigned functions, unsigned after);

#endif
