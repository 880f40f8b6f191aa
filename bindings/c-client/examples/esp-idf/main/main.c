/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <esp_event.h>
#include <esp_log.h>
#include <esp_netif.h>
#include <freertos/FreeRTOS.h>
#include <freertos/task.h>
#include <nvs_flash.h>
#include <protocol_examples_common.h>

#include "device.h"

void app_main(void)
{
    pssst_error error;
    ESP_ERROR_CHECK(nvs_flash_init());
    ESP_ERROR_CHECK(esp_netif_init());
    ESP_ERROR_CHECK(esp_event_loop_create_default());
    /* The radio also feeds the random generator: connect first. */
    ESP_ERROR_CHECK(example_connect());
    error = device_start();
    if (error != PSSST_OK) {
        ESP_LOGE("pssst", "%s", pssst_error_name(error));
        return;
    }
    for (;;) {
        (void)device_send("23.5 C");
        vTaskDelay(pdMS_TO_TICKS(60000));
    }
}
