/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From a parsed packet to its verdict: conntrack, related errors, policy. */
#pragma once

#include "lib/conntrack.h"
#include "lib/consult.h"
#include "lib/event.h"
#include "lib/fragment.h"
#include "lib/identity.h"
#include "lib/policy.h"
#include "lib/related.h"

/* What becomes of an ICMP message that passes in front of policy; RELATED_NONE of one that does not. */
static __always_inline int enforce_icmp(struct __sk_buff *ctx, const struct flow *flow, u8 direction)
{
	int ret;

	/* No error is so long that it travels in pieces. */
	if (flow->fragment || !l4_is_icmp_error(flow))
		return RELATED_NONE;
	ret = related_passes(ctx, flow, direction);
#if ALLOW_ICMP_FRAG_NEEDED
	if (ret == RELATED_NONE && flow->proto == PROTO_ICMP && flow->icmp_type == ICMP_UNREACHABLE &&
	    flow->icmp_code == ICMP_FRAG_NEEDED)
		ret = CTX_ACT_TRACE + TRACE_REASON_NEW;
#endif
	return ret;
}

/* The first packet of a flow that policy allows: it is remembered and reported. */
static __always_inline int enforce_begin(struct __sk_buff *ctx, const struct flow *flow, u8 direction,
					 const union ct_key *key, bool stale, u64 now,
					 const struct decision *decision)
{
	int ret = CTX_ACT_OK;

	if (ct_may_create(flow))
		ret = ct_create(key, flow, direction, stale, now);
	if (ret < 0)
		return ret;
	event_send(ctx, flow, direction, CTX_ACT_OK, decision);
	return CTX_ACT_TRACE + TRACE_REASON_NEW;
}

/*
 * Verdict of a reply whose flow no policy of this generation has judged yet. While the loader replaces one program of the
 * endpoint behind the other they are strangers, and the reply passes for what it is: either policy is whole then, in its own
 * direction. What policy has refused does not pass even so.
 */
static __always_inline int enforce_again(struct __sk_buff *ctx, struct flow *flow, u8 direction, struct ct_entry *entry,
					 struct decision *decision)
{
	decision->verdict = consult(ctx, flow, direction);
	if (decision->verdict == DROP_MISSED_TAIL_CALL && entry->generation != CT_GENERATION_ENDED)
		return CTX_ACT_OK;
	decision->cause = ctx->cb[CONSULT_CB_CAUSE];
	if (decision->verdict < 0)
		ct_end(entry);
	else
		entry->generation = generation;
	return decision->verdict;
}

/*
 * Verdict of a packet. Every packet of the side that began is held against policy, and the first reply under each
 * generation, so a flow ends with the permission for it; other replies pass. @decision is what policy said, when it was
 * asked.
 */
static __always_inline int enforce(struct __sk_buff *ctx, struct flow *flow, u8 direction,
				   const struct endpoint *endpoint, struct decision *decision)
{
	u64 now = ktime_get_coarse_ns();
	bool tracked = ct_is_tracked(flow);
	struct ct_entry *entry = NULL;
	enum ct_state state;
	union ct_key key;

	if (unlikely(flow->fragment == FRAGMENT_FIRST))
		fragment_remember(flow);
	if (tracked) {
		entry = ct_find(flow, direction, &key);
	} else {
		int ret = enforce_icmp(ctx, flow, direction);

		if (ret >= 0)
			return ret;
	}
	state = ct_classify(entry, flow, direction, now);
	if (state != CT_REPLY) {
		flow->peer_index = identity_lookup(flow->family, flow_peer(flow, direction));
		*decision = policy_decide(flow, endpoint);
		if (decision->verdict < 0) {
			if (state == CT_FORWARD)
				ct_end(entry);
			return decision->verdict;
		}
		if (state != CT_FORWARD)
			return enforce_begin(ctx, flow, direction, &key, state == CT_STALE, now, decision);
	} else if (unlikely(entry->generation != generation)) {
		int ret = enforce_again(ctx, flow, direction, entry, decision);

		if (ret < 0)
			return ret;
	}
	if (!ct_refresh(entry, flow, direction, state == CT_REPLY, now))
		return CTX_ACT_OK;
	return CTX_ACT_TRACE + (state == CT_REPLY ? TRACE_REASON_REPLY : TRACE_REASON_ESTABLISHED);
}
