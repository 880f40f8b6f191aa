/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The firmware's common part as a program of this computer, which the checks run. */
#include "device.h"

int main(void)
{
    return device_start() == PSSST_OK && device_send("23.5 C") == PSSST_OK &&
                   device_send("23.6 C") == PSSST_OK
               ? 0
               : 1;
}
