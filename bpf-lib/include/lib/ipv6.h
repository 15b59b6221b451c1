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

/* Start of every extension header; @offset_be is the fragment header's. */
struct ipv6_extension {
	u8 next;
	u8 units;
	be16 offset_be;
};

enum {
	IPV6_FRAGMENT_BITS = 0xfff9,	/* offset and "more"; all 0 in an atomic fragment, which is whole */
};

/* Whether a next header is one of those that ipv6_walk_extensions() steps over or refuses. */
static __always_inline bool ipv6_is_extension(u32 next)
{
	return next == IPV6_HOP_BY_HOP || next == IPV6_ROUTING || next == IPV6_FRAGMENT || next == IPV6_AUTH ||
	       next == IPV6_DESTINATION || next == IPV6_NONE;
}

/*
 * Steps over the extension headers at @offset, the first of which is @next: offset << 8 | protocol of the L4 header,
 * or DROP_*. A fragment is dropped (see packet_parse()), and so is a chain that is too long. ESP ends the chain: it is
 * an L4 protocol of its own.
 */
__global_function s64 ipv6_walk_extensions(struct __sk_buff *ctx, u32 offset, u32 next)
{
	struct ipv6_extension extension;
	u32 length;
	int i;

#pragma clang loop unroll(disable)
	for (i = 0; i <= IPV6_EXTENSIONS_MAX; i++) {
		if (next == IPV6_NONE)
			return DROP_CT_UNKNOWN_PROTO;
		if (!ipv6_is_extension(next))
			return (s64)offset << 8 | next;
		if (skb_load_bytes(ctx, offset, &extension, sizeof(extension)))
			return DROP_INVALID_PACKET;
		length = ((u32)extension.units + 1) * 8;
		if (next == IPV6_AUTH)
			length = ((u32)extension.units + 2) * 4;
		if (next == IPV6_FRAGMENT) {
			if (extension.offset_be & htons(IPV6_FRAGMENT_BITS))
				return DROP_FRAG_NOSUPPORT;
			length = 8;
		}
		next = extension.next;
		offset += length;
	}
	return DROP_INVALID_EXTHDR;
}

/* Reads the header at @offset into @flow; extension headers are stepped over. */
static __always_inline int ipv6_load(struct __sk_buff *ctx, u32 offset, struct flow *flow)
{
	struct ipv6_header copy;
	const struct ipv6_header *header = ctx_read(ctx, offset, sizeof(copy), &copy);
	s64 l4;

	if (!header || ntohl(header->version_be) >> 28 != 6)
		return DROP_INVALID_PACKET;
	flow->proto = header->next;
	flow->hop_limit = header->hop_limit;
	flow->source.hi = header->source_be[0];
	flow->source.lo = header->source_be[1];
	flow->destination.hi = header->destination_be[0];
	flow->destination.lo = header->destination_be[1];
	/* No payload: an empty packet, or one of more than 64 KiB. */
	flow->length = header->payload_be ? IPV6_HEADER_LEN + ntohs(header->payload_be) : 0;
	flow->l4_offset = offset + IPV6_HEADER_LEN;
	if (likely(!ipv6_is_extension(flow->proto)))
		return CTX_ACT_OK;
	l4 = ipv6_walk_extensions(ctx, flow->l4_offset, flow->proto);
	if (l4 < 0)
		return (int)l4;
	flow->proto = (u8)l4;
	flow->l4_offset = (u32)(l4 >> 8);
	return CTX_ACT_OK;
}
