/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Records of the `events` ring buffer. Mirror: src/event.rs. */
#pragma once

#include "bpf/types.h"

enum {
	EVENT_DROP = 1,
	EVENT_TRACE = 4,
	EVENT_POLICY_VERDICT = 5,
	EVENT_VERSION = 2,
	EVENT_TRACE_VERSION = 0,	/* of a trace: Cilium's without the address before translation, which nobody makes here */
};

enum {
	EVENT_RATE_PER_SEC = 16384,	/* that a CPU reports in the long run */
	EVENT_BURST = 8192,	/* that it reports at once; the ring has room for more */
	TRACE_BURST = 2048,	/* traces that it reports at once, beside them */
	EVENT_TOKENS_MAX = EVENT_BURST + TRACE_BURST,
};

/* Value of `event_limit`: what a CPU may still report. */
struct event_bucket {
	u64 filled_ns;	/* monotonic time of the last tokens */
	u64 tokens;
};

enum {
	EVENT_FLAG_ICMP_TYPE = 1,	/* the destination port is an ICMP type */
};

/* Where a packet was seen: those of Cilium's observation points that we have. */
enum {
	TRACE_TO_LXC = 0,	/* it goes to the endpoint */
	TRACE_TO_STACK = 3,	/* the endpoint sent it, and it goes on to the node */
	TRACE_FROM_LXC = 5,	/* the endpoint sent it, and nobody has judged it yet */
};

/* What conntrack says of a packet that passes, in Cilium's numbers. */
enum {
	TRACE_REASON_NEW = 0,	/* the first packet of a flow, or one of no flow, that policy allows */
	TRACE_REASON_ESTABLISHED = 1,
	TRACE_REASON_REPLY = 2,
	TRACE_REASON_RELATED = 3,	/* an ICMP error about a living flow */
	TRACE_REASON_UNKNOWN = 5,	/* nobody has asked */
};

enum {
	TRACE_FLAG_IPV6 = 1,
};

/* Cilium's common header. */
struct event_header {
	u8 kind;	/* EVENT_* */
	u8 subtype;	/* drop reason of a drop, observation point of a trace */
	u16 source;	/* endpoint id of the endpoint whose program speaks */
	u32 hash;	/* flow hash, 0 for none */
	u32 len_orig;	/* bytes of the packet */
	u16 len_cap;	/* bytes captured behind the record */
	u16 version;	/* EVENT_VERSION or EVENT_TRACE_VERSION */
};

/* What Cilium's records lack: the flow, and the rules that decided. */
struct event_tail {
	u32 cause;
	u32 generation;
	u8 direction;
	u8 family;	/* 4, 6, or 0 without an IP header */
	u8 proto;
	u8 flags;	/* EVENT_FLAG_* */
	be16 source_port_be;
	be16 destination_port_be;
	u8 source_address[16];
	u8 destination_address[16];
};

/* A dropped packet. */
struct drop_event {
	struct event_header header;
	u32 source_identity;
	u32 destination_identity;
	u32 destination_id;	/* endpoint id, when the destination is the endpoint */
	u16 line;
	u8 file;
	s8 ext_error;
	u32 ifindex;
	u32 pad;
	struct event_tail tail;
};

/* The verdict on the first packet of a connection. */
struct policy_verdict_event {
	struct event_header header;
	u32 remote_identity;
	s32 verdict;	/* 0 allowed */
	u16 destination_port;	/* host order, or the ICMP type */
	u8 proto;
	u8 bits;	/* 0-1 direction + 1, 2 IPv6, 3-5 match type, 6 audited */
	u8 auth_type;
	u8 pad1[3];
	u32 ifindex;
	u32 pad2;
	struct event_tail tail;
};

/* A packet that passes. */
struct trace_event {
	struct event_header header;
	u32 source_identity;
	u32 destination_identity;
	u16 destination_id;	/* endpoint id, when the destination is the endpoint */
	u8 reason;	/* TRACE_REASON_* */
	u8 flags;	/* TRACE_FLAG_* */
	u32 ifindex;
	u32 pad[2];
	struct event_tail tail;
};

_Static_assert(sizeof(struct event_bucket) == 16, "struct event_bucket");
_Static_assert(sizeof(struct event_header) == 16, "struct event_header");
_Static_assert(sizeof(struct event_tail) == 48, "struct event_tail");
_Static_assert(sizeof(struct drop_event) == 88, "struct drop_event");
_Static_assert(__builtin_offsetof(struct drop_event, tail) == 40, "struct drop_event");
_Static_assert(sizeof(struct policy_verdict_event) == 88, "struct policy_verdict_event");
_Static_assert(__builtin_offsetof(struct policy_verdict_event, tail) == 40, "struct policy_verdict_event");
_Static_assert(sizeof(struct trace_event) == 88, "struct trace_event");
_Static_assert(__builtin_offsetof(struct trace_event, ifindex) == 28, "struct trace_event");
_Static_assert(__builtin_offsetof(struct trace_event, tail) == 40, "struct trace_event");
