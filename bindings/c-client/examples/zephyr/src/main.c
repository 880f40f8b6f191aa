/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <zephyr/kernel.h>
#include <zephyr/net/conn_mgr_connectivity.h>
#include <zephyr/net/net_event.h>
#include <zephyr/net/net_mgmt.h>

#include "device.h"

int main(void)
{
    pssst_error error = device_start();
    if (error != PSSST_OK) {
        printk("pssst: %s\n", pssst_error_name(error));
        return 1;
    }
    conn_mgr_all_if_up(true);
    (void)net_mgmt_event_wait(NET_EVENT_L4_CONNECTED, NULL, NULL, NULL, NULL, K_FOREVER);
    for (;;) {
        (void)device_send("23.5 C");
        k_sleep(K_SECONDS(60));
    }
}
