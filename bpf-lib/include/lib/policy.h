/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What policy says about a packet in the forward direction. */
#pragma once

#include "abi/action.h"
#include "abi/drop_reason.h"
#include "bpf/ctx.h"
#include "config/ep.h"
#include "lib/count.h"
#include "lib/endpoint.h"
#include "lib/flow.h"
#include "lib/table.h"

struct decision {
	int verdict;	/* CTX_ACT_OK or DROP_* */
	u32 cause;	/* index into the causes of the provenance */
	u8 match_type;
	u8 auth;
	bool audited;	/* it would have been dropped */
};

#if POLICY_MODE == POLICY_MODE_L3_ONLY || POLICY_MODE == POLICY_MODE_TABLES
/* By slot and action: each slot has a counter for every action of the tables. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SET_AT_LOAD);
	__type(key, u32);
	__type(value, struct counter);
} counters SEC(".maps");

/* What an action means for the packet, before audit mode. */
static __always_inline int policy_verdict(const struct action *action)
{
	if (action->verdict == ACTION_VERDICT_ALLOW)
		return action->auth ? DROP_AUTH_REQUIRED : CTX_ACT_OK;
	/* Authentication comes first, as in Cilium; there is no proxy on this node yet. */
	if (action->verdict == ACTION_VERDICT_REDIRECT)
		return action->auth ? DROP_AUTH_REQUIRED : DROP_NO_PROXY;
	return action->reason ? -(int)action->reason : DROP_POLICY_DENIED;
}

/* Reads the tables; counts the packet on its action. */
static __always_inline struct decision policy_tables(const struct flow *flow, const struct endpoint *endpoint)
{
	struct decision decision = { .verdict = DROP_POLICY_DENIED, .cause = default_cause };
	const struct action *action;
	u32 counter;
	u32 index;
	u32 row = table_row(flow->peer_index);
#if POLICY_MODE == POLICY_MODE_TABLES
	int class = table_class(flow->proto, flow_policy_port(flow));

	if (class < 0)
		return decision;
	index = table_verdict(row, (u32)class);
#else
	index = table_verdict(row, 0);
#endif
	action = table_action(index);
	if (!action)
		return decision;
	counter = endpoint->first_counter + index;
	counter_add(map_lookup_elem(&counters, &counter), flow->length);
	decision.verdict = policy_verdict(action);
	decision.cause = action->cause;
	decision.match_type = action->match_type;
	decision.auth = action->auth;
	decision.audited = action->flags & ACTION_FLAG_AUDITED;
	return decision;
}
#endif

/* What policy says, with audit mode: a missing proxy is no policy and drops even then. */
static __always_inline struct decision policy_decide(const struct flow *flow, const struct endpoint *endpoint)
{
#if POLICY_MODE == POLICY_MODE_ALLOW_ALL
	struct decision decision = { .verdict = CTX_ACT_OK, .match_type = POLICY_MATCH_ALL };
#elif POLICY_MODE == POLICY_MODE_DENY_ALL
	struct decision decision = { .verdict = DROP_POLICY_DENIED, .cause = default_cause };
#elif POLICY_MODE == POLICY_MODE_L3_ONLY || POLICY_MODE == POLICY_MODE_TABLES
	struct decision decision = policy_tables(flow, endpoint);
#else
# error "POLICY_MODE must be 0 to 3"
#endif

#if POLICY_AUDIT
	if (decision.verdict < 0)
		decision.audited = true;
#endif
	if (decision.audited && decision.verdict != DROP_NO_PROXY)
		decision.verdict = CTX_ACT_OK;
	return decision;
}
