/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Packets that the endpoint sends, on tcx ingress of the host side of its veth. */
#pragma once

#include "bpf/license.h"
#include "lib/arp.h"
#include "lib/enforce.h"
#include "lib/mark.h"
#include "lib/outcome.h"
#include "lib/packet.h"
#include "lib/source.h"

static __always_inline int handle_from_container(struct __sk_buff *ctx, struct flow *flow, struct decision *decision)
{
	int protocol = eth_protocol(ctx);
	int ret;

	if (protocol < 0)
		return protocol;
#if ENABLE_IPV4
	if (protocol == ETH_ARP)
		return arp_check_sender(ctx);
#endif
	ret = packet_parse(ctx, protocol, flow);
	if (ret < 0)
		return ret;
	if (icmp6_is_neighbour(flow) && source_is_on_link(flow))
		return icmp6_check_target(ctx, flow);
	if (icmp6_is_listener(flow) && source_is_on_link(flow))
		return CTX_ACT_OK;
	if (!source_is_own(flow))
		return DROP_INVALID_SOURCE_IP;
	return enforce(ctx, flow, DIRECTION_EGRESS, decision);
}

SEC("classifier")
int from_container(struct __sk_buff *ctx)
{
	struct flow flow = {};
	struct decision decision = {};
	int ret = handle_from_container(ctx, &flow, &decision);

	if (ret == CTX_ACT_OK)
		mark_source(ctx, endpoint_identity);
	return outcome(ctx, &flow, DIRECTION_EGRESS, ret, &decision);
}
