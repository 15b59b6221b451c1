/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What user space hears about a packet. */
#pragma once

#include "abi/event.h"
#include "bpf/ctx.h"
#include "bpf/endian.h"
#include "lib/count.h"
#include "lib/endpoint.h"
#include "lib/identity.h"
#include "lib/policy.h"

enum {
	EVENTS_BYTES = 1 << 20,
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, EVENTS_BYTES);
} events SEC(".maps");

/* What each CPU may still report: a flood of drops must not occupy whoever listens, and the node with him. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct event_bucket);
} event_limit SEC(".maps");

/* Events that nobody will hear of, and the bytes of their packets. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct counter);
} events_lost SEC(".maps");

/* Whether this CPU may report one more. */
static __always_inline bool event_permitted(void)
{
	u64 now = ktime_get_coarse_ns();
	struct event_bucket *bucket;
	u32 zero = 0;
	u64 gained;

	bucket = map_lookup_elem(&event_limit, &zero);
	if (!bucket)
		return false;
	gained = (now - bucket->filled_ns) / (NSEC_PER_SEC / EVENT_RATE_PER_SEC);
	if (gained) {
		bucket->tokens += gained;
		if (gained > EVENT_BURST || bucket->tokens > EVENT_BURST)
			bucket->tokens = EVENT_BURST;
		bucket->filled_ns = now;
	}
	if (!bucket->tokens)
		return false;
	bucket->tokens--;
	return true;
}

static __always_inline void event_header(struct event_header *header, struct __sk_buff *ctx, u32 id, u8 kind,
					 u8 subtype)
{
	header->kind = kind;
	header->subtype = subtype;
	header->source = (u16)id;
	header->hash = ctx->hash;
	header->len_orig = ctx->len;
	header->len_cap = 0;
	header->version = EVENT_VERSION;
}

static __always_inline void event_tail(struct event_tail *tail, const struct flow *flow, u8 direction, u32 cause)
{
	tail->cause = cause;
	tail->generation = generation;
	tail->direction = direction;
	tail->family = flow->family;
	tail->proto = flow->proto;
	tail->flags = flow_is_icmp(flow) ? EVENT_FLAG_ICMP_TYPE : 0;
	tail->source_port_be = flow_is_icmp(flow) ? 0 : flow->source_port_be;
	tail->destination_port_be = htons(flow_policy_port(flow));
	__builtin_memcpy(tail->source_address, &flow->source, sizeof(tail->source_address));
	__builtin_memcpy(tail->destination_address, &flow->destination, sizeof(tail->destination_address));
}

static __always_inline void event_drop(struct drop_event *event, struct __sk_buff *ctx,
				       const struct endpoint *endpoint, u32 peer, u8 direction)
{
	bool sent = direction == DIRECTION_EGRESS;

	event->source_identity = sent ? endpoint->identity : peer;
	event->destination_identity = sent ? peer : endpoint->identity;
	event->destination_id = sent ? 0 : endpoint->id;
	event->line = 0;
	event->file = 0;
	event->ext_error = 0;
	event->ifindex = ctx->ifindex;
	event->pad = 0;
}

static __always_inline void event_verdict(struct policy_verdict_event *event, struct __sk_buff *ctx, u32 peer,
					  const struct flow *flow, u8 direction, const struct decision *decision)
{
	event->remote_identity = peer;
	event->verdict = 0;
	event->destination_port = flow_policy_port(flow);
	event->proto = flow->proto;
	event->bits = (u8)((direction + 1) | (flow->family == 6) << 2 | (decision->match_type & 7) << 3 |
			   decision->audited << 6);
	event->auth_type = decision->auth;
	__builtin_memset(event->pad1, 0, sizeof(event->pad1));
	event->ifindex = ctx->ifindex;
	event->pad2 = 0;
}

/* Either record; what they have in common stands in the same places. */
union event {
	struct event_header header;
	struct drop_event drop;
	struct policy_verdict_event verdict;
};

_Static_assert(sizeof(struct drop_event) == sizeof(struct policy_verdict_event), "union event");
_Static_assert(__builtin_offsetof(struct drop_event, tail) == __builtin_offsetof(struct policy_verdict_event, tail),
	       "union event");

/*
 * Reports a packet, unless the ring is full or this CPU has reported too many: for a DROP_* that it was dropped, for
 * CTX_ACT_OK that it is the first one of a flow that policy lets pass. The answer is 0: a global function has to give
 * one.
 */
__global_function int event_send(struct __sk_buff *ctx, const struct flow *flow, u8 direction, int ret,
				 const struct decision *decision)
{
	const struct endpoint *found = endpoint_find(ctx);
	struct endpoint endpoint = {};
	union event *event = NULL;
	u32 zero = 0;
	u32 peer;

	/* Verifier: "R2 invalid mem access 'mem_or_null'"; no caller passes NULL. */
	if (!flow || !decision)
		return 0;
	if (event_permitted())
		event = ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		counter_add(map_lookup_elem(&events_lost, &zero), ctx->len);
		return 0;
	}
	/* A packet of nobody is reported, too. */
	if (found)
		endpoint = *found;
	peer = identity_number(flow->peer_index);
	event_header(&event->header, ctx, endpoint.id, ret < 0 ? EVENT_DROP : EVENT_POLICY_VERDICT, (u8)-ret);
	if (ret < 0)
		event_drop(&event->drop, ctx, &endpoint, peer, direction);
	else
		event_verdict(&event->verdict, ctx, peer, flow, direction, decision);
	/* Policy is not the cause of a drop that it did not decide. */
	event_tail(&event->drop.tail, flow, direction, ret == decision->verdict ? decision->cause : 0);
	ringbuf_submit(event, 0);
	return 0;
}
