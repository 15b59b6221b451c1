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

/* Bytes of the header at @offset with its options, which are read into @flow; or DROP_*. */
static __always_inline int ipv4_load(struct __sk_buff *ctx, u32 offset, struct ipv4_header *header,
				     struct flow *flow)
{
	const struct ipv4_header *linear = ctx_at(ctx, offset, sizeof(*linear));
	u32 length;

	if (likely(linear))
		*header = *linear;
	else if (skb_load_bytes(ctx, offset, header, sizeof(*header)))
		return DROP_INVALID_PACKET;
	length = (header->version_words & 15) * 4;
	if (header->version_words >> 4 != 4 || length < sizeof(*header))
		return DROP_INVALID_PACKET;
	flow->family = 4;
	flow->proto = header->proto;
	flow->hop_limit = header->ttl;
	flow->source.ipv4 = header->source_be;
	flow->destination.ipv4 = header->destination_be;
	return (int)length;
}

/*
 * Reads an IPv4 packet into @flow. A fragment is dropped, the first one too: the others have no ports that policy
 * could look at, and the first one alone would only fill the receiver's reassembly queue.
 */
static __always_inline int ipv4_parse(struct __sk_buff *ctx, struct flow *flow)
{
	struct ipv4_header header;
	u32 present = ctx->len - ETH_HEADER_LEN;
	u32 total;
	int ret;

	ret = ipv4_load(ctx, ETH_HEADER_LEN, &header, flow);
	if (ret < 0)
		return ret;
	total = ntohs(header.length_be);
	/* A packet that is not yet segmented may be longer than the field can say: then it is 0 ("BIG TCP"). */
	if (!total && ctx->gso_size)
		total = present;
	flow->length = total;
	if (total < (u32)ret || total > present)
		return DROP_INVALID_PACKET;
	if (header.fragment_be & htons(IPV4_MORE_FRAGMENTS | IPV4_FRAGMENT_OFFSET))
		return DROP_FRAG_NOSUPPORT;
	flow->l4_offset = ETH_HEADER_LEN + (u32)ret;
	return l4_load(ctx, flow, total - (u32)ret);
}
