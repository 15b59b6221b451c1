/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Any frame to a flow. Nearly all packets have plain headers, which are read where they are, by code that is in line.
 * The others are read by global functions: copied, for that is shorter, and for packets inside of ICMP errors alike.
 */
#pragma once

#include "lib/fragment.h"
#include "lib/ipv4.h"
#include "lib/ipv6.h"

/*
 * Reads the headers of a packet of @family (4, 6, or 0 for anything else) at @offset, up to the first bytes of L4: of
 * the frame's own packet, or of one that an ICMP error quotes. Returns the bytes of the shortest L4 header that can be
 * there (none in a later fragment), or DROP_*. A family that is not enabled is as unknown as any other. @flow is zero.
 */
__global_function int packet_load(struct __sk_buff *ctx, u8 family, u32 offset, struct flow *flow)
{
	int ret = DROP_UNKNOWN_L3;
	int least;

	/* Verifier: "R4 invalid mem access 'mem_or_null'"; no caller passes NULL. */
	if (!flow)
		return DROP_INVALID_PACKET;
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
	if (flow->fragment == FRAGMENT_LATER)
		return fragment_recall(flow);
	least = l4_min_length(family, flow->proto);
	if (least < 0)
		return least;
	ret = l4_load_head(ctx, flow);
	return ret < 0 ? ret : least;
}

/* Reads any packet of @protocol: CTX_ACT_OK or DROP_*. */
__global_function int packet_parse_any(struct __sk_buff *ctx, int protocol, struct flow *flow)
{
	u8 family = protocol == ETH_IPV4 ? 4 : protocol == ETH_IPV6 ? 6 : 0;
	u32 present = ctx->len - ETH_HEADER_LEN;
	int least;

	/* Verifier: as above. */
	if (!flow)
		return DROP_INVALID_PACKET;
	*flow = (struct flow){};
	least = packet_load(ctx, family, ETH_HEADER_LEN, flow);
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

/* Reads the L4 header of a plain packet, in place at @header. */
static __always_inline bool packet_load_plain_l4(const struct __sk_buff *ctx, const u8 *header, struct flow *flow)
{
	const union l4_header *head = (const union l4_header *)header;
	u32 least = 8;

	if (header + sizeof(*head) > ctx_data_end(ctx))
		return false;
	flow->source_port_be = head->port.source_be;
	flow->destination_port_be = head->port.destination_be;
	if (likely(flow->proto == PROTO_TCP)) {
		least = 20;
		if (header + least > ctx_data_end(ctx))
			return false;
		flow->tcp_flags = header[TCP_FLAGS_OFFSET];
	} else if (flow->proto != PROTO_UDP) {
		return false;
	}
	return flow->length + ETH_HEADER_LEN >= flow->l4_offset + least && flow->length + ETH_HEADER_LEN <= ctx->len;
}

/*
 * Reads a packet as nearly all are: TCP or UDP, whole, with headers that are in place and have no options. False says
 * that this is another one, and nothing of @flow.
 */
static __always_inline bool packet_parse_plain(const struct __sk_buff *ctx, int protocol, struct flow *flow)
{
	const u8 *header = ctx_data(ctx) + ETH_HEADER_LEN;

#if ENABLE_IPV4
	if (protocol == ETH_IPV4) {
		if (header + sizeof(struct ipv4_header) > ctx_data_end(ctx) ||
		    !ipv4_load_plain((const struct ipv4_header *)header, flow))
			return false;
		flow->l4_offset = ETH_HEADER_LEN + sizeof(struct ipv4_header);
		return packet_load_plain_l4(ctx, header + sizeof(struct ipv4_header), flow);
	}
#endif
#if ENABLE_IPV6
	if (protocol == ETH_IPV6) {
		if (header + IPV6_HEADER_LEN > ctx_data_end(ctx) ||
		    !ipv6_load_plain((const struct ipv6_header *)header, flow))
			return false;
		flow->l4_offset = ETH_HEADER_LEN + IPV6_HEADER_LEN;
		return packet_load_plain_l4(ctx, header + IPV6_HEADER_LEN, flow);
	}
#endif
	return false;
}

/* Reads a packet of @protocol into @flow, which is zero: CTX_ACT_OK or DROP_*. */
static __always_inline int packet_parse(struct __sk_buff *ctx, int protocol, struct flow *flow)
{
	return likely(packet_parse_plain(ctx, protocol, flow)) ? CTX_ACT_OK : packet_parse_any(ctx, protocol, flow);
}
