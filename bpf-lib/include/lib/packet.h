/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Any frame to a flow. */
#pragma once

#include "lib/ipv4.h"
#include "lib/ipv6.h"

/* Reads an IP packet of the given L3 protocol; one that is not enabled is as unknown as any other. */
static __always_inline int packet_parse(struct __sk_buff *ctx, int protocol, struct flow *flow)
{
#if ENABLE_IPV4
	if (protocol == ETH_IPV4)
		return ipv4_parse(ctx, flow);
#endif
#if ENABLE_IPV6
	if (protocol == ETH_IPV6)
		return ipv6_parse(ctx, flow);
#endif
	return DROP_UNKNOWN_L3;
}
