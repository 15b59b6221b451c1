/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Neighbour discovery of the endpoint: what it may tell, and its questions for the gateway. */
#pragma once

#include "lib/gateway.h"
#include "lib/icmp6.h"
#include "lib/ipv6.h"

enum {
	NDP_SOURCE_MAC = 1,	/* option of a solicitation */
	NDP_TARGET_MAC = 2,	/* option of an advertisement */
	NDP_FLAGS = 0xe0,	/* of a router, asked for, and in the place of what was known */
};

/* A solicitation or advertisement with the one option that tells a MAC address: what Linux sends. */
struct ndp_message {
	u8 type;
	u8 code;
	be16 checksum_be;
	u8 flags;
	u8 reserved[3];
	union address target;
	u8 option;
	u8 option_units;
	u8 mac[6];
};

_Static_assert(sizeof(struct ndp_message) == 32, "struct ndp_message");

/* What the checksum of a message is about. */
struct ndp_sum {
	union address source;
	union address destination;
	be32 length_be;
	be32 next_be;
	struct ndp_message message;
};

_Static_assert(sizeof(struct ndp_sum) == 72, "struct ndp_sum");

/* The checksum of a message with a pseudo header, whose own field must be 0. */
static __always_inline u16 ndp_checksum(const struct ndp_sum *sum)
{
	u64 total = (u32)csum_diff(NULL, 0, sum, sizeof(*sum), 0);

	total = (total & 0xffff) + (total >> 16);
	total = (total & 0xffff) + (total >> 16);
	return (u16)~total;
}

/* Makes the solicitation in @sum, which is all of the packet, its own answer and sends it back. */
static __always_inline int ndp_answer(struct __sk_buff *ctx, struct ndp_sum *sum, u64 mac)
{
	struct ndp_message *message = &sum->message;
	struct eth_header eth;

	if (skb_load_bytes(ctx, 0, &eth, sizeof(eth)))
		return DROP_INVALID_PACKET;
	__builtin_memcpy(eth.destination, eth.source, 6);
	gateway_put_mac(eth.source, mac);
	sum->destination = sum->source;
	sum->source = message->target;
	sum->length_be = __builtin_bswap32(sizeof(*message));
	sum->next_be = __builtin_bswap32(PROTO_ICMP6);
	message->type = ICMP6_NEIGHBOUR_ADVERTISEMENT;
	message->checksum_be = 0;
	message->flags = NDP_FLAGS;
	__builtin_memset(message->reserved, 0, sizeof(message->reserved));
	message->option = NDP_TARGET_MAC;
	gateway_put_mac(message->mac, mac);
	message->checksum_be = ndp_checksum(sum);
	if (skb_store_bytes(ctx, 0, &eth, sizeof(eth), 0) ||
	    skb_store_bytes(ctx, ETH_HEADER_LEN + __builtin_offsetof(struct ipv6_header, source_be), &sum->source, 2 * sizeof(union address), 0) ||
	    skb_store_bytes(ctx, ETH_HEADER_LEN + IPV6_HEADER_LEN, message, sizeof(*message), 0))
		return DROP_INVALID_PACKET;
	return gateway_send_back(ctx);
}

/*
 * What becomes of a solicitation or advertisement of the endpoint. An advertisement may tell the place of its own address
 * alone. A question for the gateway is answered when it has the shape that Linux gives it; all else goes on, also the
 * question of who has no address yet.
 */
__global_function int ndp_handle(struct __sk_buff *ctx, const struct flow *flow)
{
	const struct endpoint *endpoint = endpoint_find(ctx);
	struct ndp_sum sum = {};
	struct ndp_message *message = &sum.message;
	union address target;

	/* Verifier: "R2 invalid mem access 'mem_or_null'"; no caller passes NULL. */
	if (!endpoint || !flow)
		return DROP_EP_NOT_READY;
	if (flow->icmp_type == ICMP6_NEIGHBOUR_ADVERTISEMENT) {
		if (skb_load_bytes(ctx, flow->l4_offset + __builtin_offsetof(struct ndp_message, target), &target,
				   sizeof(target)))
			return DROP_INVALID_PACKET;
		return ipv6_is_own(&target, endpoint) || ipv6_is_link_local(&target) ? CTX_ACT_OK :
										       DROP_INVALID_SOURCE_IP;
	}
	if (!(endpoint->gateway_ipv6_hi_be | endpoint->gateway_ipv6_lo_be) || !(flow->source.hi | flow->source.lo))
		return CTX_ACT_OK;
	if (flow->l4_offset != ETH_HEADER_LEN + IPV6_HEADER_LEN || flow->length != IPV6_HEADER_LEN + sizeof(*message) ||
	    skb_load_bytes(ctx, ETH_HEADER_LEN + IPV6_HEADER_LEN, message, sizeof(*message)))
		return CTX_ACT_OK;
	if (message->target.hi != endpoint->gateway_ipv6_hi_be || message->target.lo != endpoint->gateway_ipv6_lo_be ||
	    message->option != NDP_SOURCE_MAC || message->option_units != 1)
		return CTX_ACT_OK;
	sum.source = flow->source;
	return ndp_answer(ctx, &sum, endpoint->gateway_mac);
}
