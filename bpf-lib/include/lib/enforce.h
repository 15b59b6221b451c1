/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From a parsed packet to its verdict: conntrack, related errors, policy. */
#pragma once

#include "lib/conntrack.h"
#include "lib/event.h"
#include "lib/identity.h"
#include "lib/policy.h"
#include "lib/related.h"

/* Whether an ICMP message passes in front of policy. */
static __always_inline bool enforce_icmp_passes(struct __sk_buff *ctx, const struct flow *flow, u8 direction,
						u64 now)
{
	if (!l4_is_icmp_error(flow))
		return false;
#if ALLOW_ICMP_FRAG_NEEDED
	if (flow->proto == PROTO_ICMP && flow->icmp_type == ICMP_UNREACHABLE && flow->icmp_code == ICMP_FRAG_NEEDED)
		return true;
#endif
	return related_passes(ctx, flow, direction, now);
}

/*
 * Verdict of a packet. Replies pass; every packet of the side that began is held against policy again, so a flow ends
 * with the permission for it. @cause becomes the cause of a drop.
 */
static __always_inline int enforce(struct __sk_buff *ctx, struct flow *flow, u8 direction, u32 *cause)
{
	u64 now = ktime_get_coarse_ns();
	bool tracked = ct_is_tracked(flow);
	struct ct_entry *entry = NULL;
	struct decision decision;
	enum ct_state state;
	union ct_key key;

	if (tracked) {
		ct_fill_key(&key, flow, direction);
		entry = ct_lookup(flow->family, &key);
	}
	state = ct_classify(entry, flow, direction, now);
	if (state == CT_REPLY) {
		ct_refresh(entry, flow, true, now);
		return CTX_ACT_OK;
	}
	if (!tracked && enforce_icmp_passes(ctx, flow, direction, now))
		return CTX_ACT_OK;

	flow->peer_index = identity_lookup(flow->family, flow_peer(flow, direction));
	decision = policy_decide(flow);
	if (decision.verdict < 0) {
		*cause = decision.cause;
		if (state == CT_FORWARD)
			ct_delete(flow->family, &key);
		return decision.verdict;
	}
	if (state == CT_FORWARD) {
		ct_refresh(entry, flow, false, now);
		return CTX_ACT_OK;
	}
	if (ct_may_create(flow)) {
		int ret = ct_create(&key, flow, direction, state == CT_STALE, now);

		if (ret < 0)
			return ret;
	}
	event_allow(ctx, flow, direction, &decision);
	return CTX_ACT_OK;
}
