/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The IPv6 header and its extension headers. */
#pragma once

#include "lib/ethernet.h"
#include "lib/l4.h"

enum {
	IPV6_HEADER_LEN = 40,
	IPV6_EXTENSIONS_MAX = 8,	/* longer chains are refused */
};

enum {
	IPV6_HOP_BY_HOP = 0,
	IPV6_ROUTING = 43,
	IPV6_FRAGMENT = 44,
	IPV6_AUTH = 51,
	IPV6_NONE = 59,
	IPV6_DESTINATION = 60,
};

struct ipv6_header {
	be32 version_be;	/* version, traffic class, flow label */
	be16 payload_be;
	u8 next;
	u8 hop_limit;
	be64 source_be[2];
	be64 destination_be[2];
};

_Static_assert(sizeof(struct ipv6_header) == IPV6_HEADER_LEN, "struct ipv6_header");

/* Start of every extension header. */
struct ipv6_extension {
	u8 next;
	u8 units;
};

struct ipv6_fragment {
	u8 next;
	u8 reserved;
	be16 offset_be;	/* and "more"; both 0 in an atomic fragment, which is whole */
	be32 id_be;
};

_Static_assert(sizeof(struct ipv6_fragment) == 8, "struct ipv6_fragment");

enum {
	IPV6_MORE_FRAGMENTS = 0x0001,
	IPV6_FRAGMENT_OFFSET = 0xfff8,	/* in bytes, as it stands */
};

/* Whether a next header is one of those that ipv6_walk_extensions() steps over or refuses. */
static __always_inline bool ipv6_is_extension(u32 next)
{
	return next == IPV6_HOP_BY_HOP || next == IPV6_ROUTING || next == IPV6_FRAGMENT || next == IPV6_AUTH ||
	       next == IPV6_DESTINATION || next == IPV6_NONE;
}

/* Reads the fragment header at @offset into @flow: CTX_ACT_OK, or DROP_*. A datagram is cut once. */
static __always_inline int ipv6_load_fragment(struct __sk_buff *ctx, u32 offset, struct flow *flow)
{
	struct ipv6_fragment header;
	u16 place;

	if (skb_load_bytes(ctx, offset, &header, sizeof(header)))
		return DROP_INVALID_PACKET;
	if (flow->fragment)
		return DROP_INVALID_EXTHDR;
	place = ntohs(header.offset_be);
	if (!(place & (IPV6_MORE_FRAGMENTS | IPV6_FRAGMENT_OFFSET)))
		return CTX_ACT_OK;
	flow->fragment_offset = place & IPV6_FRAGMENT_OFFSET;
	flow->fragment = flow->fragment_offset ? FRAGMENT_LATER : FRAGMENT_FIRST;
	flow->fragment_id = header.id_be;
	return CTX_ACT_OK;
}

/*
 * Steps over the extension headers from flow->l4_offset on, the first of which is flow->proto: CTX_ACT_OK, or DROP_*.
 * A chain that is too long is dropped. ESP ends the chain: it is an L4 protocol of its own. What follows the header of
 * a later fragment is no chain.
 */
static __always_inline int ipv6_walk_extensions(struct __sk_buff *ctx, struct flow *flow)
{
	u32 offset = flow->l4_offset;
	struct ipv6_extension extension;
	u32 next = flow->proto;
	u32 length;
	int ret;
	int i;

#pragma clang loop unroll(disable)
	for (i = 0; i <= IPV6_EXTENSIONS_MAX; i++) {
		if (flow->fragment == FRAGMENT_LATER || !ipv6_is_extension(next)) {
			flow->l4_offset = offset;
			flow->proto = (u8)next;
			return CTX_ACT_OK;
		}
		if (next == IPV6_NONE)
			return DROP_CT_UNKNOWN_PROTO;
		if (skb_load_bytes(ctx, offset, &extension, sizeof(extension)))
			return DROP_INVALID_PACKET;
		length = ((u32)extension.units + 1) * 8;
		if (next == IPV6_AUTH)
			length = ((u32)extension.units + 2) * 4;
		if (next == IPV6_FRAGMENT) {
			ret = ipv6_load_fragment(ctx, offset, flow);
			if (ret < 0)
				return ret;
			length = sizeof(struct ipv6_fragment);
		}
		next = extension.next;
		offset += length;
	}
	return DROP_INVALID_EXTHDR;
}

/* Copies what says the same in every packet. */
static __always_inline void ipv6_copy(const struct ipv6_header *header, struct flow *flow)
{
	flow->family = 6;
	flow->proto = header->next;
	flow->hop_limit = header->hop_limit;
	flow->source.hi = header->source_be[0];
	flow->source.lo = header->source_be[1];
	flow->destination.hi = header->destination_be[0];
	flow->destination.lo = header->destination_be[1];
	/* No payload: an empty packet, or one of more than 64 KiB. */
	flow->length = header->payload_be ? IPV6_HEADER_LEN + ntohs(header->payload_be) : 0;
}

/* Reads the header in place; false when it is none. */
static __always_inline bool ipv6_load_plain(const struct ipv6_header *header, struct flow *flow)
{
	if (ntohl(header->version_be) >> 28 != 6)
		return false;
	ipv6_copy(header, flow);
	return true;
}

/* Reads the header at @offset into @flow; extension headers are stepped over. */
static __always_inline int ipv6_load(struct __sk_buff *ctx, u32 offset, struct flow *flow)
{
	struct ipv6_header header;

	if (skb_load_bytes(ctx, offset, &header, sizeof(header)) || !ipv6_load_plain(&header, flow))
		return DROP_INVALID_PACKET;
	flow->l4_offset = offset + IPV6_HEADER_LEN;
	return ipv6_walk_extensions(ctx, flow);
}
