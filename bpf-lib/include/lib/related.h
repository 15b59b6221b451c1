/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* ICMP errors about a packet of a tracked flow: path-MTU discovery and "unreachable" work under every policy. */
#pragma once

#include "lib/conntrack.h"
#include "lib/ipv4.h"
#include "lib/ipv6.h"

enum {
	ICMP_HEADER_LEN = 8,
};

/* Reads the packet at @offset, which an error quotes: as much of it as an error must quote. */
static __always_inline int related_load(struct __sk_buff *ctx, u32 offset, u8 family, struct flow *inner)
{
	int ret = DROP_INVALID_PACKET;

#if ENABLE_IPV4
	if (family == 4) {
		struct ipv4_header header;

		ret = ipv4_load(ctx, offset, &header, inner);
		if (ret < 0)
			return ret;
		if (header.fragment_be & htons(IPV4_FRAGMENT_OFFSET))
			return DROP_FRAG_NOSUPPORT;
		inner->l4_offset = offset + (u32)ret;
	}
#endif
#if ENABLE_IPV6
	if (family == 6) {
		ret = ipv6_load(ctx, offset, inner);
		if (ret < 0)
			return ret;
		inner->l4_offset = offset + IPV6_HEADER_LEN;
		ret = ipv6_skip_extensions(ctx, inner);
	}
#endif
	if (ret < 0)
		return ret;
	ret = l4_min_length(inner->family, inner->proto);
	if (ret < 0)
		return ret;
	return l4_load_head(ctx, inner);
}

/*
 * 1 when an ICMP error, whose L4 header stands at @offset, quotes a packet of a live flow which went in @direction
 * and whose endpoint has the address @local; else 0. An error about another endpoint's flow is not ours.
 */
__global_function int related_find(struct __sk_buff *ctx, u32 offset, u32 family_direction, u64 local_hi, u64 local_lo)
{
	u8 family = (u8)(family_direction >> 8);
	u8 direction = (u8)family_direction;
	const union address *local;
	const struct ct_entry *entry;
	struct flow inner = {};
	union ct_key key;

	if (related_load(ctx, offset + ICMP_HEADER_LEN, family, &inner) < 0)
		return 0;
	local = flow_local(&inner, direction);
	if (local->hi != local_hi || local->lo != local_lo || !ct_is_tracked(&inner))
		return 0;
	ct_fill_key(&key, &inner, direction);
	entry = ct_lookup(family, &key);
	return entry && entry->expires_ns > ktime_get_coarse_ns();
}

/* Whether an ICMP error in @direction quotes a packet of a live flow of this endpoint, which went the other way. */
static __always_inline bool related_passes(struct __sk_buff *ctx, const struct flow *flow, u8 direction)
{
	u8 opposite = direction == DIRECTION_EGRESS ? DIRECTION_INGRESS : DIRECTION_EGRESS;
	const union address *local = flow_local(flow, direction);

	return related_find(ctx, flow->l4_offset, (u32)flow->family << 8 | opposite, local->hi, local->lo);
}
