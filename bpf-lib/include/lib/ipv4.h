/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The IPv4 header. */
#pragma once

#include "lib/ethernet.h"
#include "lib/l4.h"

enum {
	IPV4_MORE_FRAGMENTS = 0x2000,
	IPV4_FRAGMENT_OFFSET = 0x1fff,
};

struct ipv4_header {
	u8 version_words;	/* version << 4 | length in words */
	u8 tos;
	be16 length_be;
	be16 id_be;
	be16 fragment_be;
	u8 ttl;
	u8 proto;
	be16 checksum_be;
	be32 source_be;
	be32 destination_be;
};

_Static_assert(sizeof(struct ipv4_header) == 20, "struct ipv4_header");

/* Copies what says the same in every packet. */
static __always_inline void ipv4_copy(const struct ipv4_header *header, struct flow *flow)
{
	flow->family = 4;
	flow->proto = header->proto;
	flow->hop_limit = header->ttl;
	flow->source.ipv4 = header->source_be;
	flow->destination.ipv4 = header->destination_be;
	flow->length = ntohs(header->length_be);
}

/* Reads the header in place when it has no options and its packet is whole; else the answer is false. */
static __always_inline bool ipv4_load_plain(const struct ipv4_header *header, struct flow *flow)
{
	if (header->version_words != (4 << 4 | sizeof(*header) / 4) ||
	    header->fragment_be & htons(IPV4_MORE_FRAGMENTS | IPV4_FRAGMENT_OFFSET))
		return false;
	ipv4_copy(header, flow);
	return true;
}

/* Reads the header at @offset into @flow; its options are stepped over. */
static __always_inline int ipv4_load(struct __sk_buff *ctx, u32 offset, struct flow *flow)
{
	struct ipv4_header header;
	u32 length;
	u16 fragment;

	if (skb_load_bytes(ctx, offset, &header, sizeof(header)))
		return DROP_INVALID_PACKET;
	length = (header.version_words & 15) * 4;
	if (header.version_words >> 4 != 4 || length < sizeof(header))
		return DROP_INVALID_PACKET;
	fragment = ntohs(header.fragment_be);
	if (fragment & (IPV4_MORE_FRAGMENTS | IPV4_FRAGMENT_OFFSET)) {
		flow->fragment_offset = (fragment & IPV4_FRAGMENT_OFFSET) * 8;
		flow->fragment = flow->fragment_offset ? FRAGMENT_LATER : FRAGMENT_FIRST;
		flow->fragment_id = header.id_be;
	}
	ipv4_copy(&header, flow);
	flow->l4_offset = offset + length;
	return CTX_ACT_OK;
}
