/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Any frame to a flow. */
#pragma once

#include "lib/fragment.h"
#include "lib/ipv4.h"
#include "lib/ipv6.h"

/*
 * Reads the headers of a packet of @family (4, 6, or 0 for anything else) at @offset, up to the first bytes of L4: of
 * the frame's own packet, or of one that an ICMP error quotes. Returns the bytes of the shortest L4 header that can be
 * there (none in a later fragment), or DROP_*. A family that is not enabled is as unknown as any other.
 */
static __always_inline int packet_load(struct __sk_buff *ctx, u8 family, u32 offset, struct flow *flow)
{
	int ret = DROP_UNKNOWN_L3;
	int least;

	flow->family = family;
#if ENABLE_IPV4
	if (family == 4)
		ret = ipv4_load(ctx, offset, flow);
#endif
#if ENABLE_IPV6
	if (family == 6)
		ret = ipv6_load(ctx, offset, flow);
#endif
	if (ret < 0)
		return ret;
	if (unlikely(flow->fragment == FRAGMENT_LATER))
		return fragment_recall(flow);
	least = l4_min_length(family, flow->proto);
	if (least < 0)
		return least;
	ret = l4_load_head(ctx, flow);
	return ret < 0 ? ret : least;
}

/* Reads the packet of a frame. */
static __always_inline int packet_parse(struct __sk_buff *ctx, int protocol, struct flow *flow)
{
	u8 family = protocol == ETH_IPV4 ? 4 : protocol == ETH_IPV6 ? 6 : 0;
	int least = packet_load(ctx, family, ETH_HEADER_LEN, flow);
	u32 present = ctx->len - ETH_HEADER_LEN;

	if (least < 0)
		return least;
	/* A packet that is not yet segmented may be longer than the field can say: then it is 0 ("BIG TCP"). */
	if (!flow->length && ctx->gso_size)
		flow->length = present;
	if (flow->length > present || flow->length + ETH_HEADER_LEN < flow->l4_offset + (u32)least)
		return DROP_INVALID_PACKET;
	if (flow->proto == PROTO_TCP && flow->fragment != FRAGMENT_LATER)
		return l4_load_flags(ctx, flow);
	return CTX_ACT_OK;
}
