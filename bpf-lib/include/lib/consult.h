/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Replies under a new policy. What they may do is for the policy of the direction in which their flow began, and that is
 * in the endpoint's other program. So when the bundle has changed since policy allowed the flow last, a reply makes its
 * program ask the other one: a tail call, which answers as a function would. The question stands in the packet's control
 * block.
 */
#pragma once

#include "lib/endpoint.h"
#include "lib/ethernet.h"
#include "lib/identity.h"
#include "lib/l4.h"
#include "lib/policy.h"

/* For each slot the other program of its endpoint, from when both are in force until one is to be replaced. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, SET_AT_LOAD);
	__type(key, u32);
	__type(value, u32);
} opposites SEC(".maps");

/* The port that policy looks at in the flow that @reply answers: an echo was asked for, or a port is its source's. */
static __always_inline u16 consult_port(const struct flow *reply)
{
	if (reply->proto == PROTO_ICMP)
		return ICMP_ECHO;
	if (reply->proto == PROTO_ICMP6)
		return ICMP6_ECHO;
	return ntohs(reply->source_port_be);
}

/*
 * Asks whether policy allows the flow that @reply answers: CTX_ACT_OK or DROP_*, with the cause in the control block. The
 * generation of both programs is the same, so an address means the same identity to both.
 */
__global_function int consult(struct __sk_buff *ctx, struct flow *reply, u8 direction)
{
	const struct endpoint *endpoint = endpoint_find(ctx);
	int ret = DROP_MISSED_TAIL_CALL;

	/* Verifier: "R2 invalid mem access 'mem_or_null'"; no caller passes NULL. */
	if (!endpoint || !reply)
		return DROP_EP_NOT_READY;
	reply->peer_index = identity_of_peer(reply, direction);
	ctx->cb[ENTRY_CB_ENDPOINT] = endpoint->id | CONSULT_ENDPOINT_BIT;
	ctx->cb[CONSULT_CB_SLOT] = endpoint->opposite_slot;
	ctx->cb[CONSULT_CB_PEER] = reply->peer_index;
	ctx->cb[CONSULT_CB_L4] = (u32)reply->proto << 16 | consult_port(reply);
	tail_call(ctx, &opposites, ctx->cb[ENTRY_CB_SLOT]);
	ctx->cb[ENTRY_CB_ENDPOINT] = endpoint->id;
	ctx->cb[CONSULT_CB_CAUSE] = 0;
	/* What the other program answers comes from here, too: clang must not take this for all that there is. */
	asm volatile("" : "+r"(ret));
	return ret;
}

/* Whether the other program came here with a question, and not an entry program with a packet. */
static __always_inline bool consult_is_asked(struct __sk_buff *ctx)
{
	return ctx->cb[ENTRY_CB_ENDPOINT] & CONSULT_ENDPOINT_BIT;
}

/* The answer to consult() of the other program. The packet counts on the action that decides. */
__global_function int consult_answer(struct __sk_buff *ctx)
{
	u32 id = ctx->cb[ENTRY_CB_ENDPOINT] & ~(u32)CONSULT_ENDPOINT_BIT;
	u32 slot = ctx->cb[CONSULT_CB_SLOT];
	u32 l4 = ctx->cb[CONSULT_CB_L4];
	const struct endpoint *endpoint = map_lookup_elem(&endpoints, &slot);
	struct flow flow = {
		.length = ctx->len - ETH_HEADER_LEN,
		.peer_index = ctx->cb[CONSULT_CB_PEER],
		.destination_port_be = htons((u16)l4),
		.proto = (u8)(l4 >> 16),
		.icmp_type = (u8)l4,
	};
	struct decision decision;

	ctx->cb[ENTRY_CB_ENDPOINT] = id;
	ctx->cb[CONSULT_CB_CAUSE] = 0;
	if (!endpoint || endpoint->id != id)
		return DROP_EP_NOT_READY;
	decision = policy_decide(&flow, endpoint);
	ctx->cb[CONSULT_CB_CAUSE] = decision.cause;
	return decision.verdict;
}
