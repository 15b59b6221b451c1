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
	/* Of the ring, that traces may fill: a burst of other events has room behind them. */
	EVENTS_TRACE_BYTES = EVENTS_BYTES / 4 - 1024,
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, EVENTS_BYTES);
} events SEC(".maps");

/*
 * What each CPU may still report: a flood of drops must not occupy whoever listens, and the node with him. Traces give way
 * first: they leave the tokens for a burst of other events alone.
 */
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

/* Whether this CPU may report one more, which is to leave so many tokens. */
static __always_inline bool event_permitted(u64 left)
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
		if (gained > EVENT_TOKENS_MAX || bucket->tokens > EVENT_TOKENS_MAX)
			bucket->tokens = EVENT_TOKENS_MAX;
		bucket->filled_ns = now;
	}
	if (bucket->tokens <= left)
		return false;
	bucket->tokens--;
	return true;
}

static __always_inline void event_header(struct event_header *header, struct __sk_buff *ctx, u32 id)
{
	header->source = (u16)id;
	header->hash = ctx->hash;
	header->len_orig = ctx->len;
	header->len_cap = 0;
}

/* What kind of record it is. */
static __always_inline void event_kind(struct event_header *header, u8 kind, u8 subtype, u16 version)
{
	header->kind = kind;
	header->subtype = subtype;
	header->version = version;
}

static __always_inline void event_tail(struct event_tail *tail, const struct flow *flow, u8 direction, u32 cause, u16 port)
{
	bool icmp = flow_is_icmp(flow);

	tail->cause = cause;
	tail->generation = generation;
	tail->direction = direction;
	tail->family = flow->family;
	tail->proto = flow->proto;
	tail->flags = icmp ? EVENT_FLAG_ICMP_TYPE : 0;
	tail->source_port_be = icmp ? 0 : flow->source_port_be;
	tail->destination_port_be = htons(port);
	/* A record of the ring is aligned, which its bytes do not tell. */
	*(union address *)tail->source_address = flow->source;
	*(union address *)tail->destination_address = flow->destination;
}

/* Both ends of a packet, at the same place in a drop and in a trace. */
static __always_inline void event_ends(struct drop_event *event, u32 id, u32 identity, u32 peer, u8 direction)
{
	bool sent = direction == DIRECTION_EGRESS;

	event->source_identity = sent ? identity : peer;
	event->destination_identity = sent ? peer : identity;
	event->destination_id = sent ? 0 : id;
}

static __always_inline void event_drop(struct drop_event *event, struct __sk_buff *ctx)
{
	event->line = 0;
	event->file = 0;
	event->ext_error = 0;
	event->ifindex = ctx->ifindex;
	event->pad = 0;
}

static __always_inline void event_trace(struct trace_event *event, struct __sk_buff *ctx, const struct flow *flow,
					u8 reason)
{
	event->reason = reason;
	event->flags = flow->family == 6 ? TRACE_FLAG_IPV6 : 0;
	event->ifindex = ctx->ifindex;
	event->pad[0] = 0;
	event->pad[1] = 0;
}

static __always_inline void event_verdict(struct policy_verdict_event *event, struct __sk_buff *ctx, u32 peer,
					  const struct flow *flow, u8 direction, const struct decision *decision, u16 port)
{
	event->remote_identity = peer;
	event->verdict = 0;
	event->destination_port = port;
	event->proto = flow->proto;
	event->bits = (u8)((direction + 1) | (flow->family == 6) << 2 | (decision->match_type & 7) << 3 |
			   decision->audited << 6);
	event->auth_type = decision->auth;
	__builtin_memset(event->pad1, 0, sizeof(event->pad1));
	event->ifindex = ctx->ifindex;
	event->pad2 = 0;
}

/* Any record; what they have in common stands in the same places. */
union event {
	struct event_header header;
	struct drop_event drop;
	struct trace_event trace;
	struct policy_verdict_event verdict;
};

