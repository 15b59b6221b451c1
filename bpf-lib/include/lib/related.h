/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* ICMP errors about a packet of a tracked flow: path-MTU discovery and "unreachable" work under every policy. */
#pragma once

#include "lib/conntrack.h"
#include "lib/packet.h"

enum {
	ICMP_HEADER_LEN = 8,
};

/*
 * Whether an ICMP error in @direction quotes a packet of a live flow of this endpoint, which went the other way. An
 * error about another endpoint's flow is not ours.
 */
__global_function bool related_passes(struct __sk_buff *ctx, const struct flow *flow, u8 direction)
{
	u8 opposite = direction == DIRECTION_EGRESS ? DIRECTION_INGRESS : DIRECTION_EGRESS;
	const struct ct_entry *entry;
	const union address *local;
	const union address *own;
	struct flow inner = {};
	union ct_key key;

	/* Verifier: "R2 invalid mem access 'mem_or_null'"; no caller passes NULL. */
	if (!flow)
		return false;
	own = flow_local(flow, direction);
	if (packet_load(ctx, flow->family, flow->l4_offset + ICMP_HEADER_LEN, &inner) < 0)
		return false;
	local = flow_local(&inner, opposite);
	if (local->hi != own->hi || local->lo != own->lo || !ct_is_tracked(&inner))
		return false;
	entry = ct_find(&inner, opposite, &key);
	return entry && entry->generation != CT_GENERATION_ENDED && entry->expires_ns > ktime_get_coarse_ns();
}
