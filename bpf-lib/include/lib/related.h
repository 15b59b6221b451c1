/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* ICMP errors about a packet of a tracked flow: path-MTU discovery and "unreachable" work under every policy. */
#pragma once

#include "abi/event.h"
#include "lib/conntrack.h"
#include "lib/packet.h"

enum {
	ICMP_HEADER_LEN = 8,
};

enum {
	RELATED_NONE = -1,
};

/*
 * What becomes of an ICMP error in @direction that quotes a packet of a live flow of this endpoint, which went the other
 * way: it passes. RELATED_NONE for one about nothing, or about another endpoint's flow, which is not ours.
 */
__global_function int related_passes(struct __sk_buff *ctx, const struct flow *flow, u8 direction)
{
	u8 opposite = direction == DIRECTION_EGRESS ? DIRECTION_INGRESS : DIRECTION_EGRESS;
	struct ct_entry *entry;
	const union address *local;
	const union address *own;
	struct flow inner = {};
	union ct_key key;

	/* Verifier: "R2 invalid mem access 'mem_or_null'"; no caller passes NULL. */
	if (!flow)
		return RELATED_NONE;
	own = flow_local(flow, direction);
	if (packet_load(ctx, flow->family, flow->l4_offset + ICMP_HEADER_LEN, &inner) < 0)
		return RELATED_NONE;
	local = flow_local(&inner, opposite);
	if (local->hi != own->hi || local->lo != own->lo || !ct_is_tracked(&inner))
		return RELATED_NONE;
	entry = ct_find(&inner, opposite, &key);
	if (!entry || entry->generation == CT_GENERATION_ENDED || entry->expires_ns <= ktime_get_coarse_ns())
		return RELATED_NONE;
	return report_is_due_related(entry) ? CTX_ACT_TRACE + TRACE_REASON_RELATED : CTX_ACT_OK;
}
