/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The part of a firmware that Zephyr and ESP-IDF have in common: PSA Crypto and BSD sockets. */
#ifndef DEVICE_H
#define DEVICE_H

#include "pssst_client.h"

/* Reads the link and the identity of device_config.h, and makes the client. Once after start, when
 * the random generator is seeded. */
pssst_error device_start(void);

/* Sends a reading and prints the reply. Needs an address on the network. */
pssst_error device_send(const char *reading);

#endif
