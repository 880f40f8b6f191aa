/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The platform's functions over BearSSL 0.6: small, without allocation, in constant time.
 * BearSSL has no generator of its own on a microcontroller, so the board's is given.
 *
 * PSSST_BEARSSL_M15 takes X25519 for cores without a fast 32x32 -> 64 multiplication (Cortex-M0,
 * AVR); otherwise the 31-bit one is used.
 */
#ifndef PSSST_BEARSSL_H
#define PSSST_BEARSSL_H

#include "../pssst_client.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Sets the platform's functions. `random` fills bytes from the board's generator and returns 0 on
 * success; `context` is its first argument. */
void pssst_bearssl_platform(pssst_platform *platform,
                            int (*random)(void *context, uint8_t *out, size_t len), void *context);

#ifdef __cplusplus
}
#endif

#endif
