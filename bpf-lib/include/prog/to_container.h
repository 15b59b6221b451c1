/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Packets to the endpoint, on tcx egress of the host side of its veth. */
#pragma once

#include "bpf/license.h"
#include "lib/enforce.h"
#include "lib/icmp6.h"
#include "lib/outcome.h"
#include "lib/packet.h"

static __always_inline int handle_to_container(struct __sk_buff *ctx, struct flow *flow, u32 *cause)
{
	int protocol = eth_protocol(ctx);
	int ret;

	if (protocol < 0)
		return protocol;
#if ENABLE_IPV4
	if (protocol == ETH_ARP)
		return CTX_ACT_OK;
#endif
	ret = packet_parse(ctx, protocol, flow);
	if (ret < 0)
		return ret;
	if (icmp6_is_neighbour(flow))
		return CTX_ACT_OK;
	return enforce(ctx, flow, DIRECTION_INGRESS, cause);
}

SEC("classifier")
int to_container(struct __sk_buff *ctx)
{
	struct flow flow = {};
	u32 cause = 0;
	int ret = handle_to_container(ctx, &flow, &cause);

	return outcome(ctx, &flow, DIRECTION_INGRESS, ret, cause);
}