_Static_assert(sizeof(struct drop_event) == sizeof(struct policy_verdict_event), "union event");
_Static_assert(sizeof(struct drop_event) == sizeof(struct trace_event), "union event");
_Static_assert(__builtin_offsetof(struct drop_event, tail) == __builtin_offsetof(struct policy_verdict_event, tail),
	       "union event");
_Static_assert(__builtin_offsetof(struct drop_event, tail) == __builtin_offsetof(struct trace_event, tail), "union event");
_Static_assert(__builtin_offsetof(struct drop_event, destination_id) ==
		       __builtin_offsetof(struct trace_event, destination_id),
	       "union event");

/* Where a packet is seen that passes; the one that nobody has asked about has only come. */
static __always_inline u8 event_point(u8 direction, u8 reason)
{
#if MONITOR_AGGREGATION < MONITOR_AGGREGATION_RX
	if (reason == TRACE_REASON_UNKNOWN)
		return TRACE_FROM_LXC;
#endif
	return direction == DIRECTION_EGRESS ? TRACE_TO_STACK : TRACE_TO_LXC;
}

/* Room in the ring for one record, or NULL: nobody will hear of it, and it is counted. */
static __always_inline union event *event_reserve(struct __sk_buff *ctx, bool trace)
{
	union event *event = NULL;
	u32 zero = 0;

	if (!(trace && ringbuf_query(&events, BPF_RB_AVAIL_DATA) > EVENTS_TRACE_BYTES) &&
	    event_permitted(trace ? EVENT_BURST : 0))
		event = ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event)
		counter_add(map_lookup_elem(&events_lost, &zero), ctx->len);
	return event;
}

/*
 * Reports a packet, unless the ring is full or this CPU has reported too many: for a DROP_* that it was dropped, for
 * CTX_ACT_OK that it is the first one of a flow that policy lets pass, for CTX_ACT_TRACE and a TRACE_REASON_* that it
 * passes. Whoever reads is woken when he has read all others. The answer is 0: a global function has to give one.
 */
__global_function int event_send(struct __sk_buff *ctx, const struct flow *flow, u8 direction, int ret,
				 const struct decision *decision)
{
	const struct endpoint *endpoint = endpoint_find(ctx);
	u8 reason = (u8)(ret - CTX_ACT_TRACE);
	bool trace = ret > CTX_ACT_OK;
	union event *event;
	u32 identity = 0;
	u32 id = 0;
	u16 port;
	u32 peer;

	/* Verifier: "R2 invalid mem access 'mem_or_null'"; no caller passes NULL. */
	if (!flow || !decision)
		return 0;
	event = event_reserve(ctx, trace);
	if (!event)
		return 0;
	/* A packet of nobody is reported, too. */
	if (endpoint) {
		identity = endpoint->identity;
		id = endpoint->id;
	}
	peer = flow->peer_index;
	/* Nobody has asked whom a reply comes from, or a packet that only came. */
	if (trace && !peer)
		peer = identity_of_peer(flow, direction);
	peer = identity_number(peer);
	port = flow_policy_port(flow);
	event_header(&event->header, ctx, id);
	if (ret == CTX_ACT_OK) {
		event_kind(&event->header, EVENT_POLICY_VERDICT, 0, EVENT_VERSION);
		event_verdict(&event->verdict, ctx, peer, flow, direction, decision, port);
	} else {
		event_ends(&event->drop, id, identity, peer, direction);
		if (trace) {
			event_kind(&event->header, EVENT_TRACE, event_point(direction, reason), EVENT_TRACE_VERSION);
			event_trace(&event->trace, ctx, flow, reason);
		} else {
			event_kind(&event->header, EVENT_DROP, (u8)-ret, EVENT_VERSION);
			event_drop(&event->drop, ctx);
		}
	}
	/* Policy is not the cause of a drop that it did not decide. */
	event_tail(&event->drop.tail, flow, direction, trace || ret == decision->verdict ? decision->cause : 0, port);
	ringbuf_submit(event, 0);
	return 0;
}
