/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the headers of one packet say, copied out of it. */
#pragma once

#include "bpf/compiler.h"
#include "bpf/types.h"

enum {
	DIRECTION_INGRESS = 0,
	DIRECTION_EGRESS = 1,
};

enum {
	PROTO_ICMP = 1,
	PROTO_TCP = 6,
	PROTO_UDP = 17,
	PROTO_ICMP6 = 58,
	PROTO_SCTP = 132,
};

enum {
	FRAGMENT_NONE = 0,	/* a whole packet */
	FRAGMENT_FIRST = 1,	/* the L4 header is here, the rest of the payload is not */
	FRAGMENT_LATER = 2,	/* no L4 header */
};

/* An address of either family; an IPv4 address stands in the first four bytes, the rest is zero. */
union address {
	u8 bytes[16];
	be32 ipv4;
	struct {
		be64 hi;
		be64 lo;
	};
};

struct flow {
	union address source;
	union address destination;
	u32 length;	/* bytes from the IP header on, 0 while unknown */
	u32 l4_offset;	/* from the Ethernet header on */
	u32 fragment_offset;	/* of a fragment: byte of the datagram's payload that it begins with */
	u32 fragment_id;	/* of a fragment, as the packet has it */
	u32 peer_index;	/* identity index of the other end, 0 while unknown */
	be16 source_port_be;	/* of an echo see l4_load_head(), 0 for other ICMP */
	be16 destination_port_be;
	u8 family;	/* 4, 6, or 0 without an IP header */
	u8 proto;
	u8 tcp_flags;
	u8 icmp_type;
	u8 icmp_code;
	u8 hop_limit;
	u8 fragment;	/* FRAGMENT_* */
};

static __always_inline bool flow_is_icmp(const struct flow *flow)
{
	return flow->proto == PROTO_ICMP || flow->proto == PROTO_ICMP6;
}

/* Port that policy looks at, in host order: the destination's, or the ICMP type. */
static __always_inline u16 flow_policy_port(const struct flow *flow)
{
	if (flow_is_icmp(flow))
		return flow->icmp_type;
	return __builtin_bswap16(flow->destination_port_be);
}

/* The other end's address. */
static __always_inline const union address *flow_peer(const struct flow *flow, u8 direction)
{
	return direction == DIRECTION_EGRESS ? &flow->destination : &flow->source;
}

/* The endpoint's address. */
static __always_inline const union address *flow_local(const struct flow *flow, u8 direction)
{
	return direction == DIRECTION_EGRESS ? &flow->source : &flow->destination;
}
