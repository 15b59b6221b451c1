/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Packets that the endpoint sends, on ingress of the host side of its veth: the entry program there jumps here. */
#pragma once

#include "bpf/license.h"
#include "lib/arp.h"
#include "lib/enforce.h"
#include "lib/mark.h"
#include "lib/ndp.h"
#include "lib/outcome.h"
#include "lib/packet.h"
#include "lib/source.h"

static __always_inline int handle_from_container(struct __sk_buff *ctx, const struct endpoint *endpoint, struct flow *flow,
						struct decision *decision)
{
	u64 mac;
	int protocol = eth_protocol(ctx, &mac);
	int ret;

	if (protocol < 0)
		return protocol;
	if (!source_is_own_mac(mac, endpoint))
		return DROP_INVALID_SOURCE_IP;
#if ENABLE_IPV4
	if (protocol == ETH_ARP)
		return arp_handle(ctx);
#endif
	ret = packet_parse(ctx, protocol, flow);
	if (ret < 0)
		return ret;
#if MONITOR_AGGREGATION < MONITOR_AGGREGATION_RX
	event_send(ctx, flow, DIRECTION_EGRESS, CTX_ACT_TRACE + TRACE_REASON_UNKNOWN, decision);
#endif
	if (unlikely(flow->proto == PROTO_ICMP6) && source_is_on_link(flow, endpoint)) {
		if (icmp6_is_neighbour(flow))
			return ndp_handle(ctx, flow);
		if (icmp6_is_listener(flow))
			return CTX_ACT_OK;
	}
	if (!source_is_own(flow, endpoint))
		return DROP_INVALID_SOURCE_IP;
	return enforce(ctx, flow, DIRECTION_EGRESS, endpoint, decision);
}

SEC("classifier")
int from_container(struct __sk_buff *ctx)
{
	struct flow flow = {};
	struct decision decision = {};
	const struct endpoint *endpoint = endpoint_find(ctx);
	int ret = DROP_EP_NOT_READY;

	if (endpoint)
		ret = handle_from_container(ctx, endpoint, &flow, &decision);
	else if (consult_is_asked(ctx))
		return consult_answer(ctx);
	if (ret == CTX_ACT_REDIRECT)
		return ret;
	if (endpoint && ret >= 0)
		mark_source(ctx, endpoint->identity);
	return outcome(ctx, &flow, DIRECTION_EGRESS, ret, &decision);
}
