/*
 * runtime/netdev.h: linux.netDevices, interfaces of the caller's that become the container's.
 *
 * The network room's netlink needs a library that has no static form; what is needed here are five
 * messages.
 *
 * Spec: runtime-spec v1.3, config-linux.md "Network Devices".
 */
#pragma once

#include "base/error.h"
#include "oci/runtime_config.h"

/* Before anything is made: the names are names, and the devices are there. ERR_INVALID,
 * ERR_NOT_FOUND. */
MUST_CHECK int netdev_check(const struct spec_linux *l, struct error *err);
/*
 * Move each device to the network namespace `netns`, under its new name, with its permanent global
 * addresses, and up. Enters the namespace for a moment. The devices go where that namespace goes:
 * the kernel gives those of hardware back at its end.
 */
MUST_CHECK int netdev_move(const struct spec_linux *l, int netns, struct error *err);
