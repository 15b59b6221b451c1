/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Packets to the endpoint, on egress of the host side of its veth: the entry program there jumps here. */
#pragma once

#include "bpf/license.h"
#include "lib/enforce.h"
#include "lib/outcome.h"
#include "lib/packet.h"
#include "lib/source.h"

static __always_inline int handle_to_container(struct __sk_buff *ctx, const struct endpoint *endpoint, struct flow *flow,
					      struct decision *decision)
{
	u64 mac;
	int protocol = eth_protocol(ctx, &mac);
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
	/* The host's end of the link listens too. Nobody else can be it: no router forwards what bears these addresses. */
	if (icmp6_is_listener(flow) && source_is_unrouted(flow))
		return CTX_ACT_OK;
	return enforce(ctx, flow, DIRECTION_INGRESS, endpoint, decision);
}

SEC("classifier")
int to_container(struct __sk_buff *ctx)
{
	struct flow flow = {};
	struct decision decision = {};
	const struct endpoint *endpoint = endpoint_find(ctx);
	int ret = DROP_EP_NOT_READY;

	if (endpoint)
		ret = handle_to_container(ctx, endpoint, &flow, &decision);
	else if (consult_is_asked(ctx))
		return consult_answer(ctx);
	return outcome(ctx, &flow, DIRECTION_INGRESS, ret, &decision);
}
