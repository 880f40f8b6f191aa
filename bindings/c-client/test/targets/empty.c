/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A firmware that does nothing, with what every firmware has of the C library. */
#include <string.h>

static volatile unsigned char input[4];
static unsigned char copy[4];

int main(void)
{
    memcpy(copy, (const unsigned char *)input, input[0]);
    memmove(copy, copy + input[1], input[0]);
    memset(copy, input[0], input[1]);
    return memcmp(copy, (const unsigned char *)input, input[0]);
}
