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
	union {
		u8 source[16];
		be64 source_be[2];
	} __attribute__((packed, aligned(4)));
	union {
		u8 destination[16];
		be64 destination_be[2];
	} __attribute__((packed, aligned(4)));
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

/* Reads the header at @offset into @flow; returns the payload's length in bytes, or DROP_*. */
static __always_inline int ipv6_load(struct __sk_buff *ctx, u32 offset, struct flow *flow)
{
	const struct ipv6_header *linear = ctx_at(ctx, offset, sizeof(*linear));
	struct ipv6_header header;

	if (likely(linear))
		header = *linear;
	else if (skb_load_bytes(ctx, offset, &header, sizeof(header)))
		return DROP_INVALID_PACKET;
	if ((ntohl(header.version_be) >> 28) != 6)
		return DROP_INVALID_PACKET;
	flow->family = 6;
	flow->proto = header.next;
	flow->hop_limit = header.hop_limit;
	flow->source.hi = header.source_be[0];
	flow->source.lo = header.source_be[1];
	flow->destination.hi = header.destination_be[0];
	flow->destination.lo = header.destination_be[1];
	return ntohs(header.payload_be);
}

/* Whether a next header is one of those that ipv6_walk_extensions() steps over or refuses. */
static __always_inline bool ipv6_is_extension(u32 next)
{
	return next == IPV6_HOP_BY_HOP || next == IPV6_ROUTING || next == IPV6_FRAGMENT || next == IPV6_AUTH ||
	       next == IPV6_DESTINATION || next == IPV6_NONE;
}

/*
 * Steps over the extension headers at @offset, the first of which is @next: offset << 8 | protocol of the L4 header,
 * or DROP_*. A fragment is dropped (see ipv4_parse()), and so is a chain that is too long. ESP ends the chain: it is
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

/* Moves flow->proto and flow->l4_offset over the extension headers, when there are any. */
static __always_inline int ipv6_skip_extensions(struct __sk_buff *ctx, struct flow *flow)
{
	s64 ret;

	if (likely(!ipv6_is_extension(flow->proto)))
		return CTX_ACT_OK;
	ret = ipv6_walk_extensions(ctx, flow->l4_offset, flow->proto);
	if (ret < 0)
		return (int)ret;
	flow->proto = (u8)ret;
	flow->l4_offset = (u32)(ret >> 8);
	return CTX_ACT_OK;
}

/* Reads an IPv6 packet into @flow. */
static __always_inline int ipv6_parse(struct __sk_buff *ctx, struct flow *flow)
{
	u32 present = ctx->len - ETH_HEADER_LEN;
	u32 total;
	u32 l3_len;
	int ret;

	ret = ipv6_load(ctx, ETH_HEADER_LEN, flow);
	if (ret < 0)
		return ret;
	total = IPV6_HEADER_LEN + (u32)ret;
	/* A packet that is not yet segmented may be longer than the field can say: then it is 0 ("BIG TCP"). */
	if (!ret && ctx->gso_size)
		total = present;
	flow->length = total;
	if (total > present)
		return DROP_INVALID_PACKET;
	flow->l4_offset = ETH_HEADER_LEN + IPV6_HEADER_LEN;
	ret = ipv6_skip_extensions(ctx, flow);
	if (ret < 0)
		return ret;
	l3_len = flow->l4_offset - ETH_HEADER_LEN;
	if (l3_len > total)
		return DROP_INVALID_PACKET;
	return l4_load(ctx, flow, total - l3_len);
}
