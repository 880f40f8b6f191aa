/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The platform's functions over PSA Crypto: Zephyr, ESP-IDF, mbedTLS. Call `psa_crypto_init` once
 * before. Whether it runs in constant time depends on the implementation behind PSA.
 */
#ifndef PSSST_PSA_H
#define PSSST_PSA_H

#include "../pssst_client.h"

#ifdef __cplusplus
extern "C" {
#endif

/* X25519, SHA-256, AES and the generator of PSA. */
extern const pssst_platform PSSST_PSA_PLATFORM;

#ifdef __cplusplus
}
#endif

#endif
