/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* ICMP errors about a packet of a tracked flow: path-MTU discovery and "unreachable" work under every policy. */
#pragma once

#include "lib/conntrack.h"
#include "lib/ipv4.h"
#include "lib/ipv6.h"

enum {
	ICMP_HEADER_LEN = 8,
};

/* Reads the packet that the error quotes into @inner: as much of it as an error must quote. */
static __always_inline int related_load(struct __sk_buff *ctx, const struct flow *flow, struct flow *inner)
{
	u32 offset = flow->l4_offset + ICMP_HEADER_LEN;
	int ret = DROP_INVALID_PACKET;

#if ENABLE_IPV4
	if (flow->family == 4) {
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
	if (flow->family == 6) {
		ret = ipv6_load(ctx, offset, inner);
		if (ret < 0)
			return ret;
		inner->l4_offset = offset + IPV6_HEADER_LEN;
		ret = ipv6_skip_extensions(ctx, inner);
		if (ret < 0)
			return ret;
	}
#endif
	if (ret < 0)
		return ret;
	ret = l4_min_length(inner->family, inner->proto);
	if (ret < 0)
		return ret;
	return l4_load_head(ctx, inner);
}

/* Whether an ICMP error in @direction quotes a packet of a live flow of this endpoint, which went the other way. */
static __always_inline bool related_passes(struct __sk_buff *ctx, const struct flow *flow, u8 direction, u64 now)
{
	u8 opposite = direction == DIRECTION_EGRESS ? DIRECTION_INGRESS : DIRECTION_EGRESS;
	const union address *outer_local = flow_local(flow, direction);
	const union address *inner_local;
	const struct ct_entry *entry;
	struct flow inner = {};
	union ct_key key;

	if (related_load(ctx, flow, &inner) < 0)
		return false;
	/* An error goes back to who sent the quoted packet: one about another endpoint's flow is not ours. */
	inner_local = flow_local(&inner, opposite);
	if (inner_local->hi != outer_local->hi || inner_local->lo != outer_local->lo)
		return false;
	if (!ct_is_tracked(&inner))
		return false;
	ct_fill_key(&key, &inner, opposite);
	entry = ct_lookup(inner.family, &key);
	return entry && entry->expires_ns > now;
}
