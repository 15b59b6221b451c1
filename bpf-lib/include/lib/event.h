/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What user space hears about a packet. */
#pragma once

#include "abi/event.h"
#include "bpf/ctx.h"
#include "bpf/endian.h"
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

static __always_inline void event_header(struct event_header *header, struct __sk_buff *ctx, u8 kind, u8 subtype)
{
	header->kind = kind;
	header->subtype = subtype;
	header->source = (u16)endpoint_id;
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
	tail->source_port_be = flow->source_port_be;
	tail->destination_port_be = htons(flow_policy_port(flow));
	__builtin_memcpy(tail->source_address, &flow->source, sizeof(tail->source_address));
	__builtin_memcpy(tail->destination_address, &flow->destination, sizeof(tail->destination_address));
}

/* Reports a dropped packet; lost when the ring is full. */
static __always_inline void event_drop(struct __sk_buff *ctx, const struct flow *flow, u8 direction,
				       int ret, u32 cause)
{
	struct drop_event *event = ringbuf_reserve(&events, sizeof(*event), 0);
	u32 peer;

	if (!event)
		return;
	peer = identity_number(flow->peer_index);
	event_header(&event->header, ctx, EVENT_DROP, (u8)-ret);
	event->source_identity = direction == DIRECTION_EGRESS ? endpoint_identity : peer;
	event->destination_identity = direction == DIRECTION_EGRESS ? peer : endpoint_identity;
	event->destination_id = direction == DIRECTION_EGRESS ? 0 : endpoint_id;
	event->line = 0;
	event->file = 0;
	event->ext_error = 0;
	event->ifindex = ctx->ifindex;
	event->pad = 0;
	event_tail(&event->tail, flow, direction, cause);
	ringbuf_submit(event, 0);
}

/* Reports that policy lets the first packet of a flow pass; lost when the ring is full. */
static __always_inline void event_allow(struct __sk_buff *ctx, const struct flow *flow, u8 direction,
					const struct decision *decision)
{
	struct policy_verdict_event *event = ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event)
		return;
	event_header(&event->header, ctx, EVENT_POLICY_VERDICT, 0);
	event->remote_identity = identity_number(flow->peer_index);
	event->verdict = 0;
	event->destination_port = flow_policy_port(flow);
	event->proto = flow->proto;
	event->bits = (u8)((direction + 1) | (flow->family == 6) << 2 | (decision->match_type & 7) << 3 |
			   decision->audited << 6);
	event->auth_type = decision->auth;
	__builtin_memset(event->pad1, 0, sizeof(event->pad1));
	event->ifindex = ctx->ifindex;
	event->pad2 = 0;
	event_tail(&event->tail, flow, direction, decision->cause);
	ringbuf_submit(event, 0);
}
